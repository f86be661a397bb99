//! From settings to a trainer on a device, fresh or as a checkpoint left it.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use crate::checkpoint::Checkpoint;
use crate::data::{Dataset, DatasetSpec};
use crate::gpu::{Gpu, Wanted};
use crate::kernels::gemm::Tuning;
use crate::nn::init::initial_values;
use crate::nn::{Model, Role};
use crate::train::{Mode, Network, Source, TrainConfig, TrainError, Trainer};

use super::error::CliError;
use super::run_folder::CHECKPOINT;
use super::settings::Settings;

/// Opens the adapter that `wanted` names.
///
/// # Errors
/// Exit code 3: there is none, or it does not open.
pub fn open_gpu(wanted: &Wanted) -> Result<Rc<Gpu>, CliError> {
    Ok(Rc::new(pollster::block_on(Gpu::open(wanted))?))
}

/// Loads the settings' data set and keeps what they limit it to.
///
/// # Errors
/// A usage error for anything wrong with its files.
pub fn load_data(settings: &Settings) -> Result<Dataset, CliError> {
    let mut data = crate::data::open(&settings.spec, settings.data.as_deref())?;
    settings.limit_train.into_iter().for_each(|n| data.train.limit(n));
    settings.limit_test.into_iter().for_each(|n| data.test.limit(n));
    Ok(data)
}

/// A network for pictures of the data set `spec`, which reach the device as bytes.
pub fn network(model: Model, train: TrainConfig, spec: &DatasetSpec, tuning: Tuning) -> Network {
    let [mean, std] = spec.normalisation();
    Network::new(model, train, Source::Pixels { mean, std }, tuning)
}

/// A trainer with its plans made, and the parameters of `checkpoint` or the published initialisation in it.
///
/// # Errors
/// Exit code 3 for what the device reports, 2 for a checkpoint that does not fit the network.
pub fn trainer(
    gpu: &Rc<Gpu>,
    settings: &Settings,
    plans: &[(Mode, u32)],
    checkpoint: Option<&(PathBuf, Checkpoint)>,
) -> Result<Trainer, CliError> {
    let model = Model::build(settings.model.clone())?;
    let seed = settings.train.seed;
    let network = network(model, settings.train.clone(), &settings.spec, Tuning::for_gpu(gpu));
    let mut trainer = Trainer::new(gpu.clone(), network, plans)?;
    match checkpoint {
        Some((path, checkpoint)) => {
            load(&mut trainer, checkpoint).map_err(|error| match error {
                TrainError::Tensor { .. } => CliError::usage(format!("{}: {error}", path.display())),
                other => other.into(),
            })?;
        }
        None => {
            let params = &trainer.network().model.params;
            let values: HashMap<String, Vec<f32>> =
                params.iter().map(|param| (param.name.clone(), initial_values(param, seed))).collect();
            trainer.load(|name| values.get(name).cloned())?;
        }
    }
    Ok(trainer)
}

fn load(trainer: &mut Trainer, checkpoint: &Checkpoint) -> Result<(), TrainError> {
    for param in &trainer.network().model.params {
        let missing = |name: &str| TrainError::Tensor { name: name.to_owned(), problem: "is missing".to_owned() };
        checkpoint.tensor(&param.name).ok_or_else(|| missing(&param.name))?;
        if param.role != Role::Train {
            continue;
        }
        for moment in trainer.network().train.kind().state() {
            let name = format!("optimizer.{moment}.{}", param.name);
            checkpoint.tensor(&name).ok_or_else(|| missing(&name))?;
        }
    }
    trainer.load(|name| checkpoint.tensor(name).map(<[f32]>::to_vec))?;
    trainer.set_steps(checkpoint.state.steps);
    if let Some(totals) = &checkpoint.totals {
        trainer.set_totals_bytes(totals);
    }
    Ok(())
}

/// Reads a checkpoint: a file, or the last one in a run's folder.
///
/// # Errors
/// A usage error if it cannot be read or is not a checkpoint of ours.
pub fn read_checkpoint(path: &Path) -> Result<(PathBuf, Checkpoint), CliError> {
    let file = if path.is_dir() { path.join(CHECKPOINT) } else { path.to_owned() };
    let bytes = std::fs::read(&file).map_err(|error| {
        let what = "a run's folder or a .safetensors file written by `predsim train` is needed here";
        CliError::usage(format!("{}: cannot be read ({error}); {what}", file.display()))
    })?;
    let checkpoint = Checkpoint::from_bytes(&bytes).map_err(|error| CliError::checkpoint(&file, &error))?;
    Ok((file, checkpoint))
}
