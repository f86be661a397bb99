//! The local heads of dense blocks in one dispatch, against the kernels that do the same in several.

use predsim::gpu::Slice;
use predsim::kernels::gemm::{Gemm, Op, Parts};
use predsim::kernels::heads::{ClassifierBuffers, ClassifierHead, Features};
use predsim::kernels::pred::SoftmaxCrossEntropy;
use predsim::kernels::similarity::{Mode, Similarity};
use predsim::kernels::tuning::Tuning;
use proptest::prelude::*;

use crate::support::{FencedLab, Sum, assert_close, assert_sums, random, wide};

#[derive(Debug, Clone)]
struct Case {
    batch: usize,
    features: usize,
    classes: usize,
    /// Features of the similarity loss without padding, where it takes part.
    similar: Option<usize>,
    /// Whether these come in two parts.
    in_parts: bool,
    seed: u64,
}

/// What the device made: rows, the scores' gradients, the similarity's features and their norms.
type Outcome = [Vec<f32>; 4];

impl Case {
    fn head(&self) -> ClassifierHead {
        let [batch, features, classes] = [self.batch, self.features, self.classes].map(|size| size as u32);
        ClassifierHead { batch, features, classes, padded: classes.next_multiple_of(4) }
    }

    fn similarity(&self) -> Similarity {
        let real_channels = self.similar.unwrap_or(1) as u32;
        let channels = real_channels.next_multiple_of(4);
        let (mode, tuning) = (Mode::Flat, Tuning::portable());
        Similarity { batch: self.batch as u32, spatial: 1, channels, real_channels, mode, tuning }
    }

    /// The outcome of the one dispatch, and of those it replaces.
    fn outcomes(&self, spoil: impl Fn(&mut [f32], &mut [u32])) -> [Outcome; 2] {
        let (head, similarity) = (self.head(), self.similarity());
        let padded = head.padded as usize;
        let mut a = random(self.seed, self.batch * self.features);
        let scores = |values: Vec<f32>| -> Vec<f32> {
            let real = |i: usize| i % padded < self.classes;
            values.into_iter().enumerate().map(|(i, v)| if real(i) { v } else { 0.0 }).collect()
        };
        let weights = scores(random(self.seed ^ 1, self.features * padded));
        let bias = scores(random(self.seed ^ 2, padded));
        let label = |v: &f32| (((v + 1.0) / 2.0) * self.classes as f32) as u32;
        let mut labels: Vec<u32> = random(self.seed ^ 3, self.batch).iter().map(label).collect();
        spoil(&mut a, &mut labels);
        let channels = similarity.channels as usize;
        let z: Vec<f32> = random(self.seed ^ 4, self.batch * channels)
            .into_iter()
            .enumerate()
            .map(|(i, v)| if i % channels < self.similar.unwrap_or(1) { v + 3.0 } else { 0.0 })
            .collect();

        let mut lab = FencedLab::new();
        let (parameters, bias) = (lab.tensor(&[weights.clone(), bias.clone()].concat()), lab.tensor(&bias));
        // Halves of a number add up to it.
        let halves: Vec<f32> = z.iter().chain(&z).map(|v| v / 2.0).collect();
        let slice = Slice { bytes: 4 * halves.len() as u64, ..lab.tensor(&halves) };
        let parts = Parts { slice, count: 2, n4: similarity.channels / 4, bias: None };
        let (a, weights, labels, z) = (lab.tensor(&a), lab.tensor(&weights), lab.tensor(&labels), lab.tensor(&z));
        let features = if self.in_parts { Features::Parts(parts) } else { Features::Whole(z) };
        let loss = SoftmaxCrossEntropy { batch: head.batch, classes: head.classes, padded: head.padded };
        let bytes = [loss.rows_bytes(), loss.logits_bytes(), similarity.u_bytes(), similarity.stats_bytes()];
        let outputs: [[Slice; 4]; 2] = [0; 2].map(|_| bytes.map(|bytes| lab.poisoned(bytes)));
        let [rows, gradient, u, stats] = outputs[0];
        let at = 4 * (self.features * padded) as u64;
        let of = ClassifierBuffers { a, parameters, bias: at, labels, rows, gradient };
        lab.run(vec![match self.similar {
            Some(_) => head.with_features(&of, 0.3, &similarity, features, [u, stats]),
            None => head.dispatch(&of, 0.3),
        }]);
        let [rows, gradient, u, stats] = outputs[1];
        let logits = lab.poisoned(loss.logits_bytes());
        let product = Gemm {
            m: head.batch,
            n: head.padded,
            k: head.features,
            op: Op::Nn,
            gradient: None,
            tuning: Tuning::portable(),
        };
        let workspace = lab.poisoned(product.workspace_bytes().max(16));
        let mut all = product.dispatches("scores", [a, weights], Some(bias), logits, Some(workspace));
        all.push(loss.dispatch(logits, labels, 0.3, gradient, rows));
        all.extend(self.similar.map(|_| similarity.features(z, u, stats)));
        lab.run(all);
        outputs.map(|output| output.map(|tensor| lab.read(tensor)))
    }

    fn check(&self) {
        let [got, want] = self.outcomes(|_, _| {});
        // A loss is a difference of scores, each a sum of as many products as there are features.
        let size = 1.0 + self.features as f64;
        let sums =
            |values: &[f32]| -> Vec<Sum> { values.iter().map(|&value| Sum { value: value.into(), size }).collect() };
        let column = |rows: &[f32], k: usize| rows.iter().skip(k).step_by(2).copied().collect::<Vec<f32>>();
        assert_sums("losses", &column(&got[0], 0), &sums(&column(&want[0], 0)), 2e-6);
        assert_eq!(column(&got[0], 1), column(&want[0], 1), "answers");
        assert_close("gradient", &got[1], &wide(&want[1]), 2e-6 * size);
        if self.similar.is_some() {
            assert_close("features", &got[2], &wide(&want[2]), 1e-6);
            assert_close("norms", &got[3], &wide(&want[3]), 1e-6);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn one_dispatch_does_what_several_do(
        batch in 1usize..150, groups in 1usize..120, classes in 1usize..13, similar in prop::option::of(1usize..300),
        in_parts in any::<bool>(), seed in any::<u64>(),
    ) {
        Case { batch, features: 4 * groups, classes, similar, in_parts, seed }.check();
    }
}

#[test]
fn what_is_not_finite_and_labels_that_are_no_class_show_in_their_rows_alone() {
    let case = Case { batch: 6, features: 8, classes: 10, similar: Some(7), in_parts: false, seed: 3 };
    let [sound, _] = case.outcomes(|_, _| {});
    let [got, want] = case.outcomes(|a, labels| {
        a[2 * 8 + 5] = f32::INFINITY;
        labels[4] = 10;
    });
    for (what, got, want, sound) in [("rows", &got[0], &want[0], &sound[0]), ("gradient", &got[1], &want[1], &sound[1])]
    {
        let width = got.len() / 6;
        for (row, (got, want)) in got.chunks(width).zip(want.chunks(width)).enumerate() {
            let nan = |row: &[f32]| row.iter().map(|v| v.is_nan()).collect::<Vec<bool>>();
            assert_eq!(nan(got), nan(want), "{what}: NaN in row {row}");
            if row != 2 && row != 4 {
                assert_eq!(got, &sound[row * width..(row + 1) * width], "{what}: row {row}");
            }
        }
    }
    assert!(got[0][2 * 2].is_nan() && got[0][2 * 4].is_nan() && got[0][2 * 2 + 1] == 1.0 && got[0][2 * 4 + 1] == 1.0);
}
