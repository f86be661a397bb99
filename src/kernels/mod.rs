//! One file per shader: its parameters as a typed struct, its variants, its dispatches.
//!
//! A kernel is four neighbours with one name: `shaders/x.wgsl`, `src/kernels/x.rs`, `tests/kernels/x.rs` and
//! `benches/x.rs`. The functions here are pure: typed shapes and tensors in, [`Dispatch`](crate::gpu::Dispatch) values
//! out. Nothing here touches a device.

mod activation;
pub mod batchnorm;
pub mod batchnorm_backward;
pub mod dropout;
pub mod pool;
pub mod reduce;
mod step;
mod sweep;

pub use activation::Activation;
pub use step::StepParams;

/// `shaders/common.wgsl`, the first part of every shader.
pub(crate) const COMMON: &str = include_str!("../../shaders/common.wgsl");
