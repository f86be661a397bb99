//! What the developer's commands share: running steps, installing packages, finding a GPU driver, the WebAssembly target.

pub mod apt;
pub mod steps;
pub mod vulkan;
pub mod wasm;

use std::path::{Path, PathBuf};

/// The workspace's root: the folder above this crate.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new(".")).to_owned()
}
