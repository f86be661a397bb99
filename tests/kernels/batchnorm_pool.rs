//! Normalisation, activation and maximum pooling in one pass, against the references of each.

use predsim::gpu::{Dispatch, Slice};
use predsim::kernels::batchnorm_pool::Pooled;
use predsim::kernels::pool::MaxPool;
use predsim::kernels::{Activation, RowChunk};
use proptest::prelude::*;

use crate::batchnorm::{act, activation};
use crate::batchnorm_backward::{dact, reference};
use crate::pool::maximum;
use crate::support::{FencedLab, assert_close, random, wide};

#[derive(Debug, Clone)]
struct Case {
    pool: MaxPool,
    norm: bool,
    activation: Activation,
    seed: u64,
}

fn cases() -> impl Strategy<Value = Case> {
    let sizes = (1u32..5, 2u32..14, 2u32..14, 1u32..8);
    (sizes, any::<bool>(), activation(), any::<u64>()).prop_map(|(sizes, norm, activation, seed)| {
        let (batch, height, width, groups) = sizes;
        Case { pool: MaxPool { batch, height, width, channels: 4 * groups }, norm, activation, seed }
    })
}

/// What a case runs on.
struct Tensors {
    of: Pooled,
    h: Slice,
    maxima: Slice,
    dmaxima: Slice,
    daffine: Slice,
    dx: Slice,
}

impl Case {
    fn rows(&self) -> u32 {
        self.pool.batch * self.pool.height * self.pool.width
    }

    fn len(&self) -> usize {
        (self.rows() * self.pool.channels) as usize
    }

    fn windows(&self) -> usize {
        (self.pool.batch * self.pool.out_height() * self.pool.out_width() * self.pool.channels) as usize
    }

    /// What stands in front of the activation.
    fn z(&self, i: usize, x: f64) -> f64 {
        let (c, [saved, affine]) = (self.pool.channels as usize, self.norm_values());
        let k = i % c;
        if !self.norm {
            return x;
        }
        f64::from(affine[k]) * (x - f64::from(saved[k])) * f64::from(saved[c + k]) + f64::from(affine[c + k])
    }

    fn norm_values(&self) -> [Vec<f32>; 2] {
        let c = self.pool.channels as usize;
        [random(self.seed ^ 1, 2 * c).iter().map(|v| 0.2 * v + 1.0).collect(), random(self.seed ^ 2, 2 * c)]
    }

    fn x(&self) -> Vec<f32> {
        let mut x = random(self.seed, self.len());
        for (i, v) in x.iter_mut().enumerate() {
            // Where the activation's input is next to its kink, rounding decides the derivative: step aside.
            if self.z(i, f64::from(*v)).abs() < 1e-4 {
                *v += 0.125;
            }
        }
        x
    }

    fn dmaxima(&self) -> Vec<f32> {
        random(self.seed ^ 3, self.windows())
    }

    fn tensors(&self, lab: &mut FencedLab) -> Tensors {
        let [saved, affine] = self.norm_values().map(|values| lab.tensor(&values));
        let of = Pooled {
            x: lab.tensor(&self.x()),
            norm: self.norm.then_some([saved, affine]),
            activation: self.activation,
        };
        Tensors {
            of,
            h: lab.poisoned(4 * self.len() as u64),
            maxima: lab.poisoned(4 * self.windows() as u64),
            dmaxima: lab.tensor(&self.dmaxima()),
            daffine: lab.poisoned(8 * u64::from(self.pool.channels)),
            dx: lab.poisoned(4 * self.len() as u64),
        }
    }

    /// Backward, the sums in chunks of so many samples.
    fn backward(&self, lab: &mut FencedLab, of: &Tensors, chunk: u32) -> Vec<Dispatch> {
        let windows = self.pool.windows();
        let size = chunk * windows.rows / self.pool.batch;
        let mut all = Vec::new();
        if self.norm {
            let workspace = lab.poisoned(windows.chunked_workspace_bytes(size));
            for (index, first) in (0..self.pool.batch).step_by(chunk as usize).enumerate() {
                let samples = chunk.min(self.pool.batch - first);
                // A part of a tensor need not begin where a binding may: it is a tensor of its own.
                let mut part = |values: Vec<f32>| {
                    let of_sample = values.len() / self.pool.batch as usize;
                    lab.tensor(&values[first as usize * of_sample..][..samples as usize * of_sample])
                };
                let (x, dmaxima) = (part(self.x()), part(self.dmaxima()));
                let pool = MaxPool { batch: samples, ..self.pool };
                let chunk = RowChunk { size, index: index as u32 };
                all.push(pool.activated_sums(windows, chunk, Pooled { x, ..of.of }, dmaxima, workspace));
            }
            all.push(windows.backward_finish(size, workspace, of.daffine));
        }
        all.push(self.pool.activated_input(of.of, of.dmaxima, self.norm.then_some(of.daffine), self.rows(), of.dx));
        all
    }

