//! `predsim bench`: kernels against the adapter's limits and against an earlier run; `predsim bench step`: where the
//! time of a training step goes.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::{Args, Subcommand};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::bench::{self, Case, Clock, Measurement, Yardstick, cases};
use crate::gpu::{Gpu, MIRROR, StageTime, Wanted, block_on};
use crate::kernels::precision::Precision;
use crate::kernels::tuning::Tuning;
use crate::nn::{Architecture, InputShape, Model, ModelConfig};
use crate::run::TrainFlags;
use crate::run::settings::MAX_BATCH;
use crate::train::{Mode, Network, Position, Session, Source, TrainConfig};

use super::engine;
use super::error::CliError;
use super::output;
use super::recipe::Recipe;
use super::tune;

/// Flags of `predsim bench`.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct BenchArgs {
    #[command(subcommand)]
    what: Option<What>,
    /// Only the cases whose names contain this text
    #[arg(long, value_name = "TEXT")]
    filter: Option<String>,
    /// Also every different kernel call of a training step of these networks on 32x32 colour pictures
    #[arg(long, value_name = "MODEL", num_args = 1..)]
    models: Vec<Architecture>,
    /// Samples in a step of those networks
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..=MAX_BATCH as i64))]
    batch_size: u32,
    /// Adapter to run on: a part of its name or its number in `predsim devices`
    #[arg(long, value_name = "NAME|INDEX")]
    adapter: Option<String>,
    /// What products multiply: f32, or operands rounded to f16
    #[arg(long, value_name = "f32|f16", default_value_t)]
    precision: Precision,
    /// Time from a run's submission to its end by the host's clock, as other engines are timed, not by the adapter's
    /// timestamps
    #[arg(long)]
    wall: bool,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    /// Also print how much faster each case is than in this file of an earlier `--json`
    #[arg(long, value_name = "FILE")]
    compare: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Time whole training steps and list the kernels' shares
    Step(Box<StepArgs>),
}

/// Flags of `predsim bench step`.
#[derive(Debug, Args)]
pub struct StepArgs {
    /// A recipe's name or its TOML file; flags given besides go over it
    #[arg(long, value_name = "NAME|FILE")]
    recipe: Option<String>,
    /// Steps to time, of which the median is taken
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    steps: u32,
    /// Time whole steps by the host's clock, batches and submission with them, as other engines are timed; lists no kernels
    #[arg(long)]
    wall: bool,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    flags: TrainFlags,
}

/// What `--json` prints and `--compare` reads.
#[derive(Debug, Serialize, Deserialize)]
struct Results {
    adapter: String,
    driver: String,
    cases: Vec<Measurement>,
}

/// Runs the command.
///
/// # Errors
/// See [`CliError`].
pub fn run(args: &BenchArgs) -> Result<(), CliError> {
    if let Some(What::Step(args)) = &args.what {
        return step(args);
    }
    let before = args.compare.as_deref().map(read).transpose()?;
    let wanted = args.adapter.as_deref().map_or(Wanted::Best, crate::run::settings::wanted);
    let gpu = engine::open_gpu(&wanted)?;
    let cases = select(args, &gpu)?;
    if !args.json {
        output::adapter(&gpu)?;
        output::line(
            "each timed in turn with the adapter's limit, multiply-adds on registers or a plain copy; medians\n",
        )?;
    }
    let yardstick = Yardstick::new(&gpu)?;
    let clock = if args.wall { Clock::Host } else { Clock::of(&gpu) };
    let mut measured = Vec::with_capacity(cases.len());
    for case in &cases {
        let measurement = yardstick.measure(case, clock)?;
        if !args.json {
            print(&measurement, before.as_ref())?;
        }
        measured.push(measurement);
    }
    if !args.json {
        return Ok(());
    }
    output::json(&Results { adapter: gpu.info.name.clone(), driver: gpu.info.driver_info.clone(), cases: measured })
}

