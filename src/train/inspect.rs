//! What there is to look at in a network: each block's mean activation and the similarity matrix of a batch, and what
//! every classifier says of its samples. All of it comes from a plan of its own ([`Mode::Inspect`]), so that training
//! steps neither keep nor compute anything for it.

use crate::gpu::Slice;
use crate::kernels::reduce;
use crate::nn::{Block, Shape, pad4};

use super::build::Builder;
use super::error::TrainError;
use super::plan::Mode;
use super::trainer::{Samples, Trainer};

/// A batch as a network sees it.
#[derive(Debug, Clone, PartialEq)]
pub struct Inspection {
    /// One for each block.
    pub blocks: Vec<BlockView>,
    /// Logits `[N][K]` of each block's own classifier (empty where it has none), the output layer's last.
    pub logits: Vec<Vec<Vec<f32>>>,
}

/// What a block makes of a batch.
#[derive(Debug, Clone, PartialEq)]
pub struct BlockView {
    /// Shape of its activation.
    pub shape: Shape,
    /// The activation's mean over the batch, `[H, W, C]`.
    pub activation: Vec<f32>,
    /// The cosine matrix `[N, N]` ([`crate::kernels::similarity`]): of the similarity head's output where the block has
    /// that head, else of the activation itself.
    pub similarity: Vec<f32>,
}

/// Probabilities of the classes.
pub fn softmax(logits: &[f32]) -> Vec<f64> {
    let peak = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let exps: Vec<f64> = logits.iter().map(|&logit| f64::from(logit - peak).exp()).collect();
    let sum: f64 = exps.iter().sum();
    exps.into_iter().map(|exp| exp / sum).collect()
}

impl Builder<'_> {
    /// Keeps two tensors of a block whose activation is `h`: its sum over the batch, then the similarity matrix.
    pub(super) fn keep_views(&mut self, block: &Block, h: Slice) {
        let elements = block.out_shape.device_elements() as u32;
        let sum = self.kept(format!("{}.activation sum", block.name), 4 * u64::from(elements));
        let bytes = reduce::column_sum_workspace_bytes(self.batch, elements);
        let workspace = self.scratch(&block.name, "activation partials", bytes);
        self.emit(reduce::column_sum(self.batch, elements, h, sum, workspace));
        self.keep_similarities(block, h);
    }
}

impl Trainer {
    /// Looks at `batch` samples (at most the network's batch size) with running statistics. Neither parameters nor
    /// totals change. Waits for the GPU.
    ///
    /// # Errors
    /// What the device reports.
    pub async fn inspect(&mut self, samples: Samples<'_>, batch: usize) -> Result<Inspection, TrainError> {
        // The losses that labels would give are not looked at.
        self.run(Mode::Inspect, samples, &vec![0; batch], 0.0).await?;
        let (kept, logits) = self.read_inspection(batch as u32).await?;
        let network = self.network();
        let shapes = network.model.blocks.iter().map(|block| block.out_shape);
        let blocks = shapes.zip(kept.chunks_exact(2)).map(|(shape, pair)| BlockView {
            shape,
            activation: mean(shape, batch, &pair[0]),
            similarity: pair[1].chunks_exact(pad4(batch)).flat_map(|row| row[..batch].to_vec()).collect(),
        });
        let classes = network.model.config.num_classes;
        let rows = |padded: Vec<f32>| padded.chunks(pad4(classes)).map(|row| row[..classes].to_vec()).collect();
        let mut logits = logits.into_iter().map(rows);
        let voices = network.logits.iter().map(|voice| voice.and_then(|_| logits.next()).unwrap_or_default());
        Ok(Inspection { blocks: blocks.collect(), logits: voices.collect() })
    }
}

/// From sums over the batch, padded, to means.
fn mean(shape: Shape, batch: usize, sums: &[f32]) -> Vec<f32> {
    let pixels = sums.chunks_exact(pad4(shape.c));
    pixels.flat_map(|lanes| lanes[..shape.c].iter().map(|sum| sum / batch as f32)).collect()
}
