//! Reader of MATLAB 5 files, as far as SVHN needs it: real arrays of bytes, compressed or not, little-endian.
//!
//! A file is a header of 128 bytes and then elements, each a tag (type and size) with its content. A variable is an
//! element of type miMATRIX, mostly inside one of type miCOMPRESSED, and is made of elements itself: flags, dimensions,
//! name, values in column-major order ("MAT-File Level 5 File Format", The MathWorks).
//!
//! Of the crates for this format none reads large arrays from a stream: `matfile` 0.5 and `matrw` 0.1 hold the file,
//! its unpacked bytes and the array in memory at once (SVHN's largest file unpacks to 1.6 GB) and panic on some damaged
//! files, and `mat5` 0.1 reads matrices of two dimensions only.

use std::io::{self, Read};

use flate2::read::ZlibDecoder;

use super::error::DataError;
use super::stream::Stream;
use crate::text::one_line;

/// Bytes of a file's header.
const HEADER: u64 = 128;

const MI_UINT8: u32 = 2;
const MI_INT32: u32 = 5;
const MI_MATRIX: u32 = 14;
const MI_COMPRESSED: u32 = 15;
/// Bit of the flags' first word that says that an array is complex.
const COMPLEX: u32 = 0x0800;
/// The largest element that is read at once: flags, dimensions and names are small.
const SMALL: u32 = 1 << 12;

/// A variable whose values are bytes.
pub struct Array<'r> {
    /// Its name.
    pub name: String,
    /// Extent of each dimension, the fastest first.
    pub dims: Vec<u64>,
    path: &'r str,
    values: &'r mut dyn Read,
}

impl Array<'_> {
    /// Fills `bytes` with the values that come next.
    ///
    /// # Errors
    /// [`DataError::Mat`] if the file ends or is damaged before that.
    pub fn fill(&mut self, bytes: &mut [u8]) -> Result<(), DataError> {
        self.values.read_exact(bytes).map_err(|error| broken(self.path, &error))
    }
}

/// Reads a file from its start and hands every variable whose values are bytes to `visit`, which reads as many of its
/// values as it likes; other variables are passed over.
///
/// # Errors
/// A file of another format or version, a damaged one, and what `visit` returns.
pub fn read(mut file: Stream<'_>, mut visit: impl FnMut(Array<'_>) -> Result<(), DataError>) -> Result<(), DataError> {
    let path = file.path().to_owned();
    header(&mut file)?;
    loop {
        let mut tag = [0; 8];
        let start = file.position();
        match file.fill(&mut tag)? {
            0 => return Ok(()),
            _ => file.expect(start + 8, "the tag of an element")?,
        }
        let [kind, size] = words(tag);
        let mut content = Read::take(&mut file, u64::from(size));
        match kind {
            MI_COMPRESSED => {
                let mut unpacked = ZlibDecoder::new(&mut content);
                let [kind, _] = words(exactly(&mut unpacked, &path)?);
                if kind == MI_MATRIX {
                    variable(&mut unpacked, &path, &mut visit)?;
                }
                // Going to the end makes the decoder compare its checksum.
                io::copy(&mut unpacked, &mut io::sink()).map_err(|error| broken(&path, &error))?;
            }
            MI_MATRIX => variable(&mut content, &path, &mut visit)?,
            _ => {}
        }
        let rest = io::copy(&mut content, &mut io::sink());
        rest.map_err(|error| broken(&path, &error))?;
        file.expect(start + 8 + u64::from(size), "an element")?;
    }
}

fn header(file: &mut Stream<'_>) -> Result<(), DataError> {
    let bytes = file.up_to(HEADER)?;
    let mat = |problem: &str| Err(DataError::Mat { path: file.path().into(), problem: problem.into() });
    // A MATLAB 7.3 file is HDF5 behind a header of the same form.
    match bytes.get(124..128) {
        Some([0, 1, b'I', b'M']) => Ok(()),
        Some([_, 2, b'I', b'M']) => mat("is of MATLAB's version 7.3"),
        Some([_, _, b'M', b'I']) => mat("was written by a big-endian machine"),
        Some(_) => mat("is no MATLAB file"),
        None => file.expect(HEADER, "the header of a MATLAB file"),
    }
}

/// Reads the elements that a variable is made of up to its values, and shows it to `visit`.
fn variable(
    content: &mut dyn Read,
    path: &str,
    visit: &mut impl FnMut(Array<'_>) -> Result<(), DataError>,
) -> Result<(), DataError> {
    let (_, flags) = element(content, path)?;
    let complex = flags.first_chunk().is_some_and(|word| u32::from_le_bytes(*word) & COMPLEX != 0);
    let (kind, dims) = element(content, path)?;
    let (_, name) = element(content, path)?;
    let (values, inside) = tag(content, path)?;
    if values.kind != MI_UINT8 || kind != MI_INT32 || complex {
        return Ok(());
    }
    let (words, _) = dims.as_chunks::<4>();
    let array = Array {
        name: String::from_utf8_lossy(&name).into_owned(),
        dims: words.iter().map(|word| u64::from(u32::from_le_bytes(*word))).collect(),
        path,
        values: &mut inside.chain(content).take(u64::from(values.size)),
    };
    visit(array)
}

struct Tag {
    kind: u32,
    size: u32,
}

/// The next tag, and the content of a small element, which lies in the tag itself.
fn tag(content: &mut dyn Read, path: &str) -> Result<(Tag, io::Cursor<Vec<u8>>), DataError> {
    let bytes = exactly(content, path)?;
    let [first, size] = words(bytes);
    match first >> 16 {
        0 => Ok((Tag { kind: first, size }, io::Cursor::default())),
        size @ 1..=4 => {
            let inside = bytes[4..4 + size as usize].to_vec();
            Ok((Tag { kind: first & 0xffff, size }, io::Cursor::new(inside)))
        }
        _ => Err(DataError::Mat { path: path.into(), problem: "is damaged (an element has no valid tag)".into() }),
    }
}

/// The next element, whole, with its type; what fills it up to a multiple of eight bytes is passed over.
fn element(content: &mut dyn Read, path: &str) -> Result<(u32, Vec<u8>), DataError> {
    let (tag, inside) = tag(content, path)?;
    if !inside.get_ref().is_empty() {
        return Ok((tag.kind, inside.into_inner()));
    }
    if tag.size > SMALL {
        let problem = format!("is damaged (a variable's description takes {} bytes)", tag.size);
        return Err(DataError::Mat { path: path.into(), problem });
    }
    let mut bytes = vec![0; tag.size.next_multiple_of(8) as usize];
    content.read_exact(&mut bytes).map_err(|error| broken(path, &error))?;
    bytes.truncate(tag.size as usize);
    Ok((tag.kind, bytes))
}

fn exactly(content: &mut dyn Read, path: &str) -> Result<[u8; 8], DataError> {
    let mut bytes = [0; 8];
    content.read_exact(&mut bytes).map_err(|error| broken(path, &error))?;
    Ok(bytes)
}

fn words([a, b, c, d, e, f, g, h]: [u8; 8]) -> [u32; 2] {
    [u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([e, f, g, h])]
}

fn broken(path: &str, error: &io::Error) -> DataError {
    let problem = match error.kind() {
        io::ErrorKind::UnexpectedEof => "ends in the middle of a variable".to_owned(),
        _ => format!("is damaged ({})", one_line(&error.to_string())),
    };
    DataError::Mat { path: path.into(), problem }
}
