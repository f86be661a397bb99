//! `predsim data verify`: the sums of data sets' files against the published ones, and each data set read whole.

use std::path::Path;

use clap::Args;
use indicatif::ProgressBar;

use crate::data::inventory::{Check, State, look};
use crate::data::{DataError, Dataset, Pictures, load, names, spec};

use super::super::error::CliError;
use super::super::output;
use super::Folder;

/// Pictures that are decoded between two looks at the progress bar.
const BATCH: usize = 64;

/// Flags of `predsim data verify`.
#[derive(Debug, Args)]
pub struct VerifyArgs {
    /// Data sets to check [default: all that are there]
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    #[command(flatten)]
    folder: Folder,
}

/// Runs the command.
///
/// # Errors
/// A usage error for the first data set that is not as it should be; the others are checked all the same.
pub fn run(args: &VerifyArgs) -> Result<(), CliError> {
    let dir = &args.folder.data;
    let wanted: Vec<&str> = match args.names.is_empty() {
        true => there(dir)?,
        false => args.names.iter().map(|name| spec(name).map(|spec| spec.name)).collect::<Result<_, _>>()?,
    };
    if wanted.is_empty() {
        return Err(CliError::usage(format!("{}: holds no data set; `predsim data list` lists them", dir.display())));
    }
    let mut first = None;
    for name in wanted {
        match verify(name, dir) {
            Ok(text) => output::line(&format!("{name}: {text}"))?,
            Err(error) => {
                output::line(&format!("{name}: not as it should be"))?;
                first.get_or_insert(error);
            }
        }
    }
    first.map_or(Ok(()), Err)
}

/// The data sets of which something is in `dir`. What ImageNet and an image folder look like is the same, and one of
/// them will do.
fn there(dir: &Path) -> Result<Vec<&'static str>, CliError> {
    let mut found = Vec::new();
    for name in names().filter(|name| *name != "imagenet") {
        match look(name, dir) {
            Ok(State::Absent | State::Embedded) => {}
            // What is wrong with it will be said when its turn comes.
            Ok(_) => found.push(name),
            Err(DataError::NotAFolder { path }) => return Err(DataError::NotAFolder { path }.into()),
            Err(_) => found.push(name),
        }
    }
    Ok(found)
}

fn verify(name: &str, dir: &Path) -> Result<String, CliError> {
    let files = match look(name, dir)? {
        State::Files(files) => files,
        _ => Vec::new(),
    };
    if let Some((path, Check::Wrong(sum))) = files.iter().find(|(_, check)| matches!(check, Check::Wrong(_))) {
        return Err(CliError::usage(format!(
            "{}: is not the published file, its md5 sum is {sum}; `predsim data fetch {name} --data {}` gets that",
            path.display(),
            dir.display()
        )));
    }
    let unknown = files.iter().filter(|(_, check)| *check == Check::Unknown).count();
    let data = load(name, Some(dir))?;
    decode(&data)?;
    let sums = match (files.len(), unknown) {
        (0, _) => String::new(),
        (count, 0) => format!("{count} files, as published; "),
        (count, _) => format!("{count} files, of which {unknown} have no published sums; "),
    };
    let Dataset { spec, train, test } = &data;
    Ok(format!(
        "{sums}{} training and {} test pictures of {} in {} classes read",
        train.n(),
        test.n(),
        spec.size(),
        spec.num_classes
    ))
}

/// Decodes every picture that is in a file of its own.
fn decode(data: &Dataset) -> Result<(), CliError> {
    for pictures in [&data.train, &data.test] {
        if pictures.in_memory().is_none() {
            walk(pictures)?;
        }
    }
    Ok(())
}

fn walk(pictures: &Pictures) -> Result<(), DataError> {
    let bar = ProgressBar::new(pictures.n().into());
    let mut walk = pictures.walk((0..pictures.n()).collect(), 0, None);
    let mut pixels = vec![0; BATCH * pictures.image_len()];
    let mut labels = [0; BATCH];
    while walk.at() < pictures.n() as usize {
        let count = BATCH.min(pictures.n() as usize - walk.at());
        walk.fill(&mut pixels[..count * pictures.image_len()], &mut labels[..count])?;
        bar.inc(count as u64);
    }
    bar.finish_and_clear();
    Ok(())
}
