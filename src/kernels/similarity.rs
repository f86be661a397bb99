//! Similarity matching: features of each sample of a batch, the matrix of their cosines, its distance from a target
//! matrix (paper, section 2.1: `sim`), and the gradient of that distance, whose matrix takes the cosines' place.
//!
//! The target is the similarity matrix of the labels, or any other: that of a block's input, or of projected labels,
//! whose cosines the same kernels make.
//!
//! Forward: `features` (z → u), a product (u → S), `compare` (S → row losses). In training `compare` also makes A of S; then
//! follow a product (A, u → the gradient of the features) and, where these are deviations, `apply` (z becomes its own
//! gradient). The formulas are in `shaders/similarity.wgsl` and `shaders/similarity_matrix.wgsl`.

use std::ops::Range;

use bytemuck::{Pod, Zeroable};

use super::gemm::{Gemm, Op, Parts};
use super::tuning::Tuning;
use super::{COMMON, WORKGROUP_SUM};
use crate::gpu::{Dispatch, Input, InputSum, Pipeline, Shader, Slice, grid};

/// What a sample's features are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mode {
    /// The standard deviation of each map over its positions (divisor: positions - 1).
    SpatialStd,
    /// All values. Dense layers: with `spatial` 1.
    Flat,
}

impl Mode {
    /// How maps `[N, height, W, real_channels]` are compared: by deviation if `similarity_std` is wanted and the maps
    /// have more than 3 channels and more than one line, else by all values.
    pub fn of_maps(real_channels: u32, height: u32, similarity_std: bool) -> Self {
        if similarity_std && real_channels > 3 && height > 1 { Self::SpatialStd } else { Self::Flat }
    }
}

/// Shapes of one similarity loss. All of them at least 1; `channels` a multiple of 4.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Similarity {
    /// N.
    pub batch: u32,
    /// H * W; 1 for dense layers.
    pub spatial: u32,
    /// c: channels of a position on the device, pad lanes included.
    pub channels: u32,
    /// Channels without pad lanes.
    pub real_channels: u32,
    /// The features.
    pub mode: Mode,
    /// How the products are computed.
    pub tuning: Tuning,
}

/// What the cosines are compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Target {
    /// The cosines of the centred one-hot labels.
    Labels {
        /// K.
        classes: u32,
    },
    /// A symmetric matrix, laid out as [`SimilarityBuffers::matrix`].
    Matrix,
}

impl Target {
    /// The cosine of two centred one-hot vectors: 1 in one class and `-1 / (K - 1)` in two. With one class the centred
    /// vector is zero, and so is the cosine. Of no use with a matrix.
    pub(super) fn cosines(self) -> [f32; 2] {
        match self {
            Self::Labels { classes } if classes > 1 => [1.0, -(f64::from(classes) - 1.0).recip() as f32],
            Self::Labels { .. } | Self::Matrix => [0.0; 2],
        }
    }

    /// The shaders' constant.
    pub(super) fn constant(self) -> (&'static str, u32) {
        ("TARGET", u32::from(self == Self::Matrix))
    }
}

/// Where the tensors of one similarity loss lie; sizes are [`Similarity`]'s `*_bytes`.
#[derive(Debug, Clone, Copy)]
pub struct SimilarityBuffers {
    /// `[N, spatial, c]`, read; after the backward pass its own gradient.
    pub z: Slice,
    /// `[stride, F]`, with N up to a multiple of 4 as `stride`: centred features of norm 1, and zeros.
    pub u: Slice,
    /// What the backward pass needs: see [`Similarity::stats_bytes`].
    pub stats: Slice,
    /// S, `[N, stride]`; after the gradient A, the weights of its sum.
    pub matrix: Slice,
    /// `[N]`: row sums of `(S - T)^2 / N^2`; their sum is the loss.
    pub rows: Slice,
    /// `[N, c]`: the gradient of the features. Not used in [`Mode::Flat`], where any slice will do.
    pub df: Slice,
    /// Of [`Similarity::workspace_bytes`], if these are not 0.
    pub workspace: Option<Slice>,
    /// Class of each sample, `u32 [N]`, or the matrix to match: what [`Target`] says.
    pub target: Slice,
}

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable, Default)]
struct Params {
    batch: u32,
    spatial: u32,
    groups: u32,
    real_channels: u32,
    features: u32,
    slab: u32,
    stride: u32,
    same: f32,
    other: f32,
    loss_scale: f32,
    gradient_scale: f32,
    first: u32,
    count: u32,
    spare: [u32; 3],
}

