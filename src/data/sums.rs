//! MD5 sums of files: of those that data sets publish, and of what was unpacked from a checked archive.
//!
//! An archive's publisher gives one sum for the whole of it. Once it has been checked and unpacked it is thrown away, so the
//! sums of the files that came out of it are written beside them, in the form that `md5sum -c` reads.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::Path;

use md5::{Digest, Md5};

/// The file of the sums of unpacked files.
pub const LIST: &str = "md5.txt";

/// A sum under way.
#[derive(Debug, Default, Clone)]
pub struct Sum(Md5);

impl Sum {
    /// Takes bytes in.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The sum in hexadecimal.
    pub fn hex(self) -> String {
        self.0.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

impl Write for Sum {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The sum of what `reader` gives.
///
/// # Errors
/// The reader's.
pub fn of(mut reader: impl Read) -> io::Result<String> {
    let mut sum = Sum::default();
    io::copy(&mut reader, &mut sum)?;
    Ok(sum.hex())
}

/// The sum of a file as it is.
///
/// # Errors
/// The operating system's.
pub fn of_file(path: &Path) -> io::Result<String> {
    of(File::open(path)?)
}

/// The sum that the list in `folder` has for `file`.
pub fn recorded(folder: &Path, file: &str) -> Option<String> {
    let text = fs::read_to_string(folder.join(LIST)).ok()?;
    let line = |line: &str| line.split_once("  ").filter(|(_, name)| *name == file).map(|(sum, _)| sum.to_owned());
    text.lines().find_map(line)
}

/// Writes the list of `folder`: names with their sums.
///
/// # Errors
/// The operating system's.
pub fn record(folder: &Path, sums: &[(String, String)]) -> io::Result<()> {
    let text: String = sums.iter().map(|(name, sum)| format!("{sum}  {name}\n")).collect();
    fs::write(folder.join(LIST), text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_those_of_rfc_1321() {
        assert_eq!(of(&b""[..]).unwrap(), "d41d8cd98f00b204e9800998ecf8427e");
        assert_eq!(of(&b"message digest"[..]).unwrap(), "f96b697d7cb7938d525a2f31aaf161d0");
    }

    #[test]
    fn what_is_recorded_is_found() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(recorded(dir.path(), "a.bin"), None);
        record(dir.path(), &[("a.bin".into(), "12".into()), ("b.bin".into(), "34".into())]).unwrap();
        assert_eq!(recorded(dir.path(), "b.bin").as_deref(), Some("34"));
        assert_eq!(recorded(dir.path(), "c.bin"), None);
    }
}
