//! The gradient of a convolution's weights through the batch normalisation behind it, without that of its output.
//!
//! Batch normalisation's backward is affine in what it is given (see [`super::batchnorm_backward`]), so the weights'
//! gradient follows from three sums over the batch: of input and gradient behind the norm, of input and output, and of
//! the input alone. All three can be taken in the pass over the batch that finds the norm's own gradients; the gradient
//! of the convolution's output would need another pass behind it.

use bytemuck::{Pod, Zeroable};

use super::COMMON;
use super::sweep::WORKGROUP;
use crate::gpu::{Dispatch, Pipeline, Shader, Slice, grid};

const SHADER: Shader = Shader::new("batchnorm_weight", &[COMMON, include_str!("../../shaders/batchnorm_weight.wgsl")]);

/// Columns of the tensor that stands for the output where the input is summed alone.
pub const ONES: u32 = 4;

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    weights: u32,
    groups: u32,
    share: f32,
    ones: u32,
}

/// A convolution's weights `[weights, channels]` in front of a norm over `rows` rows of its output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NormedWeight {
    /// Rows of the output: pixels of all samples.
    pub rows: u32,
    /// Taps of the kernel times padded input channels.
    pub weights: u32,
    /// Padded output channels.
    pub channels: u32,
}

/// The sums, and what the norm knows.
#[derive(Debug, Clone, Copy)]
pub struct NormedSums {
    /// `[mean | 1 / deviation]` of the output.
    pub saved: Slice,
    /// `[gamma | beta]`
    pub affine: Slice,
    /// Their gradients.
    pub daffine: Slice,
    /// Of the input: `[weights, ONES]`, in the first column.
    pub x: Slice,
    /// Of input and output: `[weights, channels]`.
    pub xy: Slice,
}

impl NormedWeight {
    /// Turns the sums of input and gradient in `dw` into the weights' gradient.
    pub fn dispatch(&self, sums: NormedSums, dw: Slice) -> Dispatch {
        let groups = self.channels / 4;
        let params = Params { weights: self.weights, groups, share: 1.0 / self.rows as f32, ones: 0 };
        let vectors = self.weights * groups;
        Dispatch::new("normed dW", pipeline("weight"), &params, grid(vectors.div_ceil(WORKGROUP)))
            .reads(sums.saved)
            .reads(sums.affine)
            .reads(sums.daffine)
            .reads(sums.x)
            .reads(sums.xy)
            .writes(dw)
            .flops(8 * u64::from(self.weights) * u64::from(self.channels))
    }
}

/// Fills `out`, `[rows, ONES]`, with ones: a gradient of the output with which the gradient of the weights is the
/// input's sums.
pub fn ones(rows: u32, out: Slice) -> Dispatch {
    let params = Params { weights: 0, groups: 0, share: 0.0, ones: rows };
    Dispatch::new("ones", pipeline("ones"), &params, grid(rows.div_ceil(WORKGROUP))).writes(out)
}

fn pipeline(entry: &'static str) -> Pipeline {
    Pipeline::new(SHADER, entry, Vec::new())
}

/// Every pipeline of this file.
pub fn variants() -> Vec<Pipeline> {
    ["weight", "ones"].map(pipeline).into()
}
