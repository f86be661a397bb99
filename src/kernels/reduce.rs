//! Sums: over the rows of a matrix (bias gradients), of squares (norms of updates and weights), and of a step's metrics.

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
    spare: [u32; 3],
    owners: [Owner; OWNERS],
}

/// [`Measured`] as the shader reads it: a run is its first float and their number.
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Owner {
    pred: [u32; 2],
    sim: [u32; 2],
    unsup: [u32; 2],
    squares: [u32; 2],
    totals: u32,
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

/// Most blocks that one dispatch of [`metrics`] takes.
const OWNERS: usize = 64;

/// What a block measured in a step, as parts of one tensor of such parts; what it has not adds nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Measured {
    /// `[N, 2]`: a sample's pred loss, and 1 where its prediction is wrong, else 0.
    pub pred: Option<Slice>,
    /// Parts of the sim loss; their sum is the loss.
    pub sim: Option<Slice>,
    /// Parts of the unsup loss; their sum is the loss.
    pub unsup: Option<Slice>,
    /// Parts of the squared norm of its gradient, as [`super::optimizer::Optimizer`] writes them.
    pub squares: Option<Slice>,
    /// Where its totals begin, in words.
    pub totals: u32,
}

/// The close of a step: adds what each of `blocks` measured of its `samples` samples, all in `measures`, to its totals in
/// `totals`. `step` is the buffer of [`super::StepParams`].
///
/// The totals of a block are [`TOTAL_WORDS`] words of 4 bytes:
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
pub fn metrics(samples: u32, blocks: &[Measured], measures: Slice, step: Slice, totals: Slice) -> Vec<Dispatch> {
    let run = |part: Option<Slice>| {
        part.map_or([0; 2], |part| [part.offset - measures.offset, part.bytes].map(|bytes| (bytes / 4) as u32))
    };
    let some = |blocks: &[Measured]| {
        let mut params = MetricsParams { samples, ..MetricsParams::zeroed() };
        for (owner, &Measured { pred, sim, unsup, squares, totals }) in params.owners.iter_mut().zip(blocks) {
            let [pred, sim, unsup, squares] = [pred, sim, unsup, squares].map(run);
            *owner = Owner { pred, sim, unsup, squares, totals, spare: [0; 3] };
        }
        let workgroups = [blocks.len() as u32, 1, 1];
        Dispatch::new("metrics", pipeline("metrics"), &params, workgroups).writes(totals).reads(step).reads(measures)
    };
    blocks.chunks(OWNERS).map(some).collect()
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
