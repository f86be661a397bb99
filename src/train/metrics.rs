//! Losses and errors: as they add up on the device, and as they are reported.

use serde::{Deserialize, Serialize};

use crate::kernels::reduce::TOTAL_WORDS;
use crate::nn::{Block, LossUnsup};

use super::network::{Network, TOTALS_STRIDE};
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
    /// Sum over steps of the unsupervised loss times the step's samples.
    pub unsup: f64,
    /// Sum over steps of the norm of the trunk's update; 0 unless `grad_stats` asks for it.
    pub update_norm: f64,
    /// Sum over steps of the norm of the trunk's weights behind the update; likewise.
    pub weight_norm: f64,
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
            unsup: number(7),
            update_norm: number(8),
            weight_norm: number(9),
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
    /// With a greedy schedule, the module under training, from 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<usize>,
    /// Error of the output layer in percent; in a greedy phase that does not reach it, that of the classifier of the module
    /// under training.
    pub error_percent: f64,
    /// Cross-entropy of the same, a mean over samples.
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
    /// Unsupervised loss, a mean over samples.
    pub loss_unsup: Option<f64>,
    /// Error of the local classifier in percent.
    pub error_percent: Option<f64>,
    /// Norm of the gradient of the block's map, norms and shortcut, a mean over steps.
    pub grad_norm: Option<f64>,
    /// Norm of the step that the optimiser took with them, a mean over steps; with `grad_stats` only.
    pub update_norm: Option<f64>,
    /// Their own norm behind the step, a mean over steps; likewise.
    pub weight_norm: Option<f64>,
}

impl BlockReport {
    /// Turns a block's totals into means. A block that saw nothing, because it is frozen or its turn has not come, has
    /// nothing to say.
    fn new(network: &Network, block: &Block, totals: &Totals, train: bool) -> Self {
        let heads = block.heads;
        let mean = |sum: f64, applies: bool| (applies && totals.samples > 0.0).then(|| sum / totals.samples);
        let per_step = |sum: f64, applies: bool| (applies && train && totals.steps > 0.0).then(|| sum / totals.steps);
        let stats = network.train.grad_stats;
        Self {
            index: block.index,
            name: block.name.clone(),
            loss_pred: mean(totals.pred, heads.pred),
            loss_sim: mean(totals.sim, heads.sim && train),
            loss_unsup: mean(totals.unsup, heads.unsup != LossUnsup::None && train),
            error_percent: mean(100.0 * totals.wrong, heads.pred),
            grad_norm: per_step(totals.grad_norm, true),
            update_norm: per_step(totals.update_norm, stats),
            weight_norm: per_step(totals.weight_norm, stats),
        }
    }
}

impl EpochReport {
    /// Turns the totals of a pass into means.
    pub fn new(network: &Network, totals: &[Totals], mode: Mode, epoch: usize, lr: f64) -> Self {
        let train = mode == Mode::Train;
        let blocks: Vec<BlockReport> = (network.model.blocks.iter().zip(totals))
            .map(|(block, totals)| BlockReport::new(network, block, totals, train))
            .collect();
        let losses = network.losses;
        let weighted = |block: &BlockReport| {
            losses.pred * block.loss_pred.unwrap_or(0.0)
                + losses.sim * block.loss_sim.unwrap_or(0.0)
                + losses.unsup * block.loss_unsup.unwrap_or(0.0)
        };
        // Without the similarity and unsupervised losses, which evaluation does not compute, a local loss would be a part
        // only.
        let config = &network.model.config;
        let whole = !config.backprop && (train || (!config.has_sim() && config.loss_unsup == LossUnsup::None));
        let last = totals[network.last_classifier()];
        Self {
            epoch,
            split: if train { "train" } else { "test" }.to_owned(),
            phase: network.phase,
            error_percent: 100.0 * last.wrong / last.samples,
            loss_global: last.pred / last.samples,
            loss_local: whole.then(|| blocks.iter().map(weighted).sum()),
            lr,
            samples: last.samples as u64,
            blocks,
        }
    }
}
