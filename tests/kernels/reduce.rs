//! Column sums, sums of squares, and the totals that close a block's step.

use bytemuck::cast;
use predsim::kernels::StepParams;
use predsim::kernels::reduce::{
    MAX_PARTIALS, Measured, Metrics, TOTAL_WORDS, column_sum, column_sum_workspace_bytes, norms, partials,
    sum_of_squared_differences, sum_of_squares,
};
use proptest::prelude::*;

use crate::support::{FencedLab, random};

fn check_column_sum(rows: usize, c: usize, seed: u64) {
    let x = random(seed, rows * c);
    let mut want = vec![0.0; c];
    x.iter().enumerate().for_each(|(i, &v)| want[i % c] += f64::from(v));
    let mut lab = FencedLab::new();
    let (x, out) = (lab.tensor(&x), lab.poisoned(4 * c as u64));
    let (rows, c) = (rows as u32, c as u32);
    let workspace = lab.poisoned(column_sum_workspace_bytes(rows, c));
    lab.run(column_sum(rows, c, x, out, workspace));
    // A sum that cancels is judged by the size of its terms.
    for (got, want) in lab.read::<f32>(out).iter().zip(&want) {
        assert!((f64::from(*got) - want).abs() <= 1e-6 * f64::from(rows).sqrt().max(want.abs()), "{got}, want {want}");
    }
}

