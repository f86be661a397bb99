//! Counter-based random numbers (stand-in until the real module is merged: same signatures, other values).

/// What a number is drawn for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Purpose {
    /// Initial parameters.
    Init,
    /// The order of the samples in an epoch.
    Shuffle,
    /// Crops and flips of a picture.
    Augment,
    /// Dropout masks.
    Dropout,
}

/// 64 random bits for (`seed`, `purpose`, `a`, `b`).
pub fn bits(seed: u64, purpose: Purpose, a: u64, b: u64) -> u64 {
    [purpose as u64, a, b].into_iter().fold(seed, |state, word| {
        let z = (state ^ word.wrapping_mul(0xD6E8_FEB8_6659_FD93)).wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (z ^ (z >> 32)).wrapping_mul(0xD6E8_FEB8_6659_FD93);
        let z = (z ^ (z >> 32)).wrapping_mul(0xD6E8_FEB8_6659_FD93);
        z ^ (z >> 32)
    })
}

/// Maps random bits to 0..n.
pub fn below(bits: u64, n: u64) -> u64 {
    ((u128::from(bits) * u128::from(n)) >> 64) as u64
}
