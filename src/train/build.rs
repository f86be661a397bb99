//! What all plans are built from: a block's trunk forward and backward, its heads, its closing dispatches.

use crate::gpu::{Dispatch, Slice, Stage};
use crate::kernels::Activation;
use crate::kernels::augment::Augment;
use crate::kernels::batchnorm::{BatchNorm, Normalised};
use crate::kernels::batchnorm_backward::Upstream;
use crate::kernels::conv2d::Conv2d;
use crate::kernels::dropout::Dropout;
use crate::kernels::optimizer::Optimizer;
use crate::kernels::pool::MaxPool;
use crate::kernels::pred::SoftmaxCrossEntropy;
use crate::kernels::reduce::{self, Measured, Metrics};
use crate::nn::{Block, MapKind, Nonlin, pad4};

use super::map::{Map, MapLabels};
use super::network::{Network, Source};
use super::plan::Mode;
use super::tensors::{Role, TensorTable};

const CONV: MapLabels = MapLabels { forward: "conv forward", input: "conv dX", weight: "conv dW" };
const LINEAR: MapLabels = MapLabels { forward: "linear forward", input: "linear dX", weight: "linear dW" };
const PRED: MapLabels = MapLabels { forward: "pred forward", input: "pred dX", weight: "pred dW" };
const OUTPUT: MapLabels = MapLabels { forward: "output forward", input: "output dX", weight: "output dW" };

/// A plan under construction.
pub struct Builder<'n> {
    pub network: &'n Network,
    pub batch: u32,
    tensors: TensorTable,
    stages: Vec<Stage>,
    dispatches: Vec<Dispatch>,
}

/// What a block's trunk computed.
#[derive(Debug, Clone, Copy)]
pub struct Trunk {
    /// The map, and its input.
    pub map: Map,
    pub x: Slice,
    /// The map's output, before the norm.
    pub y: Slice,
    /// Mean and inverse deviation of `y`, with batch norm.
    pub saved: Option<Slice>,
    /// The activation.
    pub h: Slice,
}

impl<'n> Builder<'n> {
    /// Nothing yet, behind the network's persistent tensors.
    pub fn new(network: &'n Network, batch: u32) -> Self {
        Self { network, batch, tensors: network.tensors.clone(), stages: Vec::new(), dispatches: Vec::new() }
    }

    /// The finished list.
    pub fn finish(self) -> (Vec<Stage>, TensorTable) {
        (self.stages, self.tensors)
    }

    /// A new activation of `elements` floats.
    pub fn activation(&mut self, name: String, elements: u64) -> Slice {
        self.tensors.add(name, Role::Activation, 4 * elements)
    }

    /// A new tensor of `elements` floats, the plan's own, that the host reads back.
    pub fn kept(&mut self, name: String, elements: u64) -> Slice {
        self.tensors.add(name, Role::Output, 4 * elements)
    }

    /// Appends dispatches to the open stage.
    pub fn emit(&mut self, dispatches: impl IntoIterator<Item = Dispatch>) {
        self.dispatches.extend(dispatches);
    }

    /// Closes the open stage: everything emitted since the last one goes into one command buffer.
    pub fn close_stage(&mut self, name: impl Into<String>) {
        self.stages.push(Stage { name: name.into(), dispatches: std::mem::take(&mut self.dispatches) });
    }

    /// The network's input `[N, H, W, pad4(C)]`.
    pub fn input(&mut self) -> Slice {
        let network = self.network;
        let shape = network.model.config.input;
        let elements = u64::from(self.batch) * network.model.input.device_elements() as u64;
        let Source::Pixels { mean, std } = &network.source else {
            return Slice { bytes: 4 * elements, ..network.inputs.samples };
        };
        let x = self.activation("input.x".into(), elements);
        let augment = Augment {
            batch: self.batch,
            height: shape.height as u32,
            width: shape.width as u32,
            channels: shape.channels as u32,
            rows: network.model.input.h == 1,
            mean: *mean,
            std: *std,
        };
        let crops = network.inputs.crops.expect("pixels come with crops");
        self.emit([augment.dispatch(network.inputs.samples, crops, x)]);
        x
    }

