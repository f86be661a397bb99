//! The numbers that change from one training step to the next, in one small buffer that kernels read, so that a recorded
//! program runs unchanged step after step: learning rate, Adam's bias corrections, the step's number and the seed.

use bytemuck::{Pod, Zeroable};

/// `shaders/step.wgsl`: a shader part to join before a kernel that reads `Step`.
pub(crate) const STEP: &str = include_str!("../../shaders/step.wgsl");

/// Adam's decay of the first moment.
const B1: f64 = 0.9;
/// Adam's decay of the second moment.
const B2: f64 = 0.999;

/// `struct Step` of `shaders/step.wgsl`, 32 bytes in a storage buffer.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Pod, Zeroable)]
pub struct StepParams {
    /// `lr / (1 - 0.9^t)`.
    pub adam_size: f32,
    /// `1 / sqrt(1 - 0.999^t)`.
    pub adam_scale: f32,
    /// Learning rate.
    pub lr: f32,
    /// What random kernels count by.
    pub number: u32,
    /// Low half of the run's seed.
    pub seed_low: u32,
    /// High half.
    pub seed_high: u32,
    /// Zero.
    pub spare: [u32; 2],
}

impl StepParams {
    /// Bytes of the buffer.
    pub const BYTES: u64 = size_of::<Self>() as u64;

    /// The numbers of update `t`, counted from 1, at learning rate `lr`, computed in `f64`.
    pub fn new(lr: f64, t: u64, number: u32, seed: u64) -> Self {
        let t = t.max(1) as f64;
        Self {
            adam_size: (lr / (1.0 - B1.powf(t))) as f32,
            adam_scale: (1.0 - B2.powf(t)).sqrt().recip() as f32,
            lr: lr as f32,
            number,
            seed_low: seed as u32,
            seed_high: (seed >> 32) as u32,
            spare: [0; 2],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn corrections_are_those_of_the_step() {
        let first = StepParams::new(5e-4, 1, 7, 0x1234_5678_9ABC_DEF0);
        assert!((f64::from(first.adam_size) - 5e-3).abs() < 1e-9);
        assert!((f64::from(first.adam_scale) - 1000f64.sqrt()).abs() < 1e-5);
        assert_eq!((first.number, first.seed_low, first.seed_high), (7, 0x9ABC_DEF0, 0x1234_5678));
        let second = StepParams::new(5e-4, 2, 0, 0);
        assert!((f64::from(second.adam_size) - 5e-4 / 0.19).abs() < 1e-9);
        let late = StepParams::new(5e-4, 10_000_000_000, 0, 0);
        assert_eq!((late.adam_size, late.adam_scale), (5e-4, 1.0));
    }
}
