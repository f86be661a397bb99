//! A file of a data set as a stream of bytes, unpacked as they are read if it is gzipped.
//!
//! All formats read through it, so that each file may be gzipped or not, large files need no second copy in memory, and
//! what is wrong with a file's bytes (cut off, damaged, too many) is said in the same words everywhere. A size that a
//! header promises is only believed as far as the file's own size makes it likely.

use std::borrow::Cow;
use std::fmt;
use std::io::{self, BufRead, Cursor, Read};

use flate2::bufread::GzDecoder;

use super::error::DataError;
use crate::text::one_line;

/// What every gzip file begins with (RFC 1952, section 2.3.1).
const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];

/// At most this many times a file's own size is set aside before its content is seen; more grows as it is unpacked.
const EXPECTED_RATIO: u64 = 16;

/// Bytes that are read from a file at once.
#[cfg(not(target_arch = "wasm32"))]
const BUFFER: usize = 1 << 18;

type Bytes<'a> = Box<dyn BufRead + 'a>;

enum Inner<'a> {
    Plain(Bytes<'a>),
    Gzip(Box<GzDecoder<Bytes<'a>>>),
}

/// A file that is being read from its start.
pub struct Stream<'a> {
    path: String,
    inner: Inner<'a>,
    /// Size as stored.
    stored: u64,
    /// Unpacked bytes read so far.
    read: u64,
}

impl fmt::Debug for Stream<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream").field("path", &self.path).field("read", &self.read).finish_non_exhaustive()
    }
}

impl<'a> Stream<'a> {
    /// A file whose bytes are in memory. `path` is what the user knows it by; errors begin with it.
    pub fn from_bytes(path: impl Into<String>, bytes: impl Into<Cow<'a, [u8]>>) -> Self {
        let bytes = bytes.into();
        let (gzip, stored) = (bytes.starts_with(&GZIP_MAGIC), bytes.len() as u64);
        Self::new(path.into(), Box::new(Cursor::new(bytes)), gzip, stored)
    }

    /// Opens the file at `path`.
    ///
    /// # Errors
    /// [`DataError::Unreadable`].
    #[cfg(not(target_arch = "wasm32"))]
    pub fn open(path: &std::path::Path) -> Result<Stream<'static>, DataError> {
        let shown = path.display().to_string();
        let open = || -> io::Result<(Bytes<'static>, bool, u64)> {
            let file = std::fs::File::open(path)?;
            let stored = file.metadata()?.len();
            let mut reader = io::BufReader::with_capacity(BUFFER, file);
            let gzip = reader.fill_buf()?.starts_with(&GZIP_MAGIC);
            Ok((Box::new(reader), gzip, stored))
        };
        match open() {
            Ok((bytes, gzip, stored)) => Ok(Stream::new(shown, bytes, gzip, stored)),
            Err(reason) => Err(DataError::Unreadable { path: shown, reason }),
        }
    }

    fn new(path: String, bytes: Bytes<'a>, gzip: bool, stored: u64) -> Self {
        let inner = if gzip { Inner::Gzip(Box::new(GzDecoder::new(bytes))) } else { Inner::Plain(bytes) };
        Self { path, inner, stored, read: 0 }
    }

    /// What the user knows the file by.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The next `size` bytes, or fewer where the file ends.
    ///
    /// # Errors
    /// A damaged or cut-off gzip stream, a file that the operating system stops giving.
    pub fn up_to(&mut self, size: u64) -> Result<Vec<u8>, DataError> {
        let mut bytes = Vec::with_capacity(self.likely(size));
        let result = Read::take(&mut self.inner, size).read_to_end(&mut bytes);
        result.map_err(|error| self.damaged(error))?;
        self.read += bytes.len() as u64;
        Ok(bytes)
    }

    /// Fills `bytes` with what comes next; returns how many there were, fewer only where the file ends.
    ///
    /// # Errors
    /// As [`Stream::up_to`].
    pub fn fill(&mut self, bytes: &mut [u8]) -> Result<usize, DataError> {
        let mut filled = 0;
        while filled < bytes.len() {
            match self.inner.read(&mut bytes[filled..]) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(self.damaged(error)),
            }
        }
        self.read += filled as u64;
        Ok(filled)
    }

    /// Reads the next `size` bytes, which `what` needs.
    ///
    /// # Errors
    /// As [`Stream::up_to`], and [`DataError::TooShort`].
    pub fn need(&mut self, size: u64, what: &str) -> Result<Vec<u8>, DataError> {
        let end = self.read.saturating_add(size);
        let bytes = self.up_to(size)?;
        self.expect(end, what)?;
        Ok(bytes)
    }

    /// An error unless exactly `end` bytes have been read; `what` is all of them, in words.
    ///
    /// # Errors
    /// [`DataError::TooShort`].
    pub fn expect(&self, end: u64, what: &str) -> Result<(), DataError> {
        if self.read == end {
            return Ok(());
        }
        Err(DataError::TooShort { path: self.path.clone(), found: self.read, expected: end, what: what.into() })
    }

    /// Unpacked bytes read so far.
    pub fn position(&self) -> u64 {
        self.read
    }

    /// Checks that the file ends here, behind `what`. Going to the end also makes the gzip decoder compare its checksum.
    ///
    /// # Errors
    /// As [`Stream::up_to`], and [`DataError::TrailingBytes`].
    pub fn finish(mut self, what: &str) -> Result<(), DataError> {
        let extra = io::copy(&mut self.inner, &mut io::sink()).map_err(|error| self.damaged(error))?;
        if extra > 0 {
            return Err(DataError::TrailingBytes { path: self.path, extra, what: what.into() });
        }
        if let Inner::Gzip(decoder) = &mut self.inner {
            let rest = io::copy(decoder.get_mut(), &mut io::sink());
            let extra = rest.map_err(|error| self.damaged(error))?;
            if extra > 0 {
                return Err(DataError::TrailingBytes { path: self.path, extra, what: "its gzip stream".into() });
            }
        }
        Ok(())
    }

    /// Bytes to set aside for the `size` bytes that a header promises.
    pub fn likely(&self, size: u64) -> usize {
        usize::try_from(size.min(self.stored.saturating_mul(EXPECTED_RATIO))).unwrap_or(0)
    }

    /// The decoder's errors are made by it; those of the operating system carry its number.
    fn damaged(&self, error: io::Error) -> DataError {
        let path = self.path.clone();
        match error.kind() {
            _ if error.raw_os_error().is_some() => DataError::Unreadable { path, reason: error },
            io::ErrorKind::UnexpectedEof => DataError::TruncatedGzip { path, bytes: self.stored },
            _ => DataError::CorruptGzip { path, reason: one_line(&error.to_string()) },
        }
    }
}

