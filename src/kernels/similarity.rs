//! Similarity matching: features of each sample of a batch, the matrix of their cosines, its distance from a target
//! matrix (paper, section 2.1: `sim`), and the gradient of that distance, without an N by N gradient ever stored.
//!
//! The target is the similarity matrix of the labels, or any other: that of a block's input, or of projected labels,
//! whose cosines the same kernels make.
//!
//! Four dispatches: `features` (z → u), `loss` (u → S, row losses), `gradient` (u, S → dz, or the coefficients that make
//! dz out of z), `apply` (z becomes dz in place). The formulas are those of the golden cases' description,
//! "Similarity S(t)" and "Heads".

use bytemuck::{Pod, Zeroable};

use super::COMMON;
use crate::gpu::{Dispatch, Pipeline, Shader, Slice, grid};

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
}

/// What the cosines are compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Target {
    /// The cosines of the centred one-hot labels.
    Labels {
        /// K.
        classes: u32,
    },
    /// A symmetric matrix `f32 [N, N]`.
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
    /// `[N, F]`: centred features of norm 1.
    pub u: Slice,
    /// What the backward pass needs: see [`Similarity::stats_bytes`].
    pub stats: Slice,
    /// S, `[N, N]`.
    pub matrix: Slice,
    /// `[N]`: row sums of `(S - T)^2 / N^2`; their sum is the loss.
    pub rows: Slice,
    /// `[N, c]`: dz = coefficient * (z - spatial mean). Not used in [`Mode::Flat`], where any slice will do.
    pub coefficients: Slice,
    /// Class of each sample, `u32 [N]`, or the matrix to match, `f32 [N, N]`: what [`Target`] says.
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
    same: f32,
    other: f32,
    loss_scale: f32,
    gradient_scale: f32,
    spare: [u32; 2],
}

const HEAD: &str = include_str!("../../shaders/similarity.wgsl");
const FEATURES: Shader = Shader { name: "similarity", parts: &[COMMON, HEAD] };
const MATRIX: Shader =
    Shader { name: "similarity_matrix", parts: &[COMMON, HEAD, include_str!("../../shaders/similarity_matrix.wgsl")] };
const GRADIENT: Shader = Shader {
    name: "similarity_gradient",
    parts: &[COMMON, HEAD, include_str!("../../shaders/similarity_gradient.wgsl")],
};

/// Rows of the matrix that a workgroup owns, `ROWS` in the shader.
const ROWS: u32 = 8;
/// Workgroup sizes of small and large shapes.
const SIZES: [u32; 2] = [16, 64];
/// A sample of at least this many vec4s gets a workgroup of `WIDE` invocations for its features.
const WIDE_FROM: u32 = 4096;
const WIDE: u32 = 256;
/// Positions of one workgroup of `apply`.
const SLAB: u32 = 64;

fn pipeline(shader: Shader, entry: &'static str, threads: u32, mode: Mode, target: Target) -> Pipeline {
    let constants = vec![("THREADS", threads), ("SPATIAL_STD", u32::from(mode == Mode::SpatialStd)), target.constant()];
    Pipeline { shader, entry, constants, guarded: true }
}

/// Stands for either where it makes no difference.
const LABELS: Target = Target::Labels { classes: 2 };

