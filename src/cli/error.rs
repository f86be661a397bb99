//! What ends a command early, each with its exit code and its one line.

use std::fmt::Display;
use std::path::Path;
use std::process::ExitCode;

use crate::checkpoint::CheckpointError;
use crate::data::DataError;
use crate::data::fetch::FetchError;
use crate::gpu::GpuError;
use crate::nn::ModelError;
use crate::train::TrainError;

/// An error of the command line.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    /// A flag or a file of the user is wrong: exit code 2.
    #[error("{0}")]
    Usage(String),
    /// No adapter, no memory on it, or it was lost: exit code 3.
    #[error(transparent)]
    Gpu(#[from] GpuError),
    /// Anything else: exit code 1.
    #[error("{0}")]
    Failed(String),
}

impl CliError {
    /// A wrong flag or file.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::Usage(message.into())
    }

    /// A file or folder of the user that cannot be written.
    pub fn unwritable(path: &Path, reason: impl Display) -> Self {
        Self::Usage(format!("{}: cannot be written ({reason}); name another place with --out", path.display()))
    }

    /// A checkpoint that is none, or not a usable one.
    pub fn checkpoint(path: &Path, reason: &CheckpointError) -> Self {
        Self::Usage(format!("{}: {reason}", path.display()))
    }

    /// The process's exit code.
    pub fn exit_code(&self) -> ExitCode {
        ExitCode::from(match self {
            Self::Usage(_) => 2,
            Self::Gpu(_) => 3,
            Self::Failed(_) => 1,
        })
    }
}

impl From<DataError> for CliError {
    fn from(error: DataError) -> Self {
        Self::Usage(error.to_string())
    }
}

impl From<FetchError> for CliError {
    fn from(error: FetchError) -> Self {
        match error {
            FetchError::Data(_) | FetchError::NotPublished { .. } | FetchError::Unwritable { .. } => {
                Self::Usage(error.to_string())
            }
            _ => Self::Failed(error.to_string()),
        }
    }
}

impl From<ModelError> for CliError {
    fn from(error: ModelError) -> Self {
        Self::Usage(error.to_string())
    }
}

impl From<TrainError> for CliError {
    fn from(error: TrainError) -> Self {
        match error {
            TrainError::Gpu(error) => Self::Gpu(error),
            TrainError::Tensor { .. } | TrainError::Data(_) => Self::Usage(error.to_string()),
            TrainError::NotFinite { .. } => Self::Failed(error.to_string()),
        }
    }
}
