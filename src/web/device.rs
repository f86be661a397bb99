//! The browser's WebGPU adapter.

use std::rc::Rc;

use wasm_bindgen::prelude::wasm_bindgen;

use crate::gpu::{Gpu, Wanted};

use super::error::WebError;

/// An open device.
#[wasm_bindgen]
#[derive(Debug)]
pub struct Device {
    pub(super) gpu: Rc<Gpu>,
}

#[wasm_bindgen]
impl Device {
    /// Opens the adapter that the browser offers.
    ///
    /// # Errors
    /// `adapter`: it offers none, or it does not open.
    pub async fn open() -> Result<Device, WebError> {
        Ok(Self { gpu: Rc::new(Gpu::open(&Wanted::Best).await?) })
    }

    /// What the browser calls it.
    pub fn name(&self) -> String {
        let info = &self.gpu.info;
        [&info.name, &info.driver].into_iter().find(|text| !text.is_empty()).cloned().unwrap_or_default()
    }
}
