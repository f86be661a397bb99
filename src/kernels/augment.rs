//! From a step's pictures as bytes to the network's input: shifted crop, horizontal flip, normalisation, on the device,
//! so that only bytes travel there; and cutout of what that gave.

use bytemuck::{Pod, Zeroable};

use super::COMMON;
use crate::gpu::{Dispatch, Pipeline, Shader, Slice, grid};

/// Where one picture's crop lies and whether it is mirrored. Pixel (y, x) of the crop is pixel (y + dy, x + dx) of the
/// picture, black outside; then the crop is flipped.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Pod, Zeroable)]
pub struct CropFlip {
    /// Shift down.
    pub dy: i32,
    /// Shift right.
    pub dx: i32,
    /// Not 0: left and right change places.
    pub flip: u32,
    /// Fills up to 16 bytes.
    pub pad: u32,
}

/// Bytes `[N, H, W, C]` to normalised `f32 [N, H, W, 4]`, or rows: `(byte / 255 - mean) / std`, pad lanes 0.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Augment {
    /// N.
    pub batch: u32,
    /// H.
    pub height: u32,
    /// W.
    pub width: u32,
    /// C: 1 or 3.
    pub channels: u32,
    /// Writes each picture, of one channel, as a row `[pad4(H * W)]` for a dense layer.
    pub rows: bool,
    /// A channel's mean, of values in [0, 1].
    pub mean: [f32; 3],
    /// A channel's standard deviation; not 0.
    pub std: [f32; 3],
}

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    mean: [f32; 4],
    inverse_std: [f32; 4],
    batch: u32,
    height: u32,
    width: u32,
    row: u32,
    first: u32,
    spare: [u32; 3],
}

const SHADER: Shader = Shader::new("augment", &[COMMON, include_str!("../../shaders/augment.wgsl")]);
const THREADS: u32 = 64;

fn pipeline(channels: u32, rows: bool) -> Pipeline {
    let constants = vec![("THREADS", THREADS), ("CHANNELS", channels), ("ROWS", u32::from(rows))];
    Pipeline::new(SHADER, "augment", constants)
}

/// Every pipeline that the dispatches below can ask for.
pub fn variants() -> Vec<Pipeline> {
    vec![pipeline(1, false), pipeline(3, false), pipeline(1, true), cutout_pipeline(false), cutout_pipeline(true)]
}

fn cutout_pipeline(rows: bool) -> Pipeline {
    // The number of channels is only there because the text that both entry points share needs it.
    Pipeline { entry: "cutout", ..pipeline(1, rows) }
}

/// Floats of one picture in the output.
fn row(height: u32, width: u32, rows: bool) -> u32 {
    let pixels = height * width;
    if rows { pixels.next_multiple_of(4) } else { 4 * pixels }
}

impl Augment {
    /// Bytes of the packed pictures, rounded up to whole words.
    pub fn pixels_bytes(&self) -> u64 {
        (self.positions() * u64::from(self.channels)).next_multiple_of(4)
    }

    /// Bytes of the output.
    pub fn out_bytes(&self) -> u64 {
        4 * u64::from(self.batch) * u64::from(self.row())
    }

    fn row(&self) -> u32 {
        row(self.height, self.width, self.rows)
    }

    fn positions(&self) -> u64 {
        u64::from(self.batch) * u64::from(self.height) * u64::from(self.width)
    }

    /// `pixels` (packed bytes), `crops` (one [`CropFlip`] a picture) → `out`, `f32 [N, H, W, 4]`, or with
    /// [`rows`](Self::rows) `[N, pad4(H * W)]`.
    pub fn dispatch(&self, pixels: Slice, crops: Slice, out: Slice) -> Dispatch {
        self.dispatch_from(0, pixels, crops, out)
    }

    /// The same for N pictures from number `first` of those in `pixels` and `crops`.
    pub fn dispatch_from(&self, first: u32, pixels: Slice, crops: Slice, out: Slice) -> Dispatch {
        let mut params = Params {
            mean: [0.0; 4],
            inverse_std: [0.0; 4],
            batch: self.batch,
            height: self.height,
            width: self.width,
            row: self.row(),
            first,
            spare: [0; 3],
        };
        for channel in 0..self.channels.min(3) as usize {
            params.mean[channel] = self.mean[channel];
            params.inverse_std[channel] = (1.0 / f64::from(self.std[channel])) as f32;
        }
        let positions = self.batch * self.height * self.width;
        let pipeline = pipeline(if self.channels == 1 { 1 } else { 3 }, self.rows);
        Dispatch::new("augment", pipeline, &params, grid(positions.div_ceil(THREADS)))
            .reads(pixels)
            .reads(crops)
            .writes(out)
            .flops(8 * u64::from(positions))
    }
}

/// The centre of a hole.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Pod, Zeroable)]
pub struct Hole {
    /// Its row.
    pub y: i32,
    /// Its column.
    pub x: i32,
}

/// Cutout (DeVries & Taylor 2017) of what [`Augment`] wrote: every value of a pixel (y, x) becomes 0 if some hole of its
/// picture has its centre (cy, cx) such that cy - half <= y < cy + half and cx - half <= x < cx + half.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cutout {
    /// N.
    pub batch: u32,
    /// H.
    pub height: u32,
    /// W.
    pub width: u32,
    /// As in [`Augment`].
    pub rows: bool,
    /// Holes of each picture.
    pub holes: u32,
    /// Half the side of a hole, in pixels.
    pub half: u32,
}

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct CutoutParams {
    batch: u32,
    height: u32,
    width: u32,
    row: u32,
    holes: u32,
    half: i32,
    first: u32,
    spare: u32,
}

impl Cutout {
    /// Bytes of the centres, `holes` times [`Hole`] a picture.
    pub fn holes_bytes(&self) -> u64 {
        u64::from(self.batch) * u64::from(self.holes) * size_of::<Hole>() as u64
    }

    /// Clears `pictures` where `holes` says.
    pub fn dispatch(&self, holes: Slice, pictures: Slice) -> Dispatch {
        self.dispatch_from(0, holes, pictures)
    }

    /// The same for N pictures, whose holes are those of the pictures from number `first` in `holes`.
    pub fn dispatch_from(&self, first: u32, holes: Slice, pictures: Slice) -> Dispatch {
        // A hole that reaches a side further than the picture is large covers no more than one that reaches that far.
        let half = self.half.min(self.height.max(self.width)) as i32;
        let Self { batch, height, width, holes: count, .. } = *self;
        let row = row(height, width, self.rows);
        let params = CutoutParams { batch, height, width, row, holes: count, half, first, spare: 0 };
        let groups = grid((batch * height * width).div_ceil(THREADS));
        Dispatch::new("cutout", cutout_pipeline(self.rows), &params, groups).reads(holes).writes(pictures)
    }
}
