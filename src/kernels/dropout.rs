//! Dropout in place, with masks that are computed, not stored: the same dispatch on the gradient is the backward pass.
//!
//! An element stays with probability `1 - rate` and is then divided by it (Srivastava et al. 2014). Convolutional blocks
//! drop whole maps. The decision is a hash of the seed, the step's number, the stream and the element's number, so a
//! resumed run draws the masks of an unbroken one.

use bytemuck::{Pod, Zeroable};

use super::COMMON;
use super::step::STEP;
use super::sweep::{WORKGROUP, groups};
use crate::gpu::{Dispatch, Input, Pipeline, Shader, Slice, grid};

const INPUTS: &[Input] = &[Input::updated(2, "x")];
const SHADER: Shader =
    Shader::with_inputs("dropout", INPUTS, &[COMMON, STEP, include_str!("../../shaders/dropout.wgsl")]);

/// Pixels an invocation takes.
const SPAN: u32 = 8;

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    batch: u32,
    spatial: u32,
    groups: u32,
    span: u32,
    slots: u32,
    stream: u32,
    threshold: u32,
    scale: f32,
    first: u32,
    spare: [u32; 3],
}

/// Dropout on `[batch, spatial, channels]`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Dropout {
    /// Samples.
    pub batch: u32,
    /// Pixels of a map, `H*W`; 1 in dense layers.
    pub spatial: u32,
    /// Channels with padding, a multiple of 4.
    pub channels: u32,
    /// Probability of dropping, 0 to 1.
    pub rate: f32,
    /// Which of the network's dropouts this is: each has masks of its own.
    pub stream: u32,
    /// Whether a map of a sample stays or goes as a whole.
    pub whole_maps: bool,
}

impl Dropout {
    /// An element stays when 24 bits of its hash are below this: `(1 - rate) * 2^24`.
    pub fn threshold(&self) -> u32 {
        ((1.0 - f64::from(self.rate)).clamp(0.0, 1.0) * f64::from(1u32 << 24)).round() as u32
    }

    /// What an element that stays is multiplied with: `1 / (1 - rate)`, or 0 where nothing stays.
    pub fn scale(&self) -> f32 {
        if self.threshold() == 0 { 0.0 } else { 1.0 / (1.0 - self.rate) }
    }

    /// Multiplies `x` with the mask of the step. `step` is the buffer of [`super::StepParams`].
    pub fn forward(&self, step: Slice, x: Slice) -> Dispatch {
        self.forward_from(0, step, x)
    }

    /// The same for a run of a larger batch, in which the first sample of `x` has number `first`.
    pub fn forward_from(&self, first: u32, step: Slice, x: Slice) -> Dispatch {
        let slots = self.spatial.div_ceil(SPAN).max(1);
        let params = Params {
            batch: self.batch,
            spatial: self.spatial,
            groups: groups(self.channels),
            span: SPAN,
            slots,
            stream: self.stream,
            threshold: self.threshold(),
            scale: self.scale(),
            first,
            spare: [0; 3],
        };
        let invocations = u64::from(self.batch) * u64::from(slots) * u64::from(params.groups);
        let workgroups = grid(invocations.div_ceil(u64::from(WORKGROUP)) as u32);
        Dispatch::new("dropout", pipeline(self.whole_maps), &params, workgroups).reads(step).updates(x)
    }
}

fn pipeline(whole_maps: bool) -> Pipeline {
    Pipeline::new(SHADER, "dropout", vec![("WHOLE_MAPS", u32::from(whole_maps))])
}

/// Every pipeline of this file.
pub fn variants() -> Vec<Pipeline> {
    vec![pipeline(false), pipeline(true)]
}
