//! Softmax cross-entropy: loss, errors, gradient, probabilities; few classes and many, pad lanes, broken input.

use predsim::kernels::pred::SoftmaxCrossEntropy;
use proptest::prelude::*;

use crate::support::{FencedLab, Sum, assert_close, assert_sums, random};

/// Logits `[N, K]` with their labels, as they are before the device's padding.
#[derive(Debug, Clone)]
struct Case {
    classes: usize,
    logits: Vec<f32>,
    labels: Vec<u32>,
    weight: f32,
}

/// What comes of them. `dlogits` and `probabilities` are `[N, K]`.
struct Outcome<T> {
    losses: Vec<T>,
    errors: Vec<T>,
    dlogits: Vec<T>,
    probabilities: Vec<T>,
}

impl Case {
    /// Logits up to `size`.
    fn random(batch: usize, classes: usize, size: f32, seed: u64) -> Self {
        let logits = random(seed, batch * classes).iter().map(|v| size * v).collect();
        let label = |v: &f32| ((v + 1.0) / 2.0 * classes as f32) as u32;
        Self { classes, logits, labels: random(seed ^ 1, batch).iter().map(label).collect(), weight: 0.8 }
    }

    fn reference(&self) -> Outcome<f64> {
        let mut out = Outcome { losses: vec![], errors: vec![], dlogits: vec![], probabilities: vec![] };
        for (row, &label) in self.logits.chunks(self.classes).zip(&self.labels) {
            let row: Vec<f64> = row.iter().map(|&v| f64::from(v)).collect();
            let peak = row.iter().copied().fold(f64::MIN, f64::max);
            let total: f64 = row.iter().map(|v| (v - peak).exp()).sum();
            let answer = row.iter().position(|&v| v == peak);
            out.losses.push(total.ln() + peak - row[label as usize]);
            out.errors.push(f64::from(u8::from(answer != Some(label as usize))));
            for (class, value) in row.iter().enumerate() {
                let probability = (value - peak).exp() / total;
                let hot = f64::from(u8::from(class == label as usize));
                out.probabilities.push(probability);
                out.dlogits.push(f64::from(self.weight) * (probability - hot) / self.labels.len() as f64);
            }
        }
        out
    }

    /// Runs all kernels on rows of `padded` lanes, where pad lanes hold what must not matter: NaN.
    fn run(&self) -> Outcome<f32> {
        let (classes, padded) = (self.classes, self.classes.next_multiple_of(4));
        let [batch, real, lanes] = [self.labels.len(), classes, padded].map(|v| v as u32);
        let loss = SoftmaxCrossEntropy { batch, classes: real, padded: lanes };
        let nan = vec![f32::NAN; padded - classes];
        let logits: Vec<f32> = self.logits.chunks(classes).flat_map(|row| [row, nan.as_slice()].concat()).collect();
        let mut lab = FencedLab::new();
        let (logits, labels) = (lab.tensor(&logits), lab.tensor(&self.labels));
        let [rows, rows_alone] = [0, 1].map(|_| lab.poisoned(loss.rows_bytes()));
        let [dlogits, probabilities] = [0, 1].map(|_| lab.poisoned(loss.logits_bytes()));
        lab.run(vec![
            loss.dispatch(logits, labels, self.weight, dlogits, rows),
            loss.evaluate(logits, labels, rows_alone),
            loss.probabilities(logits, probabilities),
        ]);
        let rows: Vec<f32> = lab.read(rows);
        let bits = |values: &[f32]| values.iter().map(|v| v.to_bits()).collect::<Vec<u32>>();
        assert_eq!(bits(&rows), bits(&lab.read::<f32>(rows_alone)), "evaluate gives the rows of training");
        let [dlogits, probabilities] = [dlogits, probabilities].map(|tensor| {
            let values: Vec<f32> = lab.read(tensor);
            assert!(values.chunks(padded).all(|row| row[classes..].iter().all(|&v| v == 0.0)), "pad lanes");
            values.chunks(padded).flat_map(|row| row[..classes].to_vec()).collect()
        });
        let (losses, errors) = rows.chunks(2).map(|row| (row[0], row[1])).unzip();
        Outcome { losses, errors, dlogits, probabilities }
    }

