//! The reconstruction loss (`--loss-unsup recon`): mean squared error of `act(z)` against a block's input, and its
//! gradient over z.

use bytemuck::{Pod, Zeroable};

use super::activation::ACTIVATION;
use super::{Activation, COMMON};
use crate::gpu::{Dispatch, Input, Pipeline, Shader, Slice};

const INPUTS: &[Input] = &[Input::new(1, "x"), Input::updated(2, "z")];
const SHADER: Shader = Shader::with_inputs(
    "reconstruction",
    INPUTS,
    &[COMMON, ACTIVATION, include_str!("../../shaders/reconstruction.wgsl")],
);

/// vec4s that a workgroup takes at least.
const SHORTEST_SPAN: u32 = 256;
/// Most workgroups, and partial sums.
const MOST_PARTIALS: u32 = 256;

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    vectors: u32,
    span: u32,
    loss_scale: f32,
    gradient_scale: f32,
}

/// Shapes of one reconstruction.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Reconstruction {
    /// Floats on the device, pad lanes included; a multiple of 4.
    pub len: u64,
    /// Elements without pad lanes: what the mean is over.
    pub real: u64,
    /// What is behind the decoder.
    pub activation: Activation,
}

impl Reconstruction {
    /// How many partial sums there are.
    pub fn partials(&self) -> u32 {
        self.vectors().div_ceil(SHORTEST_SPAN).clamp(1, MOST_PARTIALS)
    }

    /// Bytes of the partial sums.
    pub fn partials_bytes(&self) -> u64 {
        4 * u64::from(self.partials())
    }

    /// `z`, the decoder's output, becomes the gradient of `weight` times the loss with respect to itself; `partials` are
    /// parts of the loss (not weighted) whose sum it is. Pad lanes of `x` and `z` have to be zero.
    pub fn dispatch(&self, x: Slice, z: Slice, partials: Slice, weight: f64) -> Dispatch {
        let (vectors, count) = (self.vectors(), self.partials());
        let params = Params {
            vectors,
            span: vectors.div_ceil(count),
            loss_scale: (self.real as f64).recip() as f32,
            gradient_scale: (2.0 * weight / self.real as f64) as f32,
        };
        Dispatch::new("reconstruction loss", pipeline(self.activation), &params, [count, 1, 1])
            .loads(x)
            .updates(z)
            .writes(partials)
            .flops(5 * self.len)
    }

    fn vectors(&self) -> u32 {
        (self.len / 4) as u32
    }
}

fn pipeline(activation: Activation) -> Pipeline {
    let constants = vec![("ACTIVATION", activation.code())];
    Pipeline::new(SHADER, "reconstruction", constants)
}

/// Every pipeline of this file.
pub fn variants() -> Vec<Pipeline> {
    Activation::ALL.map(pipeline).into()
}
