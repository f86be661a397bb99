//! Sums: over the rows of a matrix (bias gradients), of squares (gradient norms), and of a block's metrics.

use bytemuck::{Pod, Zeroable};

use super::step::STEP;
use super::sweep::{SWEEP, Sweep};
use super::{COMMON, WORKGROUP_SUM};
use crate::gpu::{Dispatch, Input, Pipeline, Shader, Slice};

const INPUTS: &[Input] = &[Input::new(1, "column_x"), Input::new(1, "squares_x"), Input::new(3, "squares_other")];
const SHADER: Shader = Shader::with_inputs(
    "reduce",
    INPUTS,
    &[COMMON, SWEEP, STEP, WORKGROUP_SUM, include_str!("../../shaders/reduce.wgsl")],
);

/// Most partial sums of [`sum_of_squares`].
pub const MAX_PARTIALS: u32 = 256;
/// Elements that a workgroup of [`sum_of_squares`] takes at least.
pub const PARTIAL_SPAN: u32 = 2048;

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    words: [u32; 4],
}

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct MetricsParams {
    samples: u32,
    pred_rows: u32,
    sim_rows: u32,
    unsup_rows: u32,
    partials: u32,
    spare: [u32; 3],
}

/// Bytes of the workspace of [`column_sum`].
pub fn column_sum_workspace_bytes(rows: u32, channels: u32) -> u64 {
    let sweep = Sweep::reduction(rows, channels);
    u64::from(sweep.slots().max(1)) * u64::from(sweep.groups) * 16
}

/// Writes the sum over the rows of `x` `[rows, channels]` to `out` `[channels]`: in one dispatch if the rows are few, else
/// in two by way of `workspace`.
pub fn column_sum(rows: u32, channels: u32, x: Slice, out: Slice, workspace: Slice) -> Vec<Dispatch> {
    let sweep = Sweep::reduction(rows, channels);
    if sweep.slots() <= 1 {
        return vec![column_step("column sum", sweep).loads(x).writes(out)];
    }
    let flops = u64::from(rows) * u64::from(channels);
    vec![
        column_step("column sum", sweep).loads(x).writes(workspace).flops(flops),
        column_step("column sum finish", Sweep::whole(sweep.slots(), channels)).loads(workspace).writes(out),
    ]
}

fn column_step(label: &'static str, sweep: Sweep) -> Dispatch {
    // A sum over no rows still has to write its zeros.
    let params = Params { words: [sweep.rows, sweep.groups, sweep.span, sweep.slots().max(1)] };
    let mut dispatch = Dispatch::new(label, pipeline("column_sum"), &params, sweep.workgroups());
    if sweep.rows == 0 {
        dispatch.workgroups = super::sweep::line(sweep.groups);
    }
    dispatch
}

/// How many partial sums [`sum_of_squares`] writes for `len` elements: 1 to [`MAX_PARTIALS`].
pub fn partials(len: u32) -> u32 {
    len.div_ceil(PARTIAL_SPAN).clamp(1, MAX_PARTIALS)
}

/// Writes [`partials`]`(len)` partial sums of the squares of the first `len` elements, a multiple of 4, of `x` to `out`.
pub fn sum_of_squares(len: u32, x: Slice, out: Slice) -> Dispatch {
    let count = partials(len);
    let params = Params { words: [len / 4, (len / 4).div_ceil(count), 0, 0] };
    Dispatch::new("sum of squares", pipeline("sum_of_squares"), &params, [count, 1, 1])
        .loads(x)
        .writes(out)
        .flops(2 * u64::from(len))
}

/// The same of the differences between the first `len` elements of `x` and `y`.
pub fn sum_of_squared_differences(len: u32, x: Slice, y: Slice, out: Slice) -> Dispatch {
    let count = partials(len);
    let params = Params { words: [len / 4, (len / 4).div_ceil(count), 0, 0] };
    let pipeline = pipeline("sum_of_squared_differences");
    Dispatch::new("sum of squared differences", pipeline, &params, [count, 1, 1])
        .loads(x)
        .writes(out)
        .loads(y)
        .flops(3 * u64::from(len))
}

