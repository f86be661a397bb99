//! What all plans are built from: tensors and stages, and the bricks that every part of a step uses.

use crate::gpu::{Dispatch, Slice};
use crate::kernels::Activation;
use crate::kernels::augment::{Augment, Cutout};
use crate::kernels::batchnorm::BatchNorm;
use crate::kernels::dropout::Dropout;
use crate::kernels::elementwise::Elementwise;
use crate::kernels::gemm::Parts;
use crate::kernels::reduce;
use crate::nn::{Block, Nonlin, Shape, pad4};

use super::activated::{Made, TileMoments};
use super::arena::Arena;
use super::heads::Losses;
use super::map::{Map, MapLabels};
use super::measures::Measures;
use super::network::{Network, Source};
use super::plan::Mode;
use super::tensors::{Role, TensorTable};
use super::work::{Part, Work};

/// A plan under construction.
pub struct Builder<'n> {
    pub network: &'n Network,
    pub batch: u32,
    tensors: TensorTable,
    measures: Measures,
    stages: Vec<Steps>,
    open: Vec<Work>,
    instead: Option<Vec<Work>>,
}

/// What one command buffer does.
#[derive(Debug, Clone)]
pub struct Steps {
    /// Name of the block.
    pub name: String,
    /// In order.
    pub works: Vec<Work>,
    /// Works that do the same with less memory and more arithmetic, where there are any.
    pub instead: Option<Vec<Work>>,
}

impl<'n> Builder<'n> {
    /// Nothing yet, behind the network's persistent tensors.
    pub fn new(network: &'n Network, batch: u32) -> Self {
        let (tensors, measures) = (network.tensors.clone(), Measures::new(network));
        Self { network, batch, tensors, measures, stages: Vec::new(), open: Vec::new(), instead: None }
    }

    /// The finished list. What was measured joins the totals in the last stage.
    pub fn finish(mut self) -> (Vec<Steps>, TensorTable) {
        let close = self.measures.close(self.network, self.batch, &mut self.tensors);
        if let (Some(last), false) = (self.stages.last_mut(), close.is_empty()) {
            let work = Work::fixed(close);
            last.instead.iter_mut().for_each(|instead| instead.push(work.clone()));
            last.works.push(work);
        }
        (self.stages, self.tensors)
    }

    /// Room for parts of a loss or of a norm, which outlive their stage.
    pub fn measured(&mut self, bytes: u64) -> Slice {
        self.measures.room(bytes)
    }

    /// Notes what the step measures of arena `owner`; see [`Measures::note`].
    pub fn note_measured(&mut self, owner: usize, losses: Losses, squares: Option<Slice>) {
        self.measures.note(self.network.totals_of(owner), losses, squares);
    }

    /// A new activation of `elements` floats.
    pub fn activation(&mut self, name: String, elements: u64) -> Slice {
        self.tensors.add(name, Role::Activation, 4 * elements)
    }

    /// A new tensor of `bytes` bytes, the plan's own, that the host reads back.
    pub fn kept(&mut self, name: String, bytes: u64) -> Slice {
        self.tensors.add(name, Role::Output, bytes)
    }

    /// Room that is used within a few dispatches.
    pub fn scratch(&mut self, name: &str, what: &str, bytes: u64) -> Slice {
        self.tensors.add(format!("{name}.{what}"), Role::Activation, bytes.max(16))
    }

    /// Appends dispatches for the whole batch to the open stage.
    pub fn emit(&mut self, dispatches: impl IntoIterator<Item = Dispatch>) {
        self.push(Work::fixed(dispatches.into_iter().collect()));
    }

