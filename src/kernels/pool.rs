//! Pooling of `[N, H, W, channels]`: average with kernel = stride (the heads' features) and 2x2 maximum (between blocks).

use bytemuck::{Pod, Zeroable};

use super::COMMON;
use super::sweep::{WORKGROUP, groups};
use crate::gpu::{Dispatch, Input, Pipeline, Shader, Slice, grid};

const INPUTS: &[Input] = &[Input::new(1, "x"), Input::new(1, "spread_dout"), Input::new(2, "backward_dout")];
const SHADER: Shader = Shader::with_inputs("pool", INPUTS, &[COMMON, MAXIMUM, include_str!("../../shaders/pool.wgsl")]);

/// `shaders/maximum.wgsl`: the largest of a window's pixels, and the way back.
pub(super) const MAXIMUM: &str = include_str!("../../shaders/maximum.wgsl");

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    batch: u32,
    height: u32,
    width: u32,
    groups: u32,
    kh: u32,
    kw: u32,
    pad_h: u32,
    pad_w: u32,
    windows_h: u32,
    windows_w: u32,
    out_h: u32,
    out_w: u32,
}

/// Average pooling with stride = kernel and zero padding at both ends of each axis. The divisor is always `kh*kw`; rows
/// and columns that no whole window reaches are left out. The padding is smaller than the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolGeometry {
    /// Samples.
    pub batch: u32,
    /// Rows of a map.
    pub height: u32,
    /// Columns of a map.
    pub width: u32,
    /// Channels with padding, a multiple of 4.
    pub channels: u32,
    /// Rows of a window.
    pub kh: u32,
    /// Columns of a window.
    pub kw: u32,
    /// Rows of zeros above and below.
    pub pad_h: u32,
    /// Columns of zeros left and right.
    pub pad_w: u32,
}

/// Windows along an axis: `(side + 2*pad - kernel) / kernel + 1`, or 0 where not one fits.
fn windows(side: u32, kernel: u32, pad: u32) -> u32 {
    (side + 2 * pad).checked_div(kernel).unwrap_or(0)
}

impl PoolGeometry {
    /// Rows of the pooled map.
    pub fn out_height(&self) -> u32 {
        windows(self.height, self.kh, self.pad_h)
    }

    /// Columns of the pooled map.
    pub fn out_width(&self) -> u32 {
        windows(self.width, self.kw, self.pad_w)
    }

    /// The same for another number of samples.
    pub fn of_batch(self, batch: u32) -> Self {
        Self { batch, ..self }
    }

    /// Averages `x` `[N, H, W, channels]` into `out` `[N, PH, PW, channels]`. Where a normalisation or activation stands
    /// in front of it, its backward is fused into theirs ([`super::batchnorm_backward`]).
    pub fn average(&self, x: Slice, out: Slice) -> Dispatch {
        let shape = self.shape([self.out_height(), self.out_width()]);
        shape.dispatch("average pool", "average").loads(x).writes(out)
    }

    /// Writes all of `dx` `[N, H, W, channels]` from `dout` `[N, PH, PW, channels]`; 0 where no whole window reaches.
    pub fn average_backward(&self, dout: Slice, dx: Slice) -> Dispatch {
        let shape = self.shape([self.height, self.width]);
        shape.dispatch("average pool backward", "average_backward").loads(dout).writes(dx)
    }

    fn shape(&self, windows: [u32; 2]) -> Shape {
        Shape {
            sizes: [self.batch, self.height, self.width, self.channels],
            windows,
            out: [self.out_height(), self.out_width()],
            kernel: [self.kh, self.kw],
            pad: [self.pad_h, self.pad_w],
        }
    }
}

/// Maximum of 2x2 windows, stride 2; an odd last row or column is left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MaxPool {
    /// Samples.
    pub batch: u32,
    /// Rows of a map.
    pub height: u32,
    /// Columns of a map.
    pub width: u32,
    /// Channels with padding, a multiple of 4.
    pub channels: u32,
}

impl MaxPool {
    /// Rows of the pooled map.
    pub fn out_height(&self) -> u32 {
        self.height / 2
    }

    /// Columns of the pooled map.
    pub fn out_width(&self) -> u32 {
        self.width / 2
    }

    /// Writes the maxima of `x` `[N, H, W, channels]` to `out` `[N, H/2, W/2, channels]`.
    pub fn forward(&self, x: Slice, out: Slice) -> Dispatch {
        self.shape([self.out_height(), self.out_width()]).dispatch("max pool", "maximum").loads(x).writes(out)
    }

    /// Writes all of `dx` `[N, H, W, channels]`: `dout` at the first maximum of each window in row order, else 0.
    pub fn backward(&self, x: Slice, dout: Slice, dx: Slice) -> Dispatch {
        self.shape([self.height.div_ceil(2), self.width.div_ceil(2)])
            .dispatch("max pool backward", "maximum_backward")
            .loads(x)
            .loads(dout)
            .writes(dx)
    }

    fn shape(&self, windows: [u32; 2]) -> Shape {
        Shape {
            sizes: [self.batch, self.height, self.width, self.channels],
            windows,
            out: [self.out_height(), self.out_width()],
            kernel: [2, 2],
            pad: [0, 0],
        }
    }
}

/// What both poolings tell the shader.
struct Shape {
    sizes: [u32; 4],
    windows: [u32; 2],
    out: [u32; 2],
    kernel: [u32; 2],
    pad: [u32; 2],
}

impl Shape {
    fn dispatch(&self, label: &'static str, entry: &'static str) -> Dispatch {
        let [batch, height, width, channels] = self.sizes;
        let [windows_h, windows_w] = self.windows;
        // Without a window there is no work: an empty batch keeps the shader from dividing by zero.
        let batch = if windows_h == 0 || windows_w == 0 { 0 } else { batch };
        let params = Params {
            batch,
            height,
            width,
            groups: groups(channels),
            kh: self.kernel[0].max(1),
            kw: self.kernel[1].max(1),
            pad_h: self.pad[0],
            pad_w: self.pad[1],
            windows_h: windows_h.max(1),
            windows_w: windows_w.max(1),
            out_h: self.out[0],
            out_w: self.out[1],
        };
        let invocations =
            [batch, windows_h, windows_w, params.groups].iter().fold(1u64, |product, &n| product * u64::from(n));
        let workgroups = grid(invocations.div_ceil(u64::from(WORKGROUP)) as u32);
        Dispatch::new(label, pipeline(entry), &params, workgroups)
    }
}

fn pipeline(entry: &'static str) -> Pipeline {
    Pipeline::new(SHADER, entry, Vec::new())
}

/// Every pipeline of this file.
pub fn variants() -> Vec<Pipeline> {
    ["average", "average_backward", "maximum", "maximum_backward"].map(pipeline).into()
}
