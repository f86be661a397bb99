//! Similarities matched to a given matrix, and to two targets at once.

use predsim::kernels::similarity::{Mode, Similarity, SimilarityBuffers, Target};
use predsim::kernels::similarity_blend::Blend;
use predsim::kernels::tuning::Tuning;
use proptest::prelude::*;

use crate::support::{FencedLab, assert_close, gpu, random};

/// `z [N, spatial, channels]` with zero pad lanes, labels, and a symmetric target with ones on its diagonal.
#[derive(Debug)]
struct Case {
    shape: Similarity,
    classes: u32,
    z: Vec<f32>,
    labels: Vec<u32>,
    matrix: Vec<f32>,
}

impl Case {
    fn new(batch: u32, spatial: u32, real_channels: u32, classes: u32, mode: Mode, seed: u64) -> Self {
        let channels = real_channels.next_multiple_of(4);
        let shape = Similarity { batch, spatial, channels, real_channels, mode, tuning: Tuning::for_gpu(gpu()) };
        let n = batch as usize;
        let z = random(seed, (batch * spatial * channels) as usize);
        let lane = |i: usize| i as u32 % channels;
        // A map of nearly equal values lies at a kink of its deviation, where differences say nothing about the slope.
        let apart = |i: usize| if (i as u32 / channels).is_multiple_of(spatial) { 2.5 } else { 0.0 };
        let value = |(i, &v)| if lane(i) < real_channels { v + apart(i) } else { 0.0 };
        let z = z.iter().enumerate().map(value).collect();
        let labels = random(seed ^ 1, n).iter().map(|v| ((v + 1.0) / 2.0 * classes as f32) as u32).collect();
        let draw = random(seed ^ 2, n * n);
        let symmetric = |i: usize, j: usize| if i == j { 1.0 } else { draw[i.min(j) * n + i.max(j)] };
        let matrix = (0..n * n).map(|at| symmetric(at / n, at % n)).collect();
        Self { shape, classes, z, labels, matrix }
    }

    /// Cosines of the centred features of `z`.
    fn similarities(&self, z: &[f64]) -> Vec<f64> {
        let Similarity { batch, spatial, channels, real_channels, mode, .. } = self.shape;
        let [n, s, c, real] = [batch, spatial, channels, real_channels].map(|v| v as usize);
        let value = |i: usize, p: usize, k: usize| z[(i * s + p) * c + k];
        let features = |i: usize| -> Vec<f64> {
            match mode {
                Mode::Flat => (0..s * real).map(|f| value(i, f / real, f % real)).collect(),
                Mode::SpatialStd => (0..real)
                    .map(|k| {
                        let mean = (0..s).map(|p| value(i, p, k)).sum::<f64>() / s as f64;
                        let square: f64 = (0..s).map(|p| (value(i, p, k) - mean).powi(2)).sum();
                        (square / (s as f64 - 1.0)).sqrt()
                    })
                    .collect(),
            }
        };
        let unit = |i: usize| -> Vec<f64> {
            let f = features(i);
            let mean = f.iter().sum::<f64>() / f.len() as f64;
            let norm = f.iter().map(|v| (v - mean).powi(2)).sum::<f64>().sqrt();
            f.iter().map(|v| (v - mean) / (1e-8 + norm)).collect()
        };
        let units: Vec<Vec<f64>> = (0..n).map(unit).collect();
        let dot = |i: usize, j: usize| units[i].iter().zip(&units[j]).map(|(a, b)| a * b).sum::<f64>().clamp(-1.0, 1.0);
        (0..n * n).map(|at| dot(at / n, at % n)).collect()
    }

    /// Cosines of the centred one-hot labels.
    fn label_cosines(&self) -> Vec<f64> {
        let n = self.labels.len();
        let other = -1.0 / (f64::from(self.classes) - 1.0);
        (0..n * n).map(|at| if self.labels[at / n] == self.labels[at % n] { 1.0 } else { other }).collect()
    }

    /// The matrix as the device has it: rows filled up to a multiple of 4, with what nobody may read.
    fn padded(&self) -> Vec<f32> {
        let n = self.shape.batch as usize;
        let filling = vec![f32::NAN; n.next_multiple_of(4) - n];
        self.matrix.chunks(n).flat_map(|row| [row, &filling].concat()).collect()
    }

    fn matrix(&self) -> Vec<f64> {
        self.matrix.iter().map(|&v| f64::from(v)).collect()
    }

    /// The gradient of a loss of `z`, by central differences.
    fn slope(&self, loss: impl Fn(&[f64]) -> f64) -> Vec<f64> {
        let mut z: Vec<f64> = self.z.iter().map(|&v| f64::from(v)).collect();
        let lanes = self.shape.channels as usize;
        (0..z.len())
            .map(|i| {
                if i % lanes >= self.shape.real_channels as usize {
                    return 0.0;
                }
                let at = z[i];
                let mut moved = |by: f64| {
                    z[i] = at + by;
                    loss(&z)
                };
                let slope = (moved(1e-5) - moved(-1e-5)) / 2e-5;
                z[i] = at;
                slope
            })
            .collect()
    }

