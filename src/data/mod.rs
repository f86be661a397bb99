//! Data sets: reading and checking their files, the order of an epoch, batches, and augmentation.
//!
//! Everything here runs on the host and works on bytes, so that it serves the browser too; only
//! the few functions that open files are left out of WebAssembly. Pictures stay `u8` until they are on the GPU:
//! the host picks the samples of a batch ([`batch`]) and draws what happens to each ([`augment`]), a kernel does it.

#[cfg(not(target_arch = "wasm32"))]
pub mod archive;
pub mod augment;
pub mod batch;
pub mod cifar;
pub mod dataset;
#[cfg(not(target_arch = "wasm32"))]
pub mod download;
pub mod error;
#[cfg(not(target_arch = "wasm32"))]
pub mod fetch;
#[cfg(not(target_arch = "wasm32"))]
pub mod files;
#[cfg(not(target_arch = "wasm32"))]
pub mod fit;
#[cfg(not(target_arch = "wasm32"))]
pub mod folder;
pub mod idx;
pub mod imagenet;
#[cfg(not(target_arch = "wasm32"))]
pub mod inventory;
pub mod mat;
pub mod mnist;
#[cfg(not(target_arch = "wasm32"))]
pub mod picture;
pub mod planes;
#[cfg(not(target_arch = "wasm32"))]
pub mod prefetch;
pub mod registry;
pub mod size;
#[cfg(not(target_arch = "wasm32"))]
pub mod sources;
pub mod stl10;
pub mod stream;
#[cfg(not(target_arch = "wasm32"))]
pub mod sums;
pub mod svhn;
#[cfg(test)]
mod testing;
pub mod walk;

pub use augment::{AugmentParams, Cutout, Hole, augment_params};
pub use batch::{Batches, class_order, epoch_order, gather};
pub use dataset::{ClassNames, Dataset, DatasetSpec, Fit, Pictures, Split};
pub use error::DataError;
#[cfg(not(target_arch = "wasm32"))]
pub use picture::load_picture;
pub use registry::{load, names, open, recall, spec, spec_in};
pub use size::ImageSize;
pub use stream::Stream;
pub use walk::{Draw, Walk};
