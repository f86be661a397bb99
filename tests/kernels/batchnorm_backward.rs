//! Gradients of normalisation and activation, from a dense source, a pooled source, and both.

use predsim::gpu::{Dispatch, Slice};
use predsim::kernels::Activation;
use predsim::kernels::batchnorm::{BatchNorm, Normalised};
use predsim::kernels::batchnorm_backward::Upstream;
use predsim::kernels::pool::PoolGeometry;
use proptest::prelude::*;

use crate::batchnorm::{act, activation, moments};
use crate::support::{FencedLab, assert_close, random, wide};

/// The gradient of a map from the gradient of its pooled copy.
fn unpool(pool: &PoolGeometry, dp: &[f64]) -> Vec<f64> {
    let [n, h, w, c] = [pool.batch, pool.height, pool.width, pool.channels].map(|v| v as usize);
    let [kh, kw, pad_h, pad_w] = [pool.kh, pool.kw, pool.pad_h, pool.pad_w].map(|v| v as usize);
    let (ph, pw) = (pool.out_height() as usize, pool.out_width() as usize);
    let mut dh = vec![0.0; n * h * w * c];
    for (i, out) in dh.iter_mut().enumerate() {
        let (channel, x, y, sample) = (i % c, i / c % w, i / c / w % h, i / c / w / h);
        let (window_y, window_x) = ((y + pad_h) / kh, (x + pad_w) / kw);
        if window_y < ph && window_x < pw {
            *out = dp[((sample * ph + window_y) * pw + window_x) * c + channel] / (kh * kw) as f64;
        }
    }
    dh
}

/// Gradient in front of the activation.
pub fn dact(activation: Activation, z: f64) -> f64 {
    match activation {
        Activation::None => 1.0,
        Activation::Relu => f64::from(u8::from(z > 0.0)),
        Activation::LeakyRelu => {
            if z > 0.0 {
                1.0
            } else {
                0.01
            }
        }
    }
}

pub struct Reference {
    pub daffine: Vec<f64>,
    pub dy: Vec<f64>,
}

pub fn reference(c: usize, y: &[f64], saved: &[f64], affine: &[f64], dh: &[f64], activation: Activation) -> Reference {
    let rows = y.len() / c;
    let xhat: Vec<f64> = (0..y.len()).map(|i| (y[i] - saved[i % c]) * saved[c + i % c]).collect();
    let dz: Vec<f64> =
        (0..y.len()).map(|i| dh[i] * dact(activation, affine[i % c] * xhat[i] + affine[c + i % c])).collect();
    let mut daffine = vec![0.0; 2 * c];
    for i in 0..y.len() {
        daffine[i % c] += dz[i] * xhat[i];
        daffine[c + i % c] += dz[i];
    }
    let dy = (0..y.len())
        .map(|i| {
            let k = i % c;
            affine[k] * saved[c + k] * (dz[i] - (daffine[c + k] + xhat[i] * daffine[k]) / rows as f64)
        })
        .collect();
    Reference { daffine, dy }
}

#[derive(Debug, Clone)]
struct Case {
    pool: PoolGeometry,
    dense: bool,
    pooled: bool,
    activation: Activation,
    seed: u64,
}

fn cases() -> impl Strategy<Value = Case> {
    let sizes = (1u32..6, 1u32..10, 1u32..10, 1u32..6);
    let kernels = (1u32..5, 1u32..5, any::<bool>());
    (sizes, kernels, 0usize..3, activation(), any::<u64>()).prop_map(|(sizes, kernels, sources, activation, seed)| {
        let (batch, height, width, groups) = sizes;
        let (kh, kw, padded) = kernels;
        let pad = |k: u32| if padded { k / 2 } else { 0 };
        let pool = PoolGeometry { batch, height, width, channels: 4 * groups, kh, kw, pad_h: pad(kh), pad_w: pad(kw) };
        Case { pool, dense: sources != 0, pooled: sources != 1, activation, seed }
    })
}

/// The inputs of a case, and the gradient of h they amount to.
struct Inputs {
    y: Vec<f32>,
    saved: Vec<f32>,
    affine: Vec<f32>,
    dense: Vec<f32>,
    dp: Vec<f32>,
    dh: Vec<f64>,
}

impl Case {
    fn len(&self) -> usize {
        (self.pool.batch * self.pool.height * self.pool.width * self.pool.channels) as usize
    }

