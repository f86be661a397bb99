//! `predsim data fetch`: a data set's official files into the user's folder.

use clap::Args;
use indicatif::ProgressBar;

use crate::data::fetch::{Event, fetch};

use super::super::error::CliError;
use super::super::output;
use super::super::progress::styled;
use super::Folder;

/// Flags of `predsim data fetch`.
#[derive(Debug, Args)]
pub struct FetchArgs {
    /// Data set: mnist, fashion-mnist, kmnist, cifar10, cifar100, svhn or stl10
    #[arg(value_name = "NAME")]
    name: String,
    #[command(flatten)]
    folder: Folder,
    /// Take the files from this address instead of the published one; their sums stay the published
    #[arg(long, value_name = "URL", hide = true)]
    mirror: Option<String>,
}

/// Runs the command.
///
/// # Errors
/// See [`CliError`].
pub fn run(args: &FetchArgs) -> Result<(), CliError> {
    let mut bar: Option<ProgressBar> = None;
    let mut told = Ok(());
    let mut tell = |text: String| {
        if told.is_ok() {
            told = output::line(&text);
        }
    };
    let outcome = fetch(&args.name, &args.folder.data, args.mirror.as_deref(), &mut |event| match event {
        Event::Kept(file) => tell(format!("{file}: there already, its sum is right")),
        Event::Bytes(file, done, total) => {
            let bar = bar.get_or_insert_with(|| new_bar(file));
            total.into_iter().for_each(|total| bar.set_length(total));
            bar.set_position(done);
        }
        Event::Unpacks(file) => {
            bar.take().into_iter().for_each(|bar| bar.finish_and_clear());
            tell(format!("{file}: its sum is right, unpacking"));
        }
        Event::SetAside(path) => {
            tell(format!("{0}: was another file than the published one, and is {0}.wrong now", path.display()));
        }
        Event::Done(file) => {
            bar.take().into_iter().for_each(|bar| bar.finish_and_clear());
            tell(format!("{file}: done, its sum is right"));
        }
    });
    bar.into_iter().for_each(|bar| bar.finish_and_clear());
    outcome?;
    told?;
    output::line(&format!("train with: predsim train --dataset {} --data {}", args.name, args.folder.data.display()))
}

fn new_bar(file: &str) -> ProgressBar {
    let template = "{prefix} {wide_bar} {bytes}/{total_bytes}  {bytes_per_sec}  {eta} left";
    let bar = styled(ProgressBar::no_length(), template);
    bar.set_prefix(file.to_owned());
    bar
}
