//! A run's folder: `config.toml`, `metrics.jsonl`, `checkpoint.safetensors` and `best.safetensors`.
//!
//! Checkpoints are written beside their place and then moved into it, so that a reader, or a machine that stops in
//! the middle, finds either the old file or the new one.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::error::CliError;
use super::recipe::Recipe;

/// Name of the last checkpoint.
pub const CHECKPOINT: &str = "checkpoint.safetensors";
const BEST: &str = "best.safetensors";
const CONFIG: &str = "config.toml";
const METRICS: &str = "metrics.jsonl";
/// What every [`CONFIG`] of ours says.
const MADE_BY: &str = "[made-by]";

/// The folder of one run.
#[derive(Debug)]
pub struct RunFolder {
    path: PathBuf,
    /// Locked as long as the run lasts.
    _alone: Option<fs::File>,
}

/// A place for a new run, in which nothing has been touched yet.
#[derive(Debug)]
pub struct Vacant {
    path: PathBuf,
}

impl Vacant {
    /// Makes the folder, without what an earlier run has left in it.
    ///
    /// # Errors
    /// A usage error if it cannot be written.
    pub fn create(self) -> Result<RunFolder, CliError> {
        let folder = RunFolder::open(&self.path)?;
        for file in [CHECKPOINT, BEST, METRICS, CONFIG] {
            let path = folder.path.join(file);
            match fs::remove_file(&path) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(CliError::unwritable(&path, error));
                }
                _ => {}
            }
        }
        Ok(folder)
    }
}

impl RunFolder {
    /// The place of a new run at `path`, which may exist but not hold a run, unless `overwrite` says that it may.
    ///
    /// # Errors
    /// A usage error if it holds a run, or a file of another program under the name of one of ours.
    pub fn vacant(path: &Path, overwrite: bool) -> Result<Vacant, CliError> {
        let held = [CHECKPOINT, BEST, METRICS].iter().any(|file| path.join(file).exists());
        if held && !overwrite {
            let shown = path.display();
            return Err(CliError::usage(format!(
                "{shown}: holds a run already; go on with it by --resume {shown}, replace it with --overwrite, or name \
                 another folder with --out"
            )));
        }
        let config = path.join(CONFIG);
        if config.exists() && our_config(&config).is_none() {
            return Err(CliError::usage(format!(
                "{}: is no run's, and a run would replace it; name another folder with --out",
                config.display()
            )));
        }
        Ok(Vacant { path: path.to_owned() })
    }

    /// A run's folder that is gone on with, or made if it is not there.
    ///
    /// # Errors
    /// A usage error if it cannot be made, or another run writes to it.
    pub fn open(path: &Path) -> Result<Self, CliError> {
        writable(path)?;
        let alone = alone_in(path)?;
        Ok(Self { path: path.to_owned(), _alone: alone })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes every setting of the run.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn write_config(&self, config: &Recipe) -> Result<(), CliError> {
        let text = toml::to_string(config).map_err(|error| CliError::Failed(error.to_string()))?;
        self.replace(CONFIG, text.as_bytes())
    }

    /// The settings that [`RunFolder::write_config`] left in the folder at `path`, if there are any: the file of that name
    /// may be of another program.
    ///
    /// # Errors
    /// A usage error if the file is ours but is not readable as settings.
    fn config(path: &Path) -> Result<Option<Recipe>, CliError> {
        let file = path.join(CONFIG);
        our_config(&file).map(|text| Recipe::parse(&file.display().to_string(), &text)).transpose()
    }

    /// The folder that the checkpoint `file` lies in, and the settings there; none are as no flag given.
    ///
    /// # Errors
    /// As `config`.
    pub fn of_checkpoint(file: &Path) -> Result<(PathBuf, Recipe), CliError> {
        let folder = folder_of(file).to_owned();
        let config = Self::config(&folder)?.unwrap_or_default();
        Ok((folder, config))
    }

    /// Appends a line of metrics.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn append_metrics(&self, row: &impl Serialize) -> Result<(), CliError> {
        let path = self.path.join(METRICS);
        let mut line = serde_json::to_string(row).map_err(|error| CliError::Failed(error.to_string()))?;
        line.push('\n');
        let file = fs::OpenOptions::new().create(true).append(true).open(&path);
        file.and_then(|mut file| file.write_all(line.as_bytes())).map_err(|error| CliError::unwritable(&path, error))
    }

