//! What products multiply: `f32`, or operands rounded to `f16` whose products are added up in `f32` (`--precision`).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// What the operands of matrix products and convolutions are rounded to. Everything else, and every tensor in memory, is
/// `f32`: parameters, activations, normalisation, losses, sums, the update.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// Nothing.
    #[default]
    F32,
    /// 11 bits of mantissa and 5 of exponent, where the adapter has them.
    F16,
}

const NAMES: [(&str, Precision); 2] = [("f32", Precision::F32), ("f16", Precision::F16)];

impl FromStr for Precision {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = NAMES.iter().find(|(name, _)| *name == text);
        found.map(|(_, precision)| *precision).ok_or_else(|| "f32 or f16 is needed".to_owned())
    }
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = NAMES.iter().find(|(_, precision)| precision == self).map_or("", |(name, _)| name);
        f.write_str(name)
    }
}

/// What a gradient of a mean over as many rows as it has is multiplied by besides their number: gradients of the single rows of
/// a loss lie around 1, and below.
const HEADROOM: f32 = 64.0;

impl Precision {
    /// The power of two that a gradient of `rows` rows (samples, or pixels of all samples) is multiplied by before it is
    /// rounded. The loss being a mean, its gradients shrink with the rows, and `f16` ends at 6e-8; scaled, it holds a row's own
    /// gradient from 1e-9 to 1000. This is loss scaling (Micikevicius et al. 2018, "Mixed Precision Training", section 3.2),
    /// product by product.
    pub(super) fn gradient_scale(self, rows: u32) -> f32 {
        match self {
            Self::F32 => 1.0,
            Self::F16 => HEADROOM * rows.next_power_of_two() as f32,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gradients_are_scaled_by_powers_of_two() {
        let scales = |precision: Precision| [1, 100, 128, 200_704].map(|rows| precision.gradient_scale(rows));
        assert_eq!(scales(Precision::F32), [1.0; 4]);
        assert_eq!(scales(Precision::F16), [64.0, 8192.0, 8192.0, 16_777_216.0]);
    }

    #[test]
    fn names_are_read_as_they_are_written() {
        for precision in [Precision::F32, Precision::F16] {
            assert_eq!(precision.to_string().parse(), Ok(precision));
        }
        assert_eq!("half".parse::<Precision>(), Err("f32 or f16 is needed".to_owned()));
    }
}