    /// The labels of this plan's batch.
    pub fn labels(&self) -> Slice {
        Slice { bytes: 4 * u64::from(self.batch), ..self.network.inputs.labels }
    }

    /// Forward through the map, the norm and the activation.
    pub fn trunk(&mut self, block: &Block, x: Slice, mode: Mode) -> Trunk {
        let arena = &self.network.arenas[block.index];
        let (map, labels, weight) = self.block_map(block);
        let kind = if matches!(map, Map::Conv(_)) { "conv" } else { "linear" };
        let bias = arena.weight(&format!("{kind}.bias"));
        let name = &block.name;
        let y = self.activation(format!("{name}.y"), map.output_len());
        self.forward(&map, labels, x, weight, bias, y, name);
        let h = self.activation(format!("{name}.h"), map.output_len());
        let norm = BatchNorm { rows: map.rows(), channels: map.channels() };
        let activation = self.nonlinearity();
        let Some(affine) = arena.norm_affine() else {
            self.emit([norm.activate(y, h, activation)]);
            return Trunk { map, x, y, saved: None, h };
        };
        let running = arena.norm_running().expect("a norm has running statistics");
        let saved = self.activation(format!("{name}.saved"), 2 * u64::from(map.channels()));
        match mode {
            Mode::Train => {
                let workspace = self.scratch(name, "norm partials", norm.workspace_bytes());
                self.emit(norm.statistics(y, workspace, running, saved));
            }
            Mode::Evaluate | Mode::Inspect => self.emit([norm.statistics_eval(running, saved)]),
        }
        self.emit([norm.apply(Normalised { y, saved, affine, activation }, h)]);
        Trunk { map, x, y, saved: Some(saved), h }
    }

    /// Backward through activation, norm and map: `upstream.gradient` holds dL/dh where it is dense, and receives dL/dy.
    pub fn backward_trunk(&mut self, block: &Block, trunk: &Trunk, upstream: Upstream) {
        let arena = &self.network.arenas[block.index];
        let (activation, grad) = (self.nonlinearity(), upstream.gradient);
        let norm = BatchNorm { rows: trunk.map.rows(), channels: trunk.map.channels() };
        let (name, labels) = (&block.name, block_labels(&trunk.map));
        match trunk.saved {
            Some(saved) => {
                let affine = arena.norm_affine().expect("a normalised block has a norm");
                let daffine = arena.norm_affine_grad().expect("a normalised block has a norm");
                let workspace = self.scratch(name, "norm gradient partials", norm.workspace_bytes());
                let of = Normalised { y: trunk.y, saved, affine, activation };
                self.emit(norm.backward(of, upstream, daffine, workspace));
                // The map's bias stands before the norm, which takes any constant away again: its gradient is exactly
                // zero, and its place in the arena, never written, holds that zero.
            }
            None => {
                self.emit([norm.backward_activation(trunk.y, upstream, activation)]);
                let suffix = if matches!(trunk.map, Map::Conv(_)) { "conv.bias" } else { "linear.bias" };
                if let Some(dbias) = arena.grad(suffix) {
                    self.column_sum(name, norm.rows, norm.channels, grad, dbias);
                }
            }
        }
        let suffix = if matches!(trunk.map, Map::Conv(_)) { "conv.weight" } else { "linear.weight" };
        let dw = arena.grad(suffix).expect("every map has weights");
        self.backward_weight(&trunk.map, labels, trunk.x, grad, dw, name);
    }

    /// Gradient of the map's input; `trunk`'s weights are the ones from before the update.
    pub fn backward_input(&mut self, block: &Block, trunk: &Trunk, dy: Slice) -> Slice {
        let (map, labels, weight) = self.block_map(block);
        let dx = self.activation(format!("{}.dx", block.name), map.input_len());
        let name = block.name.clone();
        let dispatches = trunk.map.backward_input(labels, dy, weight, dx, |b| self.scratch(&name, "dX partials", b));
        self.emit(dispatches);
        dx
    }

