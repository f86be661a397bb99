//! Normalisation of few rows in one dispatch each way, against the reference and against the kernels for many rows.

use predsim::gpu::Slice;
use predsim::kernels::Activation;
use predsim::kernels::batchnorm::{BatchNorm, MOMENTUM, Normalised};
use predsim::kernels::batchnorm_few::{Classifier, Dense, Sender};
use predsim::kernels::gemm::Parts;
use proptest::prelude::*;

use crate::batchnorm::{EPSILON, act, activation, moments};
use crate::batchnorm_backward::reference;
use crate::support::{FencedLab, Sum, assert_close, assert_sums, random, wide};

/// Three parts of a sum, one behind the other, and that sum.
fn three_parts(seed: u64, len: usize) -> (Vec<f32>, Vec<f32>) {
    let parts = random(seed, 3 * len);
    let sum = (0..len).map(|i| parts[i] + parts[len + i] + parts[2 * len + i]).collect();
    (parts, sum)
}

/// Of `terms` values, without the fence behind them: what is bound says how long a part is.
fn parts(lab: &mut FencedLab, terms: &[f32], c: usize, bias: Option<Slice>) -> Parts {
    let slice = Slice { bytes: 4 * terms.len() as u64, ..lab.tensor(terms) };
    Parts { slice, count: 3, n4: (c / 4) as u32, bias }
}

/// The norm of a sum, with a bias on it or without, is that of what it comes to.
fn check_forward_of_parts(rows: usize, c: usize, with_bias: bool, activation: Activation, seed: u64) {
    let norm = BatchNorm { rows: rows as u32, channels: c as u32 };
    let (terms, mut x) = three_parts(seed, rows * c);
    let bias = if with_bias { random(seed ^ 1, c) } else { vec![0.0; c] };
    x.iter_mut().enumerate().for_each(|(i, v)| *v += bias[i % c]);
    let mut lab = FencedLab::new();
    let (affine, running) = (lab.tensor(&random(seed ^ 2, 2 * c)), random(seed ^ 3, 2 * c));
    let bytes = 4 * x.len() as u64;
    let mut outcome = |of_parts: bool| -> [Vec<f32>; 4] {
        let y = if of_parts { lab.poisoned(bytes) } else { lab.tensor(&x) };
        let of = Normalised { y, saved: lab.poisoned(8 * c as u64), affine, activation };
        let (moved, h) = (lab.tensor(&running), lab.poisoned(bytes));
        let dispatch = if of_parts {
            let bias = with_bias.then(|| lab.tensor(&bias));
            norm.few_forward_of_parts(MOMENTUM, &parts(&mut lab, &terms, c, bias), of, moved, h)
        } else {
            norm.few_forward(MOMENTUM, of, moved, h)
        };
        lab.run(vec![dispatch]);
        [y, of.saved, moved, h].map(|slice| lab.read(slice))
    };
    assert_eq!(outcome(true), outcome(false));
}

