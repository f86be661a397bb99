//! Files out of a gzipped tar archive that has been checked.

use std::fs::{self, File};
use std::io::{self, BufReader, Read, Write};
use std::path::Path;

use flate2::read::GzDecoder;

use super::download::part;
use super::fetch::FetchError;
use super::sources::Member;
use super::sums::Sum;

/// Writes `members`, wherever in the archive they are, into the folder `into` and returns their names and MD5 sums.
/// Each gets its name when it is whole; what else is in the archive stays there.
///
/// # Errors
/// [`FetchError::Archive`] if it is none or lacks a member, [`FetchError::Unwritable`].
pub fn unpack(archive: &Path, members: &[Member], into: &Path) -> Result<Vec<(String, String)>, FetchError> {
    let bad = |problem: String| FetchError::Archive { path: archive.display().to_string(), problem };
    let unreadable = |error: io::Error| bad(format!("cannot be unpacked ({error})"));
    let file = File::open(archive).map_err(unreadable)?;
    let mut tar = tar::Archive::new(GzDecoder::new(BufReader::new(file)));
    let mut sums = Vec::new();
    for entry in tar.entries().map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        let path = entry.path().map_err(unreadable)?.into_owned();
        let is_it = |member: &&Member| path.file_name().is_some_and(|name| name == member.file);
        if let (Some(member), true) = (members.iter().find(is_it), entry.header().entry_type().is_file()) {
            let sum = write(entry, &into.join(member.file), &unreadable)?;
            if member.md5.is_some_and(|md5| md5 != sum) {
                return Err(bad(format!("its file {} has the md5 sum {sum}", member.file)));
            }
            sums.push((member.file.to_owned(), sum));
        }
    }
    match members.iter().find(|member| !sums.iter().any(|(name, _)| name == member.file)) {
        Some(member) => Err(bad(format!("there is no {} in it", member.file))),
        None => Ok(sums),
    }
}

fn write(
    mut content: impl Read,
    to: &Path,
    unreadable: &dyn Fn(io::Error) -> FetchError,
) -> Result<String, FetchError> {
    let part = part(to);
    let unwritable = |reason| FetchError::unwritable(&part, reason);
    let mut file = File::create(&part).map_err(unwritable)?;
    let (mut sum, mut chunk) = (Sum::default(), vec![0; 1 << 16]);
    loop {
        let count = content.read(&mut chunk).map_err(unreadable)?;
        if count == 0 {
            break;
        }
        sum.update(&chunk[..count]);
        file.write_all(&chunk[..count]).map_err(unwritable)?;
    }
    file.sync_all().map_err(unwritable)?;
    fs::rename(&part, to).map_err(unwritable)?;
    Ok(sum.hex())
}
