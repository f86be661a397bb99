//! What the host tells all kernels about a training step: 32 bytes, uploaded once a step.

/// `shaders/step.wgsl`: the struct `Step`, the layout of [`StepParams`].
pub(crate) const STEP: &str = include_str!("../../shaders/step.wgsl");

/// One training step's numbers, as they lie in the `step` buffer.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, bytemuck::Pod, bytemuck::Zeroable)]
pub struct StepParams {
    /// Adam's step size, `lr / (1 - beta1^t)`.
    pub adam_size: f32,
    /// Adam's bias correction of the second moment, `1 / sqrt(1 - beta2^t)`.
    pub adam_scale: f32,
    /// Learning rate.
    pub lr: f32,
    /// Number of the step since training began, from 0.
    pub number: u32,
    /// Lower half of the run's seed.
    pub seed_low: u32,
    /// Upper half of the run's seed.
    pub seed_high: u32,
    /// Zero.
    pub spare: [u32; 2],
}
