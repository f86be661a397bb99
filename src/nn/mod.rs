//! Shapes and structure of the networks: what blocks there are, which parameters they own, how those are
//! stored and what they start from. Nothing here touches a GPU, so a model can be built, printed, counted and
//! tested anywhere.
//!
//! - [`choices`]: settings that are one of a few names
//! - [`config`]: the settings that decide a network's structure
//! - [`zoo`]: the published architectures as tables
//! - [`block`]: one locally trained block, its map, its heads and the pooling in front of them
//! - [`model`]: from a [`ModelConfig`] to the list of blocks and what strings them together
//! - [`params`]: every tensor that a network owns
//! - [`layout`]: PyTorch's order of a tensor's elements and the device's
//! - [`init`]: the values that training starts from

pub mod block;
pub mod choices;
pub mod config;
mod error;
pub mod init;
pub mod layout;
pub mod model;
pub mod params;
pub mod zoo;

#[cfg(test)]
mod golden_tests;
#[cfg(test)]
mod model_tests;

pub use block::{Block, Heads, MapKind, Pool, Shape};
pub use choices::{LossSup, Nonlin};
pub use config::{InputShape, ModelConfig};
pub use error::ModelError;
pub use layout::{Layout, pad4};
pub use model::{Model, Op, OutputLayer};
pub use params::{Init, Owner, ParamDecl, Part, Role};
pub use zoo::Architecture;
