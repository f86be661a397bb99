//! Losses and errors: as they add up on the device, and as they are reported.

use serde::{Deserialize, Serialize};

use super::network::{Network, TOTAL_WORDS, TOTALS_STRIDE};
use super::plan::Mode;

/// What one block's dispatches have added up since the totals were cleared.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Totals {
    /// Samples seen.
    pub samples: f64,
    /// Sum of the samples' cross-entropies.
    pub pred: f64,
    /// Samples that the classifier got wrong.
    pub wrong: f64,
    /// Sum over steps of the similarity loss times the step's samples.
    pub sim: f64,
    /// Sum over steps of the norm of the trunk's gradient.
    pub grad_norm: f64,
    /// Steps seen.
    pub steps: f64,
    /// The global step, from 0, at which a loss or gradient first was not finite.
    pub bad_step: Option<u64>,
}

impl Totals {
    /// Reads all blocks' totals as they lie on the device, [`TOTALS_STRIDE`] bytes apart.
    pub fn parse(bytes: &[u8]) -> Vec<Self> {
        bytes.chunks(TOTALS_STRIDE as usize).map(|chunk| Self::parse_one(&chunk[..4 * TOTAL_WORDS])).collect()
    }

    fn parse_one(bytes: &[u8]) -> Self {
        let word = |index: usize| -> u32 { bytemuck::pod_read_unaligned(&bytes[4 * index..4 * index + 4]) };
        let number = |index: usize| f64::from(f32::from_bits(word(index)));
        Self {
            samples: number(0),
            pred: number(1),
            wrong: number(2),
            sim: number(3),
            grad_norm: number(4),
            steps: number(5),
            bad_step: u64::from(word(6)).checked_sub(1),
        }
    }
}

/// One line of `metrics.jsonl`, but for the time that only the caller can take.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EpochReport {
    /// From 1.
    pub epoch: usize,
    /// `train` or `test`.
    pub split: String,
    /// Error of the output layer in percent.
    pub error_percent: f64,
    /// Cross-entropy of the output layer, a mean over samples.
    pub loss_global: f64,
    /// Sum over blocks of their weighted local losses; none in backprop.
    pub loss_local: Option<f64>,
    /// Learning rate of the epoch.
    pub lr: f64,
    /// Samples seen.
    pub samples: u64,
    /// One for each block.
    pub blocks: Vec<BlockReport>,
}

/// What a block has to say about an epoch. Values that do not apply are null.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BlockReport {
    /// From 0.
    pub index: usize,
    /// `conv1`, `fc1`.
    pub name: String,
    /// Cross-entropy of the local classifier, a mean over samples.
    pub loss_pred: Option<f64>,
    /// Similarity matching loss, a mean over samples.
    pub loss_sim: Option<f64>,
    /// Error of the local classifier in percent.
    pub error_percent: Option<f64>,
    /// Norm of the gradient of the block's map and norm, a mean over steps.
    pub grad_norm: Option<f64>,
}

impl EpochReport {
    /// Turns the totals of a pass into means.
    pub fn new(network: &Network, totals: &[Totals], mode: Mode, epoch: usize, lr: f64) -> Self {
        let train = mode == Mode::Train;
        let blocks: Vec<BlockReport> = network
            .model
            .blocks
            .iter()
            .zip(totals)
            .map(|(block, totals)| {
                let mean = |sum: f64| sum / totals.samples;
                BlockReport {
                    index: block.index,
                    name: block.name.clone(),
                    loss_pred: block.heads.pred.then(|| mean(totals.pred)),
                    loss_sim: (block.heads.sim && train).then(|| mean(totals.sim)),
                    error_percent: block.heads.pred.then(|| 100.0 * mean(totals.wrong)),
                    grad_norm: train.then(|| totals.grad_norm / totals.steps),
                }
            })
            .collect();
        let losses = network.losses;
        let weighted = |block: &BlockReport| {
            losses.pred * block.loss_pred.unwrap_or(0.0) + losses.sim * block.loss_sim.unwrap_or(0.0)
        };
        // Without the similarity losses, which evaluation does not compute, a local loss would be a part only.
        let whole = !network.model.config.backprop && (train || !network.model.config.has_sim());
        let output = totals[network.output()];
        Self {
            epoch,
            split: if train { "train" } else { "test" }.to_owned(),
            error_percent: 100.0 * output.wrong / output.samples,
            loss_global: output.pred / output.samples,
            loss_local: whole.then(|| blocks.iter().map(weighted).sum()),
            lr,
            samples: output.samples as u64,
            blocks,
        }
    }
}
