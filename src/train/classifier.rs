//! Linear classifiers: the output layer, the blocks' `pred` heads with their hidden convolutions, and those of `bio`,
//! which tell the signs of random codes and are trained by feedback alignment (Lillicrap et al. 2016).

use crate::gpu::Slice;
use crate::kernels::batchnorm_backward::Upstream;
use crate::kernels::pred::SoftmaxCrossEntropy;
use crate::kernels::projection::Projection;
use crate::nn::{Block, pad4};

use super::activated::{Activate, Activated};
use super::build::Builder;
use super::heads::{Features, HeadGradient};
use super::map::{Map, MapLabels};
use super::plan::Mode;

const PRED: MapLabels = MapLabels { forward: "pred forward", input: "pred dX", weight: "pred dW" };
const OUTPUT: MapLabels = MapLabels { forward: "output forward", input: "output dX", weight: "output dW" };
const AUX: MapLabels = MapLabels { forward: "aux forward", input: "aux dX", weight: "aux dW" };

/// A linear layer whose outputs are scores.
struct Scorer<'s> {
    /// Arena that holds its parameters.
    owner: usize,
    /// What their names begin with there.
    prefix: &'static str,
    labels: MapLabels,
    map: Map,
    name: &'s str,
}

impl Scorer<'_> {
    fn parameter(&self, what: &str) -> String {
        format!("{}{what}", self.prefix)
    }
}

/// A hidden convolution of a classifier: what entered it, and what stands behind it.
struct Hidden {
    path: String,
    x: Slice,
    behind: Activated,
}

