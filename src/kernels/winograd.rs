//! Convolutions of 3x3 taps by Winograd's minimal filtering (`shaders/winograd.wgsl`): forward, gradient of the input,
//! gradient of the weights.
//!
//! Pixels and weights are transformed, multiplied point by point as [batched products](super::gemm), and transformed
//! back, in runs of samples, so that what lies between stays small. Against the direct way, tiles of 2x2 outputs take
//! 4/9 of the multiplications and tiles of 4x4 outputs 1/4; the transforms of the latter make rounding errors about ten
//! times as large.

use bytemuck::{Pod, Zeroable};

use super::COMMON;
use super::conv2d::Conv2d;
use super::gemm::{Gemm, Op};
use super::tuning::Filtering;
use crate::gpu::{Dispatch, Input, Pipeline, Shader, Slice, grid};

const SHADER: Shader =
    Shader::with_inputs("winograd", &[Input::new(1, "source")], &[COMMON, include_str!("../../shaders/winograd.wgsl")]);

/// Channels below which the transforms take far more time than products gain.
const FEWEST_CHANNELS: u32 = 8;

/// The same for the weights' gradient, which has two tensors of pixels to transform.
const FEWEST_CHANNELS_OF_WEIGHTS: u32 = 16;

/// Bytes of the transformed pixels and of their products that a run of samples takes, unless a single one takes more.
const RUN_BYTES: u64 = 16 << 20;

/// The most bytes of a tensor: what every adapter can bind. Transformed weights cannot be split, nor can a sample.
const MOST_BYTES: u64 = 128 << 20;

/// What is in the tensors of a run.
const PIXELS: &str = "transformed pixels";
const PRODUCTS: &str = "their products";

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
            pipeline("output_gradients", side, false, false),
            pipeline("weight_gradients", side, false, false),
        ]
    };
    [2, 4].into_iter().flat_map(of_side).collect()
}

impl Winograd {
    /// The way to compute `conv`, if it is one of those that can be computed so and its tuning says so.
    pub fn of(conv: &Conv2d) -> Option<Self> {
        let (side, always) = match conv.tuning.filtering {
            Filtering::Direct => return None,
            Filtering::Winograd2 => (2, true),
            Filtering::Winograd4 => (4, true),
            Filtering::Balanced => (4, false),
        };
        let winograd = Self { conv: *conv, side };
        (winograd.fits() && (always || winograd.expected_share() < 1.0)).then_some(winograd)
    }

    fn fits(&self) -> bool {
        let Conv2d { height, width, cin, cout, kernel, stride, pad, .. } = self.conv;
        let [y, x] = self.tiles();
        let largest = self.bytes(cin, cout).max(self.bytes(y * x, cin.max(cout)));
        (kernel, stride, pad) == (3, 1, 1)
            && height.min(width) >= self.side
            && cin.min(cout) >= FEWEST_CHANNELS
            && largest <= MOST_BYTES
    }

    /// The way to compute the gradient of `conv`'s weights: for pictures of at least two tiles each way. Where a tap
    /// touches few pixels, rectifiers can make all of its products zero. The transforms leave a rounding error instead
    /// of that zero, and Adam, which divides by the gradient's size, makes a whole step of it.
    pub fn of_weights(conv: &Conv2d) -> Option<Self> {
        let fits = |winograd: &Self| {
            conv.height.min(conv.width) >= 2 * winograd.side && conv.cin.min(conv.cout) >= FEWEST_CHANNELS_OF_WEIGHTS
        };
        Self::of(conv).filter(fits)
    }

