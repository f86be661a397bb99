//! `predsim plan`: what a training step will do and keep, without doing it; the same for backpropagation beside it.

use clap::Args;
use serde_json::json;

use crate::gpu::Wanted;
use crate::kernels::gemm::Tuning;
use crate::run::TrainFlags;
use crate::run::memory::Planned;

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
    /// The settings themselves; `--adapter none` plans for WebGPU's default limits without a device.
    #[command(flatten)]
    pub flags: TrainFlags,
}

/// Runs the command.
///
/// # Errors
/// See [`CliError`].
pub fn run(args: &PlanArgs) -> Result<(), CliError> {
    let (_, settings) = Recipe::with_flags(args.recipe.as_deref(), &args.flags)?;
    let tuning = match &settings.adapter {
        Wanted::Name(name) if name == "none" => Tuning::portable(),
        wanted => Tuning::for_gpu(&*engine::open_gpu(wanted)?),
    };
    let local = Planned::new(&settings, tuning, false)?;
    let backprop = Planned::new(&settings, tuning, true)?;
    let asked = if settings.model.backprop { &backprop } else { &local };
    if args.json {
        return output::json(&json!({
            "activation_bytes_local": local.report.activation_bytes,
            "activation_bytes_backprop": backprop.report.activation_bytes,
            "activation_ratio": ratio(&local, &backprop),
            "mode": if settings.model.backprop { "backprop" } else { "local" },
            "batch_size": settings.train.batch_size,
            "plan": asked.report,
        }));
    }
    print_stages(asked)?;
    if args.tensors {
        print_tensors(asked)?;
    }
    print_sums(asked)?;
    output::line(&format!(
        "activations: local {}, backprop {}: {:.2} of it",
        output::bytes(local.report.activation_bytes),
        output::bytes(backprop.report.activation_bytes),
        ratio(&local, &backprop)
    ))
}

fn ratio(local: &Planned, backprop: &Planned) -> f64 {
    local.report.activation_bytes as f64 / backprop.report.activation_bytes as f64
}

fn print_stages(planned: &Planned) -> Result<(), CliError> {
    let mut rows = vec![["block", "dispatches", "live", "GFLOP"].map(str::to_owned).to_vec()];
    rows.extend(planned.report.stages.iter().map(|stage| {
        vec![
            stage.name.clone(),
            stage.dispatches.to_string(),
            output::bytes(stage.live_bytes),
            format!("{:.3}", stage.flops as f64 / 1e9),
        ]
    }));
    output::columns(&rows).iter().try_for_each(|row| output::line(row))
}

fn print_tensors(planned: &Planned) -> Result<(), CliError> {
    output::line("")?;
    let mut rows = vec![["tensor", "bytes", "buffer", "from", "to"].map(str::to_owned).to_vec()];
    rows.extend(planned.report.tensors.iter().map(|tensor| {
        vec![
            tensor.name.clone(),
            output::bytes(tensor.bytes),
            format!("#{}", tensor.buffer),
            tensor.first.clone(),
            tensor.last.clone(),
        ]
    }));
    output::columns(&rows).iter().try_for_each(|row| output::line(row))
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
        "besides: weights {}, gradients {}, optimizer {}, statistics {}, transfers {}",
        output::bytes(report.weight_bytes),
        output::bytes(report.gradient_bytes),
        output::bytes(report.optimizer_bytes),
        output::bytes(report.statistics_bytes),
        output::bytes(report.transfer_bytes),
    ))
}
