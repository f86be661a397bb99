//! Settings that are one of a few names: the losses and the nonlinearity. Flags, files and messages use the published
//! program's names.

use serde::{Deserialize, Serialize};

use crate::names::named;

/// The supervised local losses (section 2 of the paper).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LossSup {
    /// Cross-entropy of a local linear classifier.
    Pred,
    /// Similarity matching.
    Sim,
    /// (1 - beta) pred + beta sim.
    PredSim,
}

named!(LossSup, "supervised loss", Pred "pred", Sim "sim", PredSim "predsim");

/// The unsupervised local losses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LossUnsup {
    /// None.
    #[default]
    None,
    /// The similarities of a block's features are matched to those of its input.
    Sim,
    /// The block's input is reconstructed from its activation.
    Recon,
}

named!(LossUnsup, "unsupervised loss", None "none", Sim "sim", Recon "recon");

/// The activation functions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Nonlin {
    /// max(x, 0).
    Relu,
    /// max(x, 0.01 x).
    LeakyRelu,
}

named!(Nonlin, "nonlinearity", Relu "relu", LeakyRelu "leakyrelu");

impl Nonlin {
    /// The slope left of zero; the activation is x for x > 0, else slope * x.
    pub const fn negative_slope(self) -> f32 {
        match self {
            Self::Relu => 0.0,
            Self::LeakyRelu => 0.01,
        }
    }
}
