//! Batch normalisation of `[rows, channels]` with the activation behind it: batch statistics, forward.
//!
//! Ioffe & Szegedy 2015. The batch's mean and variance are made in two steps: moments of runs of rows (by Chan, Golub &
//! LeVeque's rule, 1979), then the runs' common mean and their deviations from it, in a fixed order. That keeps f32
//! accurate where `E[x²] - E[x]²` would not be. Backward lives in [`super::batchnorm_backward`].

use bytemuck::{Pod, Zeroable};

use super::activation::ACTIVATION;
use super::sweep::{RowChunk, SWEEP, Sweep, line};
use super::{Activation, COMMON};
use crate::gpu::{Dispatch, Input, Pipeline, Shader, Slice};

/// Added to a variance before its square root.
pub const EPSILON: f32 = 1e-5;
/// Share of the new batch in the running statistics.
pub const MOMENTUM: f32 = 0.1;

/// Invocations that share a group of four channels where many slots are put together.
const FINISH_LANES: u32 = 16;

const INPUTS: &[Input] = &[
    Input::new(1, "partial_x"),
    Input::new(1, "apply_x"),
    Input::new(4, "apply_residual"),
    Input::new(1, "activate_x"),
    Input::new(2, "activate_residual"),
];
const SHADER: Shader = Shader::with_inputs(
    "batchnorm",
    INPUTS,
    &[COMMON, SWEEP, ACTIVATION, include_str!("../../shaders/batchnorm.wgsl")],
);
const FINISH: Shader = Shader::with_inputs(
    "batchnorm_finish",
    &[Input::new(1, "partials")],
    &[include_str!("../../shaders/batchnorm_finish.wgsl")],
);

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    rows: u32,
    groups: u32,
    span: u32,
    slots: u32,
    epsilon: f32,
    first_slot: u32,
    spare: [u32; 2],
}

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct FinishParams {
    rows: u32,
    groups: u32,
    span: u32,
    slots: u32,
    chunk_rows: u32,
    chunk_slots: u32,
    epsilon: f32,
    momentum: f32,
}

/// Normalisation over the rows of `[rows, channels]`: `rows` is `N*H*W` (or `N`), `channels` a multiple of 4.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchNorm {
    /// Samples times pixels.
    pub rows: u32,
    /// Channels with padding.
    pub channels: u32,
}

/// What turns a layer's output `y` into `h = act(gamma * (y - mean) / deviation + beta)`.
#[derive(Debug, Clone, Copy)]
pub struct Normalised {
    /// The layer's output in front of the normalisation, `[rows, channels]`.
    pub y: Slice,
    /// `[mean | 1 / sqrt(variance + eps)]`, two vectors of `channels`.
    pub saved: Slice,
    /// `[gamma | beta]`, two vectors of `channels`.
    pub affine: Slice,
    /// What follows.
    pub activation: Activation,
}

impl BatchNorm {
    /// Bytes of the workspace that [`Self::statistics`] and the backward pass need (one at a time).
    pub fn workspace_bytes(&self) -> u64 {
        self.chunked_workspace_bytes(self.rows)
    }

    /// The same where the rows come in chunks of `chunk_rows`.
    pub fn chunked_workspace_bytes(&self, chunk_rows: u32) -> u64 {
        workspace_bytes(Sweep::chunked(self.rows, self.channels, chunk_rows))
    }

    /// Training: `saved` from the batch `x` `[rows, channels]`, and `running` (`[mean | variance]`, two vectors of
    /// `channels`) moved towards it by [`MOMENTUM`], with the unbiased variance. For a single row, which has none, the
    /// running variance moves towards 0.
    pub fn statistics(&self, x: Slice, workspace: Slice, running: Slice, saved: Slice) -> Vec<Dispatch> {
        self.statistics_by(MOMENTUM, x, workspace, running, saved)
    }

    /// [`Self::statistics`] with another share of the new batch in the running statistics.
    pub fn statistics_by(
        &self,
        momentum: f32,
        x: Slice,
        workspace: Slice,
        running: Slice,
        saved: Slice,
    ) -> Vec<Dispatch> {
        let partial = self.statistics_partial(RowChunk::whole(self.rows), x, workspace);
        vec![partial, self.statistics_finish(self.rows, momentum, workspace, running, saved)]
    }

    /// The first step of [`Self::statistics`] for one chunk of the rows, `x` `[rows of the chunk, channels]`: its
    /// moments go to their place in the workspace of all.
    pub fn statistics_partial(&self, chunk: RowChunk, x: Slice, workspace: Slice) -> Dispatch {
        let (sweep, first_slot) = Sweep::chunked(self.rows, self.channels, chunk.size).chunk(chunk.index);
        let params = Params { first_slot, ..params(sweep) };
        let pipeline = pipeline("statistics_partial", Activation::None, false);
        Dispatch::new("batchnorm statistics", pipeline, &params, sweep.workgroups())
            .loads(x)
            .writes(workspace)
            .flops(4 * u64::from(sweep.rows) * u64::from(self.channels))
    }

    /// Its second step, when all chunks of `chunk_rows` rows have done the first.
    pub fn statistics_finish(
        &self,
        chunk_rows: u32,
        momentum: f32,
        workspace: Slice,
        running: Slice,
        saved: Slice,
    ) -> Dispatch {
        let sweep = Sweep::chunked(self.rows, self.channels, chunk_rows);
        finish(sweep, 1, momentum, workspace, [running, saved])
    }

