//! A block's local heads: what they say about its activation, and the gradient that they send back into it.

use crate::gpu::Slice;
use crate::kernels::batchnorm_few::Classifier;
use crate::kernels::gemm::Parts;
use crate::kernels::pool::PoolGeometry;
use crate::nn::{Block, LossUnsup};

use super::build::Builder;

/// Where a step's losses lie among the [`measures`](super::measures): parts that add up to each.
#[derive(Debug, Clone, Copy, Default)]
pub struct Losses {
    /// `[N, 2]`: a sample's loss at the classifier, and 1 where its answer is wrong.
    pub pred: Option<Slice>,
    /// Parts of the supervised similarity loss.
    pub sim: Option<Slice>,
    /// Parts of the unsupervised loss.
    pub unsup: Option<Slice>,
}

/// The gradient of a block's activation from its heads.
#[derive(Debug, Clone, Copy, Default)]
pub struct HeadGradient {
    /// Of the activation itself.
    pub dense: Option<Slice>,
    /// What `dense` is still to be added up from, beside `scores`.
    pub parts: Option<Parts>,
    /// Of its pooled copy, with the pooling.
    pub pooled: Option<(Slice, PoolGeometry)>,
    /// Of the scores of a classifier on it, to be taken further by the norm behind the block's map.
    pub scores: Option<Classifier>,
}

/// What the heads of a block found.
#[derive(Debug, Clone, Copy, Default)]
pub struct HeadPass {
    /// Losses.
    pub losses: Losses,
    /// Gradients, in training.
    pub gradient: HeadGradient,
}

/// What a pooled head sees.
#[derive(Debug, Clone, Copy)]
pub struct Features {
    /// The pooled tensor, or the activation itself where there is nothing to pool.
    pub x: Slice,
    /// The pooling; single pixels where there is none.
    pub windows: PoolGeometry,
    /// Features of a sample on the device.
    pub len: usize,
}

impl Builder<'_> {
    /// All heads of `block` on its activation `a`; `x` is what entered its map. Their parameters' gradients go to the
    /// block's arena.
    pub fn heads_train(&mut self, block: &Block, a: Slice, x: Slice) -> HeadPass {
        let heads = block.heads;
        let mut pass = HeadPass::default();
        let features = (heads.bio && heads.any()).then(|| self.features(block, a));
        let few = self.few_classifier(block, a);
        let supervised_map = heads.sim_map() && heads.sim && heads.unsup != LossUnsup::Sim;
        let joined = few.filter(|_| supervised_map);
        if heads.pred {
            let (rows, gradient) = match (features, &few) {
                (Some(features), _) => self.code_classifier(block, features),
                (None, Some(few)) => few.found(),
                (None, None) => self.classifier(block, a),
            };
            (pass.losses.pred, pass.gradient) = (Some(rows), gradient);
        }
        if let Some(few) = few.filter(|_| joined.is_none()) {
            self.emit_classifier(&few);
        }
        if heads.similarity() {
            let found = match (features, &joined) {
                (Some(features), _) => self.feature_similarity(block, features, a, x),
                (None, Some(few)) => self.similarity_and_classifier(block, few, a),
                (None, None) => self.mapped_similarity(block, a, x),
            };
            (pass.losses.sim, pass.losses.unsup) = (found.losses.sim, found.losses.unsup);
            self.join(&mut pass.gradient, found.gradient);
        }
        if heads.recon() {
            let (rows, gradient) = self.reconstruction(block, a, x);
            pass.losses.unsup = Some(rows);
            self.join(&mut pass.gradient, HeadGradient { dense: Some(gradient), ..HeadGradient::default() });
        }
        pass
    }

    /// What the classifier of `block` has learned; the other losses are not evaluated.
    pub fn heads_evaluate(&mut self, block: &Block, a: Slice) -> HeadPass {
        let pred = block.heads.pred.then(|| {
            if block.heads.bio {
                let features = self.features(block, a);
                self.code_classifier_evaluate(block, features)
            } else {
                self.classifier_evaluate(block, a)
            }
        });
        HeadPass { losses: Losses { pred, ..Losses::default() }, ..HeadPass::default() }
    }

    /// The activation as pooled heads see it.
    pub fn features(&mut self, block: &Block, a: Slice) -> Features {
        let pool = block.pred_pool;
        let (kernel, pad) = pool.map_or(([1, 1], [0, 0]), |p| ([p.kh, p.kw], [p.pad_h, p.pad_w]));
        let windows = self.windows(block.out_shape, kernel, pad);
        let len = block.pred_in_shape().device_elements();
        if pool.is_none() {
            return Features { x: a, windows, len };
        }
        let x = self.activation(format!("{}.pooled", block.name), u64::from(self.batch) * len as u64);
        self.emit_average(windows, a, x);
        Features { x, windows, len }
    }

    /// Adds up the parts of a dense gradient, if it still lies in parts.
    pub fn add_up(&mut self, gradient: &mut HeadGradient) {
        if let (Some(dense), Some(parts)) = (gradient.dense, gradient.parts.take()) {
            self.emit([parts.sum("sim dX", dense)]);
        }
    }

    /// Adds a head's gradient to that of the others.
    fn join(&mut self, sum: &mut HeadGradient, more: HeadGradient) {
        match (sum.dense, more.dense) {
            (Some(dense), Some(more)) => {
                self.add_up(sum);
                self.accumulate(more, dense);
            }
            (None, dense) => (sum.dense, sum.parts) = (dense, more.parts),
            (Some(_), None) => {}
        }
        match (sum.pooled, more.pooled) {
            (Some((sum, _)), Some((more, _))) => self.accumulate(more, sum),
            (None, more) => sum.pooled = more,
            (Some(_), None) => {}
        }
    }
}
