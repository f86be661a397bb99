//! What ends a run early, of whichever face: the command line gives each its exit code, the page its advice.

use crate::checkpoint::CheckpointError;
use crate::data::DataError;
use crate::gpu::GpuError;
use crate::kernels::tuning::TuningError;
use crate::nn::ModelError;
use crate::train::TrainError;

/// An error of a run.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// A setting or a file of the user is wrong.
    #[error("{0}")]
    Usage(String),
    /// No adapter, no memory on it, or it was lost.
    #[error(transparent)]
    Gpu(#[from] GpuError),
    /// Anything else.
    #[error("{0}")]
    Failed(String),
}

impl RunError {
    /// A wrong setting or file.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::Usage(message.into())
    }
}

impl From<DataError> for RunError {
    fn from(error: DataError) -> Self {
        Self::Usage(error.to_string())
    }
}

impl From<ModelError> for RunError {
    fn from(error: ModelError) -> Self {
        Self::Usage(error.to_string())
    }
}

impl From<TuningError> for RunError {
    fn from(error: TuningError) -> Self {
        Self::Usage(error.to_string())
    }
}

impl From<CheckpointError> for RunError {
    fn from(error: CheckpointError) -> Self {
        Self::Failed(format!("the checkpoint cannot be written: {error}"))
    }
}

impl From<TrainError> for RunError {
    fn from(error: TrainError) -> Self {
        match error {
            TrainError::Gpu(error) => Self::Gpu(error),
            TrainError::Tensor { .. } | TrainError::Data(_) | TrainError::Unfit(_) => Self::Usage(error.to_string()),
            TrainError::NotFinite { .. } => Self::Failed(error.to_string()),
        }
    }
}
