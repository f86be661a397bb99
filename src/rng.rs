//! Counter-based random numbers: pure functions of a seed, a purpose and two counters.
//!
//! There is no generator whose state would have to be saved, so a resumed run draws what an unbroken
//! one draws, and the order in which numbers are asked for does not matter. The hash is SplitMix64
//! (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014) used as a tree:
//! each of purpose, `a` and `b` picks one output of the stream that the words before it have seeded.

/// What a number is drawn for. Purposes do not share numbers, whatever their counters are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Purpose {
    /// Initial parameters: `a` the hash of the parameter's name, `b` the element in PyTorch's order.
    Init,
    /// The order of the samples in an epoch: `a` the epoch, `b` the draw.
    Shuffle,
    /// Crops and flips of a picture: `a` the epoch, `b` the sample and the draw.
    Augment,
    /// Dropout masks: `a` the step, `b` the block.
    Dropout,
    /// Holes of cutout: `a` the epoch, `b` the sample and the draw.
    Cutout,
    /// Resized crops of pictures read from files: `a` the epoch, `b` the sample and the draw.
    ResizedCrop,
}

impl Purpose {
    /// The word that stands for the purpose in the hash. Never renumber: checkpoints rely on it.
    const fn word(self) -> u64 {
        match self {
            Self::Init => 0,
            Self::Shuffle => 1,
            Self::Augment => 2,
            Self::Dropout => 3,
            Self::Cutout => 4,
            Self::ResizedCrop => 5,
        }
    }
}

/// 64 random bits for (`seed`, `purpose`, `a`, `b`).
pub fn bits(seed: u64, purpose: Purpose, a: u64, b: u64) -> u64 {
    split_mix(split_mix(split_mix(seed, purpose.word()), a), b)
}

/// Maps random bits to [0, 1), evenly spaced by 2^-53.
pub fn uniform01(bits: u64) -> f64 {
    (bits >> 11) as f64 * (1.0 / (1u64 << 53) as f64)
}

/// Maps random bits to 0..n (0 where n is 0), by the high half of a 128-bit product (Lemire 2019, without
/// the rejection: no value is favoured by more than n / 2^64).
pub fn below(bits: u64, n: u64) -> u64 {
    ((u128::from(bits) * u128::from(n)) >> 64) as u64
}

/// Output number `index` of the SplitMix64 stream that starts from `state`.
fn split_mix(state: u64, index: u64) -> u64 {
    const GAMMA: u64 = 0x9E37_79B9_7F4A_7C15;
    let z = state.wrapping_add(GAMMA.wrapping_mul(index.wrapping_add(1)));
    let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    const PURPOSES: [Purpose; 6] =
        [Purpose::Init, Purpose::Shuffle, Purpose::Augment, Purpose::Dropout, Purpose::Cutout, Purpose::ResizedCrop];

    #[test]
    fn split_mix_gives_the_published_stream() {
        // The first outputs of SplitMix64 from state 0, as other implementations list them.
        let stream: Vec<u64> = (0..3).map(|i| split_mix(0, i)).collect();
        assert_eq!(stream, [0xE220_A839_7B1D_CDAF, 0x6E78_9E6A_A1B9_65F4, 0x06C4_5D18_8009_454F]);
    }

    #[test]
    fn known_answers() {
        // Calculated with an independent script; they pin the tree, which checkpoints depend on.
        assert_eq!(bits(0, Purpose::Init, 0, 0), 0x2382_75BC_38FC_BE91);
        assert_eq!(bits(1, Purpose::Dropout, 2, u64::MAX), 0xFC8A_57B2_DB80_8C53);
    }

    #[test]
    fn every_word_matters_and_purposes_are_apart() {
        let mut seen = HashSet::new();
        for seed in 0..4 {
            for purpose in PURPOSES {
                for a in 0..50 {
                    for b in 0..50 {
                        assert!(seen.insert(bits(seed, purpose, a, b)));
                    }
                }
            }
        }
    }

    #[test]
    fn purposes_are_uncorrelated() {
        // n pairs of centred uniforms: the sum of products has deviation sqrt(n) / 12.
        const N: u64 = 100_000;
        for (i, &p) in PURPOSES.iter().enumerate() {
            for &q in &PURPOSES[i + 1..] {
                let sum: f64 = (0..N)
                    .map(|b| {
                        let x = uniform01(bits(7, p, 3, b)) - 0.5;
                        let y = uniform01(bits(7, q, 3, b)) - 0.5;
                        x * y
                    })
                    .sum();
                assert!(sum.abs() < 5.0 * (N as f64).sqrt() / 12.0, "{p:?} {q:?}");
            }
        }
    }

    /// Chi-squared of 256 equal cells: 255 expected, deviation sqrt(2 * 255) = 22.6.
    fn chi_squared(cells: impl Iterator<Item = u64>) -> f64 {
        let mut count = [0u32; 256];
        let mut n = 0.0;
        for cell in cells {
            count[usize::try_from(cell).unwrap()] += 1;
            n += 1.0;
        }
        let expected = n / 256.0;
        count.iter().map(|&c| (f64::from(c) - expected).powi(2) / expected).sum()
    }

    #[test]
    fn consecutive_counters_are_uniform_in_every_byte() {
        for purpose in PURPOSES {
            for byte in 0..8 {
                for along_b in [false, true] {
                    let x2 = chi_squared((0..65_536).map(|i| {
                        let (a, b) = if along_b { (5, i) } else { (i, 5) };
                        (bits(42, purpose, a, b) >> (8 * byte)) & 0xFF
                    }));
                    assert!((140.0..370.0).contains(&x2), "{purpose:?} byte {byte}: {x2}");
                }
            }
        }
    }

    #[test]
    fn below_is_uniform_and_in_range() {
        let x2 = chi_squared((0..65_536).map(|i| below(bits(1, Purpose::Shuffle, 0, i), 256)));
        assert!((140.0..370.0).contains(&x2), "{x2}");
        assert_eq!(below(u64::MAX, 10), 9);
        assert_eq!(below(0, 10), 0);
        assert_eq!(below(u64::MAX, 1), 0);
        assert_eq!(below(u64::MAX, u64::MAX), u64::MAX - 1);
        assert_eq!(below(123, 0), 0);
    }

    #[test]
    fn uniform01_stays_below_one() {
        assert_eq!(uniform01(0), 0.0);
        assert!(uniform01(u64::MAX) < 1.0);
        assert_eq!(uniform01(1 << 63), 0.5);
    }
}
