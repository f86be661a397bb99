//! Column sums, sums of squares, and the totals that close a block's step.

use bytemuck::cast;
use predsim::gpu::Slice;
use predsim::kernels::StepParams;
use predsim::kernels::reduce::{
    MAX_PARTIALS, Measured, TOTAL_WORDS, column_sum, column_sum_workspace_bytes, metrics, norms, partials,
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
        samples in 1usize..200, parts in 1usize..300, blocks in 1usize..70, steps in 1usize..4, seed in any::<u64>(),
    ) {
        check_metrics(samples, parts, blocks, steps, seed);
    }
}

/// What a block measures: pred rows, parts of the sim loss, of the unsup loss, and of a squared norm; without those
/// whose bit of its number is not set.
struct Block {
    runs: [Vec<f32>; 4],
}

impl Block {
    fn new(number: usize, samples: usize, parts: usize, seed: u64) -> Self {
        let judged = random(seed, 2 * samples);
        let pred = judged.iter().enumerate().map(|(i, v)| if i % 2 == 0 { v + 1.0 } else { f32::from(*v > 0.0) });
        let runs = [
            pred.collect(),
            random(seed ^ 1, samples).iter().map(|v| (v + 1.0) / samples as f32).collect(),
            random(seed ^ 2, parts + 7).iter().map(|v| v + 1.0).collect(),
            random(seed ^ 3, parts).iter().map(|v| v * v).collect(),
        ];
        let mut bit = 0;
        Self {
            runs: runs.map(|run: Vec<f32>| {
                bit += 1;
                if (number + 1) >> (bit - 1) & 1 == 1 { run } else { Vec::new() }
            }),
        }
    }

    /// Its totals after one step.
    fn totals(&self, samples: usize) -> [f64; TOTAL_WORDS] {
        let sum = |values: &mut dyn Iterator<Item = &f32>| values.map(|&v| f64::from(v)).sum::<f64>();
        let [pred, sim, unsup, squares] = &self.runs;
        let n = samples as f64;
        let mut totals = [0.0; TOTAL_WORDS];
        totals[..6].copy_from_slice(&[
            n,
            sum(&mut pred.iter().step_by(2)),
            sum(&mut pred.iter().skip(1).step_by(2)),
            sum(&mut sim.iter()) * n,
            sum(&mut squares.iter()).sqrt(),
            1.0,
        ]);
        totals[7] = sum(&mut unsup.iter()) * n;
        totals
    }
}

fn check_metrics(samples: usize, parts: usize, blocks: usize, steps: usize, seed: u64) {
    let blocks: Vec<Block> =
        (0..blocks).map(|number| Block::new(number, samples, parts, seed.wrapping_add(number as u64))).collect();
    // Totals lie further apart than they are long.
    let stride = 16;
    let (measures, measured) = together(&blocks, stride);
    let mut lab = FencedLab::new();
    let step = lab.tensor(&[StepParams::default()]);
    let totals = lab.tensor(&vec![0u32; stride * blocks.len()]);
    let measures = lab.tensor(&measures);
    let measured: Vec<Measured> = measured.iter().map(|place| place(measures)).collect();
    let close = metrics(samples as u32, &measured, measures, step, totals);
    lab.run(vec![close; steps].concat());
    let got: Vec<u32> = lab.read(totals);
    for (number, (got, block)) in got.chunks(stride).zip(&blocks).enumerate() {
        for (word, want) in block.totals(samples).iter().enumerate() {
            let off = (f64::from(f32::from_bits(got[word])) - want * steps as f64).abs();
            assert!(off <= 1e-5 * steps as f64 * want, "block {number}, total {word}: {}, want {want}", got[word]);
        }
        assert_eq!(got[TOTAL_WORDS..], [0; 4], "behind the totals of block {number}");
    }
}

/// The runs of all blocks behind each other, each behind a gap that must not count; and for each block what says where its
/// runs lie in a tensor of them.
fn together(blocks: &[Block], stride: usize) -> (Vec<f32>, Vec<impl Fn(Slice) -> Measured + use<>>) {
    let mut all = Vec::new();
    let mut place = |run: &Vec<f32>| {
        all.extend([1e9; 3]);
        let first = all.len();
        all.extend(run);
        (!run.is_empty()).then_some([first, run.len()])
    };
    let places: Vec<_> = blocks.iter().map(|block| block.runs.each_ref().map(&mut place)).collect();
    let measured = places.into_iter().enumerate().map(|(number, runs)| {
        move |tensor: Slice| {
            let [pred, sim, unsup, squares] = runs.map(|run| {
                run.map(|run| {
                    let [offset, bytes] = run.map(|floats| 4 * floats as u64);
                    Slice { offset: tensor.offset + offset, bytes, ..tensor }
                })
            });
            Measured { pred, sim, unsup, squares, totals: (stride * number) as u32 }
        }
    });
    let measured = measured.collect();
    (all, measured)
}

#[test]
fn norms_add_up() {
    let parts = [3.0f32, 1.0, 4.0, 1.0, 7.0];
    let mut lab = FencedLab::new();
    let totals = lab.tensor(&[0u32; TOTAL_WORDS]);
    let [update, weight] = [parts, parts.map(|v| 4.0 * v)].map(|values| lab.tensor(&values));
    lab.run(vec![norms(5, update, weight, totals); 3]);
    let got: Vec<f32> = lab.read(totals);
    assert_eq!(got[8..], [12.0, 24.0, 0.0, 0.0]);
    assert_eq!(got[..8], [0.0; 8]);
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
        let mut runs = [vec![1.0f32; 10], vec![1.0; 5], vec![1.0; 4], vec![1.0; 3]];
        if number > 40 {
            runs[input][2] = bad;
        }
        let (measures, measured) = together(&[Block { runs }], TOTAL_WORDS);
        let measures = lab.tensor(&measures);
        dispatches.extend(metrics(5, &[measured[0](measures)], measures, step, totals));
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
