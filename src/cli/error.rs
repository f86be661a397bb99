//! What ends a command early, each with its exit code and its one line.

use std::fmt::Display;
use std::path::Path;
use std::process::ExitCode;

use crate::checkpoint::CheckpointError;
use crate::data::fetch::FetchError;
use crate::gpu::GpuError;

pub use crate::run::RunError as CliError;

impl CliError {
    /// A file or folder of the user that cannot be written.
    pub fn unwritable(path: &Path, reason: impl Display) -> Self {
        Self::Usage(format!("{}: cannot be written ({reason}); name another place with --out", path.display()))
    }

    /// A checkpoint that is none, or not a usable one.
    pub fn checkpoint(path: &Path, reason: &CheckpointError) -> Self {
        Self::Usage(format!("{}: {reason}", path.display()))
    }

    /// The process's exit code: 2 for a flag or a file of the user, 3 for the adapter, 1 for anything else.
    pub fn exit_code(&self) -> ExitCode {
        ExitCode::from(match self {
            Self::Usage(_) => 2,
            // A defect of ours, not of the adapter.
            Self::Gpu(GpuError::Validation(_)) | Self::Failed(_) => 1,
            Self::Gpu(_) => 3,
        })
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
