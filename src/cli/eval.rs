//! `predsim eval`: the error of a checkpoint on its test set, and that of each block's own classifier.

use std::path::PathBuf;

use clap::Args;

use crate::gpu::block_on;
use crate::kernels::precision::Precision;
use crate::run::engine::Capabilities;
use crate::run::{Settings, TrainFlags};
use crate::train::{EpochReport, Mode, Session};

use super::engine;
use super::error::CliError;
use super::output;
use super::run_folder::RunFolder;

/// Flags of `predsim eval`.
#[derive(Debug, Args)]
pub struct EvalArgs {
    /// A run's folder (its last checkpoint is taken) or a checkpoint
    pub path: PathBuf,
    /// Folder of the data set's files [default: the one that the run was trained from]
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Another data set of the same shape of pictures and number of classes [default: the run's]
    #[arg(long, value_name = "NAME")]
    pub dataset: Option<String>,
    /// Use only the first N test samples
    #[arg(long, value_name = "N")]
    pub limit_test: Option<u32>,
    /// Samples in a step
    #[arg(long, value_name = "N")]
    pub batch_size: Option<usize>,
    /// Adapter to run on: a part of its name or its number in `predsim devices`
    #[arg(long, value_name = "NAME|INDEX")]
    pub adapter: Option<String>,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

/// Runs the command.
///
/// # Errors
/// See [`CliError`].
pub fn run(args: &EvalArgs) -> Result<(), CliError> {
    let checkpoint = engine::read_checkpoint(&args.path)?;
    let settings = settings(args, &checkpoint)?;
    let data = engine::load_data(&settings)?;
    let gpu = engine::open_gpu(&settings.adapter)?;
    let plans: Vec<_> =
        Session::plans(&data, settings.train.batch_size).into_iter().filter(|plan| plan.0 == Mode::Evaluate).collect();
    let trainer =
        engine::trainer(&gpu, &Capabilities::of(&gpu, Precision::F32)?, &settings, &plans, Some(&checkpoint))?;
    let position = checkpoint.1.state.position;
    let mut session = Session::new(trainer, &data, position);
    // The totals of an unfinished epoch are in the checkpoint, but not part of this answer.
    block_on(&gpu, session.trainer.take_totals())?;
    let report = block_on(&gpu, session.test(position.latest_epoch()))?;
    if args.json { output::json(&report) } else { table(&report) }
}

fn settings(
    args: &EvalArgs,
    (path, checkpoint): &(PathBuf, crate::checkpoint::Checkpoint),
) -> Result<Settings, CliError> {
    let (_, config) = RunFolder::of_checkpoint(path)?;
    let stored = Settings::of_state(&checkpoint.state)?;
    let flags = TrainFlags {
        data: args.data.clone().or(config.train.data),
        dataset: args.dataset.clone(),
        limit_test: args.limit_test,
        batch_size: args.batch_size,
        adapter: args.adapter.clone().or(config.train.adapter),
        limit_train: Some(1),
        classes_per_batch: Some(0),
        ..TrainFlags::default()
    };
    let settings = Settings::resolve(&flags.over(&stored.flags()))?;
    if settings.model != stored.model {
        let shape = |s: &Settings| {
            let input = s.model.input;
            format!("{}x{}x{} in {} classes", input.height, input.width, input.channels, s.model.num_classes)
        };
        return Err(CliError::usage(format!(
            "--dataset {} has pictures of {}, but the checkpoint's network takes {}",
            settings.spec.name,
            shape(&settings),
            shape(&stored)
        )));
    }
    settings.same_classes(&stored)?;
    Ok(settings)
}

fn table(report: &EpochReport) -> Result<(), CliError> {
    output::line(&format!(
        "test error {:.2} % of {} samples, cross-entropy {:.4}",
        report.error_percent, report.samples, report.loss_global
    ))?;
    let mut rows = Vec::new();
    for block in &report.blocks {
        let (Some(error), Some(loss)) = (block.error_percent, block.loss_pred) else { continue };
        rows.push(vec![block.name.clone(), format!("{error:.2} %"), format!("{loss:.4}")]);
    }
    if rows.is_empty() {
        return Ok(());
    }
    output::table("    ", ["block", "error of its own classifier", "cross-entropy"], rows)
}