fn check_forward(rows: usize, c: usize, x: &[f32], activation: Activation, seed: u64) {
    let norm = BatchNorm { rows: rows as u32, channels: c as u32 };
    let affine = random(seed ^ 1, 2 * c);
    let running: Vec<f32> = random(seed ^ 2, 2 * c).iter().map(|v| v.abs()).collect();
    let mut lab = FencedLab::new();
    let of =
        Normalised { y: lab.tensor(x), saved: lab.poisoned(8 * c as u64), affine: lab.tensor(&affine), activation };
    let (moved, h) = (lab.tensor(&running), lab.poisoned(4 * x.len() as u64));
    lab.run(vec![norm.few_forward(MOMENTUM, of, moved, h)]);

    let (v, a, old) = (wide(x), wide(&affine), wide(&running));
    let (mean, variance) = moments(&v, rows, c);
    let invstd: Vec<f64> = variance.iter().map(|v| 1.0 / (v + EPSILON).sqrt()).collect();
    let saved: Vec<f32> = lab.read(of.saved);
    assert_close("mean", &saved[..c], &mean, 1e-6);
    assert_close("invstd", &saved[c..], &invstd, 1e-5);
    let unbiased = rows as f64 / rows.saturating_sub(1).max(1) as f64;
    let moved: Vec<f32> = lab.read(moved);
    let want: Vec<f64> = (0..c).map(|k| old[k] + 0.1 * (mean[k] - old[k])).collect();
    assert_close("running mean", &moved[..c], &want, 1e-6);
    let want: Vec<f64> = (0..c).map(|k| old[c + k] + 0.1 * (variance[k] * unbiased - old[c + k])).collect();
    assert_close("running variance", &moved[c..], &want, 1e-5);
    // From the device's own statistics: a column of nearly equal values magnifies their rounding.
    let s = wide(&saved);
    let want: Vec<f64> =
        (0..x.len()).map(|i| act(activation, a[i % c] * (v[i] - s[i % c]) * s[c + i % c] + a[c + i % c])).collect();
    assert_close("h", &lab.read::<f32>(h), &want, 1e-5);
}

/// A norm with a classifier of `padded` scores behind it, or a second gradient, or neither.
#[derive(Debug, Clone)]
struct Case {
    rows: usize,
    groups: usize,
    padded: usize,
    dense: bool,
    /// Whether the dense gradient comes in parts.
    in_parts: bool,
    second: bool,
    activation: Activation,
    seed: u64,
}

fn cases() -> impl Strategy<Value = Case> {
    let sizes = (1usize..200, 1usize..40, 0usize..4);
    (sizes, any::<[bool; 3]>(), activation(), any::<u64>()).prop_map(
        |((rows, groups, scores), [dense, in_parts, second], activation, seed)| Case {
            rows,
            groups,
            padded: 4 * scores,
            dense,
            in_parts,
            second: second && scores == 0,
            activation,
            seed,
        },
    )
}

