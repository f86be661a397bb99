//! How a network is trained: everything that is not its structure.

use serde::{Deserialize, Serialize};

use crate::data::Cutout;
use crate::kernels::optimizer::Kind;
use crate::kernels::precision::Precision;
use crate::names::named;
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

named!(Optim, "optimizer", Adam "adam", AmsGrad "amsgrad", Sgd "sgd");

/// The name of an order of training (`--schedule`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Order {
    /// [`Schedule::Simultaneous`].
    Simultaneous,
    /// [`Schedule::Greedy`].
    Greedy,
}

named!(Order, "schedule", Simultaneous "simultaneous", Greedy "greedy");

/// In which order blocks are trained.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Schedule {
    /// All blocks in every step.
    #[default]
    Simultaneous,
    /// One module after the other to the end, those before it frozen; the output layer with the last (Belilovsky,
    /// Eickenberg & Oyallon 2019). Each has the whole schedule of learning rates to itself.
    Greedy {
        /// Epochs for each module; at least 1.
        phase_epochs: usize,
    },
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
    /// One backward pass over the sum of all losses: gradients flow through the whole network. Without effect on
    /// `backprop`, where they do anyway.
    pub no_detach: bool,
    /// The order of training.
    pub schedule: Schedule,
    /// Measures the norms of each block's update and weights in every step.
    pub grad_stats: bool,
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
    /// What the operands of products are rounded to.
    #[serde(default)]
    pub precision: Precision,
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
            no_detach: false,
            schedule: Schedule::Simultaneous,
            grad_stats: false,
            classes_per_batch: 0,
            classes_per_batch_until_epoch: 0,
            cutout: false,
            n_holes: 1,
            length: 16,
            seed: 1,
            precision: Precision::F32,
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

    /// The name of the order of training.
    pub fn order(&self) -> Order {
        if self.is_greedy() { Order::Greedy } else { Order::Simultaneous }
    }

    /// Whether modules are trained one after the other.
    pub fn is_greedy(&self) -> bool {
        matches!(self.schedule, Schedule::Greedy { .. })
    }

    /// With a greedy schedule, the module under training in an epoch, counted from 1, of a network of `modules` modules.
    pub fn phase_at(&self, epoch: usize, modules: usize) -> Option<usize> {
        let Schedule::Greedy { phase_epochs } = self.schedule else { return None };
        Some((epoch.saturating_sub(1) / phase_epochs.max(1)).min(modules.saturating_sub(1)))
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

    /// Learning rate of an epoch, counted from 1: every milestone that lies behind it has multiplied the rate. With a
    /// greedy schedule epochs count from the start of their module's phase.
    pub fn lr_at(&self, epoch: usize) -> f64 {
        let epoch = match self.schedule {
            Schedule::Simultaneous => epoch,
            Schedule::Greedy { phase_epochs } => epoch.saturating_sub(1) % phase_epochs.max(1) + 1,
        };
        let passed = self.lr_decay_milestones.iter().filter(|&&milestone| milestone < epoch).count();
        self.lr * self.lr_decay_fact.powi(passed as i32)
    }

    /// Says whether `model` can be trained this way.
    ///
    /// # Errors
    /// [`ModelError::Setting`] for settings that do not go together.
    pub fn validate(&self, model: &ModelConfig) -> Result<(), ModelError> {
        let no = |setting, got: &str, need: &str| {
            Err(ModelError::Setting { setting, got: got.to_owned(), need: need.to_owned() })
        };
        if self.no_detach && model.local_modules.is_some() {
            return no("--local-modules", "given", "left out with --no-detach, which has no borders between modules");
        }
        let Schedule::Greedy { phase_epochs } = self.schedule else { return Ok(()) };
        if phase_epochs == 0 {
            return no("the number of epochs of a greedy phase", "0", "at least 1");
        }
        if model.backprop || self.no_detach {
            let need = "simultaneous with --backprop and --no-detach, which train all blocks together";
            return no("--schedule", "greedy", need);
        }
        if model.loss_sup == LossSup::Sim {
            let need = "simultaneous with --loss-sup sim: a greedy phase is judged by its local classifier";
            return no("--schedule", "greedy", need);
        }
        Ok(())
    }
}