    fn norm(&self) -> BatchNorm {
        BatchNorm { rows: self.len() as u32 / self.pool.channels, channels: self.pool.channels }
    }

    fn inputs(&self) -> Inputs {
        let c = self.pool.channels as usize;
        let mut y = random(self.seed, self.len());
        let saved: Vec<f32> = random(self.seed ^ 1, 2 * c).iter().map(|v| 0.2 * v + 1.0).collect();
        let affine = random(self.seed ^ 2, 2 * c);
        for (i, v) in y.iter_mut().enumerate() {
            // Where the activation's input is next to its kink, rounding decides the derivative: step aside.
            let z = affine[i % c] * (*v - saved[i % c]) * saved[c + i % c] + affine[c + i % c];
            if z.abs() < 1e-4 || v.abs() < 1e-4 {
                *v += 0.125;
            }
        }
        let dense = random(self.seed ^ 3, self.len());
        let windows = self.pool.batch * self.pool.out_height() * self.pool.out_width();
        let dp = random(self.seed ^ 4, windows as usize * c);
        let mut dh = vec![0.0; self.len()];
        if self.dense {
            dh = wide(&dense);
        }
        if self.pooled {
            dh.iter_mut().zip(unpool(&self.pool, &wide(&dp))).for_each(|(sum, v)| *sum += v);
        }
        Inputs { y, saved, affine, dense, dp, dh }
    }

    fn upstream(&self, lab: &mut FencedLab, inputs: &Inputs) -> Upstream {
        let gradient = if self.dense { lab.tensor(&inputs.dense) } else { lab.poisoned(4 * self.len() as u64) };
        let pooled = self.pooled.then(|| (lab.tensor(&inputs.dp), self.pool));
        Upstream { gradient, dense: self.dense, pooled }
    }

    fn run(&self, lab: &mut FencedLab, inputs: &Inputs) -> (Slice, Slice, Vec<Dispatch>) {
        let of = Normalised {
            y: lab.tensor(&inputs.y),
            saved: lab.tensor(&inputs.saved),
            affine: lab.tensor(&inputs.affine),
            activation: self.activation,
        };
        let upstream = self.upstream(lab, inputs);
        let daffine = lab.poisoned(8 * u64::from(self.pool.channels));
        let workspace = lab.poisoned(self.norm().workspace_bytes());
        (upstream.gradient, daffine, self.norm().backward(of, upstream, daffine, workspace))
    }

