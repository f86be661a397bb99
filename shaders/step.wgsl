// What the host says about the training step, one buffer for all kernels of the step (src/kernels/step.rs).
struct Step {
    adam_size: f32,
    adam_scale: f32,
    lr: f32,
    number: u32,
    seed_low: u32,
    seed_high: u32,
    spare0: u32,
    spare1: u32,
}
