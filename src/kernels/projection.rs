//! Targets projected at random, for training without exact targets (`--bio`; section 2.4 of the paper): each class has a
//! code, its row of a fixed random matrix; a local classifier is trained by binary cross-entropy to tell the signs of
//! the sample's code.

use bytemuck::{Pod, Zeroable};

use super::COMMON;
use crate::gpu::{Dispatch, Pipeline, Shader, Slice, grid};

const SHADER: Shader = Shader::new("projection", &[COMMON, include_str!("../../shaders/projection.wgsl")]);
const THREADS: u32 = 64;

/// Codes of `size` numbers for labels `u32 [N]`. All at least 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Projection {
    /// N.
    pub batch: u32,
    /// K.
    pub classes: u32,
    /// Numbers of a code.
    pub size: u32,
    /// Row length of codes and logits on the device, a multiple of 4.
    pub padded: u32,
}

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    batch: u32,
    classes: u32,
    size: u32,
    groups: u32,
    loss_scale: f32,
    gradient_scale: f32,
    nan: f32,
    spare: u32,
}

impl Projection {
    /// Bytes of codes, logits or their gradient, `f32 [N, padded]`.
    pub fn codes_bytes(&self) -> u64 {
        4 * u64::from(self.batch) * u64::from(self.padded)
    }

    /// Bytes of the rows, `f32 [N, 2]`.
    pub fn rows_bytes(&self) -> u64 {
        8 * u64::from(self.batch)
    }

    /// The code of each sample, `[N, padded]`: its label's row of `projection [K, padded]`, which is the projection of the
    /// one-hot label. NaN for a label that is no class.
    pub fn codes(&self, projection: Slice, labels: Slice, codes: Slice) -> Dispatch {
        let vectors = self.batch * self.padded / 4;
        self.call("target codes", "codes", grid(vectors.div_ceil(THREADS)), 0.0)
            .reads(projection)
            .reads(labels)
            .writes(codes)
    }

    /// Binary cross-entropy of `logits [N, padded]` against the signs of the samples' codes, a mean over samples and
    /// numbers of a code: `dlogits` of `weight` times the loss, pad lanes 0; `rows [N, 2]`: the sample's loss (not
    /// weighted, not divided by N), and 1 if the class whose signs are the likeliest is not the label's, else 0.
    pub fn cross_entropy(
        &self,
        projection: Slice,
        labels: Slice,
        logits: Slice,
        weight: f64,
        dlogits: Slice,
        rows: Slice,
    ) -> Dispatch {
        self.rows_call("train", weight, projection, labels, logits, rows).writes(dlogits)
    }

    /// The rows of [`Self::cross_entropy`] alone.
    pub fn evaluate(&self, projection: Slice, labels: Slice, logits: Slice, rows: Slice) -> Dispatch {
        self.rows_call("evaluate", 1.0, projection, labels, logits, rows)
    }

    fn rows_call(
        &self,
        entry: &'static str,
        weight: f64,
        projection: Slice,
        labels: Slice,
        logits: Slice,
        rows: Slice,
    ) -> Dispatch {
        let values = u64::from(self.batch) * u64::from(self.padded);
        self.call("binary cross-entropy", entry, grid(self.batch), weight)
            .reads(projection)
            .reads(labels)
            .reads(logits)
            .writes(rows)
            .flops(values * (8 + 2 * u64::from(self.classes)))
    }

    fn call(&self, label: &'static str, entry: &'static str, workgroups: [u32; 3], weight: f64) -> Dispatch {
        let size = f64::from(self.size);
        let params = Params {
            batch: self.batch,
            classes: self.classes,
            size: self.size,
            groups: self.padded / 4,
            loss_scale: size.recip() as f32,
            gradient_scale: (weight / (f64::from(self.batch) * size)) as f32,
            nan: f32::NAN,
            spare: 0,
        };
        Dispatch::new(label, pipeline(entry), &params, workgroups)
    }
}

fn pipeline(entry: &'static str) -> Pipeline {
    Pipeline::new(SHADER, entry, vec![("THREADS", THREADS)])
}

/// Every pipeline of this file.
pub fn variants() -> Vec<Pipeline> {
    ["codes", "evaluate", "train"].map(pipeline).into()
}
