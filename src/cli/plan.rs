//! `predsim plan`: what a training step will do and keep, without doing it; the same for backpropagation beside it.

use std::path::{Path, PathBuf};

use clap::Args;
use image::ImageFormat;
use serde_json::json;

use crate::gpu::Wanted;
use crate::run::TrainFlags;
use crate::run::engine::Capabilities;
use crate::run::memory::{FRUGAL, Planned};
use crate::train::Limit;

use super::chart::{self, Line, Panel, Scale};
use super::engine;
use super::error::CliError;
use super::output;
use super::recipe::Recipe;

/// Flags of `predsim plan`.
#[derive(Debug, Args)]
pub struct PlanArgs {
    /// A recipe's name or its TOML file; flags given besides go over it
    #[arg(long, value_name = "NAME|FILE")]
    pub recipe: Option<String>,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
    /// Also list every tensor of the step with its buffer and the stages it lives in
    #[arg(long)]
    pub tensors: bool,
    /// Draw what is live over the step, locally and by backpropagation, as a PNG picture
    #[arg(long, value_name = "FILE")]
    pub plot: Option<PathBuf>,
    /// The settings themselves; `--adapter none` plans for WebGPU's default limits without a device.
    #[command(flatten)]
    pub flags: TrainFlags,
}

/// The same step, locally and by backpropagation.
struct Pair {
    local: Planned,
    backprop: Planned,
}

impl Pair {
    fn new(mut plan: impl FnMut(bool) -> Result<Planned, CliError>) -> Result<Self, CliError> {
        Ok(Self { local: plan(false)?, backprop: plan(true)? })
    }

    fn ratio(&self) -> f64 {
        self.local.report.activation_bytes as f64 / self.backprop.report.activation_bytes as f64
    }

    fn json(&self) -> serde_json::Value {
        json!({
            "activation_bytes_local": self.local.report.activation_bytes,
            "activation_bytes_backprop": self.backprop.report.activation_bytes,
            "activation_ratio": self.ratio(),
            "arithmetic_local": self.local.plan.summary().arithmetic,
            "arithmetic_backprop": self.backprop.plan.summary().arithmetic,
        })
    }
}

/// Runs the command.
///
/// # Errors
/// See [`CliError`].
pub fn run(args: &PlanArgs) -> Result<(), CliError> {
    let (_, settings) = Recipe::with_flags(args.recipe.as_deref(), &args.flags)?;
    let capabilities = match &settings.adapter {
        Wanted::Name(name) if name == "none" => Capabilities::webgpu(settings.train.precision),
        wanted => Capabilities::of(&*engine::open_gpu(wanted)?, settings.train.precision)?,
    };
    let asked = Planned::new(&settings, &capabilities)?;
    let pair = |limit| Pair::new(|backprop| Planned::within(&settings, &capabilities, backprop, limit));
    let (frugal, fastest) = (pair(Limit::Arithmetic(FRUGAL))?, pair(Limit::Fastest)?);
    if let Some(path) = &args.plot {
        plot(path, &frugal, &fastest)?;
    }
    if args.json {
        let mut object = frugal.json();
        object["fastest"] = fastest.json();
        object["mode"] = if settings.model.backprop { "backprop" } else { "local" }.into();
        object["batch_size"] = settings.train.batch_size.into();
        object["footprint"] = json!(asked.footprint);
        object["plan"] = json!(asked.report);
        object["phase"] = json!(asked.phase.map(|phase| phase + 1));
        return output::json(&object);
    }
    if let Some(phase) = asked.phase {
        let module = phase + 1;
        output::line(&format!("greedy schedule: its phase {module}, which trains module {module}, takes the most"))?;
    }
    print_stages(&asked)?;
    if args.tensors {
        print_tensors(&asked)?;
    }
    print_sums(&asked)?;
    print_pairs(&fastest, &frugal)?;
    args.plot.iter().try_for_each(|path| output::line(&format!("drawn: {}", path.display())))
}