    fn check(&self) {
        let inputs = self.inputs();
        let c = self.pool.channels as usize;
        let (y, saved, affine) = (wide(&inputs.y), wide(&inputs.saved), wide(&inputs.affine));
        let want = reference(c, &y, &saved, &affine, &inputs.dh, self.activation);
        let mut lab = FencedLab::new();
        let (dy, daffine, dispatches) = self.run(&mut lab, &inputs);
        lab.run(dispatches);
        // Relative to the sums' terms: a sum may cancel to nearly nothing.
        let scale = inputs.dh.iter().fold(1.0, |m: f64, v| m.max(v.abs()));
        let close = |what: &str, got: &[f32], want: &[f64]| {
            for (i, (&g, &w)) in got.iter().zip(want).enumerate() {
                assert!((f64::from(g) - w).abs() <= 1e-5 * scale.max(w.abs()), "{what}[{i}]: got {g}, want {w}");
            }
        };
        close("daffine", &lab.read::<f32>(daffine), &want.daffine);
        close("dy", &lab.read::<f32>(dy), &want.dy);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn backward_matches(case in cases()) {
        case.check();
    }

    #[test]
    fn activation_backward_matches(case in cases()) {
        let inputs = case.inputs();
        let mut lab = FencedLab::new();
        let y = lab.tensor(&inputs.y);
        let upstream = case.upstream(&mut lab, &inputs);
        lab.run(vec![case.norm().backward_activation(y, upstream, case.activation)]);
        let want: Vec<f64> =
            inputs.y.iter().zip(&inputs.dh).map(|(&y, dh)| dh * dact(case.activation, f64::from(y))).collect();
        assert_close("dy", &lab.read::<f32>(upstream.gradient), &want, 1e-6);
    }
}

#[test]
fn the_norms_gradients_alone_leave_the_upstream_as_it_is() {
    let pool = PoolGeometry { batch: 3, height: 5, width: 4, channels: 8, kh: 2, kw: 2, pad_h: 1, pad_w: 0 };
    let case = Case { pool, dense: true, pooled: true, activation: Activation::Relu, seed: 11 };
    let inputs = case.inputs();
    let mut lab = FencedLab::new();
    let (_, want, dispatches) = case.run(&mut lab, &inputs);
    lab.run(dispatches);
    let want: Vec<f32> = lab.read(want);
    let of = Normalised {
        y: lab.tensor(&inputs.y),
        saved: lab.tensor(&inputs.saved),
        affine: lab.tensor(&inputs.affine),
        activation: case.activation,
    };
    let upstream = case.upstream(&mut lab, &inputs);
    let daffine = lab.poisoned(8 * u64::from(pool.channels));
    let workspace = lab.poisoned(case.norm().workspace_bytes());
    lab.run(case.norm().backward_affine(of, upstream, daffine, workspace));
    assert_eq!(lab.read::<f32>(daffine), want);
    assert_eq!(lab.read::<f32>(upstream.gradient), inputs.dense);
}

#[test]
fn many_rows_are_summed_accurately() {
    let pool = PoolGeometry { batch: 9, height: 31, width: 37, channels: 8, kh: 4, kw: 2, pad_h: 2, pad_w: 1 };
    Case { pool, dense: true, pooled: true, activation: Activation::LeakyRelu, seed: 5 }.check();
}

#[test]
fn a_dense_layer_is_a_pooling_of_single_pixels() {
    let pool = PoolGeometry { batch: 13, height: 1, width: 1, channels: 300, kh: 1, kw: 1, pad_h: 0, pad_w: 0 };
    Case { pool, dense: true, pooled: true, activation: Activation::Relu, seed: 6 }.check();
}

#[test]
fn derivatives_at_zero_are_those_of_pytorch() {
    for (activation, want) in [(Activation::None, 1.0), (Activation::Relu, 0.0), (Activation::LeakyRelu, 0.01)] {
        let mut lab = FencedLab::new();
        let (y, gradient) = (lab.tensor(&[0.0f32; 4]), lab.tensor(&[1.0f32; 4]));
        let upstream = Upstream { gradient, dense: true, pooled: None };
        lab.run(vec![BatchNorm { rows: 1, channels: 4 }.backward_activation(y, upstream, activation)]);
        assert_eq!(lab.read::<f32>(gradient), [want; 4]);
    }
}

#[test]
fn without_a_source_the_gradient_is_zero() {
    let pool = PoolGeometry { batch: 2, height: 3, width: 1, channels: 4, kh: 1, kw: 1, pad_h: 0, pad_w: 0 };
    let case = Case { pool, dense: false, pooled: false, activation: Activation::Relu, seed: 7 };
    let mut lab = FencedLab::new();
    let (dy, _, dispatches) = case.run(&mut lab, &case.inputs());
    lab.run(dispatches);
    assert!(lab.read::<f32>(dy).iter().all(|&v| v == 0.0));
}

/// The reference itself, against central differences of the forward pass.
#[test]
fn the_reference_is_the_derivative_of_the_forward_pass() {
    let (rows, c) = (7, 2);
    let y = wide(&random(21, rows * c));
    let affine = wide(&random(22, 2 * c));
    let weights = wide(&random(23, rows * c));
    let saved = |y: &[f64]| {
        let (mean, variance) = moments(y, rows, c);
        mean.into_iter().chain(variance.iter().map(|v| 1.0 / (v + 1e-5).sqrt())).collect::<Vec<f64>>()
    };
    let loss = |y: &[f64]| -> f64 {
        let s = saved(y);
        let h =
            |i: usize| act(Activation::LeakyRelu, affine[i % c] * (y[i] - s[i % c]) * s[c + i % c] + affine[c + i % c]);
        (0..y.len()).map(|i| weights[i] * h(i)).sum()
    };
    let got = reference(c, &y, &saved(&y), &affine, &weights, Activation::LeakyRelu).dy;
    for (i, got) in got.iter().enumerate() {
        let (mut up, mut down) = (y.clone(), y.clone());
        up[i] += 1e-6;
        down[i] -= 1e-6;
        let slope = (loss(&up) - loss(&down)) / 2e-6;
        assert!((got - slope).abs() < 1e-6, "dy[{i}]: {got} against {slope}");
    }
}
