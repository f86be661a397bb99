//! The engine for a web page: the same data sets, plans and trainer behind functions that JavaScript calls, from a Web
//! Worker, so that no page waits for them.
//!
//! - [`device`]: the browser's WebGPU adapter
//! - [`data`]: the embedded digits, official files, pictures of the user
//! - [`run`]: a network in training: steps, epochs, looks, checkpoints
//! - [`view`]: what a look shows
//! - [`error`]: errors as JavaScript knows them
//!
//! Settings come and reports go as JSON, with the names of the command line's flags and of `metrics.jsonl`; pictures
//! and numbers in bulk as typed arrays. Waiting is a promise.

mod data;
mod device;
mod error;
mod run;
mod view;

use wasm_bindgen::prelude::wasm_bindgen;

pub use data::Data;
pub use device::Device;
pub use run::{Run, memory_plans, settings_of_checkpoint};
pub use view::View;

/// Called once when the module is loaded: a panic then says where it happened in the browser's console.
#[wasm_bindgen(start)]
pub fn start() {
    console_error_panic_hook::set_once();
}

/// Version of the engine.
#[wasm_bindgen]
pub fn version() -> String {
    env!("CARGO_PKG_VERSION").to_owned()
}
