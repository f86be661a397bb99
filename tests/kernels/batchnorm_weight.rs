//! Weights' gradients through a norm, against the same sums taken one by one in f64.

use predsim::kernels::batchnorm_weight::{NormedSums, NormedWeight, ONES, ones};
use proptest::prelude::*;

use crate::support::{FencedLab, assert_close, random};

fn check(rows: usize, weights: usize, groups: usize, seed: u64) {
    let channels = 4 * groups;
    let values = |what: u64, len: usize| random(seed ^ what, len);
    let (x, y, g) = (values(1, rows * weights), values(2, rows * channels), values(3, rows * channels));
    let (saved, affine, daffine) = (values(4, 2 * channels), values(5, 2 * channels), values(6, 2 * channels));
    let sum = |of: &dyn Fn(usize) -> f64| (0..rows).map(of).sum::<f64>();
    let at = |values: &[f32], index: usize| f64::from(values[index]);
    let each = |of: &dyn Fn(usize, usize) -> f64| -> Vec<f64> {
        (0..weights * channels).map(|index| of(index / channels, index % channels)).collect()
    };
    let sum_x = |w: usize| sum(&|r| at(&x, r * weights + w));
    let sum_xy = each(&|w, c| sum(&|r| at(&x, r * weights + w) * at(&y, r * channels + c)));
    let sum_xg = each(&|w, c| sum(&|r| at(&x, r * weights + w) * at(&g, r * channels + c)));
    let want = each(&|w, c| {
        let (mean, inverse) = (at(&saved, c), at(&saved, channels + c));
        let dy = |r: usize| {
            let xhat = (at(&y, r * channels + c) - mean) * inverse;
            let constant = at(&daffine, channels + c) + xhat * at(&daffine, c);
            at(&affine, c) * inverse * (at(&g, r * channels + c) - constant / rows as f64)
        };
        sum(&|r| at(&x, r * weights + w) * dy(r))
    });
    let single = |values: &[f64]| values.iter().map(|&value| value as f32).collect::<Vec<f32>>();
    let columns: Vec<f64> = (0..weights).flat_map(|w| [sum_x(w), f64::NAN, f64::NAN, f64::NAN]).collect();
    let mut lab = FencedLab::new();
    let [saved, affine, daffine] = [&saved, &affine, &daffine].map(|values| lab.tensor(values));
    let [x, xy, dw] = [&columns, &sum_xy, &sum_xg].map(|values| lab.tensor(&single(values)));
    let normed = NormedWeight { rows: rows as u32, weights: weights as u32, channels: channels as u32 };
    lab.run(vec![normed.dispatch(NormedSums { saved, affine, daffine, x, xy }, dw)]);
    assert_close("dw", &lab.read::<f32>(dw), &want, 1e-5);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn the_gradient_is_that_of_the_output_put_through(
        rows in 1usize..40, weights in 1usize..60, groups in 1usize..5, seed in any::<u64>(),
    ) {
        check(rows, weights, groups, seed);
    }

    #[test]
    fn ones_are_ones(rows in 1u32..2000) {
        let mut lab = FencedLab::new();
        let out = lab.poisoned(4 * u64::from(rows * ONES));
        lab.run(vec![ones(rows, out)]);
        prop_assert!(lab.read::<f32>(out).iter().all(|value| *value == 1.0));
    }
}
