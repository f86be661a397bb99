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

/// The folder of one run.
#[derive(Debug)]
pub struct RunFolder {
    path: PathBuf,
}

impl RunFolder {
    /// A new run's folder at `path`, which may exist but not hold a run, unless `overwrite` says that it may.
    ///
    /// # Errors
    /// A usage error if it holds a run or cannot be written.
    pub fn create(path: &Path, overwrite: bool) -> Result<Self, CliError> {
        let held = [CHECKPOINT, METRICS].iter().any(|file| path.join(file).exists());
        if held && !overwrite {
            let shown = path.display();
            return Err(CliError::usage(format!(
                "{shown}: holds a run already; go on with it by --resume {shown}, replace it with --overwrite, or name \
                 another folder with --out"
            )));
        }
        let folder = Self::open(path)?;
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

    /// A run's folder that is gone on with, or made if it is not there.
    ///
    /// # Errors
    /// A usage error if it cannot be made.
    pub fn open(path: &Path) -> Result<Self, CliError> {
        fs::create_dir_all(path).map_err(|error| CliError::unwritable(path, error))?;
        // Found out now rather than at the end of an epoch.
        tempfile::tempfile_in(path).map_err(|error| CliError::unwritable(path, error))?;
        Ok(Self { path: path.to_owned() })
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

    /// The settings that [`RunFolder::write_config`] left in the folder at `path`, if there are any.
    ///
    /// # Errors
    /// A usage error if the file is there but is not readable as settings.
    fn config(path: &Path) -> Result<Option<Recipe>, CliError> {
        let file = path.join(CONFIG);
        if !file.exists() {
            return Ok(None);
        }
        Recipe::find(&file.to_string_lossy()).map(Some)
    }

    /// The folder that the checkpoint `file` lies in, and the settings there; none are as no flag given.
    ///
    /// # Errors
    /// As `config`.
    pub fn of_checkpoint(file: &Path) -> Result<(PathBuf, Recipe), CliError> {
        let folder = file.parent().map(Path::to_owned).unwrap_or_default();
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
                let copy = |to: &Path| fs::copy(path, to).map(|_| ()).map_err(|error| CliError::unwritable(to, error));
                self.replace_by(BEST, copy)?;
            }
            Ok(())
        })
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
            let file = fs::File::open(&beside)?;
            file.sync_all()?;
            share(&file)
        };
        settle().map_err(unwritable)?;
        beside.persist(&path).map_err(|error| unwritable(error.error))
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
        let folder = RunFolder::create(dir.path(), false).unwrap();
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
        RunFolder::create(dir.path(), false).unwrap().write_checkpoint(true, put).unwrap();
        let error = RunFolder::create(dir.path(), false).unwrap_err().to_string();
        assert!(error.contains("--resume") && error.contains("--overwrite"), "{error}");
        RunFolder::create(dir.path(), true).unwrap();
        assert!(!dir.path().join(CHECKPOINT).exists() && !dir.path().join(BEST).exists());
    }

    #[test]
    fn names_are_numbered() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(unused(dir.path(), "a"), dir.path().join("a"));
        fs::create_dir(dir.path().join("a")).unwrap();
        assert_eq!(unused(dir.path(), "a"), dir.path().join("a-2"));
    }
}
