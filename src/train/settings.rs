//! How a network is trained: everything that is not its structure.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::data::Cutout;
use crate::kernels::optimizer::Kind;
use crate::nn::choices::lookup;
use crate::nn::{LossSup, ModelConfig, ModelError};

/// The optimiser (`--optim`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Optim {
    /// Adam (Kingma & Ba 2015).
    Adam,
    /// Adam with the running maximum of the second moment (Reddi et al. 2018).
    AmsGrad,
    /// Stochastic gradient descent, with `--momentum`.
    Sgd,
}

impl FromStr for Optim {
    type Err = ModelError;

    fn from_str(text: &str) -> Result<Self, ModelError> {
        lookup("optimizer", text, &[("adam", Self::Adam), ("amsgrad", Self::AmsGrad), ("sgd", Self::Sgd)])
    }
}

/// Settings of the update rule and its schedule, with the published program's names and defaults.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrainConfig {
    /// Samples in a step.
    pub batch_size: usize,
    /// Initial learning rate.
    pub lr: f64,
    /// Epochs after which the rate is multiplied by `lr_decay_fact`.
    pub lr_decay_milestones: Vec<usize>,
    /// Factor at a milestone.
    pub lr_decay_fact: f64,
    /// The optimiser.
    pub optim: Optim,
    /// Momentum of `sgd`.
    pub momentum: f64,
    /// L2 decay, added to the gradient of every trained tensor.
    pub weight_decay: f64,
    /// Weight of the unsupervised loss; the supervised one gets `1 - alpha`.
    pub alpha: f64,
    /// Classes that a training batch is to hold; 0 for batches at random ([`crate::data::batch::class_order`]).
    pub classes_per_batch: usize,
    /// Last epoch in which `classes_per_batch` holds; 0 for all of them.
    pub classes_per_batch_until_epoch: usize,
    /// Cuts holes out of training pictures.
    pub cutout: bool,
    /// Holes of a picture.
    pub n_holes: u32,
    /// Side of a hole in pixels.
    pub length: u32,
    /// Seed of all randomness.
    pub seed: u64,
}

impl Default for TrainConfig {
    fn default() -> Self {
        Self {
            batch_size: 128,
            lr: 5e-4,
            lr_decay_milestones: vec![200, 300, 350, 375],
            lr_decay_fact: 0.25,
            optim: Optim::Adam,
            momentum: 0.0,
            weight_decay: 0.0,
            alpha: 0.0,
            classes_per_batch: 0,
            classes_per_batch_until_epoch: 0,
            cutout: false,
            n_holes: 1,
            length: 16,
            seed: 1,
        }
    }
}

impl TrainConfig {
    /// The update rule as the kernel knows it.
    pub fn kind(&self) -> Kind {
        match self.optim {
            Optim::Adam => Kind::Adam,
            Optim::AmsGrad => Kind::AmsGrad,
            Optim::Sgd => Kind::Sgd { momentum: self.momentum as f32 },
        }
    }

    /// The holes of training pictures, if there are any.
    pub fn holes(&self) -> Option<Cutout> {
        self.cutout.then_some(Cutout { holes: self.n_holes, length: self.length })
    }

    /// The number of classes that batches of an epoch, counted from 1, are to hold, if that is limited.
    pub fn classes_per_batch_at(&self, epoch: usize) -> Option<usize> {
        let until = self.classes_per_batch_until_epoch;
        (self.classes_per_batch > 0 && (until == 0 || epoch <= until)).then_some(self.classes_per_batch)
    }

    /// Learning rate of an epoch, counted from 1: every milestone that lies behind it has multiplied the rate.
    pub fn lr_at(&self, epoch: usize) -> f64 {
        let passed = self.lr_decay_milestones.iter().filter(|&&milestone| milestone < epoch).count();
        self.lr * self.lr_decay_fact.powi(passed as i32)
    }
}

/// Weights of a block's losses and of the output layer's (golden/README.md, "Heads" and "One step").
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LossWeights {
    /// Of the local classifier's cross-entropy.
    pub pred: f64,
    /// Of the similarity matching loss.
    pub sim: f64,
    /// Of the output layer's cross-entropy.
    pub output: f64,
}

impl LossWeights {
    /// The weights that `model` and `train` ask for.
    pub fn new(model: &ModelConfig, train: &TrainConfig) -> Self {
        if model.backprop {
            return Self { pred: 0.0, sim: 0.0, output: 1.0 };
        }
        let supervised = 1.0 - train.alpha;
        let (pred, sim, output) = match model.loss_sup {
            LossSup::Pred => (1.0, 0.0, 1.0),
            LossSup::Sim => (0.0, 1.0, 1.0),
            LossSup::PredSim => (1.0 - model.beta, model.beta, 1.0 - model.beta),
        };
        Self { pred: supervised * pred, sim: supervised * sim, output }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_falls_after_each_milestone() {
        let train =
            TrainConfig { lr: 1.0, lr_decay_milestones: vec![2, 4], lr_decay_fact: 0.5, ..TrainConfig::default() };
        let rates: Vec<f64> = (1..=6).map(|epoch| train.lr_at(epoch)).collect();
        assert_eq!(rates, [1.0, 1.0, 0.5, 0.5, 0.25, 0.25]);
    }

    #[test]
    fn classes_are_limited_until_an_epoch_or_for_good() {
        let limits = |classes_per_batch, classes_per_batch_until_epoch| {
            let train = TrainConfig { classes_per_batch, classes_per_batch_until_epoch, ..TrainConfig::default() };
            [1, 2, 3].map(|epoch| train.classes_per_batch_at(epoch))
        };
        assert_eq!(limits(0, 2), [None; 3]);
        assert_eq!(limits(5, 2), [Some(5), Some(5), None]);
        assert_eq!(limits(5, 0), [Some(5); 3]);
    }
}
