//! What can go wrong while training.

use std::sync::Arc;

use crate::data::DataError;
use crate::gpu::GpuError;

use super::plan::Unfit;

/// An error of the trainer.
#[derive(Debug, Clone, thiserror::Error)]
pub enum TrainError {
    /// From the device.
    #[error(transparent)]
    Gpu(#[from] GpuError),
    /// A picture could not be read when its turn had come.
    #[error(transparent)]
    Data(Arc<DataError>),
    /// A loss or a gradient is no longer a number.
    #[error(
        "the loss of block {block} is not finite at step {step} (epoch {epoch}), of which nothing is saved: try a smaller \
         --lr"
    )]
    NotFinite {
        /// Name of the first block in which it showed.
        block: String,
        /// Global step, from 1.
        step: u64,
        /// Epoch, from 1.
        epoch: usize,
    },
    /// No plan keeps to the memory that it may take.
    #[error(transparent)]
    Unfit(#[from] Unfit),
    /// A checkpoint lacks a tensor or holds it in another shape.
    #[error("tensor {name} of the checkpoint {problem}; it belongs to another model")]
    Tensor {
        /// Its name.
        name: String,
        /// What is wrong with it.
        problem: String,
    },
}

impl From<DataError> for TrainError {
    fn from(error: DataError) -> Self {
        Self::Data(Arc::new(error))
    }
}
