//! One device for all kernel tests, random tensors, and comparison with a reference.

use std::sync::LazyLock;

use predsim::gpu::{Gpu, Wanted, block_on};

static GPU: LazyLock<Gpu> =
    LazyLock::new(|| pollster::block_on(Gpu::open(&Wanted::Best)).expect("the kernel tests need a GPU adapter"));

/// The device that all tests share.
pub fn gpu() -> &'static Gpu {
    &GPU
}

/// Waits for a future of that device and unwraps its result.
pub fn wait<T>(future: impl Future<Output = Result<T, predsim::gpu::GpuError>>) -> T {
    block_on(gpu(), future).expect("the device works")
}

/// Reproducible values in [-1, 1), exactly representable in f32.
pub fn random(seed: u64, len: usize) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ 0xD1B5_4A32_D192_ED03;
    (0..len)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
        })
        .collect()
}

/// Panics unless every element of `got` is within `tolerance` times the reference's largest magnitude.
#[track_caller]
pub fn assert_close(what: &str, got: &[f32], want: &[f64], tolerance: f64) {
    assert_eq!(got.len(), want.len(), "{what}: length");
    let scale = want.iter().fold(1e-30, |m: f64, v| m.max(v.abs()));
    for (index, (&g, &w)) in got.iter().zip(want).enumerate() {
        let off = (f64::from(g) - w).abs();
        assert!(
            off <= tolerance * scale,
            "{what}[{index}]: got {g}, want {w}, off by {:.1e} of the largest",
            off / scale
        );
    }
}
