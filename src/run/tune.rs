//! How much time a run may spend on finding the fastest way to compute (`--tune`).

use serde::{Deserialize, Serialize};

use crate::names::named;

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

named!(Tune, "way of tuning", Off "off", Quick "quick", Full "full");