    /// Time over that of the direct way, as seen with tiles of 4x4 outputs on the software driver (Mesa 22.3, 16 to 256
    /// channels on 7x7 to 28x28, batch 32; what was measured is 0.7 to 1.3 of it): products of a quarter of the arithmetic;
    /// transforms of pixels, whose time grows with the channels and not with their product; those of weights, which do not
    /// grow with the batch. What sticks out of the picture costs as much as what does not.
    fn expected_share(&self) -> f64 {
        let Conv2d { batch, height, width, cin, cout, .. } = self.conv;
        let (picture, covered) = (height * width, self.tiles().map(|tiles| tiles * self.side).iter().product::<u32>());
        let pixels = 17.5 * (1.0 / f64::from(cin) + 1.0 / f64::from(cout));
        let weights = 280.0 / (f64::from(batch) * f64::from(picture));
        f64::from(covered) / f64::from(picture) * (0.27 + pixels) + weights
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

    /// [`Conv2d::backward_weight`]; `room` as in [`Self::forward`].
    pub fn backward_weight(
        &self,
        label: &'static str,
        [x, dy]: [Slice; 2],
        dw: Slice,
        mut room: impl FnMut(&'static str, u64) -> Slice,
    ) -> Vec<Dispatch> {
        let Conv2d { cin, cout, .. } = self.conv;
        let sums = room(PRODUCTS, self.bytes(cin, cout));
        // So long that adding the sums up is little beside making them.
        let runs = self.runs(RUN_BYTES.max(2 * sums.bytes).min(MOST_BYTES));
        let most_tiles = runs.first().map_or(0, |&(_, tiles)| tiles);
        let pixels = room(PIXELS, self.bytes(most_tiles, cin));
        let gradients = room("transformed gradients", self.bytes(most_tiles, cout));
        let mut all = Vec::new();
        for (first, tiles) in runs {
            let part = |whole: Slice, channels| Slice { bytes: self.bytes(tiles, channels), ..whole };
            let (pixels, gradients) = (part(pixels, cin), part(gradients, cout));
            all.push(self.transform_pixels(label, "inputs", [first, tiles, cin], x, pixels));
            all.push(self.transform_pixels(label, "output_gradients", [first, tiles, cout], dy, gradients));
            let gemm = Gemm { m: cin, n: cout, k: tiles, op: Op::Tn, gradient: None, tuning: self.conv.tuning };
            all.push(gemm.each_of(self.points(), label, [pixels, gradients], sums, first > 0));
        }
        let params = Params { groups: cout / 4, rows: cin, ..Params::default() };
        let back = pipeline("weight_gradients", self.side, false, false);
        all.push(call(label, back, &params).loads(sums).writes(dw));
        all
    }

    fn points(&self) -> u32 {
        (self.side + 2).pow(2)
    }

    fn tiles(&self) -> [u32; 2] {
        [self.conv.height, self.conv.width].map(|lines| lines.div_ceil(self.side))
    }

    /// Bytes of all points of `rows` by `channels`.
    fn bytes(&self, rows: u32, channels: u32) -> u64 {
        4 * u64::from(self.points()) * u64::from(rows) * u64::from(channels)
    }

    /// The batch in runs of so many samples that both tensors of their tiles take up to `bytes`: the first sample and the
    /// tiles of each. The first run is the longest.
    fn runs(&self, bytes: u64) -> Vec<(u32, u32)> {
        let [y, x] = self.tiles();
        let batch = self.conv.batch;
        let run = (bytes / self.bytes(y * x, self.conv.cin + self.conv.cout)).clamp(1, u64::from(batch.max(1))) as u32;
        let tiles = |first: u32| run.min(batch - first) * y * x;
        (0..batch).step_by(run as usize).map(|first| (first, tiles(first))).collect()
    }

    /// Of a transform of tiles: the first of their samples, how many they are, and their channels.
    fn params(&self, [first, tiles, channels]: [u32; 3]) -> Params {
        let [tiles_y, tiles_x] = self.tiles();
        let Conv2d { height, width, .. } = self.conv;
        Params { height, width, groups: channels / 4, first, tiles_y, tiles_x, tiles, rows: 0 }
    }

    /// The transform `entry` from the pixels of a run, named as in [`Self::params`], to its points.
    fn transform_pixels(
        &self,
        label: &'static str,
        entry: &'static str,
        run: [u32; 3],
        pixels: Slice,
        points: Slice,
    ) -> Dispatch {
        call(label, pipeline(entry, self.side, false, false), &self.params(run)).loads(pixels).writes(points)
    }

    fn product(
        &self,
        label: &'static str,
        of: &Operands,
        mut room: impl FnMut(&'static str, u64) -> Slice,
    ) -> Vec<Dispatch> {
        let runs = self.runs(RUN_BYTES);
        let most_tiles = runs.first().map_or(0, |&(_, tiles)| tiles);
        let weights = room("transformed weights", self.bytes(of.from, of.to));
        let pixels = room(PIXELS, self.bytes(most_tiles, of.from));
        let products = room(PRODUCTS, self.bytes(most_tiles, of.to));
        let mut all = vec![self.transform_weights(label, of, weights)];
        for (first, tiles) in runs {
            let part = |whole: Slice, channels| Slice { bytes: self.bytes(tiles, channels), ..whole };
            let (pixels, products) = (part(pixels, of.from), part(products, of.to));
            all.push(self.transform_pixels(label, "inputs", [first, tiles, of.from], of.source, pixels));
            let gemm = Gemm { m: tiles, n: of.to, k: of.from, op: Op::Nn, gradient: None, tuning: self.conv.tuning };
            all.push(gemm.each_of(self.points(), label, [pixels, weights], products, false));
            let outputs = pipeline("outputs", self.side, false, of.bias.is_some());
            let outputs = call(label, outputs, &self.params([first, tiles, of.to])).loads(products);
            all.push(outputs.writes(of.destination).reads(of.bias.unwrap_or(of.weight)));
        }
        all
    }

    fn transform_weights(&self, label: &'static str, of: &Operands, weights: Slice) -> Dispatch {
        let params = Params { groups: of.to / 4, rows: of.from, ..Params::default() };
        let transform = pipeline("weights", self.side, of.turned, false);
        call(label, transform, &params).loads(of.weight).writes(weights)
    }
}

/// A transform, an invocation for each vec4 of a tile, or of a row of weights: `params` has one or the other.
fn call(label: &'static str, pipeline: Pipeline, params: &Params) -> Dispatch {
    let items = (params.tiles + params.rows) * params.groups;
    Dispatch::new(label, pipeline, params, grid(items.div_ceil(64)))
}
