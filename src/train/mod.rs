//! The plan (what runs when, and in which buffer), the trainer that runs it, schedules and metrics.
//!
//! A step, from the outside in: [`Session`] walks epochs and batches; [`Trainer`] uploads a batch and encodes a
//! [`Plan`]'s stages, one command buffer each; a plan is built from a [`Network`] by `scheme`, which says where gradients
//! flow and stop. The scheme's words are `walk` (through the network's ops), `block` (with `shortcut` and `activated`),
//! `heads` (`classifier`, `matching`, `reconstruction`) and `closing`; the bricks that all of them use are in `build`.
//!
//! What they write down is `work`, which `fit` makes small enough for a [`Goal`]: `flow` knows what depends on what, `choices`
//! what may be kept or made again, `parts` does a stage part by part of the batch, `pieces` and `pool` lay out what is
//! left, and [`Footprint`] and [`MemoryReport`] say what it takes.

mod activated;
mod arena;
mod block;
mod build;
mod choices;
mod classifier;
mod closing;
mod error;
mod few;
mod fit;
mod flow;
mod footprint;
mod goal;
mod heads;
mod inspect;
pub(crate) mod map;
mod matching;
mod measures;
mod metrics;
mod named;
mod network;
mod parts;
mod pieces;
mod plan;
mod pool;
mod pooled;
mod reconstruction;
mod report;
mod scheme;
mod session;
mod settings;
mod shortcut;
mod staging;
mod tensors;
mod trainer;
mod walk;
mod work;

pub use error::TrainError;
pub use footprint::Footprint;
pub use goal::{Bounds, Goal, Limit};
pub use inspect::{BlockView, Inspection, softmax};
pub use metrics::{BlockReport, EpochReport, Totals};
pub use named::{Located, NamedTensor};
pub use network::{Network, Source, TOTALS_STRIDE};
pub use plan::{Mode, Plan, PlanSummary, Unfit};
pub use pool::{Place, Pool};
pub use report::{MemoryReport, StageMemory, TensorPlace};
pub use session::{Position, Session};
pub use settings::{LossWeights, Optim, Order, Schedule, TrainConfig};
pub use tensors::{Role, TensorInfo};
pub use trainer::{Allocated, Samples, Trainer};
