//! `predsim train`: epochs of steps, an evaluation behind each, a run's folder with all that came of it.

use std::path::PathBuf;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use clap::Args;
use serde::Serialize;
use serde_json::json;

use crate::gpu::{Gpu, block_on};
use crate::run::TrainFlags;
use crate::run::engine::Capabilities;
use crate::train::{EpochReport, Position, Session};

use super::engine;
use super::error::CliError;
use super::memory::{self, MemoryCheck};
use super::output;
use super::progress::{EpochProgress, Voice, epoch_table};
use super::recipe::Recipe;
use super::run_folder::RunFolder;
use super::start::Start;
use super::tune;

/// Flags of `predsim train`.
#[derive(Debug, Args)]
pub struct TrainArgs {
    /// A recipe's name (see `predsim recipes`) or its TOML file; flags given besides go over it
    #[arg(long, value_name = "NAME|FILE")]
    pub recipe: Option<String>,
    /// Go on with a run: its folder, or a checkpoint
    #[arg(long, value_name = "PATH", conflicts_with_all = ["recipe", "overwrite"])]
    pub resume: Option<PathBuf>,
    /// The run's folder [default: runs/<recipe> or runs/<dataset>-<model>-<loss>, numbered]
    #[arg(long, visible_alias = "save-dir", value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Replace the run that the folder holds
    #[arg(long)]
    pub overwrite: bool,
    /// Check the settings, print all of them and stop
    #[arg(long)]
    pub dry_run: bool,
    /// Print one JSON object a line instead of text
    #[arg(long)]
    pub json: bool,
    /// At the end, compare the memory that was planned with what wgpu and the system say is taken
    #[arg(long)]
    pub check_memory: bool,
    /// Do not print the table of the blocks' statistics behind every epoch
    #[arg(long)]
    pub no_print_stats: bool,
    /// The settings themselves.
    #[command(flatten)]
    pub flags: TrainFlags,
}

/// A line of `metrics.jsonl`.
#[derive(Debug, Serialize)]
struct MetricsRow<'a> {
    #[serde(flatten)]
    report: &'a EpochReport,
    seconds: f64,
    samples_per_second: f64,
    /// Share of the time in which the GPU was at work; of training only, and where the adapter takes timestamps.
    #[serde(skip_serializing_if = "Option::is_none")]
    gpu_busy: Option<f64>,
}

/// Set by Ctrl-C; looked at between two steps.
static STOP: AtomicBool = AtomicBool::new(false);

/// Runs the command.
///
/// # Errors
/// See [`CliError`].
pub fn run(args: &TrainArgs) -> Result<(), CliError> {
    let start = Start::new(args)?;
    let model = crate::nn::Model::build(start.settings.model.clone())?;
    if args.dry_run {
        let config = Recipe { train: start.settings.flags(), ..Recipe::default() };
        let text = toml::to_string(&config).map_err(|error| CliError::Failed(error.to_string()))?;
        return output::line(text.trim_end());
    }
    let epochs = start.settings.total_epochs(&model);
    if start.position().epoch > epochs {
        return Err(start.complete());
    }
    let data = engine::load_data(&start.settings)?;
    start.same_order(&data)?;
    let gpu = engine::open_gpu(&start.settings.adapter)?;
    // Before anything is said of a run that cannot be.
    Capabilities::of(&gpu, start.settings.train.precision)?;
    let vacant = start.vacant(args.overwrite)?;
    let voice = if args.json { Voice::Json } else { Voice::Text { blocks: !args.no_print_stats } };
    greet(voice, &start, &gpu, &model)?;

    let plans = Session::plans(&data, start.settings.train.batch_size);
    let tuned = tune::choose(&gpu, &start.settings)?;
    tuned.announce(voice)?;
    let trainer = engine::trainer(&gpu, &tuned.capabilities, &start.settings, &plans, start.checkpoint.as_ref())?;
    memory::announce(voice, &trainer, &start.settings)?;
    // Nothing that was there before is touched until all that can be refused is.
    let folder = start.settle(vacant, &gpu)?;
    watch_for_ctrl_c();
    output::outlive_readers();
    let check = args.check_memory.then(|| MemoryCheck::new(&trainer));
    let session = Session::new(trainer, &data, start.position());
    Run { start, gpu, folder, voice, session, epochs, best: None, check }.go()
}

fn greet(voice: Voice, start: &Start, gpu: &Gpu, model: &crate::nn::Model) -> Result<(), CliError> {
    let (settings, out) = (&start.settings, &start.out);
    if voice == Voice::Json {
        return output::json(&json!({
            "event": "start", "out": out.display().to_string(), "adapter": gpu.info.name, "settings": settings.flags(),
            "parameters": model.trained_parameters(), "parameters_trunk": model.trunk_parameters(),
        }));
    }
    output::line(&format!(
        "{} on {}, {}: {} hidden {} and an output layer, {} parameters and {} in local heads",
        settings.model.model,
        settings.spec.name,
        settings.loss(),
        model.blocks.len(),
        if model.blocks.len() == 1 { "block" } else { "blocks" },
        indicatif::HumanCount(model.trunk_parameters()),
        indicatif::HumanCount(model.trained_parameters() - model.trunk_parameters()),
    ))?;
    output::adapter(gpu)?;
    output::line(&format!("folder: {}", out.display()))
}

