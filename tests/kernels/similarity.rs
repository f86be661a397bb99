//! Similarity matching on the device: features, cosines, loss and gradient, in both modes.

use predsim::kernels::similarity::{Mode, Similarity, SimilarityBuffers, Target};
use predsim::kernels::tuning::Tuning;
use proptest::prelude::*;

use crate::similarity_reference::{Case, Rows, cosines, mean, norm, unit};
use crate::support::{FencedLab, Sum, assert_close, assert_sums, gpu, wide};

/// What the device made of a case.
struct Outcome {
    u: Vec<f32>,
    stats: Vec<f32>,
    matrix: Vec<f32>,
    rows: Vec<f32>,
    dz: Vec<f32>,
}

fn run(case: &Case) -> Outcome {
    let shape = case.shape;
    let mut lab = FencedLab::new();
    let target = Target::Labels { classes: case.classes };
    let buffers = SimilarityBuffers {
        z: lab.tensor(&case.z),
        u: lab.poisoned(shape.u_bytes()),
        stats: lab.poisoned(shape.stats_bytes()),
        matrix: lab.poisoned(shape.matrix_bytes()),
        rows: lab.poisoned(shape.rows_bytes()),
        df: lab.poisoned(shape.df_bytes()),
        workspace: Some(lab.poisoned(shape.workspace_bytes())),
        target: lab.tensor(&case.labels),
    };
    lab.run(shape.forward(&buffers, target));
    let bits = |values: &[f32]| values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
    assert!(bits(&lab.read::<f32>(buffers.z)) == bits(&case.z), "the forward pass changed z");
    let matrix = unpadded(shape, &lab.read(buffers.matrix));
    let rows = lab.read(buffers.rows);
    lab.run(shape.backward(&buffers, target, case.scale));
    let dz = lab.read(buffers.z);
    let (matrix_at_once, rows_at_once) = (lab.poisoned(shape.matrix_bytes()), lab.poisoned(shape.rows_bytes()));
    let at_once = SimilarityBuffers { z: lab.tensor(&case.z), matrix: matrix_at_once, rows: rows_at_once, ..buffers };
    let features = shape.features(at_once.z, at_once.u, at_once.stats);
    let losses = shape.loss_and_gradient(&at_once, target, case.scale);
    let apply = shape.apply(at_once.z, at_once.stats, at_once.df);
    lab.run([features].into_iter().chain(losses).chain(apply).collect());
    assert!(bits(&lab.read::<f32>(at_once.rows)) == bits(&rows), "the loss alone differs from that with its gradient");
    assert!(bits(&lab.read::<f32>(at_once.z)) == bits(&dz), "the gradient differs behind its loss alone");
    Outcome { u: lab.read(buffers.u), stats: lab.read(buffers.stats), matrix, rows, dz }
}

/// The matrix without the zeros that fill its rows up to multiples of 4.
fn unpadded(shape: Similarity, matrix: &[f32]) -> Vec<f32> {
    let (n, stride) = (shape.batch as usize, shape.batch.next_multiple_of(4) as usize);
    assert!(matrix.chunks(stride).all(|row| row[n..].iter().all(|v| *v == 0.0 || v.is_nan())), "{shape:?}");
    matrix.chunks(stride).flat_map(|row| row[..n].to_vec()).collect()
}

/// Spreads the features of each sample over the device's lanes; pad lanes are 0.
fn padded(shape: Similarity, rows: &Rows) -> Vec<f64> {
    let [real, channels] = [shape.real_channels, shape.channels].map(|v| v as usize);
    let lanes = |values: &[f64]| [values, &vec![0.0; channels - real]].concat();
    rows.iter().flat_map(|row| row.chunks(real).flat_map(lanes).collect::<Vec<f64>>()).collect()
}

