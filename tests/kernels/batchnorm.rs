//! Batch statistics and the normalised, activated forward pass.

use predsim::kernels::Activation;
use predsim::kernels::batchnorm::{BatchNorm, Normalised};
use proptest::prelude::*;

use crate::support::{FencedLab, assert_close, random, wide};

pub const EPSILON: f64 = 1e-5;

pub fn activation() -> impl Strategy<Value = Activation> {
    prop_oneof![Just(Activation::None), Just(Activation::Relu), Just(Activation::LeakyRelu)]
}

pub fn act(activation: Activation, z: f64) -> f64 {
    match activation {
        Activation::None => z,
        Activation::Relu => z.max(0.0),
        Activation::LeakyRelu => z.max(0.0) + 0.01 * z.min(0.0),
    }
}

/// Mean and biased variance of each column of `[rows, c]`.
pub fn moments(x: &[f64], rows: usize, c: usize) -> (Vec<f64>, Vec<f64>) {
    let column = |k: usize| (0..rows).map(move |r| x[r * c + k]);
    let mean: Vec<f64> = (0..c).map(|k| column(k).sum::<f64>() / rows as f64).collect();
    let variance = (0..c).map(|k| column(k).map(|v| (v - mean[k]).powi(2)).sum::<f64>() / rows as f64).collect();
    (mean, variance)
}

/// Runs `statistics` on `x` and returns (saved, running) as the device has them.
fn device_statistics(rows: usize, c: usize, x: &[f32], running: &[f32]) -> (Vec<f32>, Vec<f32>) {
    let norm = BatchNorm { rows: rows as u32, channels: c as u32 };
    let mut lab = FencedLab::new();
    let x = lab.tensor(x);
    let workspace = lab.poisoned(norm.workspace_bytes());
    let running = lab.tensor(running);
    let saved = lab.poisoned(8 * c as u64);
    lab.run(norm.statistics(x, workspace, running, saved));
    (lab.read(saved), lab.read(running))
}

fn check_statistics(rows: usize, c: usize, x: &[f32], seed: u64) {
    let running: Vec<f32> = random(seed, 2 * c).iter().map(|v| v.abs()).collect();
    let (saved, moved) = device_statistics(rows, c, x, &running);
    let (mean, variance) = moments(&wide(x), rows, c);
    let invstd: Vec<f64> = variance.iter().map(|v| 1.0 / (v + EPSILON).sqrt()).collect();
    assert_close("mean", &saved[..c], &mean, 1e-5);
    assert_close("invstd", &saved[c..], &invstd, 1e-5);
    let unbiased = rows as f64 / rows.saturating_sub(1).max(1) as f64;
    let old = wide(&running);
    let want: Vec<f64> = (0..c).map(|k| old[k] + 0.1 * (mean[k] - old[k])).collect();
    assert_close("running mean", &moved[..c], &want, 1e-5);
    let want: Vec<f64> = (0..c).map(|k| old[c + k] + 0.1 * (variance[k] * unbiased - old[c + k])).collect();
    assert_close("running variance", &moved[c..], &want, 1e-5);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn statistics_match(rows in 1usize..700, groups in 1usize..20, seed in any::<u64>()) {
        let c = 4 * groups;
        check_statistics(rows, c, &random(seed, rows * c), seed);
    }

    #[test]
    fn forward_matches(rows in 1usize..200, groups in 1usize..20, activation in activation(), seed in any::<u64>()) {
        let c = 4 * groups;
        let norm = BatchNorm { rows: rows as u32, channels: c as u32 };
        let x = random(seed, rows * c);
        let saved: Vec<f32> = random(seed ^ 1, 2 * c).iter().map(|v| v + 1.5).collect();
        let affine = random(seed ^ 2, 2 * c);
        let mut lab = FencedLab::new();
        let y = lab.tensor(&x);
        let normalised = Normalised {
            y,
            saved: lab.tensor(&saved),
            affine: lab.tensor(&affine),
            activation,
        };
        let shortcut = random(seed ^ 3, x.len());
        let residual = lab.tensor(&shortcut);
        let [h, plain, h_onto, plain_onto] = [0; 4].map(|_| lab.poisoned(4 * x.len() as u64));
        lab.run(vec![
            norm.apply(normalised, h),
            norm.activate(y, plain, activation),
            norm.apply_onto(normalised, residual, h_onto),
            norm.activate_onto(y, residual, plain_onto, activation),
        ]);
        let (v, s, a) = (wide(&x), wide(&saved), wide(&affine));
        let z: Vec<f64> = (0..x.len()).map(|i| a[i % c] * (v[i] - s[i % c]) * s[c + i % c] + a[c + i % c]).collect();
        let onto = |z: &[f64]| z.iter().zip(&shortcut).map(|(z, r)| z + f64::from(*r)).collect::<Vec<f64>>();
        let after = |z: &[f64]| z.iter().map(|&z| act(activation, z)).collect::<Vec<f64>>();
        assert_close("h", &lab.read::<f32>(h), &after(&z), 1e-5);
        assert_close("act(x)", &lab.read::<f32>(plain), &after(&v), 1e-6);
        assert_close("h with a shortcut", &lab.read::<f32>(h_onto), &after(&onto(&z)), 1e-5);
        assert_close("act(x + shortcut)", &lab.read::<f32>(plain_onto), &after(&onto(&v)), 1e-6);
    }
}