impl Builder<'_> {
    /// The output layer behind features `x`: losses of its rows; in training also its parameters' gradients and, if
    /// `wanted`, that of `x`.
    pub fn output_layer(&mut self, x: Slice, mode: Mode, wanted: bool) -> (Slice, Option<Slice>) {
        let network = self.network;
        let output = network.model.output;
        let map = self.dense(output.device_features, output.classes);
        let scorer = Scorer { owner: network.output(), prefix: "", labels: OUTPUT, map, name: "output" };
        let logits = self.class_scores(&scorer, x);
        if mode != Mode::Train {
            return (self.class_rows(&scorer, logits), None);
        }
        let (rows, dlogits) = self.class_losses(&scorer, logits, network.losses.output);
        self.score_gradients(&scorer, x, dlogits);
        let weight = self.score_weight(&scorer, "weight");
        (rows, wanted.then(|| self.backward_input(&map, OUTPUT, dlogits, weight, "output")))
    }

    /// The `pred` head on activation `a`: losses of its rows, and the gradient of `a`.
    pub fn classifier(&mut self, block: &Block, a: Slice) -> (Slice, HeadGradient) {
        let (hidden, last) = self.hidden_layers(block, a, Mode::Train);
        let features = self.features(block, last);
        let scorer = self.pred_scorer(block, features, self.network.model.config.num_classes);
        let logits = self.class_scores(&scorer, features.x);
        let (rows, dlogits) = self.class_losses(&scorer, logits, self.network.losses.pred);
        self.score_gradients(&scorer, features.x, dlogits);
        let weight = self.score_weight(&scorer, "weight");
        let dfeatures = self.backward_input(&scorer.map, PRED, dlogits, weight, &format!("{}.pred", block.name));
        let pooled = HeadGradient { pooled: Some((dfeatures, features.windows)), ..HeadGradient::default() };
        (rows, self.hidden_layers_backward(block, &hidden, pooled))
    }

    /// The rows of [`Builder::classifier`] alone, with running statistics.
    pub fn classifier_evaluate(&mut self, block: &Block, a: Slice) -> Slice {
        let (_, last) = self.hidden_layers(block, a, Mode::Evaluate);
        let features = self.features(block, last);
        let scorer = self.pred_scorer(block, features, self.network.model.config.num_classes);
        let logits = self.class_scores(&scorer, features.x);
        self.class_rows(&scorer, logits)
    }

    /// The `pred` head of `bio`: the gradient of the features is the scores' times the fixed feedback weights. The head's
    /// own weights get their ordinary gradient.
    pub fn code_classifier(&mut self, block: &Block, features: Features) -> (Slice, HeadGradient) {
        let (scorer, projection, code) = self.code_scorer(block, features);
        let logits = self.code_scores(&scorer, features.x);
        let rows = self.measured(projection.rows_bytes());
        let dlogits = self.activation(format!("{}.dlogits", block.name), scorer.map.output_len());
        let weight = self.network.losses.pred;
        self.emit([projection.cross_entropy(code, self.labels(), logits, weight, dlogits, rows)]);
        self.score_gradients(&scorer, features.x, dlogits);
        let feedback = self.score_weight(&scorer, "feedback");
        let dfeatures = self.backward_input(&scorer.map, PRED, dlogits, feedback, &format!("{}.pred", block.name));
        (rows, HeadGradient { pooled: Some((dfeatures, features.windows)), ..HeadGradient::default() })
    }

    /// The rows of [`Builder::code_classifier`] alone.
    pub fn code_classifier_evaluate(&mut self, block: &Block, features: Features) -> Slice {
        let (scorer, projection, code) = self.code_scorer(block, features);
        let logits = self.code_scores(&scorer, features.x);
        let rows = self.measured(projection.rows_bytes());
        self.emit([projection.evaluate(code, self.labels(), logits, rows)]);
        rows
    }

    /// The random codes of this batch's labels, and the matrix that they come from.
    pub fn projection(&self, block: &Block) -> (Projection, Slice) {
        let config = &self.network.model.config;
        let projection = Projection {
            batch: self.batch,
            classes: config.num_classes as u32,
            size: config.target_proj_size as u32,
            padded: pad4(config.target_proj_size) as u32,
        };
        let matrix = self.arena(block).weight("proj.weight").expect("a bio block has projected targets");
        (projection, matrix)
    }

    fn code_scorer<'b>(&self, block: &'b Block, features: Features) -> (Scorer<'b>, Projection, Slice) {
        let (projection, matrix) = self.projection(block);
        let scorer = self.pred_scorer(block, features, projection.size as usize);
        (scorer, projection, matrix)
    }

    fn pred_scorer<'b>(&self, block: &'b Block, features: Features, scores: usize) -> Scorer<'b> {
        let map = self.dense(features.len, scores);
        Scorer { owner: block.index, prefix: "pred.", labels: PRED, map, name: &block.name }
    }

    /// Scores of the classes, where the host can read them.
    fn class_scores(&mut self, scorer: &Scorer<'_>, x: Slice) -> Slice {
        let logits = self.network.logits[scorer.owner].expect("a classifier has logits");
        let logits = Slice { bytes: 4 * scorer.map.output_len(), ..logits };
        self.scores(scorer, x, logits);
        logits
    }

    /// Scores of the numbers of a code.
    fn code_scores(&mut self, scorer: &Scorer<'_>, x: Slice) -> Slice {
        let logits = self.activation(format!("{}.logits", scorer.name), scorer.map.output_len());
        self.scores(scorer, x, logits);
        logits
    }

    fn scores(&mut self, scorer: &Scorer<'_>, x: Slice, logits: Slice) {
        let weight = self.score_weight(scorer, "weight");
        let bias = self.network.arenas[scorer.owner].weight(&scorer.parameter("bias"));
        self.forward(&scorer.map, scorer.labels, x, weight, bias, logits, scorer.name);
    }

    fn score_weight(&self, scorer: &Scorer<'_>, what: &str) -> Slice {
        let weight = self.network.arenas[scorer.owner].weight(&scorer.parameter(what));
        weight.expect("a classifier has weights")
    }

    fn cross_entropy(&self, scorer: &Scorer<'_>) -> SoftmaxCrossEntropy {
        let classes = self.network.model.config.num_classes as u32;
        SoftmaxCrossEntropy { batch: self.batch, classes, padded: scorer.map.channels() }
    }

    /// Losses and errors of the samples.
    fn class_rows(&mut self, scorer: &Scorer<'_>, logits: Slice) -> Slice {
        let loss = self.cross_entropy(scorer);
        let rows = self.measured(loss.rows_bytes());
        self.emit([loss.evaluate(logits, self.labels(), rows)]);
        rows
    }

    /// The same, with the gradient of the scores.
    fn class_losses(&mut self, scorer: &Scorer<'_>, logits: Slice, weight: f64) -> (Slice, Slice) {
        let loss = self.cross_entropy(scorer);
        let rows = self.measured(loss.rows_bytes());
        let dlogits = self.activation(format!("{}.dlogits", scorer.name), scorer.map.output_len());
        self.emit([loss.dispatch(logits, self.labels(), weight as f32, dlogits, rows)]);
        (rows, dlogits)
    }

    /// Gradients of the layer's own parameters.
    fn score_gradients(&mut self, scorer: &Scorer<'_>, x: Slice, dlogits: Slice) {
        let arena = &self.network.arenas[scorer.owner];
        let dw = arena.grad(&scorer.parameter("weight")).expect("a classifier has weights");
        self.backward_weight(&scorer.map, scorer.labels, x, dlogits, dw, scorer.name);
        if let Some(dbias) = arena.grad(&scorer.parameter("bias")) {
            self.column_sum([scorer.map.rows(), scorer.map.channels()], dlogits, dbias, scorer.name);
        }
    }

    /// The hidden 3x3 convolutions in front of a classifier's pooling (Belilovsky, Eickenberg & Oyallon 2019), each with
    /// the block's width, a normalisation where blocks have one, and the activation.
    fn hidden_layers(&mut self, block: &Block, a: Slice, mode: Mode) -> (Vec<Hidden>, Slice) {
        let mut at = a;
        let mut layers = Vec::with_capacity(block.heads.aux);
        let map = self.hidden_map(block);
        for layer in 0..block.heads.aux {
            let path = format!("aux.{layer}");
            let name = format!("{}.{path}", block.name);
            let arena = self.arena(block);
            let weight = arena.weight(&format!("{path}.conv.weight")).expect("a hidden layer has weights");
            let bias = arena.weight(&format!("{path}.conv.bias"));
            let y = self.activation(format!("{name}.y"), map.output_len());
            self.forward(&map, AUX, at, weight, bias, y, &name);
            let what = Activate::new(arena.norm(&format!("{path}.bn")), self.nonlinearity(), block.out_shape);
            let (behind, h) = self.activate(what, y, None, mode, [&name, "h"]);
            layers.push(Hidden { path, x: at, behind });
            at = h;
        }
        (layers, at)
    }

    /// Backward through them; what comes back is dense where there are any.
    fn hidden_layers_backward(&mut self, block: &Block, layers: &[Hidden], mut gradient: HeadGradient) -> HeadGradient {
        let map = self.hidden_map(block);
        for layer in layers.iter().rev() {
            let name = format!("{}.{}", block.name, layer.path);
            let arena = self.arena(block);
            let buffer = gradient.dense.unwrap_or_else(|| self.activation(format!("{name}.dh"), map.output_len()));
            let upstream = Upstream { gradient: buffer, dense: gradient.dense.is_some(), pooled: gradient.pooled };
            self.backward_activated(&layer.behind, upstream, &name);
            let dw = arena.grad(&format!("{}.conv.weight", layer.path)).expect("a hidden layer has weights");
            self.backward_weight(&map, AUX, layer.x, buffer, dw, &name);
            if let Some(dbias) = arena.grad(&format!("{}.conv.bias", layer.path)) {
                self.column_sum([map.rows(), map.channels()], buffer, dbias, &name);
            }
            let weight = arena.weight(&format!("{}.conv.weight", layer.path)).expect("a hidden layer has weights");
            let dx = self.backward_input(&map, AUX, buffer, weight, &name);
            gradient = HeadGradient { dense: Some(dx), ..HeadGradient::default() };
        }
        gradient
    }

    fn hidden_map(&self, block: &Block) -> Map {
        Map::Conv(self.convolution(block.out_shape, block.out_shape.c, [3, 1, 1]))
    }
}
