//! Timing kernels on an adapter, each beside the adapter's own limits: what `predsim bench` prints.
//!
//! A case is a list of dispatches with the work they do. The cases come from fixed shapes that are compared across engines
//! ([`cases::headline`]) and from the plans of whole networks ([`cases::of_network`]), so that every kernel is timed at the
//! sizes at which it is used.

pub mod cases;

use serde::{Deserialize, Serialize};

use crate::gpu::{Dispatch, Gpu, GpuError, Lab, Program, Slice, block_on};
use crate::kernels::limits;

pub use cases::Case;

/// Most timed runs of a case.
const MOST_RUNS: usize = 100;
/// Seconds that runs should take for their time to be trusted.
const TRUSTED_SECONDS: f64 = 0.02;
/// Most rounds of multiply-adds of a run.
const MOST_ROUNDS_OF_A_RUN: u32 = 1 << 22;
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

    /// Calls `run`, which says how many seconds it took, as often as that comes to.
    fn spend(self, mut run: impl FnMut() -> Result<f64, GpuError>) -> Result<(), GpuError> {
        let (mut runs, mut spent) = (0, 0.0);
        while runs < self.runs || (spent < self.seconds && runs < MOST_RUNS) {
            spent += run()?;
            runs += 1;
        }
        Ok(())
    }
}

/// What an adapter gives at most, or a part of it.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
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
    /// The adapter's limits while it was timed: their medians.
    pub limits: Limits,
    /// Its operations as a part of the multiply-adds, and its bytes as a part of the copied ones, that the adapter
    /// would have done in the same time: medians over the runs, each beside the limits as they were at that moment.
    #[serde(default)]
    pub shares: Limits,
}

/// The kernels that show an adapter's limits, to be run beside others: on a shared machine its speed changes from one second
/// to the next, so that only what is timed in turn with a limit can be given as a part of it. And where processors are
/// lent by the share of a second, what asks for little gets ahead: so the limits take as long as what is timed.
#[derive(Debug)]
pub struct Yardstick<'g> {
    lab: Lab<'g>,
    gpu: &'g Gpu,
    clock: Clock,
    workgroups: u32,
    results: Slice,
    /// Rounds of multiply-adds that took so many seconds.
    rounds: (u32, f64),
    copy: Program,
}

impl<'g> Yardstick<'g> {
    /// For `gpu`: finds out how many multiply-adds it takes for a time to be trusted.
    ///
    /// # Errors
    /// What the device reports.
    pub fn new(gpu: &'g Gpu) -> Result<Self, GpuError> {
        let mut lab = Lab::new(gpu);
        let clock = Clock::of(gpu);
        let workgroups = if gpu.info.device_type == wgpu::DeviceType::Cpu { 64 } else { 4096 };
        let results = lab.poisoned(limits::multiply_add_bytes(workgroups))?;
        let (source, copied) = (lab.poisoned(u64::from(COPY_BYTES))?, lab.poisoned(u64::from(COPY_BYTES))?);
        let copy = lab.program(vec![limits::copy(COPY_BYTES / 4, source, copied)])?;
        let mut yardstick = Self { lab, gpu, clock, workgroups, results, rounds: (64, 0.0), copy };
        loop {
            let (program, _) = yardstick.multiply_add(yardstick.rounds.0)?;
            run_seconds(gpu, &program, clock)?;
            yardstick.rounds.1 = run_seconds(gpu, &program, clock)?;
            if yardstick.rounds.1 >= TRUSTED_SECONDS || yardstick.rounds.0 >= MOST_ROUNDS_OF_A_RUN {
                return Ok(yardstick);
            }
            yardstick.rounds.0 *= 2;
        }
    }

    /// So many rounds of multiply-adds, and what that is in operations.
    fn multiply_add(&self, rounds: u32) -> Result<(Program, u64), GpuError> {
        let dispatches = multiply_adds(self.workgroups, rounds, self.results);
        let flops = dispatches.iter().map(|dispatch| dispatch.flops).sum();
        Ok((self.lab.program(dispatches)?, flops))
    }