    fn buffers(&self, lab: &mut FencedLab, target: predsim::gpu::Slice) -> SimilarityBuffers {
        let mut room = |bytes: u64| lab.poisoned(bytes.max(4));
        SimilarityBuffers {
            u: room(self.shape.u_bytes()),
            stats: room(self.shape.stats_bytes()),
            matrix: room(self.shape.matrix_bytes()),
            rows: room(self.shape.rows_bytes()),
            df: room(self.shape.df_bytes()),
            workspace: Some(room(self.shape.workspace_bytes())),
            z: lab.tensor(&self.z),
            target,
        }
    }
}

fn distance(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum::<f64>() / a.len() as f64
}

fn close(what: &str, rows: &[f32], want: f64) {
    let got: f64 = rows.iter().map(|&v| f64::from(v)).sum();
    assert!((got - want).abs() <= 1e-5 * want.max(0.01), "{what}: {got}, want {want}");
}

fn check_matrix_target(case: &Case, scale: f32) {
    let mut lab = FencedLab::new();
    let target = lab.tensor(&case.padded());
    let buffers = case.buffers(&mut lab, target);
    lab.run(case.shape.forward(&buffers, Target::Matrix));
    lab.run(case.shape.backward(&buffers, Target::Matrix, scale));
    let loss = |z: &[f64]| distance(&case.similarities(z), &case.matrix());
    let z: Vec<f64> = case.z.iter().map(|&v| f64::from(v)).collect();
    close("loss", &lab.read::<f32>(buffers.rows), loss(&z));
    let want = case.slope(|z| f64::from(scale) * loss(z));
    assert_close(&format!("dz of {:?}", case.shape), &lab.read::<f32>(buffers.z), &want, 2e-4);
}

fn check_two_targets(case: &Case, first: f64, second: f64) {
    let mut lab = FencedLab::new();
    let labels = lab.tensor(&case.labels);
    let matrix = lab.tensor(&case.padded());
    let blended = lab.poisoned(case.shape.matrix_bytes());
    let buffers = case.buffers(&mut lab, blended);
    let [to_labels, to_matrix] = [0; 2].map(|_| lab.poisoned(case.shape.rows_bytes()));
    let blend = Blend { batch: case.shape.batch, first, second };
    let kind = Target::Labels { classes: case.classes };
    lab.run(vec![blend.blend(kind, labels, matrix, blended)]);
    lab.run(case.shape.forward(&buffers, Target::Matrix));
    lab.run(vec![
        blend.distance(kind, labels, buffers.matrix, to_labels),
        blend.distance(Target::Matrix, matrix, buffers.matrix, to_matrix),
    ]);
    lab.run(case.shape.backward(&buffers, Target::Matrix, blend.weight() as f32));
    let (p, q) = (case.label_cosines(), case.matrix());
    let z: Vec<f64> = case.z.iter().map(|&v| f64::from(v)).collect();
    let s = case.similarities(&z);
    close("distance to the labels", &lab.read::<f32>(to_labels), distance(&s, &p));
    close("distance to the matrix", &lab.read::<f32>(to_matrix), distance(&s, &q));
    let want = case.slope(|z| {
        let s = case.similarities(z);
        first * distance(&s, &p) + second * distance(&s, &q)
    });
    assert_close(&format!("dz of {:?}", case.shape), &lab.read::<f32>(buffers.z), &want, 2e-4);
}

fn cases() -> impl Strategy<Value = Case> {
    (2u32..20, 2u32..8, 2u32..9, 2u32..5, any::<bool>(), any::<u64>()).prop_map(|(n, s, c, k, std, seed)| {
        // A single deviation, centred, is nothing but rounding; two have cosines of 1 and -1, at a corner of the clamp.
        let mode = if std && c > 3 { Mode::SpatialStd } else { Mode::Flat };
        Case::new(n, s, c.max(3), k, mode, seed)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn a_given_matrix_is_matched(case in cases(), scale in 0.1f32..2.0) {
        check_matrix_target(&case, scale);
    }

    #[test]
    fn two_targets_give_the_gradient_of_both(case in cases(), first in 0.05f64..1.0, second in 0.05f64..1.0) {
        check_two_targets(&case, first, second);
    }
}

#[test]
fn batches_beyond_a_workgroup() {
    check_two_targets(&Case::new(131, 1, 5, 10, Mode::Flat, 3), 0.3, 0.7);
    check_matrix_target(&Case::new(67, 4, 5, 3, Mode::SpatialStd, 4), 1.0);
}

#[test]
fn a_loss_of_no_weight_has_no_gradient() {
    let case = Case::new(5, 2, 4, 3, Mode::Flat, 5);
    check_two_targets(&case, 0.0, 1.0);
    let mut lab = FencedLab::new();
    let labels = lab.tensor(&case.labels);
    let matrix = lab.tensor(&case.padded());
    let blended = lab.poisoned(case.shape.matrix_bytes());
    let nothing = Blend { batch: 5, first: 0.0, second: 0.0 };
    lab.run(vec![nothing.blend(Target::Labels { classes: 3 }, labels, matrix, blended)]);
    assert!(lab.read::<f32>(blended).iter().all(|&v| v == 0.0));
}
