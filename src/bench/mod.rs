//! Timing kernels on an adapter, each beside the adapter's own limits: what `predsim bench` prints.
//!
//! A case is a list of dispatches with the work they do. The cases come from fixed shapes that are compared across engines
//! ([`cases::headline`]) and from the plans of whole networks ([`cases::of_network`]), so that every kernel is timed at the
//! sizes at which it is used.

pub mod cases;

use serde::{Deserialize, Serialize};

use crate::gpu::{Dispatch, Gpu, GpuError, Lab, block_on};
use crate::kernels::limits;

pub use cases::Case;

/// Seconds that the timing of one case may take, once it has run at least [`FEWEST_RUNS`] times.
const SECONDS_A_CASE: f64 = 0.5;
/// Fewest timed runs of a case, of which the median is taken.
const FEWEST_RUNS: usize = 5;
/// Most timed runs of a case.
const MOST_RUNS: usize = 100;
/// Seconds that a single run should take for its time to be trusted.
const TRUSTED_SECONDS: f64 = 0.02;
/// Bytes that the copy moves each way: beyond any cache.
const COPY_BYTES: u32 = 64 << 20;

/// What an adapter gives at most.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Limits {
    /// Floating-point operations a second, of multiply-adds on registers.
    pub flops: f64,
    /// Bytes a second, read and written, of a copy.
    pub bytes: f64,
}

/// What a case came to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Measurement {
    /// The case's name.
    pub name: String,
    /// The pipelines that ran.
    pub kernel: String,
    /// Median time of a run in seconds.
    pub seconds: f64,
    /// Floating-point operations of a run.
    pub flops: u64,
    /// Bytes that a run has to read and write at the least.
    pub bytes: u64,
}

impl Measurement {
    /// The larger of the shares of both limits that it reaches: what the kernel is bound by.
    pub fn share(&self, limits: Limits) -> f64 {
        let arithmetic = self.flops as f64 / self.seconds / limits.flops;
        let memory = self.bytes as f64 / self.seconds / limits.bytes;
        arithmetic.max(memory)
    }
}

impl Limits {
    /// Measures `gpu`.
    ///
    /// # Errors
    /// What the device reports.
    pub fn measure(gpu: &Gpu) -> Result<Self, GpuError> {
        let mut lab = Lab::new(gpu);
        let workgroups = if gpu.info.device_type == wgpu::DeviceType::Cpu { 64 } else { 4096 };
        let results = lab.poisoned(limits::multiply_add_bytes(workgroups))?;
        let with = |rounds| limits::multiply_add(workgroups, rounds, [0.999, 0.1], results);
        let mut rounds = 64;
        let flops = loop {
            let dispatch = with(rounds);
            let seconds = median_seconds(gpu, &lab, std::slice::from_ref(&dispatch))?;
            if seconds >= TRUSTED_SECONDS || rounds >= 1 << 22 {
                break dispatch.flops as f64 / seconds;
            }
            rounds *= 4;
        };
        let (source, copied) = (lab.poisoned(u64::from(COPY_BYTES))?, lab.poisoned(u64::from(COPY_BYTES))?);
        let seconds = median_seconds(gpu, &lab, &[limits::copy(COPY_BYTES / 4, source, copied)])?;
        Ok(Self { flops, bytes: 2.0 * f64::from(COPY_BYTES) / seconds })
    }
}

/// Times `case`.
///
/// # Errors
/// What the device reports: no memory, a tensor over its limits.
pub fn measure(gpu: &Gpu, case: &Case) -> Result<Measurement, GpuError> {
    let mut lab = Lab::new(gpu);
    let dispatches = case.on(&mut lab)?;
    let seconds = median_seconds(gpu, &lab, &dispatches)?;
    let mut kernels: Vec<String> = dispatches.iter().map(|dispatch| dispatch.pipeline.label()).collect();
    kernels.dedup();
    Ok(Measurement {
        name: case.name.clone(),
        kernel: kernels.join(" + "),
        seconds,
        flops: dispatches.iter().map(|dispatch| dispatch.flops).sum(),
        bytes: case.bytes,
    })
}

/// Median time of a run of `dispatches`, behind one that is not counted.
fn median_seconds(gpu: &Gpu, lab: &Lab<'_>, dispatches: &[Dispatch]) -> Result<f64, GpuError> {
    run_seconds(gpu, lab, dispatches)?;
    let mut times = Vec::new();
    let mut spent = 0.0;
    while times.len() < FEWEST_RUNS || (spent < SECONDS_A_CASE && times.len() < MOST_RUNS) {
        let seconds = run_seconds(gpu, lab, dispatches)?;
        spent += seconds;
        times.push(seconds);
    }
    times.sort_by(f64::total_cmp);
    Ok(times[times.len() / 2])
}

/// GPU time of one run where the adapter has timestamps, else the time from submission to completion.
fn run_seconds(gpu: &Gpu, lab: &Lab<'_>, dispatches: &[Dispatch]) -> Result<f64, GpuError> {
    if gpu.features.contains(wgpu::Features::TIMESTAMP_QUERY) {
        let runs = block_on(gpu, lab.profile(dispatches.to_vec(), 1))?;
        return Ok(runs.iter().flatten().map(|time| time.nanoseconds).sum::<f64>() * 1e-9);
    }
    let start = std::time::Instant::now();
    lab.run(dispatches.to_vec())?;
    gpu.device.poll(wgpu::PollType::wait_indefinitely()).map_err(|error| GpuError::Lost(error.to_string()))?;
    Ok(start.elapsed().as_secs_f64())
}