    /// Dropout of a block's outgoing tensor, in place; on a gradient, its backward.
    pub fn dropout(&mut self, block: &Block, tensor: Slice) {
        if block.dropout == 0.0 {
            return;
        }
        let shape = block.out_shape;
        let dropout = Dropout {
            batch: self.batch,
            spatial: (shape.h * shape.w) as u32,
            channels: pad4(shape.c) as u32,
            rate: block.dropout as f32,
            stream: block.index as u32,
            whole_maps: matches!(block.map, MapKind::Conv { .. }),
        };
        self.emit([dropout.forward(self.network.inputs.step, tensor)]);
    }

    /// The 2×2 pooling behind a block, if it has one.
    pub fn max_pool(&mut self, block: &Block, h: Slice) -> Slice {
        let Some(pool) = self.max_pool_of(block) else { return h };
        let pixels = u64::from(pool.batch) * u64::from(pool.out_height()) * u64::from(pool.out_width());
        let out = self.activation(format!("{}.out", block.name), pixels * u64::from(pool.channels));
        self.emit([pool.forward(h, out)]);
        out
    }

    /// Its geometry.
    pub fn max_pool_of(&self, block: &Block) -> Option<MaxPool> {
        let shape = block.out_shape;
        block.max_pool_after.then(|| MaxPool {
            batch: self.batch,
            height: shape.h as u32,
            width: shape.w as u32,
            channels: pad4(shape.c) as u32,
        })
    }

    /// A classifier over `features` device features: logits from `x`, and the losses of its rows. In training also
    /// the gradients of its weights, and of `x` where `input` asks for it.
    pub fn classifier(
        &mut self,
        owner: usize,
        x: Slice,
        features: usize,
        mode: Mode,
        loss_weight: f64,
        input: bool,
    ) -> (Slice, Option<Slice>) {
        let network = self.network;
        let arena = &network.arenas[owner];
        let name = network.title(owner).to_owned();
        let (prefix, labels) = if owner == network.output() { ("", OUTPUT) } else { ("pred.", PRED) };
        let weight = arena.weight(&format!("{prefix}weight")).expect("a classifier has weights");
        let bias = arena.weight(&format!("{prefix}bias"));
        let map = self.dense(features);
        let logits = network.logits[owner].expect("a classifier has logits");
        let logits = Slice { bytes: 4 * map.output_len(), ..logits };
        self.forward(&map, labels, x, weight, bias, logits, &name);
        let rows = self.activation(format!("{name}.pred rows"), 2 * u64::from(self.batch));
        let loss = SoftmaxCrossEntropy {
            batch: self.batch,
            classes: network.model.config.num_classes as u32,
            padded: map.channels(),
        };
        if mode != Mode::Train {
            self.emit([loss.evaluate(logits, self.labels(), rows)]);
            return (rows, None);
        }
        let dlogits = self.activation(format!("{name}.dlogits"), map.output_len());
        self.emit([loss.dispatch(logits, self.labels(), loss_weight as f32, dlogits, rows)]);
        let dw = arena.grad(&format!("{prefix}weight")).expect("a classifier has weights");
        self.backward_weight(&map, labels, x, dlogits, dw, &name);
        if let Some(dbias) = arena.grad(&format!("{prefix}bias")) {
            self.column_sum(&name, map.rows(), map.channels(), dlogits, dbias);
        }
        let dx = input.then(|| {
            let dx = self.activation(format!("{name}.dfeatures"), map.input_len());
            let dispatches = map.backward_input(labels, dlogits, weight, dx, |b| self.scratch(&name, "dX partials", b));
            self.emit(dispatches);
            dx
        });
        (rows, dx)
    }

    /// Adds the step's losses, and in training the trunk's gradient norm, to the totals of arena `owner`.
    pub fn metrics(&mut self, owner: usize, mut measured: Measured, mode: Mode) {
        let network = self.network;
        let arena = &network.arenas[owner];
        let trunk = Slice { bytes: arena.trunk_bytes, ..arena.grads };
        let len = (arena.trunk_bytes / 4) as u32;
        let partials = reduce::partials(len);
        if mode == Mode::Train {
            let rows = self.activation(format!("{}.norm rows", network.title(owner)), u64::from(partials));
            self.emit([reduce::sum_of_squares(len, trunk, rows)]);
            measured.partials = Some(rows);
        }
        let metrics = Metrics { samples: self.batch, partials };
        self.emit([metrics.dispatch(measured, network.inputs.step, network.totals_of(owner))]);
    }

