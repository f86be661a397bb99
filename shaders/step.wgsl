// What changes from one training step to the next; src/kernels/step.rs fills it.
struct Step {
    adam_size: f32,     // lr / (1 - b1^t)
    adam_scale: f32,    // 1 / sqrt(1 - b2^t)
    lr: f32,
    number: u32,
    seed_low: u32,
    seed_high: u32,
    spare0: u32,
    spare1: u32,
}
