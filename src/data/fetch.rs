//! `predsim data fetch`: the official files of a data set from where they are published into the user's folder.
//!
//! Files that are there with the right sum are left alone, wherever a run would find them; the others come into
//! `DIR/<name>`. Archives are unpacked, and thrown away then.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::archive;
use super::download::{Download, agent};
use super::error::DataError;
use super::inventory::{Check, check};
use super::registry::places;
use super::sources::{Form, Remote, Source, source};
use super::{spec, sums};

/// Why a data set could not be fetched.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// An unknown name, or a folder that is none.
    #[error(transparent)]
    Data(#[from] DataError),
    /// The data set is not published as files for everyone.
    #[error("{name} cannot be fetched: {why}")]
    NotPublished {
        /// The data set.
        name: &'static str,
        /// What to do instead.
        why: &'static str,
    },
    /// No connection, or one that broke off.
    #[error("{url}: {reason}; {}", kept_words(*.kept))]
    Network {
        /// The address.
        url: String,
        /// What happened.
        reason: String,
        /// Bytes of the file that are there.
        kept: u64,
    },
    /// The server answered, but not with the file.
    #[error("{url}: the server answers with status {status}; the file is not there any more, or not for now")]
    Status {
        /// The address.
        url: String,
        /// HTTP's number.
        status: u16,
    },
    /// All bytes came, but other ones than the published.
    #[error(
        "{url}: what came has the md5 sum {found}, the published file {expected}; it was thrown away, try again later"
    )]
    WrongSum {
        /// The address.
        url: String,
        /// The sum of what came.
        found: String,
        /// The published one.
        expected: String,
    },
    /// The archive does not hold what it should.
    #[error("{path}: {problem}; it is not the archive that it should be")]
    Archive {
        /// The archive.
        path: String,
        /// What is wrong.
        problem: String,
    },
    /// The folder cannot be written to.
    #[error("{path}: cannot be written ({reason}); name another folder with --data")]
    Unwritable {
        /// The file.
        path: String,
        /// The operating system's words.
        reason: io::Error,
    },
}

fn kept_words(kept: u64) -> String {
    match kept {
        0 => "check the network and try again".to_owned(),
        kept => format!("{kept} bytes are kept: the same command goes on from there"),
    }
}

impl FetchError {
    pub(super) fn unwritable(path: &Path, reason: io::Error) -> Self {
        Self::Unwritable { path: path.display().to_string(), reason }
    }
}

/// What happens to a published file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event<'a> {
    /// It is there already, and right.
    Kept(&'a str),
    /// Bytes of it are there, of how many.
    Bytes(&'a str, u64, Option<u64>),
    /// Its files are taken out of it.
    Unpacks(&'a str),
    /// It was there, wrong, and would have been read instead: it has another name now.
    SetAside(&'a Path),
    /// It is there now, and right.
    Done(&'a str),
}

/// Gets what is missing of data set `name` into `dir`, which is made where it is not there; from `mirror` instead of
/// the published address if that is given.
///
/// # Errors
/// See [`FetchError`].
pub fn fetch(name: &str, dir: &Path, mirror: Option<&str>, watch: &mut dyn FnMut(Event<'_>)) -> Result<(), FetchError> {
    let name = spec(name)?.name;
    let Some(source) = source(name) else { return Err(FetchError::NotPublished { name, why: why_not(name) }) };
    fetch_from(name, source, mirror.unwrap_or(source.base), dir, watch)
}

fn why_not(name: &str) -> &'static str {
    match name {
        "imagenet" => {
            "it is given to researchers with an account at https://image-net.org; unpack it into DIR/train/<class> and \
             DIR/val/<class>"
        }
        "image-folder" => "it is a folder of your own: DIR/train/<class> and DIR/val/<class> or DIR/test/<class>",
        _ => "it is in the program itself and needs no files",
    }
}

/// As [`fetch`], for data set `name` of which the files of `source` are at the address `base`.
///
/// # Errors
/// See [`FetchError`].
pub fn fetch_from(
    name: &'static str,
    source: &Source,
    base: &str,
    dir: &Path,
    watch: &mut dyn FnMut(Event<'_>),
) -> Result<(), FetchError> {
    let folder = dir.join(name);
    fs::create_dir_all(&folder).map_err(|reason| FetchError::unwritable(&folder, reason))?;
    let agent = agent();
    for remote in source.files {
        if is_there(name, source, remote, dir)? {
            watch(Event::Kept(remote.file));
            continue;
        }
        let (url, to) = (format!("{}/{}", base.trim_end_matches('/'), remote.file), folder.join(remote.file));
        let download = Download { url: &url, md5: remote.md5, to: &to };
        download.run(&agent, &mut |done, total| watch(Event::Bytes(remote.file, done, total)))?;
        if let Form::Archive(members) = remote.form {
            watch(Event::Unpacks(remote.file));
            let unpacked = archive::unpack(&to, members, &folder)?;
            sums::record(&folder, &unpacked)
                .map_err(|reason| FetchError::unwritable(&folder.join(sums::LIST), reason))?;
            fs::remove_file(&to).map_err(|reason| FetchError::unwritable(&to, reason))?;
        }
        for wrong in set_aside(name, source, remote, dir, &folder)? {
            watch(Event::SetAside(&wrong));
        }
        watch(Event::Done(remote.file));
    }
    Ok(())
}

/// Renames wrong files that would be found before what `remote` has given to `folder`; their paths.
fn set_aside(
    name: &'static str,
    source: &Source,
    remote: &Remote,
    dir: &Path,
    folder: &Path,
) -> Result<Vec<PathBuf>, FetchError> {
    let places = places(name, dir)?;
    let mut wrong = Vec::new();
    for file in names_in(remote) {
        let fetched = folder.join(if matches!(remote.form, Form::Plain { .. }) { remote.file } else { file });
        // That one has been compared already.
        while let Some(path) = places.find(file).filter(|path| *path != fetched) {
            if !matches!(check(Some(source), &path)?, Check::Wrong(_)) {
                break;
            }
            let mut aside = path.clone().into_os_string();
            aside.push(".wrong");
            fs::rename(&path, &aside).map_err(|reason| FetchError::unwritable(&path, reason))?;
            wrong.push(path);
        }
    }
    Ok(wrong)
}

/// The files that `remote` gives, as they are looked for.
fn names_in(remote: &Remote) -> Vec<&'static str> {
    match remote.form {
        Form::Plain { .. } => vec![remote.file.strip_suffix(".gz").unwrap_or(remote.file)],
        Form::Archive(members) => members.iter().map(|member| member.file).collect(),
    }
}

/// Whether what `remote` gives is in one of the places where it is looked for, and right.
fn is_there(name: &'static str, source: &Source, remote: &Remote, dir: &Path) -> Result<bool, DataError> {
    let places = places(name, dir)?;
    for file in names_in(remote) {
        let Some(path) = places.find(file) else { return Ok(false) };
        if check(Some(source), &path)? != Check::Right {
            return Ok(false);
        }
    }
    Ok(true)
}
