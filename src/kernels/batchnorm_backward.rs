//! Backward of batch normalisation and activation, in place over the incoming gradient.
//!
//! With `xhat = (y - mean) / deviation` and `dz = dh * act'(gamma * xhat + beta)`, Ioffe & Szegedy's gradients are
//! `dgamma = sum dz*xhat`, `dbeta = sum dz` and
//! `dy = gamma / deviation * (dz - (dbeta + xhat * dgamma) / rows)`, sums over rows. `xhat` is made again from `y`, so
//! that nothing but `y` and two numbers a channel has to be kept.

use bytemuck::{Pod, Zeroable};

use super::activation::ACTIVATION;
use super::batchnorm::{BatchNorm, Normalised};
use super::pool::PoolGeometry;
use super::sweep::{RowChunk, SWEEP, Sweep, line};
use super::{Activation, COMMON};
use crate::gpu::{Dispatch, Input, Pipeline, Shader, Slice};

const INPUTS: &[Input] = &[
    Input::new(1, "finish_partials"),
    Input::new(1, "pooled"),
    Input::new(2, "y"),
    Input::new(5, "sums_dense"),
    Input::updated(6, "input_gradient"),
    Input::updated(3, "activation_gradient"),
];
const SHADER: Shader = Shader::with_inputs(
    "batchnorm_backward",
    INPUTS,
    &[COMMON, SWEEP, ACTIVATION, include_str!("../../shaders/batchnorm_backward.wgsl")],
);

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    rows: u32,
    groups: u32,
    span: u32,
    slots: u32,
    height: u32,
    width: u32,
    kh: u32,
    kw: u32,
    pad_h: u32,
    pad_w: u32,
    pooled_height: u32,
    pooled_width: u32,
    first_slot: u32,
    all_rows: u32,
    spare: [u32; 2],
}

/// Where the gradient of `h` comes from, and where the gradient of `y` goes. With neither source it is zero.
#[derive(Debug, Clone, Copy)]
pub struct Upstream {
    /// `[rows, channels]`: the gradient of `y` on return, and the dense part of that of `h` before, if there is one.
    pub gradient: Slice,
    /// Whether `gradient` holds a part of the gradient of `h`.
    pub dense: bool,
    /// The gradient of an average-pooled copy of `h`, `[N, PH, PW, channels]`, and that pooling, whose batch, height and
    /// width multiply to `rows` and whose padding is smaller than its kernel. A copy that is not pooled is one with a
    /// kernel of 1.
    pub pooled: Option<(Slice, PoolGeometry)>,
}

impl Upstream {
    /// The pooled source, if it has any window at all.
    fn windows(&self) -> Option<(Slice, PoolGeometry)> {
        self.pooled.filter(|(_, pool)| pool.out_height() > 0 && pool.out_width() > 0)
    }
}

impl BatchNorm {
    /// Writes the gradients of gamma and beta to `daffine` (`[dgamma | dbeta]`, two vectors of `channels`) and that of
    /// `y` over `upstream.gradient`: partial sums, their sums, the gradient. The workspace is the one of
    /// [`Self::workspace_bytes`].
    pub fn backward(&self, of: Normalised, upstream: Upstream, daffine: Slice, workspace: Slice) -> Vec<Dispatch> {
        let mut all = self.backward_affine(of, upstream, daffine, workspace);
        all.push(self.backward_input(of, upstream, daffine, self.rows));
        all
    }

    /// The gradient of `y` over `upstream.gradient`, from the sums in `daffine`, for a chunk of a batch: of its `all_rows`
    /// rows `y` and the gradient are [`Self::rows`].
    pub fn backward_input(&self, of: Normalised, upstream: Upstream, daffine: Slice, all_rows: u32) -> Dispatch {
        let pooled = upstream.windows().map_or(of.y, |(slice, _)| slice);
        let sweep = Sweep::elementwise(self.rows, self.channels);
        let params = Params { all_rows, ..params(&upstream, sweep) };
        let pipeline = pipeline("input", of.activation, upstream.dense, upstream.windows().is_some());
        Dispatch::new("batchnorm backward input", pipeline, &params, sweep.workgroups())
            .loads(pooled)
            .loads(of.y)
            .reads(of.saved)
            .reads(of.affine)
            .reads(daffine)
            .updates(upstream.gradient)
            .flops(9 * self.elements())
    }