    /// Forgets the metrics of `epoch` and later: what a run wrote behind the checkpoint that it now goes on from.
    ///
    /// # Errors
    /// If the file cannot be read or written.
    pub fn forget_metrics_from(&self, epoch: usize) -> Result<(), CliError> {
        let path = self.path.join(METRICS);
        let Ok(text) = fs::read_to_string(&path) else { return Ok(()) };
        let earlier = |line: &&str| {
            let row: serde_json::Value = serde_json::from_str(line).unwrap_or_default();
            row["epoch"].as_u64().is_some_and(|at| at < epoch as u64)
        };
        let kept: String = text.lines().filter(earlier).map(|line| format!("{line}\n")).collect();
        self.replace(METRICS, kept.as_bytes())
    }

    /// Replaces the checkpoint by what `write` writes to the file that it is given, and with `best` also that of the lowest
    /// error.
    ///
    /// # Errors
    /// Those of `write`, or if a file cannot be written.
    pub fn write_checkpoint(
        &self,
        best: bool,
        write: impl FnOnce(&Path) -> Result<(), CliError>,
    ) -> Result<(), CliError> {
        self.replace_by(CHECKPOINT, |path| {
            write(path)?;
            if best {
                self.keep_best(path)?;
            }
            Ok(())
        })
    }

    /// Copies the checkpoint of the lowest error from the run in `folder`, if there is one.
    ///
    /// # Errors
    /// If it cannot be copied.
    pub fn take_best_of(&self, folder: &Path) -> Result<(), CliError> {
        let best = folder.join(BEST);
        if best.is_file() { self.keep_best(&best) } else { Ok(()) }
    }

    fn keep_best(&self, checkpoint: &Path) -> Result<(), CliError> {
        let copy = |to: &Path| fs::copy(checkpoint, to).map(|_| ()).map_err(|error| CliError::unwritable(to, error));
        self.replace_by(BEST, copy)
    }

    fn replace(&self, name: &str, content: &[u8]) -> Result<(), CliError> {
        self.replace_by(name, |path| fs::write(path, content).map_err(|error| CliError::unwritable(path, error)))
    }

    fn replace_by(&self, name: &str, write: impl FnOnce(&Path) -> Result<(), CliError>) -> Result<(), CliError> {
        let path = self.path.join(name);
        let unwritable = |error: std::io::Error| CliError::unwritable(&path, error);
        let beside = tempfile::NamedTempFile::new_in(&self.path).map_err(unwritable)?.into_temp_path();
        write(&beside)?;
        let settle = || -> std::io::Result<()> {
            // Some systems write through only what was opened to be written.
            let file = fs::File::options().write(true).open(&beside)?;
            file.sync_all()?;
            share(&file)
        };
        settle().map_err(unwritable)?;
        beside.persist(&path).map_err(|error| unwritable(error.error))
    }
}

/// The folder that `file` lies in.
pub fn folder_of(file: &Path) -> &Path {
    // The parent of a bare file name is nothing, which stands for the current folder.
    file.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// The text of the file `config`, if it is of a run.
fn our_config(config: &Path) -> Option<String> {
    fs::read_to_string(config).ok().filter(|text| text.contains(MADE_BY))
}

/// Makes the folder if it is not there, and finds out that it can be written now rather than behind all the training.
///
/// # Errors
/// A usage error if it cannot.
pub fn writable(folder: &Path) -> Result<(), CliError> {
    fs::create_dir_all(folder)
        .and_then(|()| tempfile::tempfile_in(folder).map(|_| ()))
        .map_err(|error| CliError::unwritable(folder, error))
}

/// Locks the folder, so that no two runs write to it: itself, where a folder can be locked.
fn alone_in(folder: &Path) -> Result<Option<fs::File>, CliError> {
    let Ok(handle) = fs::File::open(folder) else { return Ok(None) };
    match handle.try_lock() {
        Ok(()) => Ok(Some(handle)),
        Err(fs::TryLockError::WouldBlock) => Err(CliError::usage(format!(
            "{}: another run is being written there; wait for it, or name another folder with --out",
            folder.display()
        ))),
        // Not every file system has locks.
        Err(fs::TryLockError::Error(_)) => Ok(None),
    }
}

/// Temporary files are their owner's alone; a run's files are as readable as any other.
#[cfg(unix)]
fn share(file: &fs::File) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    file.set_permissions(fs::Permissions::from_mode(0o644))
}

