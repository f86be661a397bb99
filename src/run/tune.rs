//! How much time a run may spend on finding the fastest way to compute (`--tune`).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// How the variants of the kernels are chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Tune {
    /// By the kind of the adapter: the same in every run, and the same bits.
    Off,
    /// By timing them for some seconds, unless an earlier run did.
    Quick,
    /// By timing them at all sizes, however long that takes, and again in every run.
    Full,
}

const NAMES: [(&str, Tune); 3] = [("off", Tune::Off), ("quick", Tune::Quick), ("full", Tune::Full)];

impl FromStr for Tune {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = NAMES.iter().find(|(name, _)| *name == text);
        found.map(|(_, tune)| *tune).ok_or_else(|| "off, quick or full is needed".to_owned())
    }
}

impl fmt::Display for Tune {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = NAMES.iter().find(|(_, tune)| tune == self).map_or("", |(name, _)| name);
        f.write_str(name)
    }
}
