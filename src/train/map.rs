//! An affine map, convolution or matrix product, with one face for both: forward, gradient of the input, gradient of
//! the weights.

use crate::gpu::{Dispatch, Slice};
use crate::kernels::RowChunk;
use crate::kernels::conv2d::Conv2d;
use crate::kernels::gemm::{Gemm, Gradient, Op, Parts};
use crate::kernels::tuning::Tuning;
use crate::kernels::winograd::Winograd;

/// The map of a block, a similarity head or a classifier, for a batch. Sizes are the device's, padded.
#[derive(Debug, Clone, Copy)]
pub enum Map {
    /// `x [N, H, W, cin] -> y [N, OH, OW, cout]`
    Conv(Conv2d),
    /// `x [N, fan_in] -> y [N, fan_out]`
    Dense {
        /// Rows.
        batch: u32,
        /// Features of `x`.
        fan_in: u32,
        /// Features of `y`.
        fan_out: u32,
        /// How its products are computed.
        tuning: Tuning,
    },
}

/// What is in the workspace of a split sum.
const PARTS: &str = "partials";

/// Labels of a map's three dispatches, for tables and profiles.
#[derive(Debug, Clone, Copy)]
pub struct MapLabels {
    /// Forward.
    pub forward: &'static str,
    /// Gradient of the input.
    pub input: &'static str,
    /// Gradient of the weights.
    pub weight: &'static str,
}

/// Those of a block's convolution.
pub const CONV: MapLabels = MapLabels { forward: "conv forward", input: "conv dX", weight: "conv dW" };

impl Map {
    /// Whether it is a convolution, which treats every sample alike and no two of them together.
    pub fn is_conv(&self) -> bool {
        matches!(self, Self::Conv(_))
    }

    /// The same for a part of the batch with so many samples.
    pub fn of_batch(self, batch: u32) -> Self {
        match self {
            Self::Conv(conv) => Self::Conv(Conv2d { batch, part_of: Some(conv.part_of.unwrap_or(conv.batch)), ..conv }),
            Self::Dense { fan_in, fan_out, tuning, .. } => Self::Dense { batch, fan_in, fan_out, tuning },
        }
    }

    /// Elements of the output.
    pub fn output_len(&self) -> u64 {
        let (rows, channels) = (self.rows(), self.channels());
        u64::from(rows) * u64::from(channels)
    }

    /// Elements of the input.
    pub fn input_len(&self) -> u64 {
        match self {
            Self::Conv(c) => u64::from(c.batch) * u64::from(c.height) * u64::from(c.width) * u64::from(c.cin),
            Self::Dense { batch, fan_in, .. } => u64::from(*batch) * u64::from(*fan_in),
        }
    }

    /// Rows of the output seen as a matrix `[rows, channels]`: pixels of all samples.
    pub fn rows(&self) -> u32 {
        match self {
            Self::Conv(c) => c.batch * c.out_height() * c.out_width(),
            Self::Dense { batch, .. } => *batch,
        }
    }

    /// Padded channels of the output.
    pub fn channels(&self) -> u32 {
        match self {
            Self::Conv(c) => c.cout,
            Self::Dense { fan_out, .. } => *fan_out,
        }
    }

