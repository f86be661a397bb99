//! The plan (what runs when, and in which buffer), the trainer that runs it, schedules and metrics.
//!
//! A step, from the outside in: [`Session`] walks epochs and batches; [`Trainer`] uploads a batch and encodes a
//! [`Plan`]'s stages, one command buffer each; a plan is built from a [`Network`] by `scheme`, which says where gradients
//! flow and stop. The scheme's words are `walk` (through the network's ops), `block` (with `shortcut` and `activated`),
//! `heads` (`classifier`, `matching`, `reconstruction`) and `closing`; the bricks that all of them use are in `build`.

mod activated;
mod arena;
mod block;
mod build;
mod classifier;
mod closing;
mod error;
mod fit;
mod flow;
mod heads;
mod inspect;
mod map;
mod matching;
mod metrics;
mod network;
mod parts;
mod plan;
mod pool;
mod reconstruction;
mod scheme;
mod session;
mod settings;
mod shortcut;
mod tensors;
mod trainer;
mod walk;
mod work;

pub use error::TrainError;
pub use fit::{Bounds, Goal, Limit};
pub use inspect::{BlockView, Inspection, softmax};
pub use metrics::{BlockReport, EpochReport, Totals};
pub use network::{Network, Source, TOTALS_STRIDE};
pub use plan::{MemoryReport, Mode, Plan, StageMemory, TensorPlace, Unfit};
pub use pool::{Place, Pool};
pub use session::{Position, Session};
pub use settings::{LossWeights, Optim, Order, Schedule, TrainConfig};
pub use tensors::{Role, TensorInfo};
pub use trainer::{Allocated, NamedTensor, Samples, Trainer};