#[cfg(not(unix))]
fn share(_: &fs::File) -> std::io::Result<()> {
    Ok(())
}

/// The folder `parent/name`, or `parent/name-2` and so on if there is one already.
pub fn unused(parent: &Path, name: &str) -> PathBuf {
    let numbered = |number: usize| match number {
        1 => parent.join(name),
        _ => parent.join(format!("{name}-{number}")),
    };
    (1..).map(numbered).find(|path| !path.exists()).unwrap_or_else(|| numbered(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(epoch: u64, split: &str) -> serde_json::Value {
        serde_json::json!({ "epoch": epoch, "split": split })
    }

    #[test]
    fn metrics_behind_a_checkpoint_are_forgotten() {
        let dir = tempfile::tempdir().unwrap();
        let folder = RunFolder::open(dir.path()).unwrap();
        for epoch in 1..=3 {
            folder.append_metrics(&row(epoch, "train")).unwrap();
            folder.append_metrics(&row(epoch, "test")).unwrap();
        }
        folder.forget_metrics_from(3).unwrap();
        let text = fs::read_to_string(dir.path().join(METRICS)).unwrap();
        assert_eq!(text.lines().count(), 4);
        assert!(text.ends_with("{\"epoch\":2,\"split\":\"test\"}\n"), "{text}");
    }

    #[test]
    fn a_run_is_not_replaced_by_accident() {
        let dir = tempfile::tempdir().unwrap();
        let put = |path: &Path| fs::write(path, b"x").map_err(|error| CliError::unwritable(path, error));
        RunFolder::vacant(dir.path(), false).unwrap().create().unwrap().write_checkpoint(true, put).unwrap();
        let refused = || RunFolder::vacant(dir.path(), false).unwrap_err().to_string();
        assert!(refused().contains("--resume") && refused().contains("--overwrite"), "{}", refused());
        fs::remove_file(dir.path().join(CHECKPOINT)).unwrap();
        assert!(refused().contains("--overwrite"), "the best one alone is worth keeping");
        let vacant = RunFolder::vacant(dir.path(), true).unwrap();
        assert!(dir.path().join(BEST).exists(), "touched before its time");
        vacant.create().unwrap();
        assert!(!dir.path().join(CHECKPOINT).exists() && !dir.path().join(BEST).exists());
    }

    #[test]
    fn two_runs_do_not_share_a_folder() {
        let dir = tempfile::tempdir().unwrap();
        let first = RunFolder::open(dir.path()).unwrap();
        let error = RunFolder::open(dir.path()).unwrap_err().to_string();
        assert!(error.contains("another run"), "{error}");
        drop(first);
        RunFolder::open(dir.path()).unwrap();
    }

    #[test]
    fn a_config_of_another_program_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(CONFIG), "title = \"my site\"").unwrap();
        let error = RunFolder::vacant(dir.path(), true).unwrap_err().to_string();
        assert!(error.contains("no run's"), "{error}");
        assert!(RunFolder::config(dir.path()).unwrap().is_none());
    }

    #[test]
    fn names_are_numbered() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(unused(dir.path(), "a"), dir.path().join("a"));
        fs::create_dir(dir.path().join("a")).unwrap();
        assert_eq!(unused(dir.path(), "a"), dir.path().join("a-2"));
    }
}
