//! What every kernel benchmark shares: the device, GPU time by timestamps, how long is measured.

use std::time::Duration;

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion};
use predsim::gpu::{Dispatch, Gpu, Lab, Wanted, block_on};

/// The best adapter, or the one that the environment variable `PREDSIM_ADAPTER` names.
pub fn open() -> Gpu {
    let wanted = std::env::var("PREDSIM_ADAPTER").map_or(Wanted::Best, |name| match name.parse() {
        Ok(wanted) => wanted,
        Err(never) => match never {},
    });
    let gpu = pollster::block_on(Gpu::open(&wanted)).unwrap_or_else(|error| panic!("{error}"));
    println!("adapter: {} ({} {})", gpu.info.name, gpu.info.driver, gpu.info.driver_info);
    gpu
}

/// GPU time of `iterations` runs of `dispatches`, summed; wall time of a submission where the adapter has no timestamps.
pub fn gpu_time(gpu: &Gpu, lab: &Lab<'_>, dispatches: &[Dispatch], iterations: u64) -> Duration {
    if !gpu.features.contains(wgpu::Features::TIMESTAMP_QUERY) {
        let start = std::time::Instant::now();
        for _ in 0..iterations {
            lab.run(dispatches.to_vec()).expect("the device works");
            gpu.device.poll(wgpu::PollType::wait_indefinitely()).expect("the device works");
        }
        return start.elapsed();
    }
    let runs = block_on(gpu, lab.profile(dispatches.to_vec(), iterations as usize)).expect("the device works");
    let nanoseconds: f64 = runs.iter().flatten().map(|time| time.nanoseconds).sum();
    Duration::from_nanos(nanoseconds as u64)
}

/// The middle one of some times.
pub fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

/// A group of benchmarks that takes a few seconds: GPU times scatter little.
pub fn quick<'c>(criterion: &'c mut Criterion, name: &str) -> BenchmarkGroup<'c, WallTime> {
    let mut group = criterion.benchmark_group(name);
    group.sample_size(10).warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(1));
    group
}

/// Reproducible values in [-1, 1) for a tensor of `bytes` bytes.
pub fn values(bytes: u64) -> Vec<f32> {
    let scatter = |i: u32| (i.wrapping_mul(0x9e37_79b9) >> 8) as f32 / (1 << 23) as f32 - 1.0;
    (0..bytes as u32 / 4).map(scatter).collect()
}
