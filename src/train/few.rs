//! Classifiers of few classes on dense blocks: one dispatch judges a sample, and the norm behind the block's map takes the
//! gradient from there.

use crate::gpu::{Dispatch, Slice};
use crate::kernels::batchnorm_few::Classifier;
use crate::kernels::heads::{ClassifierBuffers, ClassifierHead, Features};
use crate::kernels::similarity::Similarity;
use crate::nn::{Block, Order, pad4};

use super::build::Builder;
use super::heads::HeadGradient;

/// Such a classifier on an activation.
#[derive(Debug, Clone, Copy)]
pub struct FewClassifier {
    head: ClassifierHead,
    buffers: ClassifierBuffers,
    /// Of its loss.
    weight: f32,
    sender: Classifier,
}

impl FewClassifier {
    /// Losses of its rows, and the gradient that it sends.
    pub fn found(&self) -> (Slice, HeadGradient) {
        (self.buffers.rows, HeadGradient { scores: Some(self.sender), ..HeadGradient::default() })
    }

    /// Its dispatch, which makes the features of a similarity head's output `z` too: `[u, stats]`.
    pub fn dispatch_with_features(&self, similarity: &Similarity, z: Features, tensors: [Slice; 2]) -> Dispatch {
        self.head.with_features(&self.buffers, self.weight, similarity, z, tensors)
    }
}

impl Builder<'_> {
    /// The classifier of `block` on its activation `a`, if it is one of these.
    pub fn few_classifier(&mut self, block: &Block, a: Slice) -> Option<FewClassifier> {
        let heads = block.heads;
        let plain = heads.pred && !heads.bio && heads.aux == 0 && block.pred_pool.is_none();
        if !plain || block.map.is_conv() || block.order != Order::Post || block.shortcut.is_some() {
            return None;
        }
        let behind = self.behind(block);
        let norm = behind.norm?;
        let classes = self.network.model.config.num_classes;
        let head = ClassifierHead {
            batch: self.batch,
            features: block.out_shape.device_elements() as u32,
            classes: classes as u32,
            padded: pad4(classes) as u32,
        };
        if !head.is_few() || !behind.has_few_rows(self.batch) {
            return None;
        }
        let arena = self.arena(block);
        let (weights, bias) = (arena.weight("pred.weight")?, arena.weight("pred.bias")?);
        let from = |slice: Slice| bias.offset - slice.offset;
        let gradient = self.scratch(&block.name, "dlogits", 4 * u64::from(head.batch * head.padded));
        let buffers = ClassifierBuffers {
            a,
            parameters: Slice { bytes: from(weights) + bias.bytes, ..weights },
            bias: from(weights),
            labels: self.labels(),
            rows: self.measured(8 * u64::from(head.batch)),
            gradient,
        };
        let sender = Classifier {
            gradient,
            scores: head.padded,
            weights: from(norm.affine) - from(weights),
            bias: from(norm.affine),
        };
        Some(FewClassifier { head, buffers, weight: self.network.losses.pred as f32, sender })
    }

    /// Emits its dispatch by itself.
    pub fn emit_classifier(&mut self, few: &FewClassifier) {
        self.emit([few.head.dispatch(&few.buffers, few.weight)]);
    }
}