/// Words of a block's totals.
pub const TOTAL_WORDS: usize = 12;

/// The close of a block's step: adds what it measured to the block's totals.
///
/// The totals are [`TOTAL_WORDS`] words of 4 bytes:
///
/// | word | type | |
/// |---|---|---|
/// | 0 | f32 | samples |
/// | 1 | f32 | pred loss, summed over samples |
/// | 2 | f32 | samples whose local prediction is wrong |
/// | 3 | f32 | sim loss times samples |
/// | 4 | f32 | gradient norm, summed over steps |
/// | 5 | f32 | steps |
/// | 6 | u32 | 0, or 1 + the number of the first step whose loss or gradient norm was not finite |
/// | 7 | f32 | unsup loss times samples |
/// | 8 | f32 | norm of the update, summed over steps; see [`norms`] |
/// | 9 | f32 | norm of the weights behind it, summed over steps |
/// | 10, 11 | | zero |
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Metrics {
    /// Samples of the batch, N.
    pub samples: u32,
    /// Partial sums of the squares of the block's gradient.
    pub partials: u32,
    /// Parts of the block's unsup loss.
    pub unsup_parts: u32,
}

/// What a block measured in a step; what it has not adds nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Measured {
    /// `[N, 2]`: a sample's pred loss, and 1 where its prediction is wrong, else 0.
    pub pred_rows: Option<Slice>,
    /// `[N]`: parts of the sim loss; their sum is the loss.
    pub sim_rows: Option<Slice>,
    /// `[unsup_parts]`: parts of the unsup loss; their sum is the loss.
    pub unsup_rows: Option<Slice>,
    /// `[partials]`: as [`super::optimizer::Optimizer`] writes them, for one tensor or several.
    pub partials: Option<Slice>,
}

impl Metrics {
    /// Adds `measured` to `totals`. `step` is the buffer of [`super::StepParams`].
    pub fn dispatch(&self, measured: Measured, step: Slice, totals: Slice) -> Dispatch {
        let Measured { pred_rows, sim_rows, unsup_rows, partials } = measured;
        let count = |rows: Option<Slice>, count: u32| if rows.is_some() { count } else { 0 };
        let params = MetricsParams {
            samples: self.samples,
            pred_rows: count(pred_rows, self.samples),
            sim_rows: count(sim_rows, self.samples),
            unsup_rows: count(unsup_rows, self.unsup_parts),
            partials: count(partials, self.partials),
            spare: [0; 3],
        };
        // The step buffer, which is bound anyway, stands in for an input that is not there.
        Dispatch::new("metrics", pipeline("metrics"), &params, [1, 1, 1])
            .writes(totals)
            .reads(step)
            .reads(pred_rows.unwrap_or(step))
            .reads(sim_rows.unwrap_or(step))
            .reads(partials.unwrap_or(step))
            .reads(unsup_rows.unwrap_or(step))
    }
}

/// Adds to `totals` the norms whose squares `update` and `weight` hold in `partials` parts each, as [`sum_of_squares`] and
/// [`sum_of_squared_differences`] write them.
pub fn norms(partials: u32, update: Slice, weight: Slice, totals: Slice) -> Dispatch {
    let params = Params { words: [partials, 0, 0, 0] };
    Dispatch::new("norms", pipeline("norms"), &params, [1, 1, 1]).writes(totals).reads(update).reads(weight)
}

fn pipeline(entry: &'static str) -> Pipeline {
    Pipeline::new(SHADER, entry, Vec::new())
}

/// Every pipeline of this file.
pub fn variants() -> Vec<Pipeline> {
    ["column_sum", "sum_of_squares", "sum_of_squared_differences", "metrics", "norms"].map(pipeline).into()
}