    fn check_forward(&self) {
        let want: Vec<f64> =
            self.x().iter().enumerate().map(|(i, &x)| act(self.activation, self.z(i, f64::from(x)))).collect();
        let mut lab = FencedLab::new();
        let of = self.tensors(&mut lab);
        lab.run(vec![self.pool.activated(of.of, Some(of.h), of.maxima)]);
        let h: Vec<f32> = lab.read(of.h);
        assert_close("h", &h, &want, 1e-5);
        let (maxima, _) = maximum(&self.pool, &h);
        assert_eq!(lab.read::<f32>(of.maxima), maxima);
        let alone = lab.poisoned(of.maxima.bytes.min(4 * self.windows() as u64));
        lab.run(vec![self.pool.activated(of.of, None, alone)]);
        assert_eq!(lab.read::<f32>(alone), maxima, "without h");
    }

    fn check_backward(&self, chunk: u32) {
        let mut lab = FencedLab::new();
        let of = self.tensors(&mut lab);
        lab.run(vec![self.pool.activated(of.of, Some(of.h), of.maxima)]);
        // Of nearly equal pixels rounding decides which is the largest: as the device has it.
        let (_, positions) = maximum(&self.pool, &lab.read::<f32>(of.h));
        let mut dh = vec![0.0; self.len()];
        positions.iter().zip(self.dmaxima()).for_each(|(&at, d)| dh[at] = f64::from(d));
        let dispatches = self.backward(&mut lab, &of, chunk);
        lab.run(dispatches);
        let x = wide(&self.x());
        let (dx, daffine): (Vec<f32>, Vec<f32>) = (lab.read(of.dx), lab.read(of.daffine));
        if !self.norm {
            let want: Vec<f64> = x.iter().zip(&dh).map(|(&x, dh)| dh * dact(self.activation, x)).collect();
            assert_close("dx", &dx, &want, 1e-6);
            return;
        }
        let [saved, affine] = self.norm_values().map(|values| wide(&values));
        let want = reference(self.pool.channels as usize, &x, &saved, &affine, &dh, self.activation);
        assert_close("daffine", &daffine, &want.daffine, 2e-5);
        assert_close("dx", &dx, &want.dy, 2e-5);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn forward_matches(case in cases()) {
        case.check_forward();
    }

    #[test]
    fn backward_matches(case in cases(), chunk in 1u32..5) {
        case.check_backward(chunk);
    }
}

#[test]
fn many_windows_are_summed_accurately() {
    let pool = MaxPool { batch: 9, height: 31, width: 38, channels: 8 };
    let case = Case { pool, norm: true, activation: Activation::LeakyRelu, seed: 5 };
    case.check_forward();
    case.check_backward(9);
    case.check_backward(4);
}

#[test]
fn a_nan_stays_one_and_an_infinity_harms_no_other_gradient() {
    let pool = MaxPool { batch: 1, height: 2, width: 2, channels: 4 };
    let mut x = [0.5f32; 16];
    (x[0], x[1]) = (f32::NAN, f32::INFINITY);
    let mut lab = FencedLab::new();
    let of = Pooled { x: lab.tensor(&x), norm: None, activation: Activation::Relu };
    let (maxima, dmaxima, dx) = (lab.poisoned(16), lab.tensor(&[1.0f32; 4]), lab.poisoned(64));
    lab.run(vec![pool.activated(of, None, maxima), pool.activated_input(of, dmaxima, None, 4, dx)]);
    let maxima: Vec<f32> = lab.read(maxima);
    assert!(maxima[0].is_nan());
    assert_eq!(maxima[1..], [f32::INFINITY, 0.5, 0.5]);
    let dx: Vec<f32> = lab.read(dx);
    assert_eq!(dx[..4], [1.0; 4]);
    assert_eq!(dx[4..], [0.0; 12]);
}
