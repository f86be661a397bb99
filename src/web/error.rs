//! Errors as JavaScript knows them: an `Error` whose `name` says what the page can do about it.

use serde::Serialize;
use serde::de::DeserializeOwned;
use wasm_bindgen::JsValue;

use crate::gpu::GpuError;
use crate::run::RunError;

/// An error on its way to JavaScript.
#[derive(Debug)]
pub struct WebError(RunError);

impl<E: Into<RunError>> From<E> for WebError {
    fn from(error: E) -> Self {
        Self(error.into())
    }
}

/// What the page tells errors apart by: `adapter` (no WebGPU to be had), `memory` (a smaller batch may fit), `lost` (the
/// device is gone, another may be opened), `usage` (a setting or a file of the user), `failed`.
fn kind(error: &RunError) -> &'static str {
    match error {
        RunError::Usage(_) => "usage",
        RunError::Gpu(GpuError::NoAdapter(_) | GpuError::NoDevice { .. }) => "adapter",
        RunError::Gpu(GpuError::OutOfMemory(_) | GpuError::TooLarge { .. }) => "memory",
        RunError::Gpu(GpuError::Lost(_)) => "lost",
        RunError::Gpu(GpuError::Validation(_)) | RunError::Failed(_) => "failed",
    }
}

impl From<WebError> for JsValue {
    fn from(WebError(error): WebError) -> Self {
        let shown = js_sys::Error::new(&error.to_string());
        shown.set_name(kind(&error));
        shown.into()
    }
}

/// A report as JSON.
pub fn to_json(report: &impl Serialize) -> Result<String, WebError> {
    serde_json::to_string(report).map_err(|error| RunError::Failed(error.to_string()).into())
}

/// Settings from JSON.
pub fn from_json<T: DeserializeOwned>(text: &str) -> Result<T, WebError> {
    serde_json::from_str(text)
        .map_err(|error| RunError::usage(format!("the settings are not readable: {error}")).into())
}