    /// Bytes of the workspace of [`Self::statistics_finish_of_tiles`], in whatever chunks of at least `least_rows` rows
    /// the rows come.
    pub fn tiles_workspace_bytes(&self, tile_rows: u32, least_rows: u32) -> u64 {
        workspace_bytes(Sweep::tiles(self.rows, self.channels, tile_rows, least_rows))
    }

    /// The second step where a product [left](super::conv2d::Conv2d::forward_with_moments) the moments of its tiles of
    /// `tile_rows` rows, of chunks of `chunk_rows`. They may be many, so invocations share the channels.
    pub fn statistics_finish_of_tiles(
        &self,
        [tile_rows, chunk_rows]: [u32; 2],
        momentum: f32,
        workspace: Slice,
        running: Slice,
        saved: Slice,
    ) -> Dispatch {
        let sweep = Sweep::tiles(self.rows, self.channels, tile_rows, chunk_rows);
        finish(sweep, FINISH_LANES, momentum, workspace, [running, saved])
    }

    /// Evaluation: `saved` from the `running` statistics.
    pub fn statistics_eval(&self, running: Slice, saved: Slice) -> Dispatch {
        let sweep = Sweep::elementwise(self.rows, self.channels);
        let pipeline = pipeline("statistics_eval", Activation::None, false);
        Dispatch::new("batchnorm statistics eval", pipeline, &params(sweep), line(sweep.groups))
            .reads(running)
            .writes(saved)
    }

    /// Writes `h = act(gamma * (y - mean) / deviation + beta)`, `[rows, channels]`.
    pub fn apply(&self, of: Normalised, h: Slice) -> Dispatch {
        self.applied("batchnorm apply", of, None, h)
    }

    /// Writes `h = act(gamma * (y - mean) / deviation + beta + residual)`, `[rows, channels]`.
    pub fn apply_onto(&self, of: Normalised, residual: Slice, h: Slice) -> Dispatch {
        self.applied("batchnorm apply with shortcut", of, Some(residual), h)
    }

    fn applied(&self, label: &'static str, of: Normalised, residual: Option<Slice>, h: Slice) -> Dispatch {
        let sweep = Sweep::elementwise(self.rows, self.channels);
        let pipeline = pipeline("apply", of.activation, residual.is_some());
        Dispatch::new(label, pipeline, &params(sweep), sweep.workgroups())
            .loads(of.y)
            .reads(of.saved)
            .reads(of.affine)
            .loads(residual.unwrap_or(of.y))
            .writes(h)
            .flops(4 * self.elements())
    }

    /// Without normalisation: writes `h = act(x)`, `[rows, channels]`.
    pub fn activate(&self, x: Slice, h: Slice, activation: Activation) -> Dispatch {
        self.activated("activation", x, None, h, activation)
    }

    /// Without normalisation: writes `h = act(x + residual)`, `[rows, channels]`.
    pub fn activate_onto(&self, x: Slice, residual: Slice, h: Slice, activation: Activation) -> Dispatch {
        self.activated("activation with shortcut", x, Some(residual), h, activation)
    }

    fn activated(
        &self,
        label: &'static str,
        x: Slice,
        residual: Option<Slice>,
        h: Slice,
        activation: Activation,
    ) -> Dispatch {
        let sweep = Sweep::elementwise(self.rows, self.channels);
        let pipeline = pipeline("activate_only", activation, residual.is_some());
        Dispatch::new(label, pipeline, &params(sweep), sweep.workgroups())
            .loads(x)
            .loads(residual.unwrap_or(x))
            .writes(h)
    }

    pub(super) fn elements(&self) -> u64 {
        u64::from(self.rows) * u64::from(self.channels)
    }
}

/// Two vectors of each slot.
fn workspace_bytes(sweep: Sweep) -> u64 {
    u64::from(sweep.slots().max(1)) * u64::from(sweep.groups) * 32
}

fn params(sweep: Sweep) -> Params {
    Params {
        rows: sweep.rows,
        groups: sweep.groups,
        span: sweep.span,
        slots: sweep.slots(),
        epsilon: EPSILON,
        first_slot: 0,
        spare: [0; 2],
    }
}

fn finish(sweep: Sweep, lanes: u32, momentum: f32, workspace: Slice, [running, saved]: [Slice; 2]) -> Dispatch {
    let params = FinishParams {
        rows: sweep.rows,
        groups: sweep.groups,
        span: sweep.span,
        slots: sweep.slots(),
        chunk_rows: sweep.chunk_rows.max(1),
        chunk_slots: sweep.chunk_slots().max(1),
        epsilon: EPSILON,
        momentum,
    };
    Dispatch::new("batchnorm statistics finish", finish_pipeline(lanes), &params, line(sweep.groups * lanes))
        .loads(workspace)
        .writes(running)
        .writes(saved)
}

fn finish_pipeline(lanes: u32) -> Pipeline {
    Pipeline::new(FINISH, "statistics_finish", vec![("LANES", lanes)])
}

fn pipeline(entry: &'static str, activation: Activation, residual: bool) -> Pipeline {
    let constants = vec![("ACTIVATION", activation.code()), ("RESIDUAL", u32::from(residual))];
    Pipeline::new(SHADER, entry, constants)
}

/// Every pipeline of this file.
pub fn variants() -> Vec<Pipeline> {
    let mut all = vec![
        pipeline("statistics_partial", Activation::None, false),
        pipeline("statistics_eval", Activation::None, false),
        finish_pipeline(1),
        finish_pipeline(FINISH_LANES),
    ];
    for entry in ["apply", "activate_only"] {
        for activation in Activation::ALL {
            all.extend([false, true].map(|residual| pipeline(entry, activation, residual)));
        }
    }
    all
}
