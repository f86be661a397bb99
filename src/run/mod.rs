//! From a user's settings to a run, whichever face asks for it: the command line or the page.
//!
//! - [`flags`], [`settings`]: from what the user writes to a complete set of settings
//! - [`engine`]: from settings to a trainer on a device, and from a session to a checkpoint
//! - [`tune`]: how much time finding the fastest kernels may take
//! - [`memory`], [`budget`]: what a step of the settings keeps on the device, and how it keeps to a budget
//! - [`error`]: what ends a run early
//!
//! In a browser nothing here blocks or opens a file. On the desktop [`engine::trainer`] waits until the parameters are on
//! the device, [`engine::write_checkpoint`] waits for the GPU and writes a file, and [`Settings::resolve`] and
//! [`Settings::resumed`] read a folder of pictures for its classes.

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