    /// One dispatch that updates every trained tensor of arena `owner`.
    pub fn update(&mut self, owner: usize) {
        let (arena, train) = (&self.network.arenas[owner], &self.network.train);
        let len = (arena.weights.bytes / 4) as u32;
        let optimizer = Optimizer { len, kind: train.kind(), weight_decay: train.weight_decay as f32 };
        self.emit(optimizer.dispatch(self.network.inputs.step, arena.weights, arena.grads, &arena.moments));
    }

    /// A map's forward with its workspace.
    #[allow(clippy::too_many_arguments)]
    pub fn forward(
        &mut self,
        map: &Map,
        labels: MapLabels,
        x: Slice,
        weight: Slice,
        bias: Option<Slice>,
        y: Slice,
        name: &str,
    ) {
        let dispatches = map.forward(labels, x, weight, bias, y, |b| self.scratch(name, "forward partials", b));
        self.emit(dispatches);
    }

    /// A map's weight gradient with its workspace.
    pub fn backward_weight(&mut self, map: &Map, labels: MapLabels, x: Slice, dy: Slice, dw: Slice, name: &str) {
        let dispatches = map.backward_weight(labels, x, dy, dw, |b| self.scratch(name, "dW partials", b));
        self.emit(dispatches);
    }

    /// Room that is used within a few dispatches.
    pub fn scratch(&mut self, name: &str, what: &str, bytes: u64) -> Slice {
        self.tensors.add(format!("{name}.{what}"), Role::Activation, bytes.max(16))
    }

    /// A dense map from `features` to the classes.
    fn dense(&self, features: usize) -> Map {
        let fan_out = pad4(self.network.model.config.num_classes) as u32;
        Map::Dense { batch: self.batch, fan_in: features as u32, fan_out, tuning: self.network.tuning }
    }

    fn column_sum(&mut self, name: &str, rows: u32, channels: u32, x: Slice, out: Slice) {
        let workspace = self.scratch(name, "bias partials", reduce::column_sum_workspace_bytes(rows, channels));
        self.emit(reduce::column_sum(rows, channels, x, out, workspace));
    }

    /// The activation that `--nonlin` names.
    pub fn nonlinearity(&self) -> Activation {
        match self.network.model.config.nonlin {
            Nonlin::Relu => Activation::Relu,
            Nonlin::LeakyRelu => Activation::LeakyRelu,
        }
    }

    fn block_map(&self, block: &Block) -> (Map, MapLabels, Slice) {
        let (arena, tuning) = (&self.network.arenas[block.index], self.network.tuning);
        let (map, suffix) = match block.map {
            MapKind::Conv { cin, cout, kernel, stride, pad } => {
                let conv = Conv2d {
                    batch: self.batch,
                    height: block.in_shape.h as u32,
                    width: block.in_shape.w as u32,
                    cin: pad4(cin) as u32,
                    cout: pad4(cout) as u32,
                    kernel: kernel as u32,
                    stride: stride as u32,
                    pad: pad as u32,
                    tuning,
                };
                (Map::Conv(conv), "conv.weight")
            }
            MapKind::Linear { .. } => {
                let fan_in = (block.in_shape.h * block.in_shape.w * pad4(block.in_shape.c)) as u32;
                let fan_out = pad4(block.out_shape.c) as u32;
                (Map::Dense { batch: self.batch, fan_in, fan_out, tuning }, "linear.weight")
            }
        };
        let labels = block_labels(&map);
        (map, labels, arena.weight(suffix).expect("every map has weights"))
    }
}

fn block_labels(map: &Map) -> MapLabels {
    if matches!(map, Map::Conv(_)) { CONV } else { LINEAR }
}
