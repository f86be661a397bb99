//! A block's step forward and backward, for every order of map, normalisation and shortcut.

use crate::gpu::Slice;
use crate::kernels::Activation;
use crate::kernels::batchnorm::BatchNorm;
use crate::kernels::batchnorm_backward::Upstream;
use crate::kernels::batchnorm_few::Sender;
use crate::kernels::batchnorm_weight::{self, NormedSums, NormedWeight, ONES};
use crate::kernels::conv2d::Conv2d;
use crate::kernels::elementwise::Elementwise;
use crate::kernels::pool::MaxPool;
use crate::nn::{Block, MapKind, Order, Shape, pad4};

use super::activated::{Activate, Activated, Made};
use super::build::Builder;
use super::heads::{HeadGradient, HeadPass};
use super::map::{CONV, Map, MapLabels};
use super::plan::Mode;
use super::shortcut::ShortcutPass;

const SUM_XY: MapLabels = MapLabels { forward: "", input: "", weight: "conv sum xy" };
const SUM_X: MapLabels = MapLabels { forward: "", input: "", weight: "conv sum x" };
const LINEAR: MapLabels = MapLabels { forward: "linear forward", input: "linear dX", weight: "linear dW" };

/// Whether a block's local heads take part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WithHeads {
    /// Losses and, in training, gradients.
    Yes,
    /// The block is frozen.
    No,
}

/// What a block did on the way forward; enough for its backward.
#[derive(Debug)]
pub struct BlockPass {
    /// Index of the block.
    pub index: usize,
    /// In front of the map: act(bn_pre(x)).
    before: Option<Activated>,
    map: Map,
    /// What entered the map.
    input: Slice,
    /// Behind it: act(bn(y)), on the way through or to the heads; with a shortcut in between, bn(y) alone.
    pub behind: Option<Activated>,
    /// The activation; none where nothing reads it but a pooling that the block does itself.
    pub a: Option<Slice>,
    shortcut: Option<ShortcutPass>,
    /// The max pooling behind it, where the block has done that itself.
    pub pooled: Option<MaxPool>,
    /// What comes next sees.
    pub out: Slice,
    /// What the heads found.
    pub heads: HeadPass,
}

/// Which gradients the rest of the module asks for.
#[derive(Debug, Clone, Copy)]
pub struct Wanted {
    /// Of the block's input.
    pub input: bool,
    /// Of the tensor that its shortcut starts from.
    pub tap: bool,
}

/// Gradients that a block hands back.
#[derive(Debug, Clone, Copy)]
pub struct HandedBack {
    /// Of its input.
    pub input: Option<Slice>,
    /// Of the tensor that its shortcut starts from.
    pub tap: Option<Slice>,
}