/// `shaders/similarity_target.wgsl`: what similarities are compared with.
pub(super) const TARGET: &str = include_str!("../../shaders/similarity_target.wgsl");
const HEAD: &str = include_str!("../../shaders/similarity.wgsl");
const FEATURES: Shader =
    Shader::with_inputs("similarity", &[Input::new(1, "features_z")], &[COMMON, WORKGROUP_SUM, HEAD]);
const MATRIX: Shader = Shader::with_inputs(
    "similarity_matrix",
    &[Input::new(1, "features_z"), Input::new(COSINES, "cosines")],
    &[COMMON, WORKGROUP_SUM, HEAD, TARGET, include_str!("../../shaders/similarity_matrix.wgsl")],
);
const GRADIENT: Shader = Shader::with_inputs(
    "similarity_gradient",
    &[Input::new(1, "features_z"), Input::updated(3, "apply_z")],
    &[COMMON, WORKGROUP_SUM, HEAD, include_str!("../../shaders/similarity_gradient.wgsl")],
);

/// Workgroup sizes of small and large shapes.
const SIZES: [u32; 2] = [16, 64];
/// A sample of at least this many vec4s gets a workgroup of `WIDE` invocations for its features.
const WIDE_FROM: u32 = 4096;
const WIDE: u32 = 256;
/// Positions of one workgroup of `apply`.
const SLAB: u32 = 64;

fn pipeline(shader: Shader, entry: &'static str, threads: u32, mode: Mode) -> Pipeline {
    let constants = vec![("THREADS", threads), ("SPATIAL_STD", u32::from(mode == Mode::SpatialStd))];
    Pipeline::new(shader, entry, constants)
}

/// The binding of the cosines where `compare` adds them up.
const COSINES: u32 = 5;

fn comparison(entry: &'static str, threads: u32, target: Target, gradient: bool) -> Pipeline {
    let mut pipeline = pipeline(MATRIX, entry, threads, Mode::Flat);
    pipeline.constants.extend([target.constant(), ("GRADIENT", u32::from(gradient))]);
    pipeline
}

/// Every pipeline that the dispatches below can ask for.
pub fn variants() -> Vec<Pipeline> {
    let mut all = Vec::new();
    for mode in [Mode::SpatialStd, Mode::Flat] {
        all.extend([SIZES[0], SIZES[1], WIDE].map(|threads| pipeline(FEATURES, "features", threads, mode)));
    }
    for threads in SIZES {
        for target in [Target::Labels { classes: 2 }, Target::Matrix] {
            all.extend([false, true].map(|gradient| comparison("compare", threads, target, gradient)));
            let sum = InputSum { input: COSINES, at: COSINES, count: 3 };
            all.push(comparison("compare_parts", threads, target, true).with_sum(sum));
        }
        all.push(pipeline(GRADIENT, "apply", threads, Mode::SpatialStd));
    }
    all
}

fn small_or_large(count: u32) -> u32 {
    SIZES[usize::from(count > SIZES[0])]
}

impl Similarity {
    /// F: features of a sample, pad lanes included.
    pub fn features_len(&self) -> u32 {
        match self.mode {
            Mode::SpatialStd => self.channels,
            Mode::Flat => self.channels * self.spatial,
        }
    }

    /// Bytes of `z`, `f32 [N, spatial, c]`.
    pub fn z_bytes(&self) -> u64 {
        4 * u64::from(self.batch) * u64::from(self.spatial) * u64::from(self.channels)
    }

    /// Bytes of `u`, `f32 [stride, F]`.
    pub fn u_bytes(&self) -> u64 {
        4 * u64::from(self.stride()) * u64::from(self.features_len())
    }

    /// N up to a multiple of 4.
    fn stride(&self) -> u32 {
        self.batch.next_multiple_of(4)
    }

    /// S = u u^T
    fn cosines(&self) -> Gemm {
        self.product(self.stride(), self.features_len(), Op::Nt)
    }

    /// df = A u
    fn pulled(&self) -> Gemm {
        self.product(self.features_len(), self.stride(), Op::Nn)
    }

    /// A product with a row a sample. A loss is not rounded.
    fn product(&self, n: u32, k: u32, op: Op) -> Gemm {
        Gemm { m: self.batch, n, k, op, gradient: None, tuning: self.tuning.single() }
    }

