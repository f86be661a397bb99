//! Shapes and structure of the networks: what blocks there are, which parameters they own, how those are
//! stored and what they start from. Nothing here touches a GPU, so a model can be built, printed, counted and
//! tested anywhere.
//!
//! - [`choices`]: settings that are one of a few names
//! - [`config`]: the settings that decide a network's structure
//! - [`zoo`]: the architectures by name, [`families`]: what they are built from
//! - [`shape`]: shapes and the maps between them, [`pooling`]: what comes before a local classifier
//! - [`block`]: one locally trained block, [`ops`]: what stands between blocks
//! - [`model`]: from a [`ModelConfig`] to the list of blocks and what strings them together
//! - [`params`]: every tensor that a network owns
//! - [`layout`]: PyTorch's order of a tensor's elements and the device's
//! - [`init`]: the values that training starts from

pub mod block;
pub mod choices;
pub mod config;
mod error;
pub mod families;
mod grow;
pub mod init;
pub mod layout;
pub mod model;
pub mod ops;
pub mod params;
pub mod pooling;
pub mod shape;
pub mod zoo;

#[cfg(test)]
mod golden_tests;
#[cfg(test)]
mod model_tests;

pub use block::{Block, Heads, Order, Shortcut, ShortcutKind};
pub use choices::{LossSup, LossUnsup, Nonlin};
pub use config::{InputShape, ModelConfig};
pub use error::ModelError;
pub use families::Family;
pub use layout::{Layout, pad4};
pub use model::{Model, OutputLayer};
pub use ops::{End, EndPool, Op};
pub use params::{Init, Owner, ParamDecl, Part, Role};
pub use pooling::Pool;
pub use shape::{MapKind, Shape};
pub use zoo::Architecture;
