//! `predsim data`: what data sets there are, getting their files, checking them, looking at what training sees.

mod fetch;
mod list;
mod preview;
mod sheet;
mod verify;

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::error::CliError;

/// Subcommands of `predsim data`.
#[derive(Debug, Subcommand)]
pub enum DataCommand {
    /// List the data sets: what is there, and whether it is what was published
    List(list::ListArgs),
    /// Get a data set's official files: resumed where it was cut off, checked before use
    Fetch(fetch::FetchArgs),
    /// Check the sums of data sets' files, and read them whole
    Verify(verify::VerifyArgs),
    /// Draw a sheet of training pictures as the network sees them in several epochs
    Preview(preview::PreviewArgs),
}

/// The folder that these commands work in.
#[derive(Debug, Args)]
pub struct Folder {
    /// Folder of the data sets' files, which are also looked for in DIR/NAME
    #[arg(long, value_name = "DIR", default_value = "data")]
    pub data: PathBuf,
}

/// Runs the command.
///
/// # Errors
/// See [`CliError`].
pub fn run(command: &DataCommand) -> Result<(), CliError> {
    match command {
        DataCommand::List(args) => list::run(args),
        DataCommand::Fetch(args) => fetch::run(args),
        DataCommand::Verify(args) => verify::run(args),
        DataCommand::Preview(args) => preview::run(args),
    }
}