    /// Appends work that can be done for a run of samples at a time.
    pub fn emit_by_sample(&mut self, make: impl Fn(&mut Part<'_>) -> Vec<Dispatch> + 'static) {
        let work = Work::new(self.batch, &mut self.tensors, true, make);
        self.push(work);
    }

    /// Appends work for the whole batch that depends on the parts in which work before it has been done.
    pub fn emit_behind_parts(&mut self, make: impl Fn(&mut Part<'_>) -> Vec<Dispatch> + 'static) {
        let work = Work::new(self.batch, &mut self.tensors, false, make);
        self.push(work);
    }

    fn push(&mut self, work: Work) {
        if let Some(instead) = &mut self.instead {
            instead.push(work.clone());
        }
        self.open.push(work);
    }

    /// Appends what `usual` emits, or, where memory is short, what `instead` emits, to the open stage. One choice a stage.
    pub fn emit_either(&mut self, usual: impl FnOnce(&mut Self), instead: impl FnOnce(&mut Self)) {
        debug_assert!(self.instead.is_none(), "a stage has one choice");
        let mut works = std::mem::take(&mut self.open);
        instead(self);
        let mut other = works.clone();
        other.append(&mut self.open);
        usual(self);
        works.append(&mut self.open);
        (self.open, self.instead) = (works, Some(other));
    }

    /// Closes the open stage: everything emitted since the last one goes into one command buffer.
    pub fn close_stage(&mut self, name: impl Into<String>) {
        let (works, instead) = (std::mem::take(&mut self.open), self.instead.take());
        self.stages.push(Steps { name: name.into(), works, instead });
    }

    /// The network's input `[N, H, W, pad4(C)]`; in training with the holes that cutout makes.
    pub fn input(&mut self, mode: Mode) -> Slice {
        let network = self.network;
        let shape = network.model.config.input;
        let elements = self.elements(network.model.input);
        let Source::Pixels { mean, std } = &network.source else {
            return Slice { bytes: 4 * elements, ..network.inputs.samples };
        };
        let x = self.activation("input.x".into(), elements);
        let augment = Augment {
            batch: self.batch,
            height: shape.height as u32,
            width: shape.width as u32,
            channels: shape.channels as u32,
            rows: network.model.input.h == 1 && shape.channels == 1,
            mean: *mean,
            std: *std,
        };
        let crops = network.inputs.crops.expect("pixels come with crops");
        let pixels = network.inputs.samples;
        let Augment { batch, height, width, rows, .. } = augment;
        let cutout = network.train.holes().filter(|_| mode == Mode::Train);
        let cutout = cutout.map(|cut| Cutout { batch, height, width, rows, holes: cut.holes, half: cut.half() });
        let cutout = cutout.zip(network.inputs.holes);
        self.emit_by_sample(move |part| {
            let (first, batch, x) = (part.first, part.samples, part.of(x));
            let augment = Augment { batch, ..augment }.dispatch_from(first, pixels, crops, x);
            let cutout = cutout.map(|(cutout, holes)| Cutout { batch, ..cutout }.dispatch_from(first, holes, x));
            [augment].into_iter().chain(cutout).collect()
        });
        x
    }

    /// The labels of this plan's batch.
    pub fn labels(&self) -> Slice {
        Slice { bytes: 4 * u64::from(self.batch), ..self.network.inputs.labels }
    }

    /// The persistent tensors of a block.
    pub fn arena(&self, block: &Block) -> &'n Arena {
        &self.network.arenas[block.index]
    }

    /// Floats of a batch of tensors of `shape` on the device.
    pub fn elements(&self, shape: Shape) -> u64 {
        u64::from(self.batch) * shape.device_elements() as u64
    }

    /// Rows (pixels of all samples) and padded channels of such a batch as a matrix.
    pub fn matrix(&self, shape: Shape) -> [u32; 2] {
        [self.batch * (shape.h * shape.w) as u32, pad4(shape.c) as u32]
    }

    /// The activation that `--nonlin` names.
    pub fn nonlinearity(&self) -> Activation {
        match self.network.model.config.nonlin {
            Nonlin::Relu => Activation::Relu,
            Nonlin::LeakyRelu => Activation::LeakyRelu,
        }
    }

    /// Dropout in place of a tensor of `shape`; on a gradient, its backward. `stream` tells the network's dropouts apart.
    pub fn dropout(&mut self, shape: Shape, rate: f64, stream: usize, whole_maps: bool, tensor: Slice) {
        if rate == 0.0 {
            return;
        }
        let dropout = Dropout {
            batch: self.batch,
            spatial: (shape.h * shape.w) as u32,
            channels: pad4(shape.c) as u32,
            rate: rate as f32,
            stream: stream as u32,
            whole_maps,
        };
        let step = self.network.inputs.step;
        self.emit_by_sample(move |part| {
            let dropout = Dropout { batch: part.samples, ..dropout };
            vec![dropout.forward_from(part.first, step, part.of(tensor))]
        });
    }

    /// A copy of a tensor of `shape`.
    pub fn copy(&mut self, name: String, shape: Shape, tensor: Slice) -> Slice {
        let len = self.elements(shape);
        let copy = self.activation(name, len);
        self.emit_by_sample(move |part| {
            let (from, to) = (part.of(tensor), part.of(copy));
            vec![Elementwise { len: to.bytes / 4 }.copy(from, to)]
        });
        copy
    }

    /// Adds `tensor` to `sum`.
    pub fn accumulate(&mut self, tensor: Slice, sum: Slice) {
        self.emit_by_sample(move |part| {
            let (tensor, sum) = (part.of(tensor), part.of(sum));
            vec![Elementwise { len: sum.bytes / 4 }.accumulate(tensor, sum)]
        });
    }

    /// `y = map(x) + bias`, with its workspace.
    #[expect(clippy::too_many_arguments, reason = "a map's operands, its labels and whose it is")]
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
        self.emit_forward(map, labels, [x, weight], bias, y, None, name);
    }

    /// The same, which leaves the moments of `y` in a tensor besides, if there is one, the first time that it is done.
    #[expect(clippy::too_many_arguments, reason = "a map's operands, its labels and whose it is")]
    fn emit_forward(
        &mut self,
        map: &Map,
        labels: MapLabels,
        [x, weight]: [Slice; 2],
        bias: Option<Slice>,
        y: Slice,
        moments: Option<Slice>,
        name: &str,
    ) {
        let (name, per_sample) = (name.to_owned(), map.rows() / self.batch);
        self.emit_map(*map, move |map, part| {
            let (x, y) = (part.of(x), part.of(y));
            match moments.and_then(|moments| part.once(moments)) {
                Some(moments) => map.forward_with_moments(labels, [x, weight], bias, y, part.rows(per_sample), moments),
                None => map.forward(labels, x, weight, bias, y, |what, bytes| {
                    part.scratch(&name, &format!("forward: {what}"), bytes)
                }),
            }
        });
    }

