//! Update rules over several steps, with and without weight decay.

use predsim::kernels::StepParams;
use predsim::kernels::optimizer::{Kind, Optimizer};
use proptest::prelude::*;

use crate::support::{FencedLab, assert_close, random, wide};

/// Parameters and the tensors of the rule's state, in `f64`.
struct Reference {
    params: Vec<f64>,
    state: Vec<Vec<f64>>,
}

impl Reference {
    fn new(kind: Kind, params: &[f32]) -> Self {
        Self { params: wide(params), state: vec![vec![0.0; params.len()]; kind.state().len()] }
    }

    /// Update `t`, counted from 1, by the formulas of `shaders/optimizer.wgsl`.
    fn step(&mut self, kind: Kind, weight_decay: f32, lr: f64, t: i32, grads: &[f32]) {
        for (i, &grad) in grads.iter().enumerate() {
            let g = f64::from(grad) + f64::from(weight_decay) * self.params[i];
            self.params[i] -= lr
                * match kind {
                    Kind::Sgd { momentum: 0.0 } => g,
                    Kind::Sgd { momentum } => {
                        let v = &mut self.state[0][i];
                        *v = if t == 1 { g } else { f64::from(momentum) * *v + g };
                        *v
                    }
                    Kind::Adam | Kind::AmsGrad => self.adam_direction(kind, i, t, g),
                };
        }
    }

    fn adam_direction(&mut self, kind: Kind, i: usize, t: i32, g: f64) -> f64 {
        let m = 0.9 * self.state[0][i] + (1.0 - 0.9) * g;
        let mut v = 0.999 * self.state[1][i] + (1.0 - 0.999) * g * g;
        (self.state[0][i], self.state[1][i]) = (m, v);
        if kind == Kind::AmsGrad {
            v = v.max(self.state[2][i]);
            self.state[2][i] = v;
        }
        m / (1.0 - 0.9f64.powi(t)) / (v.sqrt() / (1.0 - 0.999f64.powi(t)).sqrt() + 1e-8)
    }
}

/// Takes a step for each of `grads` on the device and in the reference, and compares parameters and state after each.
fn check(kind: Kind, weight_decay: f32, lr: f64, params: &[f32], grads: &[Vec<f32>]) -> Vec<f32> {
    let trunk = params.len() / 8 * 4;
    let optimizer = Optimizer { len: params.len() as u32, trunk: trunk as u32, kind, weight_decay };
    let mut want = Reference::new(kind, params);
    let mut lab = FencedLab::new();
    let values = lab.tensor(params);
    let state: Vec<_> = kind.state().iter().map(|_| lab.tensor(&vec![0.0f32; params.len()])).collect();
    for (t, gradients) in (1..).zip(grads) {
        want.step(kind, weight_decay, lr, t, gradients);
        let (step, grads) = (lab.tensor(&[StepParams::new(lr, t as u64, 0, 0)]), lab.tensor(gradients));
        let squares = lab.tensor(&vec![f32::NAN; optimizer.partials() as usize]);
        lab.run(optimizer.dispatch(step, values, grads, &state, squares).into_iter().collect());
        let got: f64 = wide(&lab.read::<f32>(squares)).iter().sum();
        let squared: f64 = wide(&gradients[..trunk]).iter().map(|g| g * g).sum();
        assert!((got - squared).abs() <= 1e-6 * squared, "squares of {kind:?}: {got} for {squared}");
        let what = |name: &str| format!("{name} of {kind:?} after step {t}");
        assert_close(&what("parameters"), &lab.read::<f32>(values), &want.params, 1e-6);
        for ((name, &tensor), want) in kind.state().iter().zip(&state).zip(&want.state) {
            assert_close(&what(name), &lab.read::<f32>(tensor), want, 1e-6);
        }
    }
    lab.read(values)
}

const KINDS: [Kind; 4] = [Kind::Adam, Kind::AmsGrad, Kind::Sgd { momentum: 0.0 }, Kind::Sgd { momentum: 0.9 }];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn updates_match(
        vectors in prop_oneof![1usize..40, 500usize..1600],
        kind in proptest::sample::select(KINDS.to_vec()),
        weight_decay in prop_oneof![Just(0.0f32), 0.001f32..0.1],
        lr in 1e-3f64..0.2,
        steps in 1u64..6,
        seed in any::<u64>(),
    ) {
        // Gradients that shrink, so that the second moment's maximum is not its last value.
        let grads: Vec<Vec<f32>> = (0..steps)
            .map(|t| random(seed + t, 4 * vectors).iter().map(|g| g / (1 << (4 * t)) as f32).collect())
            .collect();
        check(kind, weight_decay, lr, &random(seed ^ 99, 4 * vectors), &grads);
    }
}

/// A pad lane is a parameter 0 with gradient 0; so is a weight that a dead unit leaves alone.
#[test]
fn zeros_stay_zeros() {
    for kind in KINDS {
        let zeros = vec![0.0f32; 12];
        assert_eq!(check(kind, 0.1, 0.5, &zeros, &[zeros.clone(), zeros.clone(), zeros.clone()]), zeros);
    }
}

#[test]
fn without_gradient_only_decay_moves() {
    for kind in KINDS {
        let params = random(1, 12);
        let still = [vec![0.0f32; 12], vec![0.0; 12]];
        assert_eq!(check(kind, 0.0, 0.5, &params, &still), params);
        assert_ne!(check(kind, 0.1, 0.5, &params, &still), params);
    }
}

#[test]
fn gradients_of_any_size_move_adam_by_its_rate() {
    for size in [1e-6f32, 1.0, 1e6] {
        let moved = check(Kind::Adam, 0.0, 1e-2, &[0.0; 4], &[vec![size; 4]]);
        assert!(moved.iter().all(|v| (v + 1e-2).abs() < 2e-4), "{size}: {moved:?}");
    }
}

#[test]
fn a_gradient_that_is_no_number_is_not_hidden() {
    for kind in KINDS {
        let optimizer = Optimizer { len: 4, trunk: 4, kind, weight_decay: 0.0 };
        let mut lab = FencedLab::new();
        let (values, grads) = (lab.tensor(&[1.0f32; 4]), lab.tensor(&[0.0, f32::NAN, 0.0, 0.0]));
        let state: Vec<_> = kind.state().iter().map(|_| lab.tensor(&[0.0f32; 4])).collect();
        let step = lab.tensor(&[StepParams::new(0.1, 1, 0, 0)]);
        let squares = lab.tensor(&[0.0f32]);
        lab.run(optimizer.dispatch(step, values, grads, &state, squares).into_iter().collect());
        let got: Vec<f32> = lab.read(values);
        assert!(lab.read::<f32>(squares)[0].is_nan(), "{kind:?}");
        assert!(got[1].is_nan() && [got[0], got[2], got[3]] == [1.0; 3], "{kind:?}: {got:?}");
    }
}

#[test]
fn an_empty_arena_needs_no_dispatch() {
    let mut lab = FencedLab::new();
    let empty = lab.tensor(&[0.0f32; 4]);
    let optimizer = Optimizer { len: 0, trunk: 0, kind: Kind::Sgd { momentum: 0.0 }, weight_decay: 0.0 };
    assert!(optimizer.dispatch(empty, empty, empty, &[], empty).is_none());
}
