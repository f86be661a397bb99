//! Projected targets: codes, their cross-entropy with its gradient, and the answers that follow from the signs.

use predsim::kernels::projection::Projection;
use proptest::prelude::*;

use crate::support::{FencedLab, assert_close, random};

/// A projection matrix `[K, padded]` with zero pad lanes, labels and logits.
struct Case {
    of: Projection,
    matrix: Vec<f32>,
    labels: Vec<u32>,
    logits: Vec<f32>,
}

impl Case {
    fn new(batch: u32, classes: u32, size: u32, seed: u64) -> Self {
        let of = Projection { batch, classes, size, padded: size.next_multiple_of(4) };
        let lanes = |rows: u32, seed: u64| -> Vec<f32> {
            let values = random(seed, (rows * of.padded) as usize);
            let real = |i: usize| (i as u32 % of.padded) < size;
            values.iter().enumerate().map(|(i, &v)| if real(i) { v } else { 0.0 }).collect()
        };
        let labels =
            random(seed ^ 2, batch as usize).iter().map(|v| ((v + 1.0) / 2.0 * classes as f32) as u32).collect();
        let logits = lanes(batch, seed ^ 1).iter().map(|v| 8.0 * v).collect();
        Self { of, matrix: lanes(classes, seed), labels, logits }
    }

    fn row<'v>(&self, values: &'v [f32], row: u32) -> &'v [f32] {
        let start = (row * self.of.padded) as usize;
        &values[start..start + self.of.size as usize]
    }

    /// 1 where a class's code is positive.
    fn bits(&self, class: u32) -> Vec<f64> {
        self.row(&self.matrix, class).iter().map(|&v| f64::from(u8::from(v > 0.0))).collect()
    }

    /// A sample's mean binary cross-entropy, as PyTorch writes it.
    fn loss(&self, logits: &[f64], bits: &[f64]) -> f64 {
        let terms = logits.iter().zip(bits).map(|(&l, b)| l.max(0.0) - l * b + (-l.abs()).exp().ln_1p());
        terms.sum::<f64>() / f64::from(self.of.size)
    }

    /// The class of the highest score, of equals the first.
    fn answer(&self, logits: &[f64]) -> u32 {
        let score = |class: u32| self.bits(class).iter().zip(logits).map(|(b, l)| b * l).sum::<f64>();
        let best = (0..self.of.classes).map(score).fold(f64::NEG_INFINITY, f64::max);
        (0..self.of.classes).find(|&class| score(class) == best).unwrap()
    }

    fn check(&self, weight: f64) {
        let of = self.of;
        let mut lab = FencedLab::new();
        let [matrix, logits] = [&self.matrix, &self.logits].map(|values| lab.tensor(values));
        let labels = lab.tensor(&self.labels);
        let [codes, gradient] = [0; 2].map(|_| lab.poisoned(of.codes_bytes()));
        let [rows, again] = [0; 2].map(|_| lab.poisoned(of.rows_bytes()));
        lab.run(vec![
            of.codes(matrix, labels, codes),
            of.cross_entropy(matrix, labels, logits, weight, gradient, rows),
            of.evaluate(matrix, labels, logits, again),
        ]);
        let got: Vec<f32> = lab.read(codes);
        let padded = of.padded as usize;
        let own = |&label: &u32| self.matrix[label as usize * padded..][..padded].to_vec();
        assert_eq!(got, self.labels.iter().flat_map(own).collect::<Vec<f32>>(), "{of:?}: codes");

        let rows: Vec<f32> = lab.read(rows);
        assert_eq!(rows, lab.read::<f32>(again), "{of:?}: evaluation says something else");
        let gradient: Vec<f32> = lab.read(gradient);
        for sample in 0..of.batch {
            let logits: Vec<f64> = self.row(&self.logits, sample).iter().map(|&l| f64::from(l)).collect();
            let label = self.labels[sample as usize];
            let bits = self.bits(label);
            let at = 2 * sample as usize;
            let loss = self.loss(&logits, &bits);
            assert!((f64::from(rows[at]) - loss).abs() <= 1e-5 * loss.max(0.1), "{of:?}: {} for {loss}", rows[at]);
            assert_eq!(rows[at + 1], f32::from(self.answer(&logits) != label), "{of:?}: answer of sample {sample}");
            let count = f64::from(of.batch * of.size);
            let want: Vec<f64> =
                logits.iter().zip(&bits).map(|(l, b)| weight * (1.0 / (1.0 + (-l).exp()) - b) / count).collect();
            assert_close(&format!("{of:?}: gradient"), self.row(&gradient, sample), &want, 1e-5);
        }
        let pads = gradient.iter().enumerate().filter(|(i, _)| (*i as u32 % of.padded) >= of.size);
        assert!(pads.into_iter().all(|(_, &v)| v == 0.0), "{of:?}: pad lanes");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn codes_losses_and_gradients_match(
        batch in 1u32..40, classes in 1u32..90, size in 1u32..150, weight in 0.05f64..1.5, seed in any::<u64>(),
    ) {
        Case::new(batch, classes, size, seed).check(weight);
    }
}

#[test]
fn many_classes_and_long_codes() {
    Case::new(3, 1000, 513, 7).check(1.0);
}

#[test]
fn extreme_logits_neither_overflow_nor_vanish() {
    let mut case = Case::new(4, 3, 5, 8);
    case.logits.iter_mut().for_each(|l| *l *= 1e4);
    case.check(1.0);
}

#[test]
fn a_label_that_is_no_class_shows() {
    let mut case = Case::new(3, 4, 6, 9);
    case.labels[1] = 4;
    let mut lab = FencedLab::new();
    let [matrix, logits] = [&case.matrix, &case.logits].map(|values| lab.tensor(values));
    let labels = lab.tensor(&case.labels);
    let codes = lab.poisoned(case.of.codes_bytes());
    let rows = lab.poisoned(case.of.rows_bytes());
    let dispatches = vec![case.of.codes(matrix, labels, codes), case.of.evaluate(matrix, labels, logits, rows)];
    lab.run(dispatches);
    let rows: Vec<f32> = lab.read(rows);
    assert!(rows[2].is_nan() && rows[3] == 1.0 && rows[0].is_finite() && rows[4].is_finite(), "{rows:?}");
    let codes: Vec<f32> = lab.read(codes);
    let sample = case.of.padded as usize;
    assert!(codes[sample..2 * sample].iter().all(|v| v.is_nan()) && codes[..sample].iter().all(|v| v.is_finite()));
}
