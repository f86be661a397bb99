//! Data sets: reading and checking their files, the order of an epoch, batches, and augmentation.
//!
//! Everything here runs on the host and works on bytes, so that it serves the browser too; only
//! the few functions that open files are left out of WebAssembly. Pictures stay `u8` until they are on the GPU:
//! the host picks the samples of a batch ([`batch`]) and draws what happens to each ([`augment`]), a kernel does it.

pub mod augment;
pub mod batch;
pub mod cifar;
pub mod dataset;
pub mod error;
#[cfg(not(target_arch = "wasm32"))]
pub mod files;
pub mod idx;
pub mod mat;
pub mod mnist;
#[cfg(not(target_arch = "wasm32"))]
pub mod picture;
pub mod planes;
pub mod registry;
pub mod stl10;
pub mod stream;
pub mod svhn;
#[cfg(test)]
mod testing;

pub use augment::{AugmentParams, Cutout, Hole, augment_params};
pub use batch::{Batches, class_order, epoch_order, gather};
pub use dataset::{Dataset, DatasetSpec, Split};
pub use error::DataError;
#[cfg(not(target_arch = "wasm32"))]
pub use picture::load_picture;
pub use registry::{load, names, spec};
pub use stream::Stream;
