//! `predsim data list`: every data set, what is there of it, and whether it is what was published.

use std::path::Path;

use clap::Args;
use serde::Serialize;

use crate::data::inventory::{Check, State, look};
use crate::data::{names, sources};

use super::super::error::CliError;
use super::super::output;
use super::Folder;

/// Flags of `predsim data list`.
#[derive(Debug, Args)]
pub struct ListArgs {
    #[command(flatten)]
    folder: Folder,
    /// Print one JSON object a data set
    #[arg(long)]
    json: bool,
}

/// A line of the list.
#[derive(Debug, Serialize)]
struct Entry {
    name: &'static str,
    state: &'static str,
    #[serde(rename = "where")]
    place: Option<String>,
    about: String,
}

/// Runs the command.
///
/// # Errors
/// See [`CliError`].
pub fn run(args: &ListArgs) -> Result<(), CliError> {
    let dir = &args.folder.data;
    let entries: Vec<Entry> = names().map(|name| entry(name, dir)).collect::<Result<_, _>>()?;
    if args.json {
        return entries.iter().try_for_each(output::json);
    }
    let width = |text: fn(&Entry) -> &str| entries.iter().map(|entry| text(entry).len()).max().unwrap_or(0);
    let (name, state) = (width(|entry| entry.name), width(|entry| entry.state));
    for entry in &entries {
        let place = entry.place.as_ref().map(|place| format!(" in {place}")).unwrap_or_default();
        output::line(&format!("{:<name$}  {:<state$}  {}{place}", entry.name, entry.state, entry.about))?;
    }
    Ok(())
}

fn entry(name: &'static str, dir: &Path) -> Result<Entry, CliError> {
    // A folder that is not there holds nothing; one that is a file is a mistake.
    let state = if dir.exists() || name == "mnist-mini" { look(name, dir) } else { Ok(State::Absent) };
    let (state, place, about) = match state {
        Ok(State::Embedded) => ("ready", None, "embedded in the program".to_owned()),
        Ok(State::Absent) => ("absent", None, how_to_get(name)),
        Ok(State::Incomplete(missing)) => ("incomplete", None, format!("lacks {}", missing.join(", "))),
        Ok(State::Files(files)) => {
            let place = files[0].0.parent().map(|folder| folder.display().to_string());
            let (state, about) = of_files(&files);
            (state, place, about)
        }
        Ok(State::Pictures { train, classes }) => {
            ("found", Some(train.display().to_string()), format!("{classes} classes"))
        }
        // A folder of pictures of which something is missing is for `verify` to report.
        Err(error) if dir.is_dir() => ("unusable", None, error.to_string()),
        Err(error) => return Err(error.into()),
    };
    Ok(Entry { name, state, place, about })
}

fn of_files(files: &[(std::path::PathBuf, Check)]) -> (&'static str, String) {
    let name = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let wrong = files.iter().find(|(_, check)| matches!(check, Check::Wrong(_)));
    match wrong {
        Some((path, _)) => ("other", format!("{} is not the published file", name(path))),
        None if files.iter().any(|(_, check)| *check == Check::Unknown) => {
            ("unverified", format!("{} files, no published sums to compare with,", files.len()))
        }
        None => ("verified", format!("{} files, as published", files.len())),
    }
}

fn how_to_get(name: &str) -> String {
    match sources::source(name) {
        Some(_) => format!("predsim data fetch {name}"),
        None => "DIR/train/<class>/ and DIR/val/<class>/ or DIR/test/<class>/".to_owned(),
    }
}
