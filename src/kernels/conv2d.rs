//! Convolutions (`shaders/conv2d.wgsl`): forward, gradient of the input, gradient of the weights.

use bytemuck::{Pod, Zeroable};

use super::gemm::{Parts, Tiling, family_variants};
use super::sweep::RowChunk;
use super::tuning::{Family, Kernel, Shaders, Tuning, product_shaders};
use crate::gpu::{Constants, Dispatch, Input, Pipeline, Shader, Slice};

const CONV2D: Kernel = Kernel {
    operands: include_str!("../../shaders/conv2d.wgsl"),
    registers: include_str!("../../shaders/conv2d_registers.wgsl"),
    workgroup: include_str!("../../shaders/conv2d_workgroup.wgsl"),
    close: Kernel::NO_MOMENTS,
};
const CONV2D_WITH_MOMENTS: Kernel = Kernel { close: Kernel::MOMENTS, ..CONV2D };

/// Cross-correlation of `x [N, H, W, cin]` with `w [K, K, cin, cout]` to `y [N, OH, OW, cout]`, zero-padded on all sides.
/// Channels are the device's, multiples of 4.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Conv2d {
    /// N.
    pub batch: u32,
    /// H.
    pub height: u32,
    /// W.
    pub width: u32,
    /// Channels of x.
    pub cin: u32,
    /// Channels of y.
    pub cout: u32,
    /// K.
    pub kernel: u32,
    /// Step, in both directions; from 1.
    pub stride: u32,
    /// Lines of zeros on each side; the padded picture is at least as large as the kernel.
    pub pad: u32,
    /// Samples of the batch that these are a part of, where they are: the loss is a mean over all of them.
    pub part_of: Option<u32>,
    /// How it is computed.
    pub tuning: Tuning,
}

/// The most output pixels that a tile of the weights' gradient walks over on the software driver: so many stay in the
/// processor's cache until the next tile wants them (against 8192, 0.8 of the time, at 128 to 256 channels on 28x28).
const CACHED_PIXELS: u32 = 2048;

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    batch: u32,
    height: u32,
    width: u32,
    cin4: u32,
    cout4: u32,
    kernel: u32,
    stride: u32,
    pad: u32,
    out_height: u32,
    out_width: u32,
    column_tiles: u32,
    chunk: u32,
    across: u32,
    scales: [f32; 2],
    first_slot: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Forward,
    Input,
    Weight,
}

impl Conv2d {
    /// OH.
    pub fn out_height(&self) -> u32 {
        (self.height + 2 * self.pad - self.kernel) / self.stride + 1
    }

    /// OW.
    pub fn out_width(&self) -> u32 {
        (self.width + 2 * self.pad - self.kernel) / self.stride + 1
    }

    /// y from x.
    pub fn forward(
        &self,
        label: &'static str,
        x: Slice,
        weight: Slice,
        bias: Option<Slice>,
        y: Slice,
    ) -> Vec<Dispatch> {
        vec![self.product(label, Mode::Forward, &self.forward_tiling(), [x, weight], bias, y)]
    }

    /// Rows of the tiles whose moments [`Self::forward_with_moments`] leaves where pixels come in chunks of `chunk_rows`; none
    /// where it cannot.
    pub fn moment_rows(&self, chunk_rows: u32) -> Option<u32> {
        self.tuning.family.leaves_moments().then(|| self.forward_tiling_of(chunk_rows).tile_rows)
    }