impl Case {
    fn check(&self) {
        let &Self { rows, padded, activation, seed, .. } = self;
        let c = 4 * self.groups;
        let saved: Vec<f32> = random(seed ^ 1, 2 * c).iter().map(|v| 0.2 * v + 1.0).collect();
        let affine = random(seed ^ 2, 2 * c);
        let (weights, bias) = (random(seed ^ 3, c * padded), random(seed ^ 4, padded));
        let mut y = random(seed, rows * c);
        for (i, v) in y.iter_mut().enumerate() {
            let z = affine[i % c] * (*v - saved[i % c]) * saved[c + i % c] + affine[c + i % c];
            if z.abs() < 1e-4 {
                *v += 0.125;
            }
        }
        let ((terms, dense), second) = (three_parts(seed ^ 5, rows * c), random(seed ^ 6, rows * c));
        let dscores = random(seed ^ 7, rows * padded);

        let mut lab = FencedLab::new();
        let of = Normalised { y: lab.tensor(&y), saved: lab.tensor(&saved), affine: lab.tensor(&affine), activation };
        let there = self.dense && !self.in_parts;
        let gradient = if there { lab.tensor(&dense) } else { lab.poisoned(4 * y.len() as u64) };
        // As in an arena: what follows gamma and beta begins where a binding may.
        let gap = vec![0.5f32; (2 * c).next_multiple_of(64) - 2 * c];
        let values = lab.tensor(&[affine.clone(), gap.clone(), weights.clone(), bias].concat());
        let first = 2 * c + gap.len();
        let derived = lab.tensor(&vec![7.0f32; first + c * padded + padded]);
        let sender = match (self.second, padded) {
            (true, _) => Sender::Second(lab.tensor(&second)),
            (false, 0) => Sender::Nobody,
            (false, _) => Sender::Classifier(Classifier {
                gradient: lab.tensor(&dscores),
                scores: padded as u32,
                weights: 4 * first as u64,
                bias: 4 * (first + c * padded) as u64,
            }),
        };
        let norm = BatchNorm { rows: rows as u32, channels: c as u32 };
        let source = match (self.dense, self.in_parts) {
            (false, _) => Dense::Nothing,
            (true, false) => Dense::There,
            (true, true) => Dense::Parts(parts(&mut lab, &terms, c, None)),
        };
        lab.run(vec![norm.few_backward(of, [gradient, values, derived], source, sender)]);

        let mut dh = if self.dense { wide(&dense) } else { vec![0.0; rows * c] };
        if self.second {
            dh.iter_mut().zip(&second).for_each(|(sum, v)| *sum += f64::from(*v));
        }
        let (w, d) = (wide(&weights), wide(&dscores));
        for i in 0..rows * c {
            dh[i] += (0..padded).map(|k| d[i / c * padded + k] * w[i % c * padded + k]).sum::<f64>();
        }
        let (y, s, a) = (wide(&y), wide(&saved), wide(&affine));
        let want = reference(c, &y, &s, &a, &dh, activation);
        let got: Vec<f32> = lab.read(derived);
        let scale = dh.iter().fold(1.0, |m: f64, v| m.max(v.abs()));
        let sums = |values: &[f64]| -> Vec<Sum> {
            values.iter().map(|&value| Sum { value, size: scale.max(value.abs()) }).collect()
        };
        assert_sums("daffine", &got[..2 * c], &sums(&want.daffine), 1e-5);
        assert_sums("dy", &lab.read::<f32>(gradient), &sums(&want.dy), 1e-5);
        assert!(got[2 * c..first].iter().all(|&v| v == 7.0), "the gap is left as it is");
        // An activation that is small because its terms cancel is as exact as they are.
        let terms = |i: usize| [a[i % c] * (y[i] - s[i % c]) * s[c + i % c], a[c + i % c]];
        let h = |i: usize| act(activation, terms(i).iter().sum());
        let size = |i: usize| terms(i).map(f64::abs).iter().sum::<f64>();
        let mut dw = vec![Sum { value: 0.0, size: 1e-30 }; c * padded];
        let mut db = vec![Sum { value: 0.0, size: 1e-30 }; padded];
        for row in 0..rows {
            for k in 0..padded {
                let d = d[row * padded + k];
                for column in 0..c {
                    let (i, sum) = (row * c + column, &mut dw[column * padded + k]);
                    sum.value += h(i) * d;
                    sum.size += size(i) * d.abs();
                }
                db[k].add(d);
            }
        }
        assert_sums("dW", &got[first..first + c * padded], &dw, 1e-5);
        assert_sums("db", &got[first + c * padded..], &db, 1e-5);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn forward_matches(rows in 1usize..300, groups in 1usize..40, activation in activation(), seed in any::<u64>()) {
        check_forward(rows, 4 * groups, &random(seed, rows * 4 * groups), activation, seed);
    }

    #[test]
    fn forward_adds_parts_up(
        rows in 1usize..300, groups in 1usize..40, bias in any::<bool>(), activation in activation(), seed in any::<u64>(),
    ) {
        check_forward_of_parts(rows, 4 * groups, bias, activation, seed);
    }

    #[test]
    fn backward_matches(case in cases()) {
        case.check();
    }
}

#[test]
fn statistics_far_from_zero_stay_accurate() {
    // A mean 30 times the deviation: E[x²] - E[x]² in f32 would be off by about 1e-3.
    let (rows, c) = (1021, 36);
    let x: Vec<f32> = random(7, rows * c).iter().map(|v| v + 17.0).collect();
    check_forward(rows, c, &x, Activation::Relu, 7);
}

#[test]
fn equal_rows_have_deviation_zero() {
    let x = [0.1f32, 1.7, -3.3, 1e6].repeat(100);
    check_forward(100, 4, &x, Activation::None, 8);
}
