//! Settings that are one of a few names: the losses and the nonlinearity. Flags, files and messages use the published
//! program's names.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::error::ModelError;

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

const LOSSES: [(&str, LossSup); 3] = [("pred", LossSup::Pred), ("sim", LossSup::Sim), ("predsim", LossSup::PredSim)];

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

const UNSUPERVISED: [(&str, LossUnsup); 3] =
    [("none", LossUnsup::None), ("sim", LossUnsup::Sim), ("recon", LossUnsup::Recon)];

/// The activation functions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Nonlin {
    /// max(x, 0).
    Relu,
    /// max(x, 0.01 x).
    LeakyRelu,
}

const NONLINS: [(&str, Nonlin); 2] = [("relu", Nonlin::Relu), ("leakyrelu", Nonlin::LeakyRelu)];

impl Nonlin {
    /// The slope left of zero; the activation is x for x > 0, else slope * x.
    pub const fn negative_slope(self) -> f32 {
        match self {
            Self::Relu => 0.0,
            Self::LeakyRelu => 0.01,
        }
    }
}

impl fmt::Display for LossSup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(LOSSES.iter().find(|(_, v)| v == self).map_or("", |(n, _)| n))
    }
}

impl FromStr for LossSup {
    type Err = ModelError;

    fn from_str(text: &str) -> Result<Self, ModelError> {
        lookup("supervised loss", text, &LOSSES)
    }
}

impl fmt::Display for LossUnsup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(UNSUPERVISED.iter().find(|(_, v)| v == self).map_or("", |(n, _)| n))
    }
}

impl FromStr for LossUnsup {
    type Err = ModelError;

    fn from_str(text: &str) -> Result<Self, ModelError> {
        lookup("unsupervised loss", text, &UNSUPERVISED)
    }
}

impl fmt::Display for Nonlin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(NONLINS.iter().find(|(_, v)| v == self).map_or("", |(n, _)| n))
    }
}

impl FromStr for Nonlin {
    type Err = ModelError;

    fn from_str(text: &str) -> Result<Self, ModelError> {
        lookup("nonlinearity", text, &NONLINS)
    }
}

/// Finds `text` in a table of names, or says what would have been right.
pub(crate) fn lookup<T: Copy>(what: &'static str, text: &str, table: &[(&str, T)]) -> Result<T, ModelError> {
    let names = || table.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
    table.iter().find(|(name, _)| *name == text).map(|&(_, value)| value).ok_or_else(|| ModelError::UnknownName {
        what,
        got: text.into(),
        known: names(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_agree_between_flags_and_files() {
        for (name, loss) in LOSSES {
            assert_eq!(name.parse(), Ok(loss));
            assert_eq!(loss.to_string(), name);
            assert_eq!(serde_json::to_string(&loss).unwrap(), format!("\"{name}\""));
        }
        for (name, loss) in UNSUPERVISED {
            assert_eq!(name.parse(), Ok(loss));
            assert_eq!(loss.to_string(), name);
            assert_eq!(serde_json::to_string(&loss).unwrap(), format!("\"{name}\""));
        }
        for (name, nonlin) in NONLINS {
            assert_eq!(name.parse(), Ok(nonlin));
            assert_eq!(nonlin.to_string(), name);
            assert_eq!(serde_json::to_string(&nonlin).unwrap(), format!("\"{name}\""));
        }
        let error = "tanh".parse::<Nonlin>().unwrap_err().to_string();
        assert_eq!(error, "unknown nonlinearity 'tanh'; known: relu, leakyrelu");
    }
}