impl Builder<'_> {
    /// Forward through `block` from `x`; `tap` is what entered its residual unit, `pool` the max pooling that comes
    /// next, which the block does itself [where it can](Self::pools_itself). In training its heads come with their
    /// losses and gradients, and the output is thinned out by dropout behind them.
    pub fn block_forward(
        &mut self,
        block: &Block,
        x: Slice,
        tap: Option<Slice>,
        pool: Option<MaxPool>,
        mode: Mode,
        heads: WithHeads,
    ) -> BlockPass {
        let (before, input) = self.enter(block, x, mode);
        let (map, weight) = self.block_map(block);
        let bias = self.arena(block).weight(&format!("{}.bias", kind(block)));
        let y = self.activation(format!("{}.y", block.name), map.output_len());
        let made = if self.norm_adds_up(block, mode) {
            let parts = self.forward_in_parts(&map, labels(block), [input, weight], bias, y, &block.name);
            parts.map_or(Made::Whole, Made::Parts)
        } else {
            let wanted = block.order == Order::Post && self.behind(block).wants_moments(self.batch, mode);
            self.forward_to_norm(&map, labels(block), [input, weight], bias, y, wanted, &block.name)
        };
        let mut pass = BlockPass {
            index: block.index,
            before,
            map,
            input,
            behind: None,
            a: None,
            shortcut: None,
            pooled: pool.filter(|_| Self::pools_itself(block, mode)),
            out: y,
            heads: HeadPass::default(),
        };
        if block.order != Order::Post {
            self.sum_then_activate(block, &mut pass, tap, mode, heads);
        } else if let Some(pool) = pass.pooled {
            self.activate_and_pool(block, &mut pass, pool, made, mode, heads);
        } else {
            self.activate_sum(block, &mut pass, made, tap, mode);
        }
        if let Some(a) = pass.a.filter(|_| heads == WithHeads::Yes && block.heads.any()) {
            pass.heads = match mode {
                Mode::Train => self.heads_train(block, a, input),
                Mode::Evaluate | Mode::Inspect => self.heads_evaluate(block, a),
            };
        }
        self.pool_late(&pass, mode);
        if mode == Mode::Inspect {
            self.keep_views(block, pass.a.unwrap_or(pass.out));
        }
        if mode == Mode::Train && block.order == Order::Post && block.dropout > 0.0 {
            // The backward pass of a block with a shortcut takes the activation's derivative from `a`, which its heads
            // have seen whole.
            if pass.shortcut.is_some() && block.heads.any() {
                pass.out = self.copy(format!("{}.out", block.name), block.out_shape, pass.out);
            }
            self.block_dropout(block, block.out_shape, pass.out);
        }
        pass
    }

    /// `x' = drop(act(bn_pre(x)))` in front of a pre-activated map; for the others x as it is.
    fn enter(&mut self, block: &Block, x: Slice, mode: Mode) -> (Option<Activated>, Slice) {
        if block.order != Order::Pre {
            return (None, x);
        }
        let what = Activate::new(self.arena(block).norm("bn_pre"), self.nonlinearity(), block.in_shape);
        let (before, input) = self.activate(what, x, None, mode, [&block.name, "x"]);
        if mode == Mode::Train {
            self.block_dropout(block, block.in_shape, input);
        }
        (Some(before), input)
    }

    /// Whether the norm behind a block's map can take its output in parts.
    fn norm_adds_up(&self, block: &Block, mode: Mode) -> bool {
        let plain = block.order == Order::Post && block.shortcut.is_none() && mode == Mode::Train;
        plain && self.behind(block).has_few_rows(self.batch)
    }

    /// What stands behind a block's map or its shortcut.
    pub fn behind(&self, block: &Block) -> Activate {
        Activate::new(self.arena(block).norm("bn"), self.nonlinearity(), block.out_shape)
    }

    /// `y = act(bn(map) + shortcut)`, from the map's output in `pass.out`, as far as that is `made`.
    fn activate_sum(&mut self, block: &Block, pass: &mut BlockPass, made: Made, tap: Option<Slice>, mode: Mode) {
        let (shortcut, residual) = self.shortcut_residual(block, tap, mode).unzip();
        let (what, names) = (self.behind(block), [block.name.as_str(), "h"]);
        let (mut behind, h) = self.activate_made(what, pass.out, made, residual, mode, names);
        if shortcut.is_some() {
            behind.what.activation = Activation::None;
        }
        (pass.behind, pass.a, pass.out, pass.shortcut) = (Some(behind), Some(h), h, shortcut);
    }

    /// `y = map + shortcut` from the map's output in `pass.out`, and, for the heads, `a = act(bn(y))`.
    fn sum_then_activate(
        &mut self,
        block: &Block,
        pass: &mut BlockPass,
        tap: Option<Slice>,
        mode: Mode,
        heads: WithHeads,
    ) {
        if let Some((shortcut, sum)) = self.shortcut_sum(block, tap, pass.out, mode) {
            (pass.shortcut, pass.out) = (Some(shortcut), sum);
        }
        let for_heads = heads == WithHeads::Yes && (block.heads.pred || (mode == Mode::Train && block.heads.any()));
        if !for_heads && !block.hands_on_activation() {
            return;
        }
        let what = self.behind(block);
        let (behind, a) = self.activate(what, pass.out, None, mode, [&block.name, "a"]);
        (pass.behind, pass.a) = (Some(behind), Some(a));
        if block.hands_on_activation() {
            pass.out = a;
        }
    }

    /// Backward through a block: `incoming` is the gradient of what it handed on, if any flows here; that of its heads
    /// joins it. Gradients of its own parameters go to its arena.
    pub fn block_backward(
        &mut self,
        block: &Block,
        pass: &BlockPass,
        incoming: Option<Slice>,
        wanted: Wanted,
    ) -> HandedBack {
        if self.sums_suffice(block, pass, incoming, wanted) {
            self.emit_either(
                |builder| {
                    builder.map_backward(block, pass, incoming, wanted);
                },
                |builder| builder.map_backward_by_sums(block, pass),
            );
            return HandedBack { input: None, tap: None };
        }
        let (dy, dsum, sum_normalised) = self.map_backward(block, pass, incoming, wanted);
        let input = self.leave(block, pass, dy, wanted.input);
        // Last, because it may work in place.
        let tap = pass
            .shortcut
            .as_ref()
            .and_then(|shortcut| self.shortcut_backward(block, shortcut, dsum, !sum_normalised, wanted.tap));
        HandedBack { input, tap }
    }

    /// Backward as far as the map's weights: the gradients of the map's output and of the sum that a shortcut is part
    /// of, and whether a norm stands behind that sum.
    fn map_backward(
        &mut self,
        block: &Block,
        pass: &BlockPass,
        incoming: Option<Slice>,
        wanted: Wanted,
    ) -> (Slice, Slice, bool) {
        let (dy, dsum) = if block.order == Order::Post {
            self.backward_activated_sum(block, pass, incoming, wanted)
        } else {
            let dy = self.backward_sum(block, pass, incoming);
            (dy, dy)
        };
        // A constant in front of a normalisation is taken away again: the gradient of such a bias is exactly zero, and
        // its place in the arena, never written, holds that zero.
        let normalised = pass.behind.is_some_and(|behind| behind.what.norm.is_some());
        let sum_normalised = normalised && block.order != Order::Post && incoming.is_none();
        if !(sum_normalised || (normalised && block.order == Order::Post))
            && let Some(dbias) = self.arena(block).grad(&format!("{}.bias", kind(block)))
        {
            self.column_sum([pass.map.rows(), pass.map.channels()], dy, dbias, &block.name);
        }
        let dw = self.map_gradient(block);
        self.backward_weight(&pass.map, labels(block), pass.input, dy, dw, &block.name);
        (dy, dsum, sum_normalised)
    }

    fn map_gradient(&self, block: &Block) -> Slice {
        self.arena(block).grad(&format!("{}.weight", kind(block))).expect("every map has weights")
    }

    /// Whether all that is asked of a block's backward is its parameters' gradients, and these follow from sums over the
    /// batch without the gradient of its map's output.
    fn sums_suffice(&self, block: &Block, pass: &BlockPass, incoming: Option<Slice>, wanted: Wanted) -> bool {
        let normed = pass.behind.is_some_and(|behind| behind.what.norm.is_some());
        let alone = incoming.is_none() && !wanted.input && !wanted.tap && pass.shortcut.is_none();
        // Dropout would have changed the activation, which tells where its derivative is zero.
        block.order == Order::Post && pass.map.is_conv() && normed && alone && block.dropout == 0.0
    }

    /// The gradients of a map's weights and of the norm behind it in one pass over the batch. What is left of the sums are
    /// small differences, so none of them is rounded to f16.
    fn map_backward_by_sums(&mut self, block: &Block, pass: &BlockPass) {
        let (Some(behind), Some(a), Map::Conv(conv)) = (&pass.behind, pass.a, pass.map) else { return };
        let conv = Conv2d { tuning: conv.tuning.single(), ..conv };
        let [rows, channels] = self.matrix(block.out_shape);
        let mut heads = pass.heads.gradient;
        let upstream = self.meet(block, &mut heads, None);
        self.emit_activation_backward(BatchNorm { rows, channels }, a, upstream, self.nonlinearity());
        let linear = behind.linear();
        let g = upstream.gradient;
        let Some(norm) =
            self.backward_norm_sums(&linear, Upstream { gradient: g, dense: true, pooled: None }, &block.name)
        else {
            return;
        };
        let (x, dw) = (pass.input, self.map_gradient(block));
        let alone = Conv2d { cout: ONES, ..conv };
        let weights = conv.kernel * conv.kernel * conv.cin;
        let sum_x = self.scratch(&block.name, "sum of x", 4 * u64::from(weights * ONES));
        let sum_xy = self.scratch(&block.name, "sum of x y", dw.bytes);
        self.backward_weight(&Map::Conv(conv), labels(block), x, g, dw, &block.name);
        self.backward_weight(&Map::Conv(conv), SUM_XY, x, behind.x, sum_xy, &block.name);
        let (name, per_sample) = (block.name.clone(), rows / self.batch);
        self.emit_map(Map::Conv(alone), move |map, part| {
            let x = part.of(x);
            part.sum(&name, sum_x, |part, sum| {
                let rows = part.samples * per_sample;
                let one = part.scratch(&name, "ones", 4 * u64::from(rows * ONES));
                let mut all = vec![batchnorm_weight::ones(rows, one)];
                all.extend(map.backward_weight(SUM_X, x, one, sum, |what, bytes| {
                    part.scratch(&name, &format!("sum of x: {what}"), bytes)
                }));
                all
            })
        });
        // It lies in one buffer with `dw`, and no dispatch may read a buffer that it writes.
        let daffine = self.scratch(&block.name, "norm gradient", norm.daffine.bytes);
        self.emit([Elementwise { len: daffine.bytes / 4 }.copy(norm.daffine, daffine)]);
        let sums = NormedSums { saved: norm.saved, affine: norm.affine, daffine, x: sum_x, xy: sum_xy };
        self.emit([NormedWeight { rows, weights, channels }.dispatch(sums, dw)]);
    }

    /// Of `y = act(bn(map) + shortcut)`: the gradient of the map's output and that of the sum, which are two tensors
    /// where both are needed.
    fn backward_activated_sum(
        &mut self,
        block: &Block,
        pass: &BlockPass,
        incoming: Option<Slice>,
        wanted: Wanted,
    ) -> (Slice, Slice) {
        let behind = pass.behind.as_ref().expect("the activation is part of the block");
        if let (Some(pool), Some(gradient), None) = (pass.pooled, incoming, pass.a) {
            let dy = self.backward_pooled(behind, pool, gradient, &block.name);
            return (dy, dy);
        }
        if let Some(gradient) = incoming {
            self.block_dropout(block, block.out_shape, gradient);
        }
        let mut heads = pass.heads.gradient;
        let upstream = self.meet(block, &mut heads, incoming);
        let Some(shortcut) = &pass.shortcut else {
            match heads.scores {
                Some(scores) => self.backward_few(behind, upstream, heads.parts, Sender::Classifier(scores)),
                None => self.backward_activated(behind, upstream, &block.name),
            }
            return (upstream.gradient, upstream.gradient);
        };
        let [rows, channels] = self.matrix(block.out_shape);
        let a = pass.a.expect("the activation is part of the block");
        // An activation's sign is its input's, so its derivative can be told from `a`.
        self.emit_activation_backward(BatchNorm { rows, channels }, a, upstream, self.nonlinearity());
        let dsum = upstream.gradient;
        if behind.what.norm.is_none() {
            return (dsum, dsum);
        }
        let upstream = if shortcut.has_map() || wanted.tap {
            self.elsewhere(dsum, block.out_shape, format!("{}.dy", block.name))
        } else {
            Upstream { gradient: dsum, dense: true, pooled: None }
        };
        self.backward_activated(behind, upstream, &block.name);
        (upstream.gradient, dsum)
    }

    /// Of `y = map + shortcut`, which goes on, while the heads see `act(bn(y))`.
    fn backward_sum(&mut self, block: &Block, pass: &BlockPass, incoming: Option<Slice>) -> Slice {
        let Some(behind) = &pass.behind else {
            return incoming.expect("a gradient comes from behind a block without heads");
        };
        let on_the_way = incoming.filter(|_| block.hands_on_activation());
        let mut heads = pass.heads.gradient;
        let upstream = self.meet(block, &mut heads, on_the_way);
        self.backward_activated(behind, upstream, &block.name);
        if let Some(gradient) = incoming.filter(|_| !block.hands_on_activation()) {
            self.accumulate(gradient, upstream.gradient);
        }
        upstream.gradient
    }

    /// The gradient of the block's input from that of its map's output, through what stands in front of the map.
    fn leave(&mut self, block: &Block, pass: &BlockPass, dy: Slice, wanted: bool) -> Option<Slice> {
        let norm_wants = pass.before.is_some_and(|before| before.what.norm.is_some());
        if !wanted && !norm_wants {
            return None;
        }
        let (map, weight) = self.block_map(block);
        let dx = self.backward_input(&map, labels(block), dy, weight, &block.name);
        if let Some(before) = &pass.before {
            self.block_dropout(block, block.in_shape, dx);
            let upstream = Upstream { gradient: dx, dense: true, pooled: None };
            if wanted {
                self.backward_activated(before, upstream, &block.name);
            } else {
                self.backward_activated_affine(before, upstream, &block.name);
            }
        }
        wanted.then_some(dx)
    }

    /// Gradients of one tensor from its heads and from behind, as one. Parts of the former are left for the norm,
    /// unless another gradient has to join them.
    fn meet(&mut self, block: &Block, heads: &mut HeadGradient, incoming: Option<Slice>) -> Upstream {
        let len = self.elements(block.out_shape);
        let dense = match (heads.dense, incoming) {
            (Some(sum), Some(gradient)) => {
                self.add_up(heads);
                self.accumulate(gradient, sum);
                Some(sum)
            }
            (one, other) => one.or(other),
        };
        let gradient = dense.unwrap_or_else(|| self.activation(format!("{}.dh", block.name), len));
        Upstream { gradient, dense: dense.is_some(), pooled: heads.pooled }
    }

    /// A block's own dropout, of a tensor of `shape`.
    fn block_dropout(&mut self, block: &Block, shape: Shape, tensor: Slice) {
        self.dropout(shape, block.dropout, block.index, block.map.is_conv(), tensor);
    }

    /// The block's map for this batch, and its weights.
    pub fn block_map(&self, block: &Block) -> (Map, Slice) {
        let map = match block.map {
            MapKind::Conv { cout, kernel, stride, pad, .. } => {
                Map::Conv(self.convolution(block.in_shape, cout, [kernel, stride, pad]))
            }
            MapKind::Linear { fan_out, .. } => self.dense(block.in_shape.device_elements(), fan_out),
        };
        let weight = self.arena(block).weight(&format!("{}.weight", kind(block)));
        (map, weight.expect("every map has weights"))
    }

    /// A convolution of maps of shape `input`.
    pub fn convolution(&self, input: Shape, cout: usize, [kernel, stride, pad]: [usize; 3]) -> Conv2d {
        Conv2d {
            batch: self.batch,
            height: input.h as u32,
            width: input.w as u32,
            cin: pad4(input.c) as u32,
            cout: pad4(cout) as u32,
            kernel: kernel as u32,
            stride: stride as u32,
            pad: pad as u32,
            part_of: None,
            tuning: self.network.tuning,
        }
    }

    /// A linear map from `device_features`, padding included, to `features`.
    pub fn dense(&self, device_features: usize, features: usize) -> Map {
        let (fan_in, fan_out) = (device_features as u32, pad4(features) as u32);
        Map::Dense { batch: self.batch, fan_in, fan_out, tuning: self.network.tuning }
    }
}

/// What the map's parameters are called.
fn kind(block: &Block) -> &'static str {
    if block.map.is_conv() { "conv" } else { "linear" }
}

fn labels(block: &Block) -> MapLabels {
    if block.map.is_conv() { CONV } else { LINEAR }
}
