//! Two targets for one similarity matrix, where the supervised and the unsupervised similarity loss meet.
//!
//! The gradient of `a |S - P|² + b |S - Q|²` with respect to S is that of `(a + b) |S - T|²` with
//! `T = (a P + b Q) / (a + b)`. So the kernels of [`super::similarity`] need one target only, T, and the two losses are
//! measured besides.

use bytemuck::{Pod, Zeroable};

use super::COMMON;
use super::similarity::{TARGET, Target};
use crate::gpu::{Dispatch, Pipeline, Shader, Slice, grid};

const SHADER: Shader =
    Shader::new("similarity_blend", &[COMMON, TARGET, include_str!("../../shaders/similarity_blend.wgsl")]);
const THREADS: u32 = 64;

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    batch: u32,
    stride: u32,
    same: f32,
    other: f32,
    first_share: f32,
    second_share: f32,
    loss_scale: f32,
    spare: u32,
}

/// Matrices of `batch` samples, `f32 [N, stride]` with N up to a multiple of 4 as `stride`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Blend {
    /// N.
    pub batch: u32,
    /// Weight of the first target's loss.
    pub first: f64,
    /// Weight of the second target's loss, whose target is a matrix.
    pub second: f64,
}

impl Blend {
    /// Weight of the loss that the blended target belongs to.
    pub fn weight(&self) -> f64 {
        self.first + self.second
    }

    /// Writes the blended target `[N, stride]`: `target` is what `kind` says, `matrix` the second target `[N, stride]`.
    pub fn blend(&self, kind: Target, target: Slice, matrix: Slice, blended: Slice) -> Dispatch {
        let workgroups = grid((self.batch * self.batch.next_multiple_of(4)).div_ceil(THREADS));
        self.call("blended target", "blend", kind, workgroups).reads(target).reads(matrix).writes(blended)
    }

    /// Writes the row sums `[N]` of `(similarities - target)² / N²`, whose sum is the loss.
    pub fn distance(&self, kind: Target, target: Slice, similarities: Slice, rows: Slice) -> Dispatch {
        let call = self.call("similarity distance", "distance", kind, grid(self.batch));
        call.reads(target).reads(similarities).writes(rows)
    }

    fn call(&self, label: &'static str, entry: &'static str, kind: Target, workgroups: [u32; 3]) -> Dispatch {
        let [same, other] = kind.cosines();
        let share = |weight: f64| if self.weight() > 0.0 { (weight / self.weight()) as f32 } else { 0.0 };
        let square = u64::from(self.batch) * u64::from(self.batch);
        let params = Params {
            batch: self.batch,
            stride: self.batch.next_multiple_of(4),
            same,
            other,
            first_share: share(self.first),
            second_share: share(self.second),
            loss_scale: (square as f64).recip() as f32,
            spare: 0,
        };
        Dispatch::new(label, pipeline(entry, kind), &params, workgroups).flops(3 * square)
    }
}

fn pipeline(entry: &'static str, kind: Target) -> Pipeline {
    Pipeline::new(SHADER, entry, vec![("THREADS", THREADS), kind.constant()])
}

/// Every pipeline of this file.
pub fn variants() -> Vec<Pipeline> {
    let kinds = [Target::Labels { classes: 2 }, Target::Matrix];
    kinds.into_iter().flat_map(|kind| ["blend", "distance"].map(|entry| pipeline(entry, kind))).collect()
}