fn check(case: &Case) -> Outcome {
    let shape = case.shape;
    let what = |name: &str| format!("{name} of {shape:?}, {} classes", case.classes);
    let z = wide(&case.z);
    let centred = case.centred(&z);
    let got = run(case);
    let units: Rows = centred.iter().map(|c| unit(c)).collect();
    let (u, filling) = got.u.split_at((shape.batch * shape.features_len()) as usize);
    assert_close(&what("u"), u, &padded(shape, &units), 1e-5);
    assert!(filling.iter().all(|&v| v == 0.0), "{}", what("rows past the batch"));
    let norms: Vec<f32> = got.stats.iter().step_by(4).take(shape.batch as usize).copied().collect();
    assert_close(&what("norms"), &norms, &centred.iter().map(|c| norm(c)).collect::<Vec<_>>(), 1e-5);
    if shape.mode == Mode::SpatialStd {
        let maps = (0..shape.batch as usize).flat_map(|sample| (0..shape.channels as usize).map(move |k| (sample, k)));
        let (deviations, means): (Vec<f64>, Vec<f64>) = maps
            .map(|(sample, channel)| (case.deviation(&z, sample, channel), mean(&case.map(&z, sample, channel))))
            .unzip();
        let (begin, end) = (4 * shape.batch as usize, shape.means_offset() as usize / 4);
        assert_close(&what("deviations"), &got.stats[begin..end], &deviations, 1e-6);
        assert_close(&what("means"), &got.stats[end..], &means, 1e-6);
    }
    assert_sums(&what("S"), &got.matrix, &of_size_one(&cosines(&centred).concat()), 1e-5);
    let rows: Vec<f32> = got.rows.iter().map(|row| row * shape.batch as f32).collect();
    let want: Vec<f64> = case.rows(&z).iter().map(|row| row * f64::from(shape.batch)).collect();
    assert_sums(&what("rows"), &rows, &of_size_one(&want), 1e-5);
    assert_sums(&what("dz"), &got.dz, &case.gradient(&z), 1e-5);
    got
}

/// Of a cosine, and of a mean of squared differences of cosines, the terms are of size one.
fn of_size_one(values: &[f64]) -> Vec<Sum> {
    values.iter().map(|&value| Sum { value, size: 1.0 }).collect()
}

fn shapes() -> impl Strategy<Value = Similarity> {
    let mode = prop_oneof![Just(Mode::SpatialStd), Just(Mode::Flat)];
    (1u32..40, 1u32..40, 1u32..90, mode).prop_map(|(batch, spatial, real_channels, mode)| Similarity {
        batch,
        spatial,
        channels: real_channels.next_multiple_of(4),
        real_channels,
        mode,
        tuning: Tuning::for_gpu(gpu()),
    })
}

const MODES: [Mode; 2] = [Mode::SpatialStd, Mode::Flat];
const SMALL: Similarity = Similarity {
    batch: 5,
    spatial: 6,
    channels: 8,
    real_channels: 7,
    mode: Mode::SpatialStd,
    tuning: Tuning::portable(),
};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn loss_and_gradient_match(shape in shapes(), classes in 1u32..20, seed in any::<u64>()) {
        check(&Case::random(shape, classes, seed));
    }
}

/// The loss adds up the cosines of so many features itself.
#[test]
fn cosines_in_parts_match() {
    for batch in [1, 37, 90] {
        let shape = Similarity { batch, spatial: 1, channels: 1200, real_channels: 1199, mode: Mode::Flat, ..SMALL };
        assert!(shape.workspace_bytes() > 0, "the product is split");
        check(&Case::random(shape, 10, u64::from(batch)));
    }
}

/// A map whose mean nearly vanishes, found by chance: near it a value's gradient is all rounding.
#[test]
fn a_vanishing_mean_matches() {
    let shape =
        Similarity { batch: 13, spatial: 20, channels: 76, real_channels: 73, tuning: Tuning::for_gpu(gpu()), ..SMALL };
    check(&Case::random(shape, 2, 9370947698600723017));
}

/// More samples than a workgroup has columns, more features than one has invocations, a sample for a wide workgroup.
#[test]
fn large_shapes_match() {
    for (batch, spatial, channels) in [(131, 4, 68), (259, 1, 36), (9, 1, 1024), (3, 257, 260), (2, 4100, 8)] {
        for mode in MODES {
            let tuning = Tuning::for_gpu(gpu());
            let shape = Similarity { batch, spatial, channels, real_channels: channels - 1, mode, tuning };
            check(&Case::random(shape, 10, u64::from(batch)));
        }
    }
}

