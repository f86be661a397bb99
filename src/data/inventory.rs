//! What of a data set is in a folder, and whether it is what was published: for `predsim data list` and `verify`.

use std::path::{Path, PathBuf};

use super::error::DataError;
use super::registry::{DataFile, Kind, files, kind, layout, places, spec};
use super::sources::{Source, source};
use super::stream::Stream;
use super::sums;

/// What comparing a file's MD5 sum says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Check {
    /// It is the published file.
    Right,
    /// It has another sum, this one.
    Wrong(String),
    /// There is nothing to compare its sum with.
    Unknown,
}

/// Compares the file at `path` with the sums that `source` publishes for its name, and with those that were written
/// down when it was unpacked from a checked archive.
///
/// # Errors
/// [`DataError::Unreadable`].
pub fn check(source: Option<&Source>, path: &Path) -> Result<Check, DataError> {
    let file = path.file_name().unwrap_or_default().to_string_lossy();
    let recorded = path.parent().and_then(|folder| sums::recorded(folder, &file));
    let published = source.into_iter().flat_map(|source| source.published(&file)).map(str::to_owned);
    let known: Vec<String> = published.chain(recorded).collect();
    let content = source.and_then(|source| source.content(&file));
    if known.is_empty() && content.is_none() {
        return Ok(Check::Unknown);
    }
    let sum =
        sums::of_file(path).map_err(|reason| DataError::Unreadable { path: path.display().to_string(), reason })?;
    // A damaged gzip stream has no content to compare: it is not the published file either.
    let content_is = |md5| sums::of(Stream::open(path)?).map(|sum| sum == md5).or(Ok::<_, DataError>(false));
    let right = known.contains(&sum) || content.map(content_is).transpose()?.unwrap_or(false);
    Ok(if right { Check::Right } else { Check::Wrong(sum) })
}

/// What there is of a data set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// It is in the program itself.
    Embedded,
    /// Nothing of it is there.
    Absent,
    /// These files are not there.
    Incomplete(Vec<&'static str>),
    /// All files that are needed are there, each with its check.
    Files(Vec<(PathBuf, Check)>),
    /// A folder of pictures in so many classes.
    Pictures {
        /// The folder of training pictures.
        train: PathBuf,
        /// How many classes.
        classes: u32,
    },
}

/// Looks for data set `name` in `dir`. Reads its files whole, for their sums.
///
/// # Errors
/// An unknown name, a folder that is none, an unreadable file; a folder of pictures that is not as it should be.
pub fn look(name: &str, dir: &Path) -> Result<State, DataError> {
    let needed = files(name)?;
    let kind = kind(name)?;
    if kind == Kind::Embedded {
        return Ok(State::Embedded);
    }
    let places = places(name, dir)?;
    if kind == Kind::Pictures {
        let known = spec(name)?.num_classes;
        return match layout(name, dir) {
            // A folder of other classes than ImageNet's is an image folder, and listed as that.
            Ok(layout) if known > 0 && layout.classes() != known => Ok(State::Absent),
            Ok(layout) => Ok(State::Pictures { train: layout.train().to_owned(), classes: layout.classes() }),
            Err(DataError::NoPictures { .. }) => Ok(State::Absent),
            Err(error) => Err(error),
        };
    }
    let found = |file: &DataFile| places.find(file.name);
    let missing: Vec<&str> =
        needed.iter().filter(|file| !file.optional && found(file).is_none()).map(|file| file.name).collect();
    let there: Vec<PathBuf> = needed.iter().filter_map(found).collect();
    if there.is_empty() {
        return Ok(State::Absent);
    }
    if !missing.is_empty() {
        return Ok(State::Incomplete(missing));
    }
    let source = source(name);
    let checked = |path: PathBuf| check(source, &path).map(|check| (path, check));
    Ok(State::Files(there.into_iter().map(checked).collect::<Result<_, _>>()?))
}