fn select(args: &BenchArgs, gpu: &Gpu) -> Result<Vec<Case>, CliError> {
    let tuning = Tuning::chosen(gpu, args.precision)?;
    let mut all = cases::headline(tuning);
    for &model in &args.models {
        let config = ModelConfig::new(model, InputShape { height: 32, width: 32, channels: 3 }, 10);
        let train = TrainConfig { batch_size: args.batch_size as usize, ..TrainConfig::default() };
        let source = Source::Pixels { mean: [0.5; 3], std: [0.25; 3] };
        let network = Network::new(Model::build(config)?, train, source, tuning);
        let cases = cases::of_network(&model.to_string(), &network, args.batch_size);
        all.extend(cases.map_err(|unfit| CliError::usage(format!("--models {model}: {unfit}")))?);
    }
    let Some(filter) = &args.filter else { return Ok(all) };
    let names: Vec<String> = all.iter().map(|case| case.name.clone()).collect();
    all.retain(|case| case.name.contains(filter.as_str()));
    if all.is_empty() {
        return Err(CliError::usage(format!(
            "--filter {filter}: no case has it in its name; there are {}",
            names.join(", ")
        )));
    }
    Ok(all)
}

fn read(path: &Path) -> Result<Results, CliError> {
    let wrong = |reason: String| {
        CliError::usage(format!("{}: {reason}; --compare takes what `predsim bench --json` printed", path.display()))
    };
    let text = std::fs::read_to_string(path).map_err(|error| wrong(format!("cannot be read ({error})")))?;
    serde_json::from_str(&text).map_err(|error| wrong(error.to_string()))
}

fn print(measured: &Measurement, before: Option<&Results>) -> Result<(), CliError> {
    let Measurement { name, kernel, seconds, flops, bytes, limits, shares } = measured;
    // What the kernel is bound by.
    let limit = if shares.flops > shares.bytes {
        format!("{:>4.0} % of the limit, {:.1} GFLOP/s", 100.0 * shares.flops, limits.flops / 1e9)
    } else {
        format!("{:>4.0} % of the limit, {:.1} GB/s", 100.0 * shares.bytes, limits.bytes / 1e9)
    };
    let ratio = before.map(|before| match before.cases.iter().find(|case| case.name == *name) {
        Some(case) => format!("  {:.2} x as fast", case.seconds / seconds),
        None => "  new".to_owned(),
    });
    let way = if kernel.contains("winograd") { ", filtered" } else { "" };
    output::line(&format!(
        "{name:<52} {:>10.3} ms  {:>8.1} GFLOP/s  {:>7.1} GB/s  {limit}{way}{}",
        seconds * 1e3,
        *flops as f64 / seconds / 1e9,
        *bytes as f64 / seconds / 1e9,
        ratio.unwrap_or_default()
    ))
}

/// Time of a kernel in a step.
#[derive(Debug, Clone, Default, Serialize)]
struct Share {
    label: &'static str,
    kernel: String,
    calls: usize,
    seconds: f64,
    flops: u64,
}

fn step(args: &StepArgs) -> Result<(), CliError> {
    let (_, settings) = Recipe::with_flags(args.recipe.as_deref(), &args.flags)?;
    let data = engine::load_data(&settings)?;
    let gpu = engine::open_gpu(&settings.adapter)?;
    if !args.wall && Clock::of(&gpu) == Clock::Host {
        return Err(CliError::Failed(format!(
            "{} has no timestamps to time kernels with; --wall times whole steps",
            gpu.info.name
        )));
    }
    let batch = settings.train.batch_size.min(data.train.n() as usize) as u32;
    let capabilities = tune::choose(&gpu, &settings)?.capabilities;
    let trainer = engine::trainer(&gpu, &capabilities, &settings, &[(Mode::Train, batch)], None)?;
    let mut session = Session::new(trainer, &data, Position { epoch: 1, step: 0 });
    if args.wall {
        let times = timed_steps(args.steps, &gpu, &mut session, |session| wall_time(&gpu, session))?;
        return report_wall(args, &gpu, bench::median_by(times, |time| time.whole), batch);
    }
    let steps = timed_steps(args.steps, &gpu, &mut session, |session| Ok(block_on(&gpu, session.profile())?))?;
    let total = |step: &Vec<StageTime>| step.iter().map(|time| time.nanoseconds).sum::<f64>() * 1e-9;
    let median = bench::median_by(steps, total);
    report(args, &gpu, total(&median), batch, shares(&median))
}

