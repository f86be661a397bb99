//! The local classifier's loss, and the output layer's: softmax cross-entropy, its gradient, its errors; and softmax
//! rows for answers.

use bytemuck::{Pod, Zeroable};

use super::COMMON;
use crate::gpu::{Dispatch, Pipeline, Shader, Slice, grid};

/// Cross-entropy of logits `[N, padded]` against labels `u32 [N]`. All at least 1; `padded` a multiple of 4.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SoftmaxCrossEntropy {
    /// N.
    pub batch: u32,
    /// K, without pad lanes.
    pub classes: u32,
    /// Row length on the device.
    pub padded: u32,
}

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    batch: u32,
    classes: u32,
    groups: u32,
    scale: f32,
    nan: f32,
    spare: [u32; 3],
}

const SHADER: Shader = Shader::new("pred", &[COMMON, include_str!("../../shaders/pred.wgsl")]);
const THREADS: u32 = 64;
/// Up to this many classes one invocation takes a whole row; beyond, a workgroup does.
const FEW_CLASSES: u32 = 64;

fn pipeline(entry: &'static str, lanes: u32) -> Pipeline {
    Pipeline::new(SHADER, entry, vec![("THREADS", THREADS), ("LANES", lanes)])
}

/// Every pipeline that the dispatches below can ask for.
pub fn variants() -> Vec<Pipeline> {
    let lanes = [1, THREADS].into_iter();
    lanes.flat_map(|lanes| ["train", "evaluate", "softmax"].map(|entry| pipeline(entry, lanes))).collect()
}

impl SoftmaxCrossEntropy {
    /// Bytes of logits, their gradient or probabilities, `f32 [N, padded]`.
    pub fn logits_bytes(&self) -> u64 {
        4 * u64::from(self.batch) * u64::from(self.padded)
    }

    /// Bytes of the rows, `f32 [N, 2]`.
    pub fn rows_bytes(&self) -> u64 {
        8 * u64::from(self.batch)
    }

    fn call(&self, label: &'static str, entry: &'static str, weight: f32) -> Dispatch {
        let params = Params {
            batch: self.batch,
            classes: self.classes,
            groups: self.padded / 4,
            scale: (f64::from(weight) / f64::from(self.batch)) as f32,
            nan: f32::NAN,
            spare: [0; 3],
        };
        let lanes = if self.classes <= FEW_CLASSES { 1 } else { THREADS };
        let groups = grid(self.batch.div_ceil(THREADS / lanes));
        let values = u64::from(self.batch) * u64::from(self.padded);
        Dispatch::new(label, pipeline(entry, lanes), &params, groups).flops(8 * values)
    }

    /// `dlogits = weight * (softmax - onehot) / N`, pad lanes 0; `rows [N, 2]`: the sample's loss (not weighted, not
    /// divided by N), and 1 if the largest logit, of equals the first, is not the label's, else 0.
    ///
    /// A logit that is not finite, or a label that is no class, makes the sample's loss NaN; the former its gradient too.
    pub fn dispatch(&self, logits: Slice, labels: Slice, weight: f32, dlogits: Slice, rows: Slice) -> Dispatch {
        let dispatch = self.call("cross-entropy", "train", weight);
        dispatch.reads(logits).reads(labels).writes(rows).writes(dlogits)
    }

    /// The rows of [`Self::dispatch`] alone.
    pub fn evaluate(&self, logits: Slice, labels: Slice, rows: Slice) -> Dispatch {
        self.call("cross-entropy", "evaluate", 1.0).reads(logits).reads(labels).writes(rows)
    }

    /// Softmax of each row, `[N, padded]`, pad lanes 0.
    pub fn probabilities(&self, logits: Slice, out: Slice) -> Dispatch {
        self.call("softmax", "softmax", 1.0).reads(logits).writes(out)
    }
}