    /// The gradients of gamma and beta alone; `upstream.gradient` is only read.
    pub fn backward_affine(
        &self,
        of: Normalised,
        upstream: Upstream,
        daffine: Slice,
        workspace: Slice,
    ) -> Vec<Dispatch> {
        let sums = self.backward_sums(RowChunk::whole(self.rows), of, upstream, workspace);
        vec![sums, self.backward_finish(self.rows, workspace, daffine)]
    }

    /// The partial sums of one chunk of the rows, whose parts `of.y` and `upstream` are, in their place in the workspace.
    pub fn backward_sums(&self, chunk: RowChunk, of: Normalised, upstream: Upstream, workspace: Slice) -> Dispatch {
        let (sweep, first_slot) = Sweep::chunked(self.rows, self.channels, chunk.size).chunk(chunk.index);
        let pooled = upstream.windows().map_or(of.y, |(slice, _)| slice);
        let dense = if upstream.dense { upstream.gradient } else { of.y };
        let params = Params { first_slot, ..params(&upstream, sweep) };
        let pipeline = pipeline("sums", of.activation, upstream.dense, upstream.windows().is_some());
        Dispatch::new("batchnorm backward sums", pipeline, &params, sweep.workgroups())
            .loads(pooled)
            .loads(of.y)
            .reads(of.saved)
            .reads(of.affine)
            .loads(dense)
            .writes(workspace)
            .flops(7 * u64::from(sweep.rows) * u64::from(self.channels))
    }

    /// The gradients of gamma and beta from the partial sums of all chunks of `chunk_rows` rows.
    pub fn backward_finish(&self, chunk_rows: u32, workspace: Slice, daffine: Slice) -> Dispatch {
        let sweep = Sweep::chunked(self.rows, self.channels, chunk_rows);
        let none = Upstream { gradient: daffine, dense: false, pooled: None };
        let pipeline = pipeline("finish", Activation::None, false, false);
        let groups = line(2 * sweep.groups);
        Dispatch::new("batchnorm backward finish", pipeline, &params(&none, sweep), groups)
            .loads(workspace)
            .writes(daffine)
    }

    /// Without normalisation: writes `dy = dh * act'(y)` over `upstream.gradient`.
    pub fn backward_activation(&self, y: Slice, upstream: Upstream, activation: Activation) -> Dispatch {
        let sweep = Sweep::elementwise(self.rows, self.channels);
        let pooled = upstream.windows().map_or(y, |(slice, _)| slice);
        let pipeline = pipeline("activation", activation, upstream.dense, upstream.windows().is_some());
        Dispatch::new("activation backward", pipeline, &params(&upstream, sweep), sweep.workgroups())
            .loads(pooled)
            .loads(y)
            .updates(upstream.gradient)
    }
}

fn params(upstream: &Upstream, sweep: Sweep) -> Params {
    let none = PoolGeometry { batch: 0, height: 1, width: 1, channels: 4, kh: 1, kw: 1, pad_h: 0, pad_w: 0 };
    let pool = upstream.windows().map_or(none, |(_, pool)| pool);
    debug_assert!(
        pool.batch == 0 || pool.batch * pool.height * pool.width == sweep.rows,
        "{pool:?} is not of {sweep:?}"
    );
    Params {
        rows: sweep.rows,
        groups: sweep.groups,
        span: sweep.span,
        slots: sweep.slots(),
        height: pool.height,
        width: pool.width,
        kh: pool.kh,
        kw: pool.kw,
        pad_h: pool.pad_h,
        pad_w: pool.pad_w,
        pooled_height: pool.out_height(),
        pooled_width: pool.out_width(),
        first_slot: 0,
        all_rows: sweep.rows,
        spare: [0; 2],
    }
}

fn pipeline(entry: &'static str, activation: Activation, dense: bool, pooled: bool) -> Pipeline {
    let constants = vec![("ACTIVATION", activation.code()), ("DENSE", u32::from(dense)), ("POOLED", u32::from(pooled))];
    Pipeline::new(SHADER, entry, constants)
}

/// Every pipeline of this file.
pub fn variants() -> Vec<Pipeline> {
    let mut all = vec![pipeline("finish", Activation::None, false, false)];
    for entry in ["sums", "input", "activation"] {
        for activation in Activation::ALL {
            for (dense, pooled) in [(false, false), (false, true), (true, false), (true, true)] {
                all.push(pipeline(entry, activation, dense, pooled));
            }
        }
    }
    all
}
