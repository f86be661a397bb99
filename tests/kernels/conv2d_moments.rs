//! The moments that a convolution leaves of its output, by every family that can.

use predsim::gpu::Slice;
use predsim::kernels::RowChunk;
use predsim::kernels::batchnorm::BatchNorm;
use predsim::kernels::conv2d::Conv2d;
use predsim::kernels::precision::Precision;
use predsim::kernels::tuning::{Family, Tuning};
use proptest::prelude::*;

use crate::batchnorm::{EPSILON, moments};
use crate::support::{FencedLab, assert_close, random, tunings, tunings_in, wide};

const LAYER: Conv2d = Conv2d {
    batch: 5,
    height: 8,
    width: 8,
    cin: 4,
    cout: 8,
    kernel: 3,
    stride: 1,
    pad: 1,
    part_of: None,
    tuning: Tuning::portable(),
};

/// Ways to compute `conv` that leave moments.
fn ways(conv: Conv2d) -> Vec<Conv2d> {
    let tunings = [tunings(), tunings_in(Precision::F16)].concat();
    let all = tunings.into_iter().map(|tuning| Conv2d { tuning, ..conv });
    let leaving: Vec<Conv2d> = all.filter(|conv| conv.moment_rows(1).is_some()).collect();
    assert!(!leaving.is_empty(), "the workgroup family runs anywhere");
    leaving
}

/// Samples from `first` on of a tensor of a batch.
fn samples(tensor: Slice, per_sample: u32, first: u32, count: u32) -> Slice {
    let bytes = 4 * u64::from(per_sample);
    Slice { offset: tensor.offset + u64::from(first) * bytes, bytes: u64::from(count) * bytes, ..tensor }
}

/// Convolves `x` in parts of `chunk` samples, and compares what the norm behind it makes of the moments with what follows
/// from the output itself, and that with the output of a convolution that leaves none.
fn check(conv: Conv2d, x: &[f32], bias: Option<&[f32]>, chunk: u32, tolerance: f64) {
    ways(conv).into_iter().for_each(|conv| check_way(conv, x, bias, chunk, tolerance));
}

fn check_way(conv: Conv2d, x: &[f32], bias: Option<&[f32]>, chunk: u32, tolerance: f64) {
    let (inputs, pixels) = (conv.height * conv.width * conv.cin, conv.out_height() * conv.out_width());
    let (rows, c) = (conv.batch * pixels, conv.cout as usize);
    let norm = BatchNorm { rows, channels: conv.cout };
    let w = random(1, (conv.kernel * conv.kernel * conv.cin * conv.cout) as usize);
    let mut lab = FencedLab::new();
    let [x, w] = [x, &w].map(|values| lab.tensor(values));
    let bias = bias.map(|bias| lab.tensor(bias));
    let [y, plain] = [0; 2].map(|_| lab.poisoned(4 * u64::from(rows) * c as u64));
    let least = conv.moment_rows(pixels).expect("it leaves them");
    let workspace = lab.poisoned(norm.tiles_workspace_bytes(least, pixels));
    let [running, saved] = [lab.tensor(&vec![0.0f32; 2 * c]), lab.poisoned(8 * c as u64)];
    for (index, first) in (0..conv.batch).step_by(chunk as usize).enumerate() {
        let count = chunk.min(conv.batch - first);
        let of = Conv2d { batch: count, ..conv };
        let (from, to) = (samples(x, inputs, first, count), samples(y, pixels * conv.cout, first, count));
        let place = RowChunk { size: chunk * pixels, index: index as u32 };
        lab.run(vec![of.forward_with_moments("forward", [from, w], bias, to, place, workspace)]);
    }
    lab.run(conv.forward("forward", x, w, bias, plain));
    let chunk_rows = chunk * pixels;
    let tile_rows = conv.moment_rows(chunk_rows).expect("it leaves them");
    lab.run(vec![norm.statistics_finish_of_tiles([tile_rows, chunk_rows], 1.0, workspace, running, saved)]);
    let got = lab.read::<f32>(y);
    assert_eq!(got, lab.read::<f32>(plain), "{conv:?} in parts of {chunk}");
    let (mean, variance) = moments(&wide(&got), rows as usize, c);
    let invstd: Vec<f64> = variance.iter().map(|v| 1.0 / (v + EPSILON).sqrt()).collect();
    let unbiased = f64::from(rows) / f64::from(rows.saturating_sub(1).max(1));
    let variance: Vec<f64> = variance.iter().map(|v| v * unbiased).collect();
    let (saved, running) = (lab.read::<f32>(saved), lab.read::<f32>(running));
    assert_close(&format!("mean by {conv:?}"), &saved[..c], &mean, tolerance);
    assert_close(&format!("invstd by {conv:?}"), &saved[c..], &invstd, tolerance);
    assert_close(&format!("running mean by {conv:?}"), &running[..c], &mean, tolerance);
    assert_close(&format!("running variance by {conv:?}"), &running[c..], &variance, tolerance);
}

fn inputs(conv: &Conv2d) -> usize {
    (conv.batch * conv.height * conv.width * conv.cin) as usize
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn moments_are_those_of_the_output(
        batch in 1u32..4, height in 3u32..15, width in 3u32..15, cout in 1u32..20, stride in 1u32..3,
        biased in any::<bool>(), seed in any::<u64>(),
    ) {
        let conv = Conv2d { batch, height, width, stride, cout: 4 * cout, ..LAYER };
        let bias = random(seed ^ 1, conv.cout as usize);
        check(conv, &random(seed, inputs(&conv)), biased.then_some(&bias[..]), batch, 1e-5);
    }

    /// Pictures of 64 pixels, so that parts begin where bindings may.
    #[test]
    fn moments_come_part_by_part(batch in 2u32..12, chunk in 1u32..6, cout in 1u32..10, seed in any::<u64>()) {
        let conv = Conv2d { batch, cout: 4 * cout, ..LAYER };
        check(conv, &random(seed, inputs(&conv)), None, chunk.min(batch), 1e-5);
    }
}

/// Full chunks have tiles of 128 rows by 128 columns, the last one would by itself have smaller ones.
#[test]
fn a_small_last_part_has_the_tiles_of_the_others() {
    let conv = Conv2d { batch: 5, height: 16, width: 16, cout: 128, ..LAYER };
    let tuning = Tuning { family: Family::Workgroup, workgroups: 4, ..Tuning::portable() };
    let conv = Conv2d { tuning, ..conv };
    assert_ne!(conv.moment_rows(512), conv.moment_rows(256), "the case shows nothing");
    check_way(conv, &random(2, inputs(&conv)), None, 2, 1e-5);
}

/// One row that lies far off, in every place of a tile in turn: the first of them is what distances are taken from.
#[test]
fn an_outlier_spoils_no_moments() {
    let conv = Conv2d { batch: 1, height: 12, width: 16, kernel: 1, pad: 0, ..LAYER };
    for row in [0, 1, 63, 64, 130] {
        let mut x = random(3, inputs(&conv));
        x[4 * row..4 * row + 4].fill(1000.0);
        check(conv, &x, None, 1, 2e-5);
    }
}

#[test]
fn moments_far_from_zero_stay_accurate() {
    let conv = Conv2d { kernel: 1, pad: 0, ..LAYER };
    let x: Vec<f32> = random(4, inputs(&conv)).iter().map(|v| v + 17.0).collect();
    check(conv, &x, Some(&[1e3; 8]), 5, 1e-4);
}