    /// Bytes of the workspace; 0 where none is needed.
    pub fn workspace_bytes(&self) -> u64 {
        self.cosines().workspace_bytes().max(self.pulled().workspace_bytes())
    }

    /// Bytes of the statistics: `f32 [N, 4]` (norm of the centred features, three spare); with
    /// [`Mode::SpatialStd`] then the deviations `f32 [N, c]` and the spatial means `f32 [N, c]`.
    pub fn stats_bytes(&self) -> u64 {
        let maps = if self.mode == Mode::SpatialStd { 2 * u64::from(self.channels) } else { 0 };
        4 * u64::from(self.batch) * (4 + maps)
    }

    /// First byte of the spatial means `f32 [N, c]` in the statistics of [`Mode::SpatialStd`].
    pub fn means_offset(&self) -> u64 {
        4 * u64::from(self.batch) * (4 + u64::from(self.channels))
    }

    /// Bytes of `S`, `f32 [N, stride]`.
    pub fn matrix_bytes(&self) -> u64 {
        4 * u64::from(self.batch) * u64::from(self.stride())
    }

    /// Bytes of the row losses, `f32 [N]`.
    pub fn rows_bytes(&self) -> u64 {
        4 * u64::from(self.batch)
    }

    /// Bytes of the features' gradient, `f32 [N, c]`; 0 in [`Mode::Flat`].
    pub fn df_bytes(&self) -> u64 {
        if self.mode == Mode::SpatialStd { 4 * u64::from(self.batch) * u64::from(self.channels) } else { 0 }
    }

    fn params(&self) -> Params {
        Params {
            batch: self.batch,
            spatial: self.spatial,
            groups: self.channels / 4,
            real_channels: self.real_channels,
            features: self.features_len() / 4,
            slab: SLAB,
            stride: self.stride(),
            count: self.batch,
            ..Params::default()
        }
    }

    fn with_target(&self, target: Target) -> Params {
        let square = (f64::from(self.batch) * f64::from(self.batch)).recip();
        let [same, other] = target.cosines();
        Params { same, other, loss_scale: square as f32, ..self.params() }
    }

    /// z → u and the statistics. A workgroup a sample.
    pub fn features(&self, z: Slice, u: Slice, stats: Slice) -> Dispatch {
        self.features_of(0..self.batch, z, u, stats)
    }

    /// The same for a run of samples, of which `z` is; `u` and `stats` are those of the batch. The last run also writes the
    /// zeros behind the batch.
    pub fn features_of(&self, samples: Range<u32>, z: Slice, u: Slice, stats: Slice) -> Dispatch {
        let work = self.spatial * self.channels / 4;
        let threads = if work < WIDE_FROM { small_or_large(work) } else { WIDE };
        let count = samples.end - samples.start;
        let values = u64::from(count) * u64::from(self.spatial) * u64::from(self.channels);
        let pipeline = pipeline(FEATURES, "features", threads, self.mode);
        let params = Params { first: samples.start, count, ..self.params() };
        let rows = if samples.end == self.batch { self.stride() } else { samples.end } - samples.start;
        Dispatch::new("similarity features", pipeline, &params, grid(rows))
            .loads(z)
            .writes(u)
            .writes(stats)
            .flops(8 * values)
    }

    /// u → S clamped to [-1, 1], and the row losses.
    pub fn loss(&self, buffers: &SimilarityBuffers, target: Target) -> Vec<Dispatch> {
        let mut all = self.similarities(buffers);
        all.push(self.compare(buffers, target, None, None));
        all
    }

    /// u → the row losses and the gradient of `scale` times the loss: in [`Mode::Flat`] that of z, written over it, in
    /// [`Mode::SpatialStd`] that of the deviations, which [`Self::apply`] takes to z. S is lost.
    ///
    /// # Panics
    /// Without the workspace that it needs: a defect of the caller.
    pub fn loss_and_gradient(&self, buffers: &SimilarityBuffers, target: Target, scale: f32) -> Vec<Dispatch> {
        let &SimilarityBuffers { u, workspace, .. } = buffers;
        let room = |_| workspace.expect("a split product needs a workspace");
        let (mut all, parts) = match self.cosines().in_parts("cosines", [u, u], None, room) {
            Some((product, parts)) => (vec![product], Some(parts)),
            None => (self.similarities(buffers), None),
        };
        all.push(self.compare(buffers, target, Some(scale), parts));
        all.extend(self.pull(buffers));
        all
    }