#[test]
fn statistics_of_many_rows_far_from_zero_stay_accurate() {
    // A mean 30 times the deviation: E[x²] - E[x]² in f32 would be off by about 1e-3.
    let (rows, c) = (20_011, 8);
    let x: Vec<f32> = random(7, rows * c).iter().map(|v| v + 17.0).collect();
    check_statistics(rows, c, &x, 7);
}

#[test]
fn running_statistics_move_by_the_momentum_asked_for() {
    let norm = BatchNorm { rows: 4, channels: 4 };
    // Every column has mean 3 and variances 5 (biased) and 20 / 3.
    let x: Vec<f32> = [0.0, 2.0, 4.0, 6.0].iter().flat_map(|&v| [v; 4]).collect();
    let mut lab = FencedLab::new();
    let (x, running) = (lab.tensor(&x), lab.tensor(&[[1.0f32; 4], [2.0; 4]].concat()));
    let (workspace, saved) = (lab.poisoned(norm.workspace_bytes()), lab.poisoned(32));
    lab.run(norm.statistics_by(0.9, x, workspace, running, saved));
    let want = [[1.0 + 0.9 * 2.0; 4], [2.0 + 0.9 * (20.0 / 3.0 - 2.0); 4]].concat();
    assert_close("running", &lab.read::<f32>(running), &want, 1e-6);
}

#[test]
fn one_outlier_does_not_spoil_the_statistics() {
    let (rows, c) = (1000, 4);
    let mut x = random(8, rows * c);
    x[..c].fill(100.0);
    check_statistics(rows, c, &x, 8);
}

#[test]
fn pad_channels_stay_zero() {
    let (rows, c) = (37, 4);
    let mut x = random(9, rows * c);
    x.iter_mut().skip(3).step_by(c).for_each(|v| *v = 0.0);
    let mut running = random(10, 2 * c);
    (running[3], running[c + 3]) = (0.0, 0.0);
    let (saved, moved) = device_statistics(rows, c, &x, &running);
    assert_eq!((saved[3], moved[3], moved[c + 3]), (0.0, 0.0, 0.0));
}

#[test]
fn evaluation_uses_the_running_statistics() {
    let c = 12;
    let norm = BatchNorm { rows: 5, channels: c as u32 };
    let running: Vec<f32> = random(11, 2 * c).iter().map(|v| v.abs()).collect();
    let mut lab = FencedLab::new();
    let (from, saved) = (lab.tensor(&running), lab.poisoned(8 * c as u64));
    lab.run(vec![norm.statistics_eval(from, saved)]);
    let mut want = wide(&running);
    want[c..].iter_mut().for_each(|v| *v = 1.0 / (*v + EPSILON).sqrt());
    assert_close("saved", &lab.read::<f32>(saved), &want, 1e-6);
}

#[test]
fn activations_keep_nan() {
    for activation in Activation::ALL {
        let mut lab = FencedLab::new();
        let (x, h) = (lab.tensor(&[f32::NAN, 0.0, -1.0, 2.0]), lab.tensor(&[0.0f32; 4]));
        lab.run(vec![BatchNorm { rows: 1, channels: 4 }.activate(x, h, activation)]);
        let got: Vec<f32> = lab.read(h);
        assert!(got[0].is_nan(), "{activation:?}");
        assert_eq!(f64::from(got[3]), act(activation, 2.0));
    }
}