    /// [`Self::forward`] of a map whose reader adds up the parts, where there are parts: then nothing is in `y` yet.
    pub fn forward_in_parts(
        &mut self,
        map: &Map,
        labels: MapLabels,
        [x, weight]: [Slice; 2],
        bias: Option<Slice>,
        y: Slice,
        name: &str,
    ) -> Option<Parts> {
        let room = |what: &str, bytes| self.scratch(name, &format!("forward: {what}"), bytes);
        let Some((product, parts)) = map.forward_in_parts(labels, x, weight, bias, room) else {
            self.forward(map, labels, x, weight, bias, y, name);
            return None;
        };
        self.emit([product]);
        Some(parts)
    }

    /// [`Self::forward`] of a map that leaves the moments of `y` to the norm behind it, where they are `wanted` and it can.
    #[expect(clippy::too_many_arguments, reason = "a map's operands, its labels and whose it is")]
    pub fn forward_to_norm(
        &mut self,
        map: &Map,
        labels: MapLabels,
        operands: [Slice; 2],
        bias: Option<Slice>,
        y: Slice,
        wanted: bool,
        name: &str,
    ) -> Made {
        let per_sample = map.rows() / self.batch;
        let moments = map.moment_rows(per_sample).filter(|_| wanted).map(|tile_rows| {
            let norm = BatchNorm { rows: map.rows(), channels: map.channels() };
            self.scratch(name, "norm moments", norm.tiles_workspace_bytes(tile_rows, per_sample))
        });
        self.emit_forward(map, labels, operands, bias, y, moments, name);
        moments.map_or(Made::Whole, |moments| Made::WithMoments(TileMoments { moments, map: *map }))
    }

    /// Work of a map: convolutions can be done for a run of samples at a time.
    pub fn emit_map(&mut self, map: Map, make: impl Fn(Map, &mut Part<'_>) -> Vec<Dispatch> + 'static) {
        if map.is_conv() {
            self.emit_by_sample(move |part| make(map.of_batch(part.samples), part));
        } else {
            self.emit_behind_parts(move |part| make(map, part));
        }
    }

    /// A map's weight gradient, with its workspace.
    pub fn backward_weight(&mut self, map: &Map, labels: MapLabels, x: Slice, dy: Slice, dw: Slice, name: &str) {
        let name = name.to_owned();
        self.emit_map(*map, move |map, part| {
            let (x, dy) = (part.of(x), part.of(dy));
            part.sum(&name, dw, |part, dw| {
                map.backward_weight(labels, x, dy, dw, |what, bytes| part.scratch(&name, &format!("dW: {what}"), bytes))
            })
        });
    }

    /// The gradient of a map's input; `weight` is the one from before the update.
    pub fn backward_input(&mut self, map: &Map, labels: MapLabels, dy: Slice, weight: Slice, name: &str) -> Slice {
        let dx = self.activation(format!("{name}.dx"), map.input_len());
        let name = name.to_owned();
        self.emit_map(*map, move |map, part| {
            let (dy, dx) = (part.of(dy), part.of(dx));
            map.backward_input(labels, dy, weight, dx, |what, bytes| part.scratch(&name, &format!("dX: {what}"), bytes))
        });
        dx
    }

    /// The same for a reader that adds up the parts, where there are parts: then nothing is in the gradient's place yet.
    pub fn backward_input_in_parts(
        &mut self,
        map: &Map,
        labels: MapLabels,
        dy: Slice,
        weight: Slice,
        name: &str,
    ) -> (Slice, Option<Parts>) {
        let room = |what: &str, bytes| self.scratch(name, &format!("dX: {what}"), bytes);
        let Some((product, parts)) = map.backward_input_in_parts(labels, dy, weight, room) else {
            return (self.backward_input(map, labels, dy, weight, name), None);
        };
        self.emit([product]);
        (self.activation(format!("{name}.dx"), map.input_len()), Some(parts))
    }

    /// A bias's gradient: the sum of `x` over its rows.
    pub fn column_sum(&mut self, [rows, channels]: [u32; 2], x: Slice, out: Slice, name: &str) {
        let (name, per_sample) = (name.to_owned(), rows / self.batch);
        let sum = move |part: &mut Part<'_>| {
            let (x, rows) = (part.of(x), part.samples * per_sample);
            part.sum(&name, out, |part, out| {
                let workspace =
                    part.scratch(&name, "bias partials", reduce::column_sum_workspace_bytes(rows, channels));
                reduce::column_sum(rows, channels, x, out, workspace)
            })
        };
        // Single rows are as small as what is made of them.
        if per_sample > 1 { self.emit_by_sample(sum) } else { self.emit_behind_parts(sum) }
    }
}