    /// Times `case` by `clock`, in turn with the limits.
    ///
    /// # Errors
    /// What the device reports: no memory, a tensor over its limits.
    pub fn measure(&self, case: &Case, clock: Clock) -> Result<Measurement, GpuError> {
        let mut lab = Lab::new(self.gpu);
        let dispatches = case.on(&mut lab)?;
        let mut kernels: Vec<String> = dispatches.iter().map(|dispatch| dispatch.pipeline.label()).collect();
        kernels.dedup();
        let program = lab.program(dispatches)?;
        run_seconds(self.gpu, &program, clock)?;
        let long = run_seconds(self.gpu, &program, clock)?;
        let runs = (TRUSTED_SECONDS / long).ceil().clamp(1.0, MOST_RUNS as f64) as usize;
        let (rounds, seconds) = self.rounds;
        let as_long = f64::from(rounds) * (runs as f64 * long / seconds).max(1.0);
        let (multiply_add, flops) = self.multiply_add((as_long as u32).min(MOST_ROUNDS_OF_A_RUN))?;

        let (mut times, mut limits, mut shares) = (Vec::new(), Vec::new(), Vec::new());
        Effort::THOROUGH.spend(|| {
            let start = std::time::Instant::now();
            let bytes = 2.0 * f64::from(COPY_BYTES) / run_seconds(self.gpu, &self.copy, self.clock)?;
            // The copy has emptied the caches; multiply-adds on registers leave them as they are.
            run_seconds(self.gpu, &program, clock)?;
            let now = Limits { flops: flops as f64 / run_seconds(self.gpu, &multiply_add, self.clock)?, bytes };
            let timed: Vec<f64> =
                (0..runs).map(|_| run_seconds(self.gpu, &program, clock)).collect::<Result<_, _>>()?;
            let seconds = timed.iter().sum::<f64>() / runs as f64;
            let share = |work: u64, limit: f64| work as f64 / seconds / limit;
            shares.push(Limits { flops: share(case.flops, now.flops), bytes: share(case.bytes, now.bytes) });
            limits.push(now);
            times.push(seconds);
            Ok(start.elapsed().as_secs_f64())
        })?;
        Ok(Measurement {
            name: case.name.clone(),
            kernel: kernels.join(" + "),
            seconds: median(times),
            flops: case.flops,
            bytes: case.bytes,
            limits: Limits::median(&limits),
            shares: Limits::median(&shares),
        })
    }
}

/// So many rounds of multiply-adds, or a few more, in as few dispatches as can be.
fn multiply_adds(workgroups: u32, rounds: u32, results: Slice) -> Vec<Dispatch> {
    let count = rounds.div_ceil(limits::MOST_ROUNDS).max(1);
    let dispatch = limits::multiply_add(workgroups, rounds.div_ceil(count), [0.999, 0.1], results);
    vec![dispatch; count as usize]
}

impl Limits {
    /// The middle one of each.
    fn median(all: &[Self]) -> Self {
        let median_of = |limit: fn(&Self) -> f64| median(all.iter().map(limit).collect());
        Self { flops: median_of(|limits| limits.flops), bytes: median_of(|limits| limits.bytes) }
    }
}

/// Median seconds of a run of `case` by `clock`, with as much `effort`.
///
/// # Errors
/// What the device reports: no memory, a tensor over its limits.
pub fn seconds(gpu: &Gpu, case: &Case, clock: Clock, effort: Effort) -> Result<f64, GpuError> {
    let mut lab = Lab::new(gpu);
    let dispatches = case.on(&mut lab)?;
    let program = lab.program(dispatches)?;
    run_seconds(gpu, &program, clock)?;
    let mut times = Vec::new();
    effort.spend(|| {
        let seconds = run_seconds(gpu, &program, clock)?;
        times.push(seconds);
        Ok(seconds)
    })?;
    Ok(median(times))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gpu::TensorId;

    #[test]
    fn rounds_are_spread_over_dispatches_that_end() {
        let results = Slice { tensor: TensorId(0), offset: 0, bytes: limits::multiply_add_bytes(1) };
        let flops_of = |rounds| limits::multiply_add(1, rounds, [0.0; 2], results).flops;
        for (rounds, count) in [(1, 1), (limits::MOST_ROUNDS, 1), (limits::MOST_ROUNDS + 1, 2), (1_000_000, 31)] {
            let dispatches = multiply_adds(1, rounds, results);
            assert_eq!(dispatches.len(), count, "{rounds} rounds");
            assert!(dispatches.iter().all(|dispatch| dispatch.flops <= flops_of(limits::MOST_ROUNDS)));
            let done: u64 = dispatches.iter().map(|dispatch| dispatch.flops).sum();
            assert!((flops_of(rounds)..flops_of(rounds + 31)).contains(&done), "{rounds} rounds");
        }
    }
}