    /// y from x, and the moments of its channels over each [tile](Self::moment_rows) of rows to their places in `moments`,
    /// those of all of a batch: `chunk` is which of the batch's pixels these are.
    pub fn forward_with_moments(
        &self,
        label: &'static str,
        [x, weight]: [Slice; 2],
        bias: Option<Slice>,
        y: Slice,
        chunk: RowChunk,
        moments: Slice,
    ) -> Dispatch {
        // A last chunk, which may be smaller, has the others' tiles.
        let tiling = self.forward_tiling_of(chunk.size).of_rows(self.out_pixels());
        let first_slot = chunk.index * chunk.size.div_ceil(tiling.tile_rows);
        let params = Params { first_slot, ..self.params(Mode::Forward, &tiling, bias.is_some()) };
        let constants = constants(Mode::Forward, bias.is_some(), 1);
        let dispatch = tiling.dispatch(label, &SHADERS_WITH_MOMENTS, constants, &params, [x, weight]);
        self.ending(dispatch, weight, bias, y).writes(moments)
    }

    /// The gradient of x from that of y.
    pub fn backward_input(&self, label: &'static str, dy: Slice, weight: Slice, dx: Slice) -> Vec<Dispatch> {
        vec![self.product(label, Mode::Input, &self.input_tiling(), [dy, weight], None, dx)]
    }

    /// The transposed convolution, `x [N, H, W, cin]` from `y [N, OH, OW, cout]`: what a gradient would be, with a bias
    /// `[cin]` on it. Rows and columns of x that no window reaches get the bias alone.
    pub fn transposed(&self, label: &'static str, y: Slice, weight: Slice, bias: Slice, x: Slice) -> Vec<Dispatch> {
        vec![self.product(label, Mode::Input, &self.input_tiling(), [y, weight], Some(bias), x)]
    }

    /// The gradient of w from x and the gradient of y; `workspace` of [`Self::workspace_bytes`].
    ///
    /// # Panics
    /// Without the workspace it needs: a defect of the caller.
    pub fn backward_weight(
        &self,
        label: &'static str,
        [x, dy]: [Slice; 2],
        dw: Slice,
        workspace: Option<Slice>,
    ) -> Vec<Dispatch> {
        let tiling = self.weight_tiling();
        if tiling.parts == 1 {
            return vec![self.product(label, Mode::Weight, &tiling, [x, dy], None, dw)];
        }
        let workspace = workspace.expect("a split gradient needs a workspace");
        let slice = Slice { bytes: self.workspace_bytes(), ..workspace };
        let product = self.product(label, Mode::Weight, &tiling, [x, dy], None, slice);
        let parts = Parts { slice, count: tiling.parts, n4: self.cout / 4, bias: None };
        vec![product, parts.sum(label, dw)]
    }

    /// Bytes of the weight gradient's workspace; 0 where none is needed.
    pub fn workspace_bytes(&self) -> u64 {
        match self.weight_tiling().parts {
            1 => 0,
            parts => 4 * u64::from(parts) * u64::from(self.taps()) * u64::from(self.cout),
        }
    }

    /// Rows of w as a matrix.
    fn taps(&self) -> u32 {
        self.kernel * self.kernel * self.cin
    }

    fn out_pixels(&self) -> u32 {
        self.batch * self.out_height() * self.out_width()
    }

    /// The first two are never split: they have rows enough, and their sums are short.
    fn forward_tiling(&self) -> Tiling {
        self.forward_tiling_of(self.out_pixels())
    }

    /// That of as many output pixels.
    fn forward_tiling_of(&self, pixels: u32) -> Tiling {
        Tiling::new(self.tuning, pixels, self.cout / 4, 0)
    }

    fn input_tiling(&self) -> Tiling {
        Tiling::new(self.tuning, self.batch * self.height * self.width, self.cin / 4, 0)
    }

    fn weight_tiling(&self) -> Tiling {
        let (rows, n4, pixels) = (self.taps(), self.cout / 4, self.out_pixels());
        match self.tuning.family {
            Family::Subgroup8 => Tiling::with_sums(self.tuning, [rows, n4], pixels, CACHED_PIXELS),
            // Shorter sums are more of them, to be stored beside each other.
            _ => Tiling::new(self.tuning, rows, n4, pixels),
        }
    }

