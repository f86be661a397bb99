//! Batch normalisation, activation and 2x2 maximum pooling of `[N, H, W, channels]` in one pass, and the way back in
//! two: what lies between is made again and never stored, unless something else reads it.
//!
//! The mathematics are those of [`super::batchnorm`], [`super::batchnorm_backward`] and [`MaxPool`]. Of a map `x`
//! forward reads `x` and writes a quarter of it, where single kernels write and read the activation beside; backward
//! reads `x` twice and writes its gradient, where they also write the activation's gradient and read it twice, and the
//! activation.

use bytemuck::{Pod, Zeroable};

use super::activation::ACTIVATION;
use super::batchnorm::BatchNorm;
use super::pool::{MAXIMUM, MaxPool};
use super::sweep::{RowChunk, SWEEP, Sweep};
use super::{Activation, COMMON};
use crate::gpu::{Dispatch, Input, Pipeline, Shader, Slice};

const INPUTS: &[Input] = &[Input::new(1, "x"), Input::new(4, "dmaxima")];
const SHADER: Shader = Shader::with_inputs(
    "batchnorm_pool",
    INPUTS,
    &[COMMON, SWEEP, ACTIVATION, MAXIMUM, include_str!("../../shaders/batchnorm_pool.wgsl")],
);

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    windows: u32,
    groups: u32,
    span: u32,
    slots: u32,
    height: u32,
    width: u32,
    windows_h: u32,
    windows_w: u32,
    first_slot: u32,
    all_rows: u32,
    spare: [u32; 2],
}

/// What is pooled: `act(bn(x))`, or `act(x)`.
#[derive(Debug, Clone, Copy)]
pub struct Pooled {
    /// The layer's output, `[N, H, W, channels]`.
    pub x: Slice,
    /// `[mean | 1 / sqrt(variance + eps)]` and `[gamma | beta]`, two vectors of `channels` each, with a normalisation.
    pub norm: Option<[Slice; 2]>,
    /// What follows.
    pub activation: Activation,
}

impl MaxPool {
    /// Writes the maxima of what is pooled to `maxima` `[N, H/2, W/2, channels]` and, where it is asked for, what is
    /// pooled to `h` `[N, H, W, channels]`.
    pub fn activated(&self, of: Pooled, h: Option<Slice>, maxima: Slice) -> Dispatch {
        let windows = if h.is_some() { self.all_windows() } else { [self.out_height(), self.out_width()] };
        let entry = if h.is_some() { "forward_kept" } else { "forward" };
        let sweep = Sweep::of_windows(self.batch * windows[0] * windows[1], self.channels);
        let dispatch = self.dispatch("batchnorm and max pool", entry, &of, sweep, self.params(sweep, windows));
        let dispatch = dispatch.writes(maxima).flops(4 * self.elements());
        h.into_iter().fold(dispatch, Dispatch::writes)
    }

    /// All windows, with those that the map's edge cuts off, as the rows of a norm: those that the sums of the way back
    /// go over, with the workspace and the end ([`BatchNorm::backward_finish`]) of such sums.
    pub fn windows(&self) -> BatchNorm {
        let [h, w] = self.all_windows();
        BatchNorm { rows: self.batch * h * w, channels: self.channels }
    }

    /// The partial sums of the gradients of gamma and beta over one chunk of `all` windows: `of.x` and `dmaxima`, the
    /// gradient of the maxima, are this pooling's part.
    pub fn activated_sums(
        &self,
        all: BatchNorm,
        chunk: RowChunk,
        of: Pooled,
        dmaxima: Slice,
        workspace: Slice,
    ) -> Dispatch {
        let (sweep, first_slot) = Sweep::chunked(all.rows, all.channels, chunk.size).chunk(chunk.index);
        let params = Params { first_slot, ..self.params(sweep, self.all_windows()) };
        self.dispatch("batchnorm and max pool sums", "sums", &of, sweep, params)
            .loads(dmaxima)
            .writes(workspace)
            .flops(7 * self.elements())
    }

    /// Writes the gradient of `of.x` to all of `dx`, from that of the maxima; with a normalisation also from `daffine`,
    /// the sums over all `all_rows` pixels of a batch.
    pub fn activated_input(
        &self,
        of: Pooled,
        dmaxima: Slice,
        daffine: Option<Slice>,
        all_rows: u32,
        dx: Slice,
    ) -> Dispatch {
        let sweep = Sweep::of_windows(self.windows().rows, self.channels);
        let params = Params { all_rows, ..self.params(sweep, self.all_windows()) };
        self.dispatch("batchnorm and max pool backward", "input", &of, sweep, params)
            .loads(dmaxima)
            .reads(daffine.unwrap_or(of.x))
            .writes(dx)
            .flops(9 * self.elements())
    }

    /// Windows along each axis, with those that the map's edge cuts off.
    fn all_windows(&self) -> [u32; 2] {
        [self.height.div_ceil(2), self.width.div_ceil(2)]
    }

    fn elements(&self) -> u64 {
        u64::from(self.batch * self.height * self.width) * u64::from(self.channels)
    }

    fn params(&self, sweep: Sweep, [windows_h, windows_w]: [u32; 2]) -> Params {
        Params {
            windows: sweep.rows,
            groups: sweep.groups,
            span: sweep.span,
            slots: sweep.slots(),
            height: self.height,
            width: self.width,
            // The shader divides by them.
            windows_h: windows_h.max(1),
            windows_w: windows_w.max(1),
            first_slot: 0,
            all_rows: 0,
            spare: [0; 2],
        }
    }

    /// The bindings that all entries begin with.
    fn dispatch(
        &self,
        label: &'static str,
        entry: &'static str,
        of: &Pooled,
        sweep: Sweep,
        params: Params,
    ) -> Dispatch {
        let [saved, affine] = of.norm.unwrap_or([of.x; 2]);
        let pipeline = pipeline(entry, of.norm.is_some(), of.activation);
        Dispatch::new(label, pipeline, &params, sweep.workgroups()).loads(of.x).reads(saved).reads(affine)
    }
}

fn pipeline(entry: &'static str, norm: bool, activation: Activation) -> Pipeline {
    Pipeline::new(SHADER, entry, vec![("NORM", u32::from(norm)), ("ACTIVATION", activation.code())])
}

/// Every pipeline of this file.
pub fn variants() -> Vec<Pipeline> {
    let mut all = Vec::new();
    for activation in Activation::ALL {
        for entry in ["forward", "forward_kept", "input"] {
            all.extend([false, true].map(|norm| pipeline(entry, norm, activation)));
        }
        all.push(pipeline("sums", true, activation));
    }
    all
}
