//! Similarity matching of a block's features: a trained `sim` head's output or, in `bio`, the pooled activation, against
//! the labels, their random codes, or the block's own input ([`crate::kernels::similarity`]).

use crate::gpu::Slice;
use crate::kernels::heads::Features;
use crate::kernels::similarity::{Mode as Compare, Similarity, SimilarityBuffers, Target};
use crate::kernels::similarity_blend::Blend;
use crate::nn::{Block, LossUnsup, Shape, pad4};

use super::build::Builder;
use super::few::FewClassifier;
use super::heads::{self, HeadGradient, HeadPass, Losses};
use super::map::{Map, MapLabels};

const SIM: MapLabels = MapLabels { forward: "sim forward", input: "sim dX", weight: "sim dW" };

/// A matrix to match, or the labels that one follows from.
#[derive(Clone, Copy)]
struct Goal {
    target: Target,
    slice: Slice,
}

impl Builder<'_> {
    /// The `sim` head, a 3x3 convolution or a linear map of `a`, and its losses; `x` is what entered the block's map.
    pub fn mapped_similarity(&mut self, block: &Block, a: Slice, x: Slice) -> HeadPass {
        let map = self.similarity_map(block);
        let weight = self.similarity_weight(block);
        let z = self.activation(format!("{}.z", block.name), map.output_len());
        self.forward(&map, SIM, a, weight, None, z, &block.name);
        let losses = self.match_similarities(block, block.out_shape, z, x);
        self.similarity_gradients(block, &map, a, z);
        let da = self.backward_input(&map, SIM, z, weight, &format!("{}.sim", block.name));
        HeadPass { losses, gradient: HeadGradient { dense: Some(da), ..HeadGradient::default() } }
    }

    /// The supervised `sim` head of a dense block with its classifier, whose scores and the head's features one dispatch
    /// makes. These take the map's output in parts, where it comes so, and the norm behind the block's map takes what flows
    /// back.
    pub fn similarity_and_classifier(&mut self, block: &Block, few: &FewClassifier, a: Slice) -> HeadPass {
        let map = self.similarity_map(block);
        let weight = self.similarity_weight(block);
        let z = self.activation(format!("{}.z", block.name), map.output_len());
        let parts = self.forward_in_parts(&map, SIM, [a, weight], None, z, &block.name);
        let features = parts.map_or(Features::Whole(z), Features::Parts);
        let loss = self.similarity_of(block.out_shape, false);
        let goal = self.one_hot_goal();
        let buffers = self.similarity_buffers(&block.name, &loss, z, goal.slice);
        self.emit([few.dispatch_with_features(&loss, features, [buffers.u, buffers.stats])]);
        self.emit(loss.loss_and_gradient(&buffers, goal.target, self.network.losses.sim as f32));
        self.similarity_gradients(block, &map, a, z);
        let (da, parts) = self.backward_input_in_parts(&map, SIM, z, weight, &format!("{}.sim", block.name));
        let losses = Losses { sim: Some(buffers.rows), ..Losses::default() };
        HeadPass { losses, gradient: HeadGradient { dense: Some(da), parts, ..HeadGradient::default() } }
    }

    fn similarity_weight(&self, block: &Block) -> Slice {
        self.arena(block).weight("sim.weight").expect("a sim head has weights")
    }

    /// Of the head's weights, from the gradient `dz` of what it made of `a`.
    fn similarity_gradients(&mut self, block: &Block, map: &Map, a: Slice, dz: Slice) {
        let dw = self.arena(block).grad("sim.weight").expect("a sim head has weights");
        self.backward_weight(map, SIM, a, dz, dw, &block.name);
    }

    /// The similarities of a batch, to look at: of the trained `sim` head's output, or else of the activation `a` itself.
    pub fn keep_similarities(&mut self, block: &Block, a: Slice) {
        let shape = block.out_shape;
        let z = match (block.heads.sim && !block.heads.bio).then(|| self.arena(block).weight("sim.weight")).flatten() {
            Some(weight) => {
                let map = self.similarity_map(block);
                let z = self.activation(format!("{}.z", block.name), map.output_len());
                self.forward(&map, SIM, a, weight, None, z, &block.name);
                z
            }
            None => a,
        };
        let loss = self.similarity_of(shape, block.map.is_conv());
        let matrix = self.kept(format!("{}.similarity", block.name), loss.matrix_bytes());
        let goal = self.one_hot_goal();
        let buffers = self.similarity_buffers(&block.name, &loss, z, goal.slice);
        self.emit_similarity(&loss, &SimilarityBuffers { matrix, ..buffers }, goal.target);
    }

    /// The map of the `sim` head: a 3x3 convolution, or a linear map.
    fn similarity_map(&self, block: &Block) -> Map {
        let shape = block.out_shape;
        if block.map.is_conv() {
            Map::Conv(self.convolution(shape, shape.c, [3, 1, 1]))
        } else {
            self.dense(shape.device_elements(), shape.c)
        }
    }

    /// The losses of the pooled activation itself. Its gradient takes the features' place.
    pub fn feature_similarity(&mut self, block: &Block, features: heads::Features, a: Slice, x: Slice) -> HeadPass {
        let shape = block.pred_in_shape();
        let whole = features.x == a;
        let z = if whole { self.copy(format!("{}.z", block.name), shape, a) } else { features.x };
        let losses = self.match_similarities(block, shape, z, x);
        let gradient = HeadGradient { pooled: Some((z, features.windows)), ..HeadGradient::default() };
        HeadPass { losses, gradient }
    }

    /// Losses of the similarities of `z`, of which one sample has `shape`; `z` becomes the gradient of their weighted sum.
    fn match_similarities(&mut self, block: &Block, shape: Shape, z: Slice, x: Slice) -> Losses {
        let weights = self.network.losses;
        let supervised = block.heads.sim.then(|| self.label_goal(block));
        let unsupervised = (block.heads.unsup == LossUnsup::Sim).then(|| self.input_goal(block, x));
        let loss = self.similarity_of(shape, block.map.is_conv());
        match (supervised, unsupervised) {
            (Some(goal), None) => {
                let rows = self.match_one(block, &loss, z, goal, weights.sim);
                Losses { sim: Some(rows), ..Losses::default() }
            }
            (None, Some(goal)) => {
                let rows = self.match_one(block, &loss, z, goal, weights.unsup);
                Losses { unsup: Some(rows), ..Losses::default() }
            }
            (Some(first), Some(second)) => {
                let blend = Blend { batch: self.batch, first: weights.sim, second: weights.unsup };
                let blended = self.scratch(&block.name, "blended target", loss.matrix_bytes());
                self.emit([blend.blend(first.target, first.slice, second.slice, blended)]);
                let goal = Goal { target: Target::Matrix, slice: blended };
                let buffers = self.similarity_buffers(&block.name, &loss, z, goal.slice);
                self.emit_similarity(&loss, &buffers, goal.target);
                let [sim, unsup] = [first, second].map(|goal| {
                    let rows = self.measured(loss.rows_bytes());
                    self.emit([blend.distance(goal.target, goal.slice, buffers.matrix, rows)]);
                    rows
                });
                self.emit(loss.gradient(&buffers, goal.target, blend.weight() as f32));
                self.emit_apply(&loss, &buffers);
                Losses { sim: Some(sim), unsup: Some(unsup), pred: None }
            }
            (None, None) => Losses::default(),
        }
    }

    /// One loss of the similarities of `z`, forward and backward: parts of the loss.
    fn match_one(&mut self, block: &Block, loss: &Similarity, z: Slice, goal: Goal, weight: f64) -> Slice {
        let buffers = self.similarity_buffers(&block.name, loss, z, goal.slice);
        self.emit_features(loss, &buffers);
        self.emit(loss.loss_and_gradient(&buffers, goal.target, weight as f32));
        self.emit_apply(loss, &buffers);
        buffers.rows
    }

    /// The similarities of `buffers.z` and their loss.
    fn emit_similarity(&mut self, loss: &Similarity, buffers: &SimilarityBuffers, target: Target) {
        self.emit_features(loss, buffers);
        self.emit(loss.loss(buffers, target));
    }

    /// The features of `buffers.z`. Deviations are taken sample by sample; the rest needs the whole batch.
    fn emit_features(&mut self, loss: &Similarity, buffers: &SimilarityBuffers) {
        let (loss, SimilarityBuffers { z, u, stats, .. }) = (*loss, *buffers);
        if loss.mode == Compare::SpatialStd {
            self.emit_by_sample(move |part| {
                vec![loss.features_of(part.first..part.first + part.samples, part.of(z), u, stats)]
            });
        } else {
            self.emit([loss.features(z, u, stats)]);
        }
    }

    /// `buffers.z` becomes the gradient of the loss, where it isn't yet.
    fn emit_apply(&mut self, loss: &Similarity, buffers: &SimilarityBuffers) {
        let (loss, SimilarityBuffers { z, stats, df, .. }) = (*loss, *buffers);
        if loss.mode == Compare::SpatialStd {
            self.emit_by_sample(move |part| {
                let samples = part.first..part.first + part.samples;
                loss.apply_of(samples, part.of(z), stats, df).into_iter().collect()
            });
        }
    }

    /// What the supervised loss matches: the labels, or the similarities of their codes.
    fn label_goal(&mut self, block: &Block) -> Goal {
        if !block.heads.bio {
            return self.one_hot_goal();
        }
        let (projection, matrix) = self.projection(block);
        let codes = self.scratch(&block.name, "codes", projection.codes_bytes());
        self.emit([projection.codes(matrix, self.labels(), codes)]);
        let shape = Shape::dense(projection.size as usize);
        self.constant_goal(block, "codes", self.similarity_of(shape, false), codes)
    }

    /// What the unsupervised loss matches: the similarities of what entered the block's map.
    fn input_goal(&mut self, block: &Block, x: Slice) -> Goal {
        let loss = self.similarity_of(block.in_shape, block.map.is_conv());
        self.constant_goal(block, "input", loss, x)
    }

    fn one_hot_goal(&self) -> Goal {
        let classes = self.network.model.config.num_classes as u32;
        Goal { target: Target::Labels { classes }, slice: self.labels() }
    }

    /// The similarities of a tensor that no gradient flows to. They come from the same kernels as those that are
    /// matched; what these say about the labels is not used.
    fn constant_goal(&mut self, block: &Block, what: &str, loss: Similarity, tensor: Slice) -> Goal {
        let labels = self.one_hot_goal();
        let name = format!("{}.{what}", block.name);
        let buffers = self.similarity_buffers(&name, &loss, tensor, labels.slice);
        self.emit_similarity(&loss, &buffers, labels.target);
        Goal { target: Target::Matrix, slice: buffers.matrix }
    }

    /// Similarities of tensors of `shape`, which are maps or flat.
    fn similarity_of(&self, shape: Shape, maps: bool) -> Similarity {
        let std = !self.network.model.config.no_similarity_std;
        let mode = if maps { Compare::of_maps(shape.c as u32, shape.h as u32, std) } else { Compare::Flat };
        Similarity {
            batch: self.batch,
            spatial: (shape.h * shape.w) as u32,
            channels: pad4(shape.c) as u32,
            real_channels: shape.c as u32,
            mode,
            tuning: self.network.tuning,
        }
    }

    fn similarity_buffers(&mut self, name: &str, loss: &Similarity, z: Slice, target: Slice) -> SimilarityBuffers {
        let workspace = loss.workspace_bytes();
        SimilarityBuffers {
            z,
            u: self.scratch(name, "u", loss.u_bytes()),
            stats: self.scratch(name, "sim stats", loss.stats_bytes()),
            matrix: self.scratch(name, "similarity", loss.matrix_bytes()),
            rows: self.measured(loss.rows_bytes()),
            df: self.scratch(name, "sim features' gradient", loss.df_bytes()),
            workspace: (workspace > 0).then(|| self.scratch(name, "sim workspace", workspace)),
            target,
        }
    }
}