/// For decoders that read on from here; what goes wrong is theirs to report.
impl Read for Stream<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.read += count as u64;
        Ok(count)
    }
}

impl Read for Inner<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(bytes) => bytes.read(buffer),
            Self::Gzip(decoder) => decoder.read(buffer),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::gzip;
    use super::*;

    fn stream(bytes: &[u8]) -> Stream<'_> {
        Stream::from_bytes("file", bytes)
    }

    #[test]
    fn bytes_come_in_order_gzipped_or_not() {
        let content: Vec<u8> = (0..200).collect();
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x");
        for bytes in [content.clone(), gzip(&content)] {
            std::fs::write(&path, &bytes).unwrap();
            for mut stream in [stream(&bytes), Stream::open(&path).unwrap()] {
                assert_eq!(stream.up_to(3).unwrap(), [0, 1, 2]);
                let mut next = [0; 2];
                assert_eq!((stream.fill(&mut next).unwrap(), next), (2, [3, 4]));
                assert_eq!(stream.need(194, "the middle").unwrap(), content[5..199]);
                assert_eq!(stream.position(), 199);
                assert_eq!((stream.fill(&mut next).unwrap(), next[0]), (1, 199));
                stream.finish("all of it").unwrap();
            }
        }
    }

    #[test]
    fn a_short_file_says_what_needs_more() {
        let error = stream(&[1, 2, 3]).need(5, "a test").unwrap_err().to_string();
        assert_eq!(
            error,
            "file: ends after 3 bytes (unpacked), but 5 are needed for a test; get the complete file again"
        );
    }

    #[test]
    fn what_is_not_read_is_too_much() {
        let error = stream(&[1, 2, 3]).finish("nothing").unwrap_err().to_string();
        assert_eq!(error, "file: has 3 bytes too many after nothing; the file should end there");
    }

    #[test]
    fn a_folder_is_unreadable() {
        let dir = tempfile::tempdir().unwrap();
        let error = Stream::open(dir.path()).unwrap_err().to_string();
        assert!(error.contains(": cannot be read ("), "{error}");
    }

    #[test]
    fn an_unlikely_promise_sets_little_aside() {
        assert_eq!(stream(&[0; 10]).likely(u64::MAX), 160);
        assert_eq!(stream(&[0; 10]).likely(7), 7);
    }
}