fn print_stages(planned: &Planned) -> Result<(), CliError> {
    let batch = planned.plan.batch;
    let rows = planned.report.stages.iter().map(|stage| {
        vec![
            stage.name.clone(),
            batch.div_ceil(stage.chunk.max(1)).to_string(),
            stage.dispatches.to_string(),
            output::bytes(stage.live_bytes),
            format!("{:.3}", stage.flops as f64 / 1e9),
        ]
    });
    output::table("", ["block", "parts", "dispatches", "live", "GFLOP"], rows)
}

fn print_tensors(planned: &Planned) -> Result<(), CliError> {
    output::line("")?;
    let rows = planned.report.tensors.iter().map(|tensor| {
        vec![
            tensor.name.clone(),
            output::bytes(tensor.bytes),
            format!("#{}", tensor.buffer),
            tensor.first.clone(),
            tensor.last.clone(),
        ]
    });
    output::table("", ["tensor", "bytes", "buffer", "from", "to"], rows)
}

fn print_sums(planned: &Planned) -> Result<(), CliError> {
    let report = &planned.report;
    output::line("")?;
    output::line(&format!(
        "{} in {} buffers hold the activations of a step of {} samples; at the peak, in {}, {} of them are live",
        output::bytes(report.activation_bytes),
        report.buffers.len(),
        planned.plan.batch,
        report.peak_stage,
        output::bytes(report.peak_live_bytes),
    ))?;
    output::line(&format!(
        "besides: weights {}, gradients {}, optimizer {}, statistics {}, transfers {}, staging {}",
        output::bytes(report.weight_bytes),
        output::bytes(report.gradient_bytes),
        output::bytes(report.optimizer_bytes),
        output::bytes(report.statistics_bytes),
        output::bytes(report.transfer_bytes),
        output::bytes(report.staging_bytes),
    ))?;
    output::line(&format!(
        "a run with evaluations takes {} in all, and {:.2} times the least arithmetic",
        output::bytes(planned.footprint.total()),
        planned.plan.summary().arithmetic,
    ))
}

fn print_pairs(fastest: &Pair, frugal: &Pair) -> Result<(), CliError> {
    output::line("")?;
    let head = ["activations", "local", "arithmetic", "backprop", "arithmetic", "local/backprop"];
    let mut rows = Vec::new();
    for (name, pair) in [("fastest", fastest), ("frugal", frugal)] {
        let mut row = vec![name.to_owned()];
        for planned in [&pair.local, &pair.backprop] {
            row.extend([
                output::bytes(planned.report.activation_bytes),
                format!("x {:.2}", planned.plan.summary().arithmetic),
            ]);
        }
        row.push(format!("{:.3}", pair.ratio()));
        rows.push(row);
    }
    output::table("", head, rows)
}

/// Draws what is live over a step, frugal and fastest.
fn plot(path: &Path, frugal: &Pair, fastest: &Pair) -> Result<(), CliError> {
    let line = |label: &str, planned: &Planned| {
        let report = &planned.report;
        let mut points = Vec::with_capacity(2 * report.timeline.len());
        let mut begin = 0.0;
        for &(flops, bytes) in &report.timeline {
            let (end, mebibytes) = (100.0 * flops as f64 / report.flops.max(1) as f64, bytes as f64 / (1 << 20) as f64);
            points.extend([(begin, mebibytes), (end, mebibytes)]);
            begin = end;
        }
        Line { label: label.to_owned(), points }
    };
    let panel = |title: &str, pair: &Pair| Panel {
        title: format!("{title}, local x {:.2}", pair.local.plan.summary().arithmetic),
        lines: vec![line("local", &pair.local), line("backprop", &pair.backprop)],
    };
    let panels = [panel("fastest", fastest), panel("frugal", frugal)];
    chart::draw(&panels, "percent of the step's arithmetic", "live MiB", Scale::Linear)
        .save_with_format(path, ImageFormat::Png)
        .map_err(|error| {
            CliError::usage(format!("{}: cannot be written ({error}); name another file with --plot", path.display()))
        })
}