    fn product(
        &self,
        label: &'static str,
        mode: Mode,
        tiling: &Tiling,
        operands: [Slice; 2],
        bias: Option<Slice>,
        out: Slice,
    ) -> Dispatch {
        let params = self.params(mode, tiling, bias.is_some());
        let stride = if mode == Mode::Input { self.stride } else { 1 };
        let dispatch = tiling.dispatch(label, &SHADERS, constants(mode, bias.is_some(), stride), &params, operands);
        self.ending(dispatch, operands[1], bias, out)
    }

    /// A product's dispatch, from behind its operands on.
    fn ending(&self, dispatch: Dispatch, weight: Slice, bias: Option<Slice>, out: Slice) -> Dispatch {
        dispatch
            .reads(bias.unwrap_or(weight))
            .writes(out)
            .flops(2 * u64::from(self.out_pixels()) * u64::from(self.taps()) * u64::from(self.cout))
    }

    fn params(&self, mode: Mode, tiling: &Tiling, biased: bool) -> Params {
        let all = Self { batch: self.part_of.unwrap_or(self.batch), ..*self };
        let scale = self.tuning.precision().gradient_scale(all.out_pixels());
        let scales = match mode {
            // With a bias on it, it is no gradient.
            Mode::Input if !biased => [scale, 1.0],
            Mode::Forward | Mode::Input => [1.0; 2],
            Mode::Weight => [1.0, scale],
        };
        Params {
            batch: self.batch,
            height: self.height,
            width: self.width,
            cin4: self.cin / 4,
            cout4: self.cout / 4,
            kernel: self.kernel,
            stride: self.stride,
            pad: self.pad,
            out_height: self.out_height(),
            out_width: self.out_width(),
            column_tiles: tiling.column_tiles,
            chunk: tiling.chunk,
            across: tiling.across,
            scales,
            first_slot: 0,
        }
    }
}

const OPERANDS: &[Input] = &[Input::new(1, "a"), Input::new(2, "b")];
const SHADERS: Shaders = product_shaders!("conv2d", CONV2D);
const SHADERS_WITH_MOMENTS: Shaders = product_shaders!("conv2d_moments", CONV2D_WITH_MOMENTS);

fn constants(mode: Mode, bias: bool, stride: u32) -> Constants {
    vec![("MODE", mode as u32), ("BIAS", u32::from(bias)), ("STRIDE", stride)]
}

/// Every pipeline that the dispatches above can ask for, for the strides that networks have.
pub fn variants() -> Vec<Pipeline> {
    let forward = [false, true].map(|bias| constants(Mode::Forward, bias, 1));
    let input =
        [(false, 1), (false, 2), (true, 1), (true, 2)].map(|(bias, stride)| constants(Mode::Input, bias, stride));
    let all = [&forward[..], &input, &[constants(Mode::Weight, false, 1)]].concat();
    let with_moments = Family::ALL.into_iter().filter(|family| family.leaves_moments());
    [family_variants(&SHADERS, Family::ALL, &all), family_variants(&SHADERS_WITH_MOMENTS, with_moments, &forward)]
        .concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gpu::TensorId;

    #[test]
    fn a_gradient_is_scaled_by_the_batch_that_its_loss_is_a_mean_over() {
        let tuning = Tuning::portable_half();
        let whole = Conv2d {
            batch: 64,
            height: 8,
            width: 8,
            cin: 4,
            cout: 4,
            kernel: 3,
            stride: 1,
            pad: 1,
            part_of: None,
            tuning,
        };
        let slice = Slice { tensor: TensorId(0), offset: 0, bytes: 16 };
        let scales = |conv: Conv2d| {
            let product = conv.product("dX", Mode::Input, &conv.input_tiling(), [slice; 2], None, slice);
            bytemuck::pod_read_unaligned::<Params>(&product.params[..size_of::<Params>()]).scales
        };
        assert_eq!(scales(Conv2d { batch: 8, part_of: Some(64), ..whole }), scales(whole));
        assert_ne!(scales(Conv2d { batch: 8, ..whole }), scales(whole));
    }
}