fn check_squares(len: usize, seed: u64) {
    let (x, y) = (random(seed, len), random(seed ^ 1, len));
    let squares: f64 = x.iter().map(|&v| f64::from(v).powi(2)).sum();
    let differences: f64 = x.iter().zip(&y).map(|(&x, &y)| (f64::from(x) - f64::from(y)).powi(2)).sum();
    let count = partials(len as u32);
    let mut lab = FencedLab::new();
    let [x, y] = [&x, &y].map(|values| lab.tensor(values));
    let [own, between] = [0; 2].map(|_| lab.poisoned(4 * u64::from(count)));
    let len = len as u32;
    lab.run(vec![sum_of_squares(len, x, own), sum_of_squared_differences(len, x, y, between)]);
    for (out, want) in [(own, squares), (between, differences)] {
        let got: f64 = lab.read::<f32>(out).iter().map(|&v| f64::from(v)).sum();
        assert!((got - want).abs() <= 1e-6 * want, "{got}, want {want}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn column_sums_match(rows in 1usize..500, groups in 1usize..30, seed in any::<u64>()) {
        check_column_sum(rows, 4 * groups, seed);
    }

    #[test]
    fn sums_of_squares_match(len in 1usize..9000, seed in any::<u64>()) {
        check_squares(4 * len, seed);
    }

    #[test]
    fn metrics_add_up(
        samples in 1usize..200, parts in 1usize..300, bits in 0u8..16, steps in 1usize..4, seed in any::<u64>(),
    ) {
        let [has_pred, has_sim, has_norm, has_unsup] = [1, 2, 4, 8].map(|bit| bits & bit != 0);
        let pred: Vec<f32> = random(seed, 2 * samples)
            .iter()
            .enumerate()
            .map(|(i, v)| if i % 2 == 0 { v + 1.0 } else { f32::from(*v > 0.0) })
            .collect();
        let sim: Vec<f32> = random(seed ^ 1, samples).iter().map(|v| (v + 1.0) / samples as f32).collect();
        let norm: Vec<f32> = random(seed ^ 2, parts).iter().map(|v| v * v).collect();
        let mut lab = FencedLab::new();
        let step = lab.tensor(&[StepParams::default()]);
        let totals = lab.tensor(&[0u32; TOTAL_WORDS]);
        let unsup = random(seed ^ 3, parts + 7);
        let measured = Measured {
            pred_rows: has_pred.then(|| lab.tensor(&pred)),
            sim_rows: has_sim.then(|| lab.tensor(&sim)),
            unsup_rows: has_unsup.then(|| lab.tensor(&unsup)),
            partials: has_norm.then(|| lab.tensor(&norm)),
        };
        let metrics = Metrics { samples: samples as u32, partials: parts as u32, unsup_parts: parts as u32 + 7 };
        let [update, weight] = [&norm, &norm].map(|values| lab.tensor(values));
        let step_dispatches = [
            metrics.dispatch(measured, step, totals),
            norms(parts as u32, update, weight, totals),
        ];
        lab.run(vec![step_dispatches; steps].concat());
        let sum = |has: bool, values: &mut dyn Iterator<Item = f32>| if has { values.map(f64::from).sum() } else { 0.0 };
        let want = [
            samples as f64,
            sum(has_pred, &mut pred.iter().step_by(2).copied()),
            sum(has_pred, &mut pred.iter().skip(1).step_by(2).copied()),
            sum(has_sim, &mut sim.iter().copied()) * samples as f64,
            sum(has_norm, &mut norm.iter().copied()).sqrt(),
            1.0,
            0.0,
            sum(has_unsup, &mut unsup.iter().copied()) * samples as f64,
            sum(true, &mut norm.iter().copied()).sqrt(),
            sum(true, &mut norm.iter().copied()).sqrt(),
        ];
        let got: Vec<f32> = lab.read(totals);
        for (word, want) in want.iter().enumerate() {
            // A sum that cancels is judged by the size of its terms.
            let size = if word == 7 { samples as f64 * (parts as f64).sqrt() } else { want.abs() };
            let off = (f64::from(got[word]) - want * steps as f64).abs();
            prop_assert!(off <= 1e-5 * (steps as f64) * size.max(1e-30), "total {}: {}, want {}", word, got[word], want);
        }
        prop_assert_eq!([6, 10, 11].map(|word| got[word].to_bits()), [0; 3]);
    }
}

#[test]
fn long_sums_stay_accurate_and_few() {
    check_column_sum(70_001, 12, 3);
    check_squares(1_000_004, 4);
    assert_eq!((partials(1), partials(u32::MAX)), (1, MAX_PARTIALS));
}

/// Runs steps 40, 41, 42, of which 41 has `bad` at the chosen input, and returns word 6 of the totals.
fn first_bad_step(input: usize, bad: f32) -> u32 {
    let mut lab = FencedLab::new();
    let totals = lab.tensor(&[0u32; TOTAL_WORDS]);
    let mut dispatches = Vec::new();
    for number in 40..43 {
        let step = lab.tensor(&[StepParams { number, ..StepParams::default() }]);
        let mut values = [vec![1.0f32; 10], vec![1.0; 5], vec![1.0; 3], vec![1.0; 4]];
        if number > 40 {
            values[input][2] = bad;
        }
        let [pred_rows, sim_rows, partials, unsup_rows] = values.map(|v| Some(lab.tensor(&v)));
        let measured = Measured { pred_rows, sim_rows, unsup_rows, partials };
        dispatches.push(Metrics { samples: 5, partials: 3, unsup_parts: 4 }.dispatch(measured, step, totals));
    }
    lab.run(dispatches);
    lab.read::<u32>(totals)[6]
}

#[test]
fn the_first_step_that_is_not_finite_is_kept() {
    for input in 0..4 {
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            assert_eq!(first_bad_step(input, bad), 42, "input {input}, {bad}");
        }
        assert_eq!(first_bad_step(input, 1e30), 0, "large is not infinite");
    }
}

#[test]
fn step_params_are_the_words_the_shaders_read() {
    let step =
        StepParams { adam_size: 1.0, adam_scale: 2.0, lr: 3.0, number: 4, seed_low: 5, seed_high: 6, spare: [0; 2] };
    let words: [u32; 8] = cast(step);
    assert_eq!(words, [1f32.to_bits(), 2f32.to_bits(), 3f32.to_bits(), 4, 5, 6, 0, 0]);
}
