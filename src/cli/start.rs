//! What `predsim train` settles before the first step: the settings, what it goes on from, and the folder, which is touched
//! last.

use std::path::{Path, PathBuf};

use crate::checkpoint::Checkpoint;
use crate::data::Dataset;
use crate::gpu::Gpu;
use crate::run::{Settings, TrainFlags};
use crate::train::Position;

use super::engine;
use super::error::CliError;
use super::recipe::{MadeBy, Recipe};
use super::run_folder::{RunFolder, Vacant, folder_of, unused};
use super::train::TrainArgs;

/// Everything that is settled before the first step.
#[derive(Debug)]
pub struct Start {
    /// The settings.
    pub settings: Settings,
    /// What it goes on from, and from which file.
    pub checkpoint: Option<(PathBuf, Checkpoint)>,
    /// The run's folder.
    pub out: PathBuf,
    /// The error that the paper reports for it, in percent.
    pub paper_error_percent: Option<f64>,
    about: Option<String>,
}

impl Start {
    /// From the command line: a recipe, flags, or a checkpoint to go on from.
    ///
    /// # Errors
    /// A usage error for anything wrong with them.
    pub fn new(args: &TrainArgs) -> Result<Self, CliError> {
        if let Some(path) = &args.resume {
            return Self::resumed(args, path);
        }
        let (recipe, settings) = Recipe::with_flags(args.recipe.as_deref(), &args.flags)?;
        let out = args.out.clone().unwrap_or_else(|| default_folder(args, &settings));
        let Recipe { paper_error_percent, about, .. } = recipe;
        Ok(Self { settings, checkpoint: None, out, paper_error_percent, about })
    }

    fn resumed(args: &TrainArgs, path: &Path) -> Result<Self, CliError> {
        let (file, checkpoint) = engine::read_checkpoint(path)?;
        let (folder, config) = RunFolder::of_checkpoint(&file)?;
        // How far, from where and on what: the checkpoint does not say, the run's folder does.
        let kept = TrainFlags {
            epochs: config.train.epochs,
            data: config.train.data,
            adapter: config.train.adapter,
            memory_budget: config.train.memory_budget,
            tune: config.train.tune,
            max_binding: config.train.max_binding,
            ..TrainFlags::default()
        };
        let settings = Settings::resumed(&checkpoint.state, &args.flags.over(&kept), None)?;
        let out = args.out.clone().unwrap_or(folder);
        let (paper_error_percent, about) = (config.paper_error_percent, config.about);
        Ok(Self { settings, checkpoint: Some((file, checkpoint)), out, paper_error_percent, about })
    }

    /// Refuses other training samples than the checkpoint's in the middle of an epoch.
    ///
    /// # Errors
    /// A usage error that says how many there were and are.
    pub fn same_order(&self, data: &Dataset) -> Result<(), CliError> {
        let Some((file, Checkpoint { state, .. })) = &self.checkpoint else { return Ok(()) };
        let (now, then) = (data.train.n(), state.samples.unwrap_or(data.train.n()));
        let steps = (now as usize).div_ceil(self.settings.train.batch_size.max(1));
        let Position { epoch, step } = state.position;
        if step > 0 && (now != then || step > steps) {
            return Err(CliError::usage(format!(
                "{}: was written after {step} steps of epoch {epoch} over {then} training samples; the data set has {now} \
                 now, and cannot change in the middle of an epoch",
                file.display()
            )));
        }
        Ok(())
    }

    /// The folder that the checkpoint to go on from lies in.
    fn from(&self) -> Option<&Path> {
        self.checkpoint.as_ref().map(|(file, _)| folder_of(file))
    }

    /// The place of the run, where it does not go on in its folder.
    ///
    /// # Errors
    /// As [`RunFolder::vacant`].
    pub fn vacant(&self, overwrite: bool) -> Result<Option<Vacant>, CliError> {
        let canonical = |path: &Path| path.canonicalize().ok();
        let in_place = self.from().and_then(canonical).is_some_and(|from| Some(from) == canonical(&self.out));
        (!in_place).then(|| RunFolder::vacant(&self.out, overwrite)).transpose()
    }

    /// Makes the run's folder ready for its first step.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn settle(&self, vacant: Option<Vacant>, gpu: &Gpu) -> Result<RunFolder, CliError> {
        let folder = match vacant {
            None => RunFolder::open(&self.out)?,
            Some(vacant) => {
                let folder = vacant.create()?;
                // The lowest error that the checkpoint knows of may stay the lowest.
                if let Some(from) = self.from() {
                    folder.take_best_of(from)?;
                }
                folder
            }
        };
        folder.write_config(&config_of(self, gpu))?;
        folder.forget_metrics_from(self.position().epoch)?;
        Ok(folder)
    }

    /// The error of a run that has all of its epochs.
    pub fn complete(&self) -> CliError {
        let done = self.position().epoch - 1;
        CliError::usage(if self.settings.train.is_greedy() {
            format!(
                "the run has its {done} epochs already, as many as its greedy schedule gives its modules; start a new one"
            )
        } else {
            format!(
                "the run has its {done} epochs already; go on with a larger --epochs, such as --epochs {}",
                done + 1
            )
        })
    }

    /// Where it begins.
    pub fn position(&self) -> Position {
        self.checkpoint.as_ref().map_or(Position { epoch: 1, step: 0 }, |(_, checkpoint)| checkpoint.state.position)
    }
}

fn default_folder(args: &TrainArgs, settings: &Settings) -> PathBuf {
    let runs = PathBuf::from("runs");
    let stem = |recipe: &String| {
        let path = Path::new(recipe);
        path.file_stem().map(|stem| stem.to_string_lossy().into_owned())
    };
    let name = args
        .recipe
        .as_ref()
        .and_then(stem)
        .unwrap_or_else(|| format!("{}-{}-{}", settings.spec.name, settings.model.model, settings.loss()))
        // Some networks have a colon in their name, which not every system takes in a folder's.
        .replace(':', "-");
    if args.overwrite { runs.join(name) } else { unused(&runs, &name) }
}

fn config_of(start: &Start, gpu: &Gpu) -> Recipe {
    let made_by = MadeBy {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        adapter: gpu.info.name.clone(),
        driver: format!("{} {}", gpu.info.driver, gpu.info.driver_info).trim().to_owned(),
    };
    Recipe {
        about: start.about.clone(),
        paper_error_percent: start.paper_error_percent,
        paper_million_parameters: None,
        made_by: Some(made_by),
        train: start.settings.flags(),
    }
}