    fn check(&self) {
        let (got, want) = (self.run(), self.reference());
        // A loss is a difference of the largest logit and the label's.
        let size = self.logits.iter().fold(1.0, |m: f64, v| m.max(f64::from(v.abs())));
        let losses: Vec<Sum> = want.losses.iter().map(|&value| Sum { value, size }).collect();
        assert_sums("losses", &got.losses, &losses, 1e-6);
        assert_eq!(got.errors.iter().map(|&v| f64::from(v)).collect::<Vec<f64>>(), want.errors);
        let share = f64::from(self.weight) / self.labels.len() as f64;
        let dlogits: Vec<Sum> = want.dlogits.iter().map(|&value| Sum { value, size: share }).collect();
        assert_sums("dlogits", &got.dlogits, &dlogits, 1e-6 * (1.0 + size / 10.0));
        assert_close("probabilities", &got.probabilities, &want.probabilities, 1e-6 * (1.0 + size / 10.0));
        for row in got.probabilities.chunks(self.classes) {
            assert!((row.iter().map(|&p| f64::from(p)).sum::<f64>() - 1.0).abs() < 1e-5);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn few_classes_match(
        batch in 1usize..200, classes in 1usize..65, size in prop_oneof![Just(0.1f32), Just(5.0), Just(100.0)],
        seed in any::<u64>(),
    ) {
        Case::random(batch, classes, size, seed).check();
    }

    #[test]
    fn many_classes_match(batch in 1usize..20, classes in 65usize..1100, size in 0.1f32..20.0, seed in any::<u64>()) {
        Case::random(batch, classes, size, seed).check();
    }

    /// Few levels make ties frequent: the first of the largest is the answer.
    #[test]
    fn of_equal_logits_the_first_is_the_answer(
        batch in 1usize..80, classes in prop_oneof![1usize..20, 60usize..300], seed in any::<u64>(),
    ) {
        let mut case = Case::random(batch, classes, 2.0, seed);
        case.logits.iter_mut().for_each(|v| *v = v.round());
        case.check();
    }
}

#[test]
fn logits_far_from_zero_do_not_overflow() {
    for (classes, far) in [(7, 3e4f32), (7, -3e4), (130, 3e4), (130, -3e4)] {
        let mut case = Case::random(9, classes, 4.0, 1);
        case.logits.iter_mut().for_each(|v| *v += far);
        case.check();
    }
    let mut case = Case::random(4, 6, 1.0, 2);
    case.logits[7] = f32::MAX;
    case.logits[8] = f32::MIN;
    assert_eq!(case.run().probabilities[6..12], [0.0, 1.0, 0.0, 0.0, 0.0, 0.0]);
}

/// Everything but row 2, which `broken` has changed, is what it was.
fn only_row_two_differs(case: &Case, got: &Outcome<f32>) {
    let good = case.run();
    for row in (0..case.labels.len()).filter(|&row| row != 2) {
        let lanes = row * case.classes..(row + 1) * case.classes;
        assert_eq!((got.losses[row], got.errors[row]), (good.losses[row], good.errors[row]), "row {row}");
        assert_eq!(got.dlogits[lanes.clone()], good.dlogits[lanes.clone()], "row {row}");
        assert_eq!(got.probabilities[lanes.clone()], good.probabilities[lanes], "row {row}");
    }
}

#[test]
fn a_logit_that_is_not_finite_breaks_its_row_and_no_other() {
    for (classes, place) in [(10, 0), (10, 9), (200, 0), (200, 77), (200, 199)] {
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let good = Case::random(5, classes, 3.0, 3);
            let mut case = good.clone();
            case.logits[2 * classes + place] = bad;
            let got = case.run();
            let lanes = 2 * classes..3 * classes;
            assert!(got.losses[2].is_nan(), "{classes} classes, {bad} at {place}");
            assert_eq!(got.errors[2], 1.0);
            assert!(got.dlogits[lanes.clone()].iter().all(|v| v.is_nan()), "{classes} classes, {bad} at {place}");
            assert!(got.probabilities[lanes].iter().all(|v| v.is_nan()), "{classes} classes, {bad} at {place}");
            only_row_two_differs(&good, &got);
        }
    }
}

/// A label that is a pad lane, and larger ones.
#[test]
fn a_label_that_is_no_class_breaks_its_loss_and_no_other() {
    for classes in [10, 81] {
        for bad in [classes as u32, classes as u32 + 1, 1 << 20, u32::MAX] {
            let good = Case::random(5, classes, 3.0, 4);
            let mut case = good.clone();
            case.labels[2] = bad;
            let got = case.run();
            assert!(got.losses[2].is_nan(), "{classes} classes, label {bad}");
            assert_eq!(got.errors[2], 1.0);
            only_row_two_differs(&good, &got);
        }
    }
}

#[test]
fn a_gradient_is_the_derivative_of_the_weighted_mean_loss() {
    let case = Case::random(4, 5, 2.0, 5);
    let mean = |case: &Case| f64::from(case.weight) * case.reference().losses.iter().sum::<f64>() / 4.0;
    for (i, got) in case.reference().dlogits.iter().enumerate() {
        let (mut up, mut down) = (case.clone(), case.clone());
        up.logits[i] += 1.0 / 1024.0;
        down.logits[i] -= 1.0 / 1024.0;
        let slope = (mean(&up) - mean(&down)) * 512.0;
        assert!((got - slope).abs() < 1e-6, "dlogits[{i}]: {got} against {slope}");
    }
}
