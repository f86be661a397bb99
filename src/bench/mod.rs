//! Timing kernels on an adapter, each beside the adapter's own limits: what `predsim bench` prints.
//!
//! A case is a list of dispatches with the work they do. The cases come from fixed shapes that are compared across engines
//! ([`cases::headline`]) and from the plans of whole networks ([`cases::of_network`]), so that every kernel is timed at the
//! sizes at which it is used.

pub mod cases;

use serde::{Deserialize, Serialize};

use crate::gpu::{Dispatch, Gpu, GpuError, Lab, Program, block_on};
use crate::kernels::limits;

pub use cases::Case;

/// Most timed runs of a case.
const MOST_RUNS: usize = 100;
/// Seconds that a single run should take for its time to be trusted.
const TRUSTED_SECONDS: f64 = 0.02;
/// Bytes that the copy moves each way: beyond any cache.
const COPY_BYTES: u32 = 64 << 20;

/// What times are taken with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Clock {
    /// The adapter's timestamps: the kernels alone.
    Device,
    /// The host's: from the encoding of a run to its end on the device. Any engine can be timed so, which makes engines
    /// comparable.
    Host,
}

impl Clock {
    /// The device's where it has timestamps.
    pub fn of(gpu: &Gpu) -> Self {
        if gpu.features.contains(wgpu::Features::TIMESTAMP_QUERY) { Self::Device } else { Self::Host }
    }
}

/// How much trouble is taken over a case.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Effort {
    /// Fewest timed runs, of which the median is taken.
    pub runs: usize,
    /// Seconds that the timing may take once it has run so often.
    pub seconds: f64,
}

impl Effort {
    /// For figures that are printed.
    pub const THOROUGH: Self = Self { runs: 5, seconds: 0.5 };
    /// For telling the fast from the slow.
    pub const QUICK: Self = Self { runs: 2, seconds: 0.05 };
}

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
        let clock = Clock::of(gpu);
        let workgroups = if gpu.info.device_type == wgpu::DeviceType::Cpu { 64 } else { 4096 };
        let results = lab.poisoned(limits::multiply_add_bytes(workgroups))?;
        let with = |rounds| limits::multiply_add(workgroups, rounds, [0.999, 0.1], results);
        let mut rounds = 64;
        let flops = loop {
            let dispatch = with(rounds);
            let seconds = median_seconds(gpu, &lab, std::slice::from_ref(&dispatch), clock, Effort::THOROUGH)?;
            if seconds >= TRUSTED_SECONDS || rounds >= 1 << 22 {
                break dispatch.flops as f64 / seconds;
            }
            rounds *= 4;
        };
        let (source, copied) = (lab.poisoned(u64::from(COPY_BYTES))?, lab.poisoned(u64::from(COPY_BYTES))?);
        let seconds =
            median_seconds(gpu, &lab, &[limits::copy(COPY_BYTES / 4, source, copied)], clock, Effort::THOROUGH)?;
        Ok(Self { flops, bytes: 2.0 * f64::from(COPY_BYTES) / seconds })
    }
}

/// Times `case` with `clock` and as much `effort`.
///
/// # Errors
/// What the device reports: no memory, a tensor over its limits.
pub fn measure(gpu: &Gpu, case: &Case, clock: Clock, effort: Effort) -> Result<Measurement, GpuError> {
    let mut lab = Lab::new(gpu);
    let dispatches = case.on(&mut lab)?;
    let seconds = median_seconds(gpu, &lab, &dispatches, clock, effort)?;
    let mut kernels: Vec<String> = dispatches.iter().map(|dispatch| dispatch.pipeline.label()).collect();
    kernels.dedup();
    Ok(Measurement {
        name: case.name.clone(),
        kernel: kernels.join(" + "),
        seconds,
        flops: case.flops,
        bytes: case.bytes,
    })
}

/// Waits until the device has done all that was submitted.
///
/// # Errors
/// If the device is lost.
pub fn wait(gpu: &Gpu) -> Result<(), GpuError> {
    match gpu.device.poll(wgpu::PollType::wait_indefinitely()) {
        Ok(_) => Ok(()),
        Err(error) => Err(GpuError::Lost(error.to_string())),
    }
}

/// The middle one of `times`.
pub fn median(times: Vec<f64>) -> f64 {
    median_by(times, |&time| time)
}

/// The one of `runs` that takes the middle one of their times.
pub fn median_by<T>(mut runs: Vec<T>, time: impl Fn(&T) -> f64) -> T {
    runs.sort_by(|a, b| time(a).total_cmp(&time(b)));
    let middle = runs.len() / 2;
    runs.swap_remove(middle)
}

/// Median time of a run of `dispatches`, behind one that is not counted.
fn median_seconds(
    gpu: &Gpu,
    lab: &Lab<'_>,
    dispatches: &[Dispatch],
    clock: Clock,
    effort: Effort,
) -> Result<f64, GpuError> {
    let program = lab.program(dispatches.to_vec())?;
    run_seconds(gpu, &program, clock)?;
    let mut times = Vec::new();
    let mut spent = 0.0;
    while times.len() < effort.runs || (spent < effort.seconds && times.len() < MOST_RUNS) {
        let seconds = run_seconds(gpu, &program, clock)?;
        spent += seconds;
        times.push(seconds);
    }
    Ok(median(times))
}

fn run_seconds(gpu: &Gpu, program: &Program, clock: Clock) -> Result<f64, GpuError> {
    if clock == Clock::Device {
        let times = block_on(gpu, program.profile(gpu, 0))?;
        return Ok(times.iter().map(|time| time.nanoseconds).sum::<f64>() * 1e-9);
    }
    let start = std::time::Instant::now();
    let mut encoder = gpu.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
    program.encode(0, &mut encoder, None);
    gpu.submit(encoder.finish())?;
    wait(gpu)?;
    Ok(start.elapsed().as_secs_f64())
}
