//! What [`crate::run`] leaves to the command line: adapters by name, data sets and checkpoints by path.

use std::path::{Path, PathBuf};
use std::rc::Rc;

use crate::checkpoint::Checkpoint;
use crate::data::Dataset;
use crate::gpu::{Gpu, Wanted};
use crate::run::engine::Capabilities;
use crate::run::{Settings, engine};
use crate::train::{Mode, Trainer};

use super::error::CliError;
use super::progress;
use super::run_folder::CHECKPOINT;

/// Opens the adapter that `wanted` names.
///
/// # Errors
/// Exit code 3: there is none, or it does not open.
pub fn open_gpu(wanted: &Wanted) -> Result<Rc<Gpu>, CliError> {
    let gpu = pollster::block_on(Gpu::open(wanted))?;
    gpu.watch_compilation(progress::compilation());
    Ok(Rc::new(gpu))
}

/// Loads the settings' data set and keeps what they limit it to.
///
/// # Errors
/// A usage error for anything wrong with its files.
pub fn load_data(settings: &Settings) -> Result<Dataset, CliError> {
    let mut data = crate::data::open(&settings.spec, settings.data.as_deref())?;
    engine::limit(&mut data, settings.limit_train, settings.limit_test);
    Ok(data)
}

/// A trainer with its plans made, and the parameters of `checkpoint` or the published initialisation in it.
///
/// # Errors
/// Exit code 3 for what the device reports, 2 for a checkpoint that does not fit the network.
pub fn trainer(
    gpu: &Rc<Gpu>,
    capabilities: &Capabilities,
    settings: &Settings,
    plans: &[(Mode, u32)],
    checkpoint: Option<&(PathBuf, Checkpoint)>,
) -> Result<Trainer, CliError> {
    engine::trainer(gpu, capabilities, settings, plans, checkpoint.map(|(_, checkpoint)| checkpoint)).map_err(|error| {
        match (error, checkpoint) {
            (CliError::Usage(message), Some((path, _))) => CliError::usage(format!("{}: {message}", path.display())),
            (error, _) => error,
        }
    })
}

/// Reads a checkpoint: a file, or the last one in a run's folder.
///
/// # Errors
/// A usage error if it cannot be read or is not a checkpoint of ours.
pub fn read_checkpoint(path: &Path) -> Result<(PathBuf, Checkpoint), CliError> {
    let file = if path.is_dir() { path.join(CHECKPOINT) } else { path.to_owned() };
    let unreadable = |reason: &dyn std::fmt::Display| {
        let what = "a run's folder or a .safetensors file written by `predsim train` is needed here";
        CliError::usage(format!("{}: cannot be read ({reason}); {what}", file.display()))
    };
    // A device may never end.
    if file.exists() && !file.is_file() {
        return Err(unreadable(&"it is no file"));
    }
    let bytes = std::fs::read(&file).map_err(|error| unreadable(&error))?;
    let checkpoint = Checkpoint::from_bytes(&bytes).map_err(|error| CliError::checkpoint(&file, &error))?;
    Ok((file, checkpoint))
}
