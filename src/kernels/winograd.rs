//! Convolutions of 3x3 taps by Winograd's minimal filtering (`shaders/winograd.wgsl`): forward and gradient of the input.
//!
//! Pixels and weights are transformed, multiplied point by point as [batched products](super::gemm), and transformed back, in
//! runs of samples, so that what lies between stays small. Against the direct way, tiles of 2x2 outputs take 4/9 of the
//! multiplications and tiles of 4x4 outputs 1/4; the transforms of the latter make rounding errors about ten times as large.

use bytemuck::{Pod, Zeroable};

use super::COMMON;
use super::conv2d::Conv2d;
use super::gemm::{Gemm, Op};
use super::tuning::Filtering;
use crate::gpu::{Dispatch, Input, Pipeline, Shader, Slice, grid};

const SHADER: Shader =
    Shader::with_inputs("winograd", &[Input::new(1, "source")], &[COMMON, include_str!("../../shaders/winograd.wgsl")]);

/// Channels from which products gain more than the transforms take.
const FEWEST_CHANNELS: u32 = 8;

/// Bytes of the transformed pixels and of their products that a run of samples takes, unless a single one takes more.
const RUN_BYTES: u64 = 16 << 20;

/// A convolution that is computed in this way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Winograd {
    conv: Conv2d,
    /// Lines of outputs of a tile.
    side: u32,
}

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable, Default)]
struct Params {
    height: u32,
    width: u32,
    groups: u32,
    first: u32,
    tiles_y: u32,
    tiles_x: u32,
    tiles: u32,
    rows: u32,
}

/// What a product goes from and to.
#[derive(Debug, Clone, Copy)]
struct Operands {
    /// `[N, H, W, from]`
    source: Slice,
    weight: Slice,
    bias: Option<Slice>,
    /// `[N, H, W, to]`
    destination: Slice,
    from: u32,
    to: u32,
    /// Whether the weights are turned around, for the gradient of the input.
    turned: bool,
}

fn pipeline(entry: &'static str, side: u32, turned: bool, bias: bool) -> Pipeline {
    Pipeline::new(SHADER, entry, vec![("M", side), ("TURNED", u32::from(turned)), ("BIAS", u32::from(bias))])
}

/// Every pipeline that the dispatches below can ask for.
pub fn variants() -> Vec<Pipeline> {
    let of_side = |side| {
        [
            pipeline("inputs", side, false, false),
            pipeline("weights", side, false, false),
            pipeline("weights", side, true, false),
            pipeline("outputs", side, false, false),
            pipeline("outputs", side, false, true),
        ]
    };
    [2, 4].into_iter().flat_map(of_side).collect()
}

impl Winograd {
    /// The way to compute `conv`, if it is one of those that can be computed so and its tuning says so.
    pub fn of(conv: &Conv2d) -> Option<Self> {
        let side = match conv.tuning.filtering {
            Filtering::Direct => return None,
            Filtering::Winograd2 => 2,
            Filtering::Winograd4 => 4,
        };
        let fits = (conv.kernel, conv.stride, conv.pad) == (3, 1, 1) && conv.height.min(conv.width) >= side;
        (fits && conv.cin.min(conv.cout) >= FEWEST_CHANNELS).then_some(Self { conv: *conv, side })
    }

    /// [`Conv2d::forward`]. `room` makes tensors that nothing else uses, by what is in them and their bytes.
    pub fn forward(
        &self,
        label: &'static str,
        x: Slice,
        weight: Slice,
        bias: Option<Slice>,
        y: Slice,
        room: impl FnMut(&'static str, u64) -> Slice,
    ) -> Vec<Dispatch> {
        let Conv2d { cin, cout, .. } = self.conv;
        self.product(
            label,
            &Operands { source: x, weight, bias, destination: y, from: cin, to: cout, turned: false },
            room,
        )
    }

    /// [`Conv2d::backward_input`]; `room` as in [`Self::forward`].
    pub fn backward_input(
        &self,
        label: &'static str,
        dy: Slice,
        weight: Slice,
        dx: Slice,
        room: impl FnMut(&'static str, u64) -> Slice,
    ) -> Vec<Dispatch> {
        let Conv2d { cin, cout, .. } = self.conv;
        let of = Operands { source: dy, weight, bias: None, destination: dx, from: cout, to: cin, turned: true };
        self.product(label, &of, room)
    }

    fn points(&self) -> u32 {
        (self.side + 2).pow(2)
    }

    fn tiles(&self) -> [u32; 2] {
        [self.conv.height, self.conv.width].map(|lines| lines.div_ceil(self.side))
    }

    /// Samples of a run.
    fn run(&self) -> u32 {
        let [y, x] = self.tiles();
        let values = u64::from(y * x * self.points()) * u64::from(self.conv.cin + self.conv.cout);
        (RUN_BYTES / (4 * values)).clamp(1, u64::from(self.conv.batch.max(1))) as u32
    }

    fn product(
        &self,
        label: &'static str,
        of: &Operands,
        mut room: impl FnMut(&'static str, u64) -> Slice,
    ) -> Vec<Dispatch> {
        let (points, [tiles_y, tiles_x], run) = (self.points(), self.tiles(), self.run());
        let bytes = |rows: u32, channels: u32| 4 * u64::from(points) * u64::from(rows) * u64::from(channels);
        let weights = room("transformed weights", bytes(of.from, of.to));
        let most_tiles = run * tiles_y * tiles_x;
        let pixels = room("transformed pixels", bytes(most_tiles, of.from));
        let products = room("their products", bytes(most_tiles, of.to));
        let mut all = vec![self.transform_weights(label, of, weights)];
        for first in (0..self.conv.batch).step_by(run as usize) {
            let tiles = run.min(self.conv.batch - first) * tiles_y * tiles_x;
            let (height, width) = (self.conv.height, self.conv.width);
            let params = |groups| Params { height, width, groups, first, tiles_y, tiles_x, tiles, rows: 0 };
            let part = |whole: Slice, channels| Slice { bytes: bytes(tiles, channels), ..whole };
            let (pixels, products) = (part(pixels, of.from), part(products, of.to));
            let inputs = pipeline("inputs", self.side, false, false);
            all.push(call(label, inputs, &params(of.from / 4)).loads(of.source).writes(pixels));
            let gemm = Gemm { m: tiles, n: of.to, k: of.from, op: Op::Nn, gradient: None, tuning: self.conv.tuning };
            all.push(gemm.each_of(points, label, [pixels, weights], products));
            let outputs = pipeline("outputs", self.side, false, of.bias.is_some());
            let outputs = call(label, outputs, &params(of.to / 4)).loads(products);
            all.push(outputs.writes(of.destination).reads(of.bias.unwrap_or(of.weight)));
        }
        all
    }

    fn transform_weights(&self, label: &'static str, of: &Operands, weights: Slice) -> Dispatch {
        let params = Params { groups: of.to / 4, rows: of.from, tiles: of.from, ..Params::default() };
        call(label, pipeline("weights", self.side, of.turned, false), &params).loads(of.weight).writes(weights)
    }
}

/// A transform, an invocation for each vec4 of a tile or row.
fn call(label: &'static str, pipeline: Pipeline, params: &Params) -> Dispatch {
    Dispatch::new(label, pipeline, params, grid((params.tiles * params.groups).div_ceil(64)))
}
