//! One file per shader: its parameters as a typed struct, its variants, its dispatches.
//!
//! A kernel is three neighbours with one name: `shaders/x.wgsl`, `src/kernels/x.rs` and `tests/kernels/x.rs`; those that
//! take the most time have a fourth, `benches/x.rs`. The functions here are pure: typed shapes and tensors in,
//! [`Dispatch`](crate::gpu::Dispatch) values out. Only [`tuning`] asks a device, what it has.

mod activation;
pub mod augment;
pub mod batchnorm;
pub mod batchnorm_backward;
pub mod batchnorm_few;
pub mod batchnorm_pool;
pub mod batchnorm_weight;
pub mod conv2d;
pub mod dropout;
pub mod elementwise;
pub mod gemm;
pub mod heads;
pub mod limits;
pub mod optimizer;
pub mod pool;
pub mod precision;
pub mod pred;
pub mod projection;
pub mod reconstruction;
pub mod reduce;
pub mod similarity;
pub mod similarity_blend;
mod step;
mod sweep;
pub mod tuning;
pub mod winograd;

pub use activation::Activation;
pub use step::StepParams;
pub use sweep::RowChunk;

use crate::gpu::Pipeline;

/// `shaders/common.wgsl`, the first part of every shader.
pub(crate) const COMMON: &str = include_str!("../../shaders/common.wgsl");

/// `shaders/workgroup_sum.wgsl`: a sum over a workgroup of `THREADS` invocations.
const WORKGROUP_SUM: &str = include_str!("../../shaders/workgroup_sum.wgsl");

/// Most turns of an invocation's loops that may be many: llvmpipe leaves a shader's loops after 65535 in all, silently.
const MOST_TURNS: u32 = 1 << 15;

/// Every pipeline that the engine can ask for, for compiling, dumping and testing all of them; of those with an input that is
/// a sum, which are alike whatever their number of parts, one with three.
pub fn all_variants() -> Vec<Pipeline> {
    let all = [
        augment::variants(),
        batchnorm::variants(),
        batchnorm_backward::variants(),
        batchnorm_few::variants(),
        batchnorm_pool::variants(),
        batchnorm_weight::variants(),
        conv2d::variants(),
        dropout::variants(),
        elementwise::variants(),
        gemm::variants(),
        heads::variants(),
        limits::variants(),
        optimizer::variants(),
        pool::variants(),
        pred::variants(),
        projection::variants(),
        reconstruction::variants(),
        reduce::variants(),
        similarity::variants(),
        similarity_blend::variants(),
        winograd::variants(),
    ]
    .concat();
    let mirrored = |pipeline: &Pipeline| Pipeline { texels: true, ..pipeline.clone() };
    let plain = all.iter().filter(|p| !p.shader.inputs.is_empty() && !p.texels);
    let with_mirrors: Vec<Pipeline> = plain.map(mirrored).collect();
    [all, with_mirrors].concat()
}
