//! What every kernel benchmark shares: the device, GPU time by timestamps, and a line with the ratio to a yardstick.

use std::time::Duration;

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

/// Median of `runs` single runs in seconds.
pub fn median_seconds(gpu: &Gpu, lab: &Lab<'_>, dispatches: &[Dispatch], runs: usize) -> f64 {
    let mut times: Vec<f64> = (0..runs).map(|_| gpu_time(gpu, lab, dispatches, 1).as_secs_f64()).collect();
    times.sort_by(f64::total_cmp);
    times[runs / 2]
}