    /// `y = map(x) + bias`. Here and below, `room` makes tensors that nothing else uses, by what is in them and their bytes.
    pub fn forward(
        &self,
        labels: MapLabels,
        x: Slice,
        weight: Slice,
        bias: Option<Slice>,
        y: Slice,
        room: impl FnMut(&'static str, u64) -> Slice,
    ) -> Vec<Dispatch> {
        match self {
            Self::Conv(conv) => match Winograd::of(conv) {
                Some(winograd) => winograd.forward(labels.forward, x, weight, bias, y, room),
                None => conv.forward(labels.forward, x, weight, bias, y),
            },
            &Self::Dense { batch, fan_in, fan_out, tuning } => {
                let gemm = dense_forward(batch, [fan_in, fan_out], tuning);
                product(&gemm, labels.forward, [x, weight], bias, y, room)
            }
        }
    }

    /// The same as far as the [parts](Gemm::in_parts) of `y`, where it is made in such parts and its reader wants them.
    pub fn forward_in_parts(
        &self,
        labels: MapLabels,
        x: Slice,
        weight: Slice,
        bias: Option<Slice>,
        room: impl FnOnce(&'static str, u64) -> Slice,
    ) -> Option<(Dispatch, Parts)> {
        let &Self::Dense { batch, fan_in, fan_out, tuning } = self else { return None };
        let gemm = dense_forward(batch, [fan_in, fan_out], tuning);
        gemm.in_parts(labels.forward, [x, weight], bias, |bytes| room(PARTS, bytes))
    }

    /// Rows of the tiles whose moments [`Self::forward_with_moments`] leaves of parts of `chunk_rows` rows; none where it
    /// cannot.
    pub fn moment_rows(&self, chunk_rows: u32) -> Option<u32> {
        match self {
            Self::Conv(conv) if Winograd::of(conv).is_none() => conv.moment_rows(chunk_rows),
            Self::Conv(_) | Self::Dense { .. } => None,
        }
    }

    /// [`Self::forward`] that leaves the moments of `y` besides, for the rows that `chunk` says; see
    /// [`Conv2d::forward_with_moments`].
    ///
    /// # Panics
    /// Where it [leaves none](Self::moment_rows): a defect of the caller.
    pub fn forward_with_moments(
        &self,
        labels: MapLabels,
        operands: [Slice; 2],
        bias: Option<Slice>,
        y: Slice,
        chunk: RowChunk,
        moments: Slice,
    ) -> Vec<Dispatch> {
        let Self::Conv(conv) = self else { unreachable!("only convolutions leave moments") };
        vec![conv.forward_with_moments(labels.forward, operands, bias, y, chunk, moments)]
    }

    /// `dx` from `dy`.
    pub fn backward_input(
        &self,
        labels: MapLabels,
        dy: Slice,
        weight: Slice,
        dx: Slice,
        room: impl FnMut(&'static str, u64) -> Slice,
    ) -> Vec<Dispatch> {
        match self {
            Self::Conv(conv) => match Winograd::of(conv) {
                Some(winograd) => winograd.backward_input(labels.input, dy, weight, dx, room),
                None => conv.backward_input(labels.input, dy, weight, dx),
            },
            &Self::Dense { batch, fan_in, fan_out, tuning } => {
                let gemm = dense_backward(batch, [fan_in, fan_out], tuning);
                product(&gemm, labels.input, [dy, weight], None, dx, room)
            }
        }
    }

    /// The same as far as the parts of `dx`, as in [`Self::forward_in_parts`].
    pub fn backward_input_in_parts(
        &self,
        labels: MapLabels,
        dy: Slice,
        weight: Slice,
        room: impl FnOnce(&'static str, u64) -> Slice,
    ) -> Option<(Dispatch, Parts)> {
        let &Self::Dense { batch, fan_in, fan_out, tuning } = self else { return None };
        let gemm = dense_backward(batch, [fan_in, fan_out], tuning);
        gemm.in_parts(labels.input, [dy, weight], None, |bytes| room(PARTS, bytes))
    }

    /// `dw` from `x` and `dy`.
    pub fn backward_weight(
        &self,
        labels: MapLabels,
        x: Slice,
        dy: Slice,
        dw: Slice,
        mut room: impl FnMut(&'static str, u64) -> Slice,
    ) -> Vec<Dispatch> {
        match self {
            Self::Conv(conv) => match Winograd::of_weights(conv) {
                Some(winograd) => winograd.backward_weight(labels.weight, [x, dy], dw, room),
                None => {
                    let bytes = conv.workspace_bytes();
                    conv.backward_weight(labels.weight, [x, dy], dw, (bytes > 0).then(|| room(PARTS, bytes)))
                }
            },
            Self::Dense { batch, fan_in, fan_out, tuning } => {
                let gemm = Gemm {
                    m: *fan_in,
                    n: *fan_out,
                    k: *batch,
                    op: Op::Tn,
                    gradient: Some(Gradient::B),
                    tuning: *tuning,
                };
                product(&gemm, labels.weight, [x, dy], None, dw, room)
            }
        }
    }
}

fn dense_forward(batch: u32, [fan_in, fan_out]: [u32; 2], tuning: Tuning) -> Gemm {
    Gemm { m: batch, n: fan_out, k: fan_in, op: Op::Nn, gradient: None, tuning }
}

fn dense_backward(batch: u32, [fan_in, fan_out]: [u32; 2], tuning: Tuning) -> Gemm {
    Gemm { m: batch, n: fan_in, k: fan_out, op: Op::Nt, gradient: Some(Gradient::A), tuning }
}

fn product(
    gemm: &Gemm,
    label: &'static str,
    operands: [Slice; 2],
    bias: Option<Slice>,
    c: Slice,
    mut room: impl FnMut(&'static str, u64) -> Slice,
) -> Vec<Dispatch> {
    let bytes = gemm.workspace_bytes();
    gemm.dispatches(label, operands, bias, c, (bytes > 0).then(|| room(PARTS, bytes)))
}