/// Every pipeline that the dispatches below can ask for.
pub fn variants() -> Vec<Pipeline> {
    let mut all = Vec::new();
    for mode in [Mode::SpatialStd, Mode::Flat] {
        for threads in SIZES {
            all.push(pipeline(FEATURES, "features", threads, mode, LABELS));
            all.extend([LABELS, Target::Matrix].map(|target| pipeline(GRADIENT, "gradient", threads, mode, target)));
        }
        all.push(pipeline(FEATURES, "features", WIDE, mode, LABELS));
    }
    for threads in SIZES {
        all.extend([LABELS, Target::Matrix].map(|target| pipeline(MATRIX, "matrix", threads, Mode::Flat, target)));
        all.push(pipeline(GRADIENT, "apply", threads, Mode::SpatialStd, LABELS));
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

    /// Bytes of `u`, `f32 [N, F]`.
    pub fn u_bytes(&self) -> u64 {
        4 * u64::from(self.batch) * u64::from(self.features_len())
    }

    /// Bytes of the statistics: `f32 [N, 4]` (norm of the centred features, `sum_j (S - T) S`, two spare); with
    /// [`Mode::SpatialStd`] then the deviations `f32 [N, c]` and the spatial means `f32 [N, c]`.
    pub fn stats_bytes(&self) -> u64 {
        let maps = if self.mode == Mode::SpatialStd { 2 * u64::from(self.channels) } else { 0 };
        4 * u64::from(self.batch) * (4 + maps)
    }

    /// First byte of the spatial means `f32 [N, c]` in the statistics of [`Mode::SpatialStd`].
    pub fn means_offset(&self) -> u64 {
        4 * u64::from(self.batch) * (4 + u64::from(self.channels))
    }

    /// Bytes of `S`, `f32 [N, N]`.
    pub fn matrix_bytes(&self) -> u64 {
        4 * u64::from(self.batch) * u64::from(self.batch)
    }

    /// Bytes of the row losses, `f32 [N]`.
    pub fn rows_bytes(&self) -> u64 {
        4 * u64::from(self.batch)
    }

    /// Bytes of the labels, `u32 [N]`.
    pub fn labels_bytes(&self) -> u64 {
        4 * u64::from(self.batch)
    }

    /// Bytes of the coefficients, `f32 [N, c]`; 0 in [`Mode::Flat`].
    pub fn coefficients_bytes(&self) -> u64 {
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
        let work = self.spatial * self.channels / 4;
        let threads = if work < WIDE_FROM { small_or_large(work) } else { WIDE };
        let values = u64::from(self.batch) * u64::from(self.spatial) * u64::from(self.channels);
        Dispatch::new(
            "similarity features",
            pipeline(FEATURES, "features", threads, self.mode, LABELS),
            &self.params(),
            grid(self.batch),
        )
        .reads(z)
        .writes(u)
        .writes(stats)
        .flops(8 * values)
    }

    /// u → S clamped to [-1, 1], and the row losses. Adds to the statistics what the gradient needs.
    pub fn loss(&self, buffers: &SimilarityBuffers, target: Target) -> Dispatch {
        let batch = u64::from(self.batch);
        Dispatch::new(
            "similarity loss",
            pipeline(MATRIX, "matrix", small_or_large(self.batch / 2), Mode::Flat, target),
            &self.with_target(target),
            grid(self.batch.div_ceil(ROWS)),
        )
        .reads(buffers.u)
        .reads(buffers.target)
        .writes(buffers.stats)
        .writes(buffers.matrix)
        .writes(buffers.rows)
        .flops(2 * batch * batch * u64::from(self.features_len()))
    }

    /// u, S → gradient of `scale` times the loss: in [`Mode::Flat`] written over z, in [`Mode::SpatialStd`] as the
    /// coefficients that [`Self::apply`] (or a kernel that loads z) multiplies with `z - mean`.
    pub fn gradient(&self, buffers: &SimilarityBuffers, target: Target, scale: f32) -> Dispatch {
        let batch = u64::from(self.batch);
        let mut params = self.with_target(target);
        params.gradient_scale = (4.0 * f64::from(scale) / (batch * batch) as f64) as f32;
        let threads = small_or_large(params.features);
        let out = match self.mode {
            Mode::SpatialStd => buffers.coefficients,
            Mode::Flat => buffers.z,
        };
        Dispatch::new(
            "similarity gradient",
            pipeline(GRADIENT, "gradient", threads, self.mode, target),
            &params,
            grid(self.batch.div_ceil(ROWS) * params.features.div_ceil(threads)),
        )
        .reads(buffers.u)
        .reads(buffers.target)
        .reads(buffers.stats)
        .reads(buffers.matrix)
        .writes(out)
        .flops(2 * batch * batch * u64::from(self.features_len()))
    }

    /// z becomes its own gradient, from the coefficients. Nothing to do in [`Mode::Flat`].
    pub fn apply(&self, z: Slice, stats: Slice, coefficients: Slice) -> Option<Dispatch> {
        if self.mode == Mode::Flat {
            return None;
        }
        let params = self.params();
        let threads = small_or_large(params.groups * self.spatial);
        let blocks = params.groups.div_ceil(threads.min(params.groups));
        let dispatch = Dispatch::new(
            "similarity apply",
            pipeline(GRADIENT, "apply", threads, Mode::SpatialStd, LABELS),
            &params,
            grid(self.batch * blocks * self.spatial.div_ceil(SLAB)),
        );
        let values = u64::from(self.batch) * u64::from(self.spatial) * u64::from(self.channels);
        Some(dispatch.reads(coefficients).reads(stats).writes(z).flops(2 * values))
    }

    /// The loss: [`Self::features`], [`Self::loss`].
    pub fn forward(&self, buffers: &SimilarityBuffers, target: Target) -> Vec<Dispatch> {
        vec![self.features(buffers.z, buffers.u, buffers.stats), self.loss(buffers, target)]
    }

    /// The gradient of `scale` times the loss, over z: [`Self::gradient`], [`Self::apply`]. After [`Self::forward`].
    pub fn backward(&self, buffers: &SimilarityBuffers, target: Target, scale: f32) -> Vec<Dispatch> {
        let apply = self.apply(buffers.z, buffers.stats, buffers.coefficients);
        [self.gradient(buffers, target, scale)].into_iter().chain(apply).collect()
    }
}