    /// The same from S, where it is there already.
    pub fn gradient(&self, buffers: &SimilarityBuffers, target: Target, scale: f32) -> Vec<Dispatch> {
        let mut all = vec![self.compare(buffers, target, Some(scale), None)];
        all.extend(self.pull(buffers));
        all
    }

    /// A → the gradient of the features
    fn pull(&self, buffers: &SimilarityBuffers) -> Vec<Dispatch> {
        let SimilarityBuffers { u, matrix, workspace, .. } = *buffers;
        let out = match self.mode {
            Mode::SpatialStd => buffers.df,
            Mode::Flat => buffers.z,
        };
        self.pulled().dispatches("similarity gradient", [matrix, u], None, out, workspace)
    }

    /// u → S
    fn similarities(&self, buffers: &SimilarityBuffers) -> Vec<Dispatch> {
        let SimilarityBuffers { u, matrix, workspace, .. } = *buffers;
        self.cosines().dispatches("cosines", [u, u], None, matrix, workspace)
    }

    /// S → the row losses; S is clamped or, with the `scale` of a gradient, becomes A. With `parts` it is added up from them
    /// first.
    fn compare(
        &self,
        buffers: &SimilarityBuffers,
        target: Target,
        scale: Option<f32>,
        parts: Option<Parts>,
    ) -> Dispatch {
        let square = u64::from(self.batch) * u64::from(self.batch);
        let gradient_scale = scale.map_or(0.0, |scale| (4.0 * f64::from(scale) / square as f64) as f32);
        let params = Params { gradient_scale, ..self.with_target(target) };
        let entry = if parts.is_some() { "compare_parts" } else { "compare" };
        let pipeline = comparison(entry, small_or_large(self.batch), target, scale.is_some());
        let (label, flops) = if scale.is_some() { ("similarity loss and weights", 9) } else { ("similarity loss", 5) };
        let dispatch = Dispatch::new(label, pipeline, &params, grid(self.batch))
            .reads(buffers.target)
            .reads(buffers.stats)
            .writes(buffers.matrix)
            .writes(buffers.rows)
            .flops(flops * square);
        match parts {
            Some(parts) => dispatch.sums(COSINES, parts.slice, parts.count),
            None => dispatch,
        }
    }

    /// z becomes its own gradient, from that of the deviations. Nothing to do in [`Mode::Flat`].
    pub fn apply(&self, z: Slice, stats: Slice, df: Slice) -> Option<Dispatch> {
        self.apply_of(0..self.batch, z, stats, df)
    }

    /// The same for a run of samples, of which `z` is; `stats` and `df` are those of the batch.
    pub fn apply_of(&self, samples: Range<u32>, z: Slice, stats: Slice, df: Slice) -> Option<Dispatch> {
        if self.mode == Mode::Flat {
            return None;
        }
        let count = samples.end - samples.start;
        let params = Params { first: samples.start, count, ..self.params() };
        let threads = small_or_large(params.groups * self.spatial);
        let blocks = params.groups.div_ceil(threads.min(params.groups));
        let dispatch = Dispatch::new(
            "similarity apply",
            pipeline(GRADIENT, "apply", threads, Mode::SpatialStd),
            &params,
            grid(count * blocks * self.spatial.div_ceil(SLAB)),
        );
        let values = u64::from(count) * u64::from(self.spatial) * u64::from(self.channels);
        Some(dispatch.reads(df).reads(stats).updates(z).flops(2 * values))
    }

    /// The loss: [`Self::features`], [`Self::loss`].
    pub fn forward(&self, buffers: &SimilarityBuffers, target: Target) -> Vec<Dispatch> {
        let features = self.features(buffers.z, buffers.u, buffers.stats);
        [features].into_iter().chain(self.loss(buffers, target)).collect()
    }

    /// The gradient of `scale` times the loss, over z: [`Self::gradient`], [`Self::apply`]. After [`Self::forward`].
    pub fn backward(&self, buffers: &SimilarityBuffers, target: Target, scale: f32) -> Vec<Dispatch> {
        let apply = self.apply(buffers.z, buffers.stats, buffers.df);
        self.gradient(buffers, target, scale).into_iter().chain(apply).collect()
    }
}