/// Weights of a block's losses and of the output layer's; [`LossWeights::new`] makes them of alpha and beta.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LossWeights {
    /// Of the local classifier's cross-entropy.
    pub pred: f64,
    /// Of the similarity matching loss.
    pub sim: f64,
    /// Of the unsupervised loss.
    pub unsup: f64,
    /// Of the output layer's cross-entropy.
    pub output: f64,
}

impl LossWeights {
    /// The weights that `model` and `train` ask for.
    pub fn new(model: &ModelConfig, train: &TrainConfig) -> Self {
        if model.backprop {
            return Self { pred: 0.0, sim: 0.0, unsup: 0.0, output: 1.0 };
        }
        let supervised = 1.0 - train.alpha;
        let (pred, sim, output) = match model.loss_sup {
            LossSup::Pred => (1.0, 0.0, 1.0),
            LossSup::Sim => (0.0, 1.0, 1.0),
            LossSup::PredSim => (1.0 - model.beta, model.beta, 1.0 - model.beta),
        };
        Self { pred: supervised * pred, sim: supervised * sim, unsup: train.alpha, output }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::{Architecture, InputShape};

    #[test]
    fn the_rate_falls_after_each_milestone() {
        let train =
            TrainConfig { lr: 1.0, lr_decay_milestones: vec![2, 4], lr_decay_fact: 0.5, ..TrainConfig::default() };
        let rates = |train: &TrainConfig| (1..=6).map(|epoch| train.lr_at(epoch)).collect::<Vec<f64>>();
        assert_eq!(rates(&train), [1.0, 1.0, 0.5, 0.5, 0.25, 0.25]);
        let greedy = TrainConfig { schedule: Schedule::Greedy { phase_epochs: 3 }, ..train.clone() };
        assert_eq!(rates(&greedy), [1.0, 1.0, 0.5, 1.0, 1.0, 0.5]);
        // Epochs beyond the last phase belong to it.
        let phases: Vec<Option<usize>> = (1..=8).map(|epoch| greedy.phase_at(epoch, 2)).collect();
        assert_eq!(phases, [0, 0, 0, 1, 1, 1, 1, 1].map(Some));
        assert_eq!(train.phase_at(1, 2), None);
    }

    #[test]
    fn what_does_not_go_together_is_refused() {
        let input = InputShape { height: 28, width: 28, channels: 1 };
        let check = |change: fn(&mut TrainConfig, &mut ModelConfig)| {
            let mut model = ModelConfig::new(Architecture::Vgg8b, input, 10);
            let mut train = TrainConfig::default();
            change(&mut train, &mut model);
            train.validate(&model).map_err(|error| error.to_string())
        };
        assert_eq!(check(|_, _| ()), Ok(()));
        assert_eq!(check(|t, _| t.no_detach = true), Ok(()));
        assert_eq!(
            check(|t, m| (t.schedule, m.local_modules) = (Schedule::Greedy { phase_epochs: 1 }, Some(2))),
            Ok(())
        );
        assert_eq!(
            check(|t, m| (t.no_detach, m.local_modules) = (true, Some(2))).unwrap_err(),
            "--local-modules is given; it must be left out with --no-detach, which has no borders between modules"
        );
        for change in [
            (|t, m| (t.schedule, m.backprop) = (Schedule::Greedy { phase_epochs: 1 }, true))
                as fn(&mut TrainConfig, &mut ModelConfig),
            |t: &mut TrainConfig, _| (t.schedule, t.no_detach) = (Schedule::Greedy { phase_epochs: 1 }, true),
            |t, m| (t.schedule, m.loss_sup) = (Schedule::Greedy { phase_epochs: 1 }, LossSup::Sim),
        ] {
            assert!(check(change).unwrap_err().starts_with("--schedule is greedy; it must be simultaneous with "));
        }
        assert!(check(|t, _| t.schedule = Schedule::Greedy { phase_epochs: 0 }).is_err());
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
