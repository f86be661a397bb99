//! The plan (what runs when, and in which buffer), the trainer that runs it, schedules and metrics.
//!
//! A step, from the outside in: [`Session`] walks epochs and batches; [`Trainer`] uploads a batch and encodes a
//! [`Plan`]'s stages, one command buffer each; a plan is built from a [`Network`] by `local`, `backprop` or `evaluate`
//! out of the bricks in `build`.

mod arena;
mod backprop;
mod build;
mod error;
mod evaluate;
mod inspect;
mod local;
mod map;
mod metrics;
mod network;
mod plan;
mod session;
mod settings;
mod tensors;
mod trainer;

pub use error::TrainError;
pub use inspect::{BlockView, Inspection, softmax};
pub use metrics::{BlockReport, EpochReport, Totals};
pub use network::{Network, Source, TOTALS_STRIDE};
pub use plan::{MemoryReport, Mode, Plan, StageMemory, TensorPlace};
pub use session::{Position, Session};
pub use settings::{LossWeights, Optim, TrainConfig};
pub use tensors::{Pool, Role, TensorInfo};
pub use trainer::{Allocated, NamedTensor, Samples, Trainer};