/// What `time` says of each of `count` steps, behind one that warms caches and is not counted.
fn timed_steps<'d, T>(
    count: u32,
    gpu: &Gpu,
    session: &mut Session<'d>,
    mut time: impl FnMut(&mut Session<'d>) -> Result<T, CliError>,
) -> Result<Vec<T>, CliError> {
    // The last step of an epoch may have fewer samples than the others.
    let (batch, samples) = (session.trainer.network().train.batch_size, session.training_samples() as usize);
    let alike = (samples / batch).max(1);
    let mut times = Vec::new();
    for number in 0..=count {
        while session.position().step >= alike {
            if block_on(gpu, session.step())?.is_none() {
                block_on(gpu, session.close_epoch())?;
            }
        }
        let step = time(session)?;
        if number > 0 {
            times.push(step);
        }
    }
    Ok(times)
}

/// Seconds of a step.
#[derive(Debug, Clone, Copy)]
struct WallTime {
    whole: f64,
    /// In which the GPU was at work; where the adapter takes timestamps.
    gpu: Option<f64>,
}

fn wall_time(gpu: &Gpu, session: &mut Session<'_>) -> Result<WallTime, CliError> {
    let start = Instant::now();
    block_on(gpu, session.step())?;
    bench::wait(gpu)?;
    let whole = start.elapsed().as_secs_f64();
    // The first look asks, the second sees.
    session.trainer.glance()?;
    bench::wait(gpu)?;
    let seen = session.trainer.glance()?;
    Ok(WallTime { whole, gpu: seen.and_then(|glance| glance.step_seconds) })
}

fn report_wall(args: &StepArgs, gpu: &Gpu, time: WallTime, batch: u32) -> Result<(), CliError> {
    let WallTime { whole, gpu: busy } = time;
    if args.json {
        return output::json(&json!({
            "adapter": gpu.info.name, "seconds": whole, "gpu_seconds": busy, "samples": batch,
        }));
    }
    output::adapter(gpu)?;
    let rate = f64::from(batch) / whole;
    output::line(&format!(
        "a step of {batch} samples: {:.2} ms from its beginning to its end, {rate:.0} samples/s",
        whole * 1e3
    ))?;
    let Some(busy) = busy else { return Ok(()) };
    let host = whole - busy;
    output::line(&format!(
        "of it {:.2} ms on the GPU and {:.2} ms ({:.1} %) on the host alone",
        busy * 1e3,
        host * 1e3,
        100.0 * host / whole
    ))
}

fn shares(step: &[StageTime]) -> Vec<Share> {
    let mut by_kernel: BTreeMap<(&'static str, &str), Share> = BTreeMap::new();
    for time in step {
        let share = by_kernel.entry((time.label, &time.kernel)).or_insert_with(|| Share {
            label: time.label,
            kernel: time.kernel.clone(),
            ..Share::default()
        });
        share.calls += 1;
        share.seconds += time.nanoseconds * 1e-9;
        share.flops += time.flops;
    }
    let mut shares: Vec<Share> = by_kernel.into_values().collect();
    shares.sort_by(|a, b| b.seconds.total_cmp(&a.seconds));
    shares
}

fn report(args: &StepArgs, gpu: &Gpu, seconds: f64, batch: u32, shares: Vec<Share>) -> Result<(), CliError> {
    let calls = |copies: bool| -> usize {
        shares.iter().filter(|share| (share.label == MIRROR) == copies).map(|share| share.calls).sum()
    };
    let (dispatches, copies) = (calls(false), calls(true));
    if args.json {
        return output::json(&json!({
            "adapter": gpu.info.name, "seconds": seconds, "samples": batch, "dispatches": dispatches, "copies": copies,
            "kernels": shares,
        }));
    }
    output::adapter(gpu)?;
    output::line(&format!(
        "a step of {batch} samples: {:.2} ms of GPU time in {dispatches} dispatches{}, {:.0} samples/s\n",
        seconds * 1e3,
        if copies > 0 { format!(" and {copies} copies") } else { String::new() },
        f64::from(batch) / seconds
    ))?;
    for share in shares {
        output::line(&format!(
            "{:>5.1} %  {:>9.3} ms  {:>7.1} GFLOP/s  {:>3} x  {:<26} {}",
            100.0 * share.seconds / seconds,
            share.seconds * 1e3,
            share.flops as f64 / share.seconds / 1e9,
            share.calls,
            share.label,
            share.kernel
        ))?;
    }
    Ok(())
}
