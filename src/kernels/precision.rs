//! What products multiply: `f32`, or operands rounded to `f16` whose products are added up in `f32` (`--precision`).

use serde::{Deserialize, Serialize};

use crate::names::named;

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

named!(Precision, "precision", F32 "f32", F16 "f16");

/// What a gradient of a mean over as many rows as it has is multiplied by besides their number: gradients of the single
/// rows of a loss lie around 1, and below.
const HEADROOM: f32 = 64.0;

impl Precision {
    /// The power of two that a gradient of `rows` rows (samples, or pixels of all samples) is multiplied by before it is
    /// rounded. The loss being a mean, its gradients shrink with the rows, and `f16` ends at 6e-8; scaled, it holds a
    /// row's own gradient from 1e-9 to 1000. This is loss scaling (Micikevicius et al. 2018, "Mixed Precision
    /// Training", section 3.2), product by product.
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
        assert_eq!("half".parse::<Precision>().unwrap_err().to_string(), "unknown precision 'half'; known: f32, f16");
    }
}
