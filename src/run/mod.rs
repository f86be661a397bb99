//! From a user's settings to a run, whichever face asks for it: the command line or the page.
//!
//! - [`flags`], [`settings`]: from what the user writes to a complete set of settings
//! - [`engine`]: from settings to a trainer on a device, and from a session to a checkpoint
//! - [`tune`]: how much time finding the fastest kernels may take
//! - [`memory`], [`budget`]: what a step of the settings keeps on the device, and how it keeps to a budget
//! - [`error`]: what ends a run early
//!
//! Nothing here blocks or opens a file.

pub mod budget;
pub mod engine;
pub mod error;
pub mod flags;
pub mod memory;
pub mod settings;
pub mod tune;

pub use budget::Budget;
pub use error::RunError;
pub use flags::TrainFlags;
pub use settings::Settings;
pub use tune::Tune;
