//! The local heads of a dense block, sample by sample, in one dispatch (`shaders/heads.wgsl`): the classifier's scores,
//! their cross-entropy and its gradient; and, if wanted, the features of the similarity loss.
//!
//! For few classes, whose scores a workgroup keeps to itself. What flows back to the activation, and the classifier's own
//! gradients, are made in the backward pass of the norm behind it ([`super::batchnorm_few`]).

use bytemuck::{Pod, Zeroable};

use super::batchnorm_few::MAX_SCORES;
use super::gemm::Parts;
use super::similarity::{Mode, Similarity};
use super::{COMMON, WORKGROUP_SUM};
use crate::gpu::{Dispatch, Input, InputSum, Pipeline, Shader, Slice, grid};

/// A linear classifier of few classes on samples of `features` values. All at least 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ClassifierHead {
    /// N.
    pub batch: u32,
    /// Values of a sample with padding, a multiple of 4.
    pub features: u32,
    /// K, without pad lanes.
    pub classes: u32,
    /// K with padding, a multiple of 4 up to [`MAX_SCORES`].
    pub padded: u32,
}

/// Where a classifier's tensors lie.
#[derive(Debug, Clone, Copy)]
pub struct ClassifierBuffers {
    /// `[N, features]`
    pub a: Slice,
    /// From the weights, `[features, padded]`, to the end of the bias, `[padded]`.
    pub parameters: Slice,
    /// Bytes from the weights to the bias.
    pub bias: u64,
    /// Class of each sample, `u32 [N]`.
    pub labels: Slice,
    /// Written, `[N, 2]`: a sample's loss, and 1 where its answer is wrong, as
    /// [`SoftmaxCrossEntropy`](super::pred::SoftmaxCrossEntropy) has them.
    pub rows: Slice,
    /// Written, `[N, padded]`: the gradient of the scores.
    pub gradient: Slice,
}

/// What a similarity head made of a batch, `[N, features]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Features {
    /// The matrix.
    Whole(Slice),
    /// What it is the sum of, without a bias.
    Parts(Parts),
}

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable, Default)]
struct Params {
    batch: u32,
    classes: u32,
    groups: u32,
    bias: u32,
    scale: f32,
    nan: f32,
    features: u32,
    real_features: u32,
    stride: u32,
    spare: [u32; 3],
}

const THREADS: u32 = 64;
/// The binding of the similarity head's output.
const FEATURES: u32 = 6;
const SHADER: Shader = Shader::with_inputs(
    "heads",
    &[Input::new(1, "a"), Input::new(2, "weights"), Input::new(FEATURES, "z")],
    &[COMMON, WORKGROUP_SUM, include_str!("../../shaders/heads.wgsl")],
);

fn pipeline(entry: &'static str, padded: u32) -> Pipeline {
    Pipeline::new(SHADER, entry, vec![("THREADS", THREADS), ("SCORES", padded / 4)])
}

/// Every pipeline that the dispatches below can ask for.
pub fn variants() -> Vec<Pipeline> {
    let of = |padded| {
        let both = pipeline("pred_and_features", padded);
        let of_parts = both.clone().with_sum(InputSum { input: FEATURES, at: FEATURES, count: 3 });
        [pipeline("pred", padded), both, of_parts]
    };
    (4..=MAX_SCORES).step_by(4).flat_map(of).collect()
}

impl ClassifierHead {
    /// Whether the classes are few enough.
    pub fn is_few(&self) -> bool {
        self.padded <= MAX_SCORES
    }

    fn params(&self, buffers: &ClassifierBuffers, weight: f32) -> Params {
        Params {
            batch: self.batch,
            classes: self.classes,
            groups: self.features / 4,
            bias: (buffers.bias / 16) as u32,
            scale: (f64::from(weight) / f64::from(self.batch)) as f32,
            nan: f32::NAN,
            ..Params::default()
        }
    }

    fn call(&self, label: &'static str, entry: &'static str, params: &Params, of: &ClassifierBuffers) -> Dispatch {
        let values = u64::from(self.batch) * u64::from(self.features);
        Dispatch::new(label, pipeline(entry, self.padded), params, grid(params.stride.max(self.batch)))
            .loads(of.a)
            .loads(of.parameters)
            .reads(of.labels)
            .writes(of.rows)
            .writes(of.gradient)
            .flops(2 * values * u64::from(self.padded))
    }

    /// Rows and gradient of `weight` times the mean loss.
    pub fn dispatch(&self, of: &ClassifierBuffers, weight: f32) -> Dispatch {
        self.call("pred scores and loss", "pred", &self.params(of, weight), of)
    }

    /// The same, and [`Similarity::features`] of `z` in [`Mode::Flat`], for samples of one position.
    ///
    /// # Panics
    /// In another mode: a defect of the caller.
    pub fn with_features(
        &self,
        of: &ClassifierBuffers,
        weight: f32,
        similarity: &Similarity,
        z: Features,
        [u, stats]: [Slice; 2],
    ) -> Dispatch {
        assert!(similarity.mode == Mode::Flat && similarity.spatial == 1, "features of flat samples");
        let params = Params {
            features: similarity.features_len() / 4,
            real_features: similarity.real_channels,
            stride: similarity.batch.next_multiple_of(4),
            ..self.params(of, weight)
        };
        let dispatch = self.call("pred loss, similarity features", "pred_and_features", &params, of);
        let flops = dispatch.flops + 8 * u64::from(similarity.batch) * u64::from(similarity.channels);
        let dispatch = match z {
            Features::Whole(z) => dispatch.loads(z),
            Features::Parts(parts) => dispatch.sums(FEATURES, parts.slice, parts.count),
        };
        dispatch.writes(u).writes(stats).flops(flops)
    }
}
