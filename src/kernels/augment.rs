//! From a step's pictures as bytes to the network's input: shifted crop, horizontal flip, normalisation, on the device,
//! so that only bytes travel there.

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
}

const SHADER: Shader = Shader { name: "augment", parts: &[COMMON, include_str!("../../shaders/augment.wgsl")] };
const THREADS: u32 = 64;

fn pipeline(channels: u32, rows: bool) -> Pipeline {
    let constants = vec![("THREADS", THREADS), ("CHANNELS", channels), ("ROWS", u32::from(rows))];
    Pipeline { shader: SHADER, entry: "augment", constants, guarded: true }
}

/// Every pipeline that the dispatch below can ask for.
pub fn variants() -> Vec<Pipeline> {
    vec![pipeline(1, false), pipeline(3, false), pipeline(1, true)]
}

impl Augment {
    /// Bytes of the packed pictures, rounded up to whole words.
    pub fn pixels_bytes(&self) -> u64 {
        (self.positions() * u64::from(self.channels)).next_multiple_of(4)
    }

    /// Bytes of the crops, one [`CropFlip`] a picture.
    pub fn crops_bytes(&self) -> u64 {
        u64::from(self.batch) * size_of::<CropFlip>() as u64
    }

    /// Bytes of the output.
    pub fn out_bytes(&self) -> u64 {
        4 * u64::from(self.batch) * u64::from(self.row())
    }

    /// Floats of one picture in the output.
    fn row(&self) -> u32 {
        let pixels = self.height * self.width;
        if self.rows { pixels.next_multiple_of(4) } else { 4 * pixels }
    }

    fn positions(&self) -> u64 {
        u64::from(self.batch) * u64::from(self.height) * u64::from(self.width)
    }

    /// `pixels` (packed bytes), `crops` (one [`CropFlip`] a picture) → `out`, `f32 [N, H, W, 4]`.
    pub fn dispatch(&self, pixels: Slice, crops: Slice, out: Slice) -> Dispatch {
        let mut params = Params {
            mean: [0.0; 4],
            inverse_std: [0.0; 4],
            batch: self.batch,
            height: self.height,
            width: self.width,
            row: self.row(),
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