fn watch_for_ctrl_c() {
    // A handler that is there already belongs to an embedding program, which then knows what Ctrl-C means.
    let _ = ctrlc::set_handler(|| {
        if STOP.swap(true, Ordering::Relaxed) {
            std::process::exit(1);
        }
        output::complain("\nstopping after this step; press Ctrl-C again to stop at once, without saving");
    });
}

/// A run under way.
struct Run<'d> {
    start: Start,
    gpu: Rc<Gpu>,
    folder: RunFolder,
    voice: Voice,
    session: Session<'d>,
    /// Of the whole run.
    epochs: usize,
    best: Option<f64>,
    check: Option<MemoryCheck>,
}

impl Run<'_> {
    fn go(mut self) -> Result<(), CliError> {
        self.best = self.start.checkpoint.as_ref().and_then(|(_, checkpoint)| checkpoint.state.best_error_percent);
        let began = Instant::now();
        let epochs = self.epochs;
        let mut last = None;
        while self.session.position().epoch <= epochs {
            match self.epoch(epochs)? {
                Some(error) => last = Some(error),
                None => return self.stop(),
            }
        }
        if let Some(check) = &self.check {
            check.print(self.voice)?;
        }
        self.farewell(last, began.elapsed().as_secs_f64())
    }

    /// One epoch and its evaluation; the test error, or `None` if it was stopped.
    fn epoch(&mut self, epochs: usize) -> Result<Option<f64>, CliError> {
        let Position { epoch, step } = self.session.position();
        let mut progress = EpochProgress::new(self.voice, epoch, epochs, step, self.session.steps_per_epoch());
        let gpu = self.gpu.clone();
        loop {
            if STOP.load(Ordering::Relaxed) {
                progress.finish();
                return Ok(None);
            }
            let Some(samples) = block_on(&gpu, self.session.step())? else { break };
            progress.step(samples, self.session.running_loss(), self.session.step_seconds())?;
        }
        let train = block_on(&gpu, self.session.close_epoch())?;
        let (seconds, rate, busy) = (progress.seconds(), progress.samples_per_second(), progress.gpu_busy());
        progress.finish();
        let test_start = Instant::now();
        let test = block_on(&gpu, self.session.test(epoch))?;
        let test_seconds = test_start.elapsed().as_secs_f64();
        let rows = [
            MetricsRow { report: &train, seconds, samples_per_second: rate, gpu_busy: busy },
            MetricsRow {
                report: &test,
                seconds: test_seconds,
                samples_per_second: test.samples as f64 / test_seconds,
                gpu_busy: None,
            },
        ];
        rows.iter().try_for_each(|row| self.folder.append_metrics(row))?;
        let best = self.best.is_none_or(|best| test.error_percent < best);
        if best {
            self.best = Some(test.error_percent);
        }
        self.save(best)?;
        if let Some(check) = &mut self.check {
            check.look(&self.session.trainer);
        }
        rows.iter().try_for_each(|row| self.tell(row))?;
        epoch_table(self.voice, epochs, &train, &test, rate, busy)?;
        Ok(Some(test.error_percent))
    }

    fn tell(&self, row: &MetricsRow<'_>) -> Result<(), CliError> {
        if self.voice != Voice::Json {
            return Ok(());
        }
        let mut object = serde_json::to_value(row).map_err(|error| CliError::Failed(error.to_string()))?;
        object["event"] = "epoch".into();
        output::json(&object)
    }

    fn save(&mut self, best: bool) -> Result<(), CliError> {
        let Self { gpu, session, start, best: least, .. } = self;
        self.folder.write_checkpoint(best, |path| {
            crate::run::engine::write_checkpoint(path, gpu, session, &start.settings, *least)
        })
    }

    /// Ctrl-C: saves what there is, if it is sound, and says how to go on.
    fn stop(mut self) -> Result<(), CliError> {
        let gpu = self.gpu.clone();
        block_on(&gpu, self.session.check())?;
        self.save(false)?;
        let Position { epoch, step } = self.session.position();
        let folder = output::typed(self.folder.path());
        let command = format!("predsim train --resume {folder}");
        if self.voice == Voice::Json {
            return output::json(&json!({
                "event": "stopped", "epoch": epoch, "step": step, "resume": command,
            }));
        }
        output::line(&format!(
            "stopped in epoch {epoch} after {step} of its {} steps",
            self.session.steps_per_epoch()
        ))?;
        output::line(&format!("go on with: {command}"))
    }

    fn farewell(&self, last: Option<f64>, seconds: f64) -> Result<(), CliError> {
        let (error, paper) = (last.unwrap_or(f64::NAN), self.start.paper_error_percent);
        let folder = self.folder.path().display();
        if self.voice == Voice::Json {
            return output::json(&json!({
                "event": "done", "error_percent": last, "best_error_percent": self.best, "paper_error_percent": paper,
                "seconds": seconds, "out": folder.to_string(),
            }));
        }
        let best = self.best.map(|best| format!(", best {best:.2} %")).unwrap_or_default();
        let paper = paper.map(|paper| format!(" (the paper's: {paper} %)")).unwrap_or_default();
        output::line(&format!("test error {error:.2} %{paper}{best}, after {seconds:.0} s"))?;
        let typed = output::typed(self.folder.path());
        output::line(&format!("the run is in {folder}; ask it with: predsim predict {typed} PICTURE..."))
    }
}
