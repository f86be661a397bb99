//! The adapter's own limits (`shaders/limits.wgsl`): multiply-adds on registers only, and a plain copy. Benchmarks give what
//! kernels reach as a fraction of these.

use bytemuck::{Pod, Zeroable};

use super::{COMMON, MOST_TURNS};
use crate::gpu::{Dispatch, Pipeline, Shader, Slice, grid};

const SHADER: Shader = Shader::new("limits", &[COMMON, include_str!("../../shaders/limits.wgsl")]);
const THREADS: u32 = 64;
/// Most rounds of one [`multiply_add`].
pub const MOST_ROUNDS: u32 = MOST_TURNS;
/// Floating-point operations of one invocation in one round: 96 multiply-adds of four lanes.
const FLOPS_A_ROUND: u64 = 96 * 4 * 2;
/// Most workgroups of the copy: enough for any adapter, each with several turns.
const COPY_GROUPS: u32 = 4096;

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    count: u32,
    grid: u32,
    scale: f32,
    shift: f32,
}

/// Bytes of what [`multiply_add`] writes.
pub fn multiply_add_bytes(workgroups: u32) -> u64 {
    u64::from(workgroups) * u64::from(THREADS) * 16
}

/// `rounds` of 96 vec4 multiply-adds `x * scale + shift`, [`MOST_ROUNDS`] of them at most, in each of `workgroups` times 64
/// invocations, on three values that start at `i % 8`, `i % 8 + 8` and `i % 8 + 16` in invocation `i`; writes their sum to
/// `results`, `[invocations, 4]`.
pub fn multiply_add(workgroups: u32, rounds: u32, [scale, shift]: [f32; 2], results: Slice) -> Dispatch {
    debug_assert!(rounds <= MOST_ROUNDS, "{rounds} rounds");
    let params = Params { count: rounds, grid: workgroups * THREADS, scale, shift };
    let flops = u64::from(workgroups) * u64::from(THREADS) * u64::from(rounds) * FLOPS_A_ROUND;
    Dispatch::new("multiply-add", pipeline("multiply_add"), &params, grid(workgroups)).writes(results).flops(flops)
}

/// Copies the `len` floats of `source`, a multiple of 4, to `copied`.
pub fn copy(len: u32, source: Slice, copied: Slice) -> Dispatch {
    let vectors = len / 4;
    let groups = vectors.div_ceil(THREADS).clamp(1, COPY_GROUPS);
    let params = Params { count: vectors, grid: groups * THREADS, scale: 0.0, shift: 0.0 };
    Dispatch::new("copy", pipeline("copy"), &params, grid(groups)).reads(source).writes(copied)
}

fn pipeline(entry: &'static str) -> Pipeline {
    Pipeline::new(SHADER, entry, Vec::new())
}

/// Every pipeline of this file.
pub fn variants() -> Vec<Pipeline> {
    ["multiply_add", "copy"].map(pipeline).into()
}