#[test]
fn a_constant_map_has_no_gradient_and_spoils_no_other() {
    let mut case = Case::random(SMALL, 3, 1);
    for position in 0..6 {
        let at = case.at(2, position, 4);
        case.z[at] = 0.1;
    }
    let got = check(&case);
    assert!((0..6).all(|position| got.dz[case.at(2, position, 4)] == 0.0));
    assert!((0..6).any(|position| got.dz[case.at(2, position, 3)] != 0.0));
}

/// Where all features of a sample are equal, so that its cosine with any other is zero.
#[test]
fn a_sample_without_direction_has_no_gradient() {
    for mode in MODES {
        let mut case = Case::random(Similarity { mode, ..SMALL }, 3, 2);
        for position in 0..6 {
            for channel in 0..7 {
                let at = case.at(3, position, channel);
                case.z[at] = if mode == Mode::Flat { 0.1 } else { 0.3 * position as f32 };
            }
        }
        let got = check(&case);
        assert!(got.dz[case.at(3, 0, 0)..case.at(4, 0, 0)].iter().all(|&v| v == 0.0), "{mode:?}");
        assert!(got.matrix[3 * 5..4 * 5].iter().all(|&s| s == 0.0), "{mode:?}");
        check(&Case { z: vec![0.1; case.z.len()], shape: Similarity { real_channels: 8, ..case.shape }, ..case });
    }
}

#[test]
fn equal_samples_have_cosine_one() {
    for mode in MODES {
        let mut case = Case::random(Similarity { mode, ..SMALL }, 3, 3);
        case.z.copy_within(48..96, 96);
        let got = check(&case);
        assert!((got.matrix[5 + 2] - 1.0).abs() < 1e-6, "{mode:?}");
        let one = case.z[..48].to_vec();
        check(&Case { z: one.repeat(5), ..case });
    }
}

/// A sample is like itself, whatever it is: nothing to learn.
#[test]
fn a_single_sample_has_neither_loss_nor_gradient() {
    for mode in MODES {
        let case = Case::random(Similarity { batch: 1, mode, ..SMALL }, 3, 4);
        let got = check(&case);
        assert!(got.rows[0] < 1e-12, "{mode:?}: {}", got.rows[0]);
    }
}

/// Centred, the labels of one class are zero, and so is T.
#[test]
fn one_class_asks_for_no_similarity() {
    for mode in MODES {
        check(&Case::random(Similarity { mode, ..SMALL }, 1, 5));
    }
}

#[test]
fn a_broken_value_shows_in_the_loss() {
    for mode in MODES {
        for bad in [f32::NAN, f32::INFINITY] {
            let mut case = Case::random(Similarity { mode, ..SMALL }, 3, 6);
            let at = case.at(1, 2, 3);
            case.z[at] = bad;
            assert!(run(&case).rows.iter().sum::<f32>().is_nan(), "{mode:?}, {bad}");
        }
    }
}

#[test]
fn maps_are_compared_by_deviation_where_the_paper_does() {
    assert_eq!(Mode::of_maps(4, 2, true), Mode::SpatialStd);
    for (channels, height, wanted) in [(3, 2, true), (4, 1, true), (4, 2, false)] {
        assert_eq!(Mode::of_maps(channels, height, wanted), Mode::Flat);
    }
}

/// The reference itself, against central differences of its loss.
#[test]
fn the_reference_is_the_derivative_of_its_loss() {
    for mode in MODES {
        let case = Case::random(Similarity { mode, ..SMALL }, 3, 7);
        let z = wide(&case.z);
        let loss = |z: &[f64]| f64::from(case.scale) * case.rows(z).iter().sum::<f64>();
        for (i, got) in case.gradient(&z).iter().enumerate() {
            if i % 8 == 7 {
                continue; // a pad lane
            }
            let (mut up, mut down) = (z.clone(), z.clone());
            up[i] += 1e-5;
            down[i] -= 1e-5;
            let slope = (loss(&up) - loss(&down)) / 2e-5;
            assert!((got.value - slope).abs() < 1e-9, "{mode:?}, dz[{i}]: {} against {slope}", got.value);
        }
    }
}
