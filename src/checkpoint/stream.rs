//! A checkpoint's file written tensor by tensor, so that host memory never holds more than one of them.

use std::borrow::Cow;
use std::cell::RefCell;
use std::path::Path;

use safetensors::{Dtype, View};

use super::{CheckpointError, State, TOTALS};

/// What gives a tensor's values when it is its turn, and the first error of it.
struct Source<F, E> {
    fetch: F,
    failed: Option<E>,
}

/// A tensor that is fetched when it is written.
struct Pending<'s, F, E> {
    name: &'s str,
    shape: &'s [usize],
    source: &'s RefCell<Source<F, E>>,
}

/// What a file consists of.
enum Content<'s, F, E> {
    Pending(Pending<'s, F, E>),
    Bytes([usize; 1], &'s [u8]),
}

impl<F: FnMut(&str) -> Result<Vec<f32>, E>, E> View for Content<'_, F, E> {
    fn dtype(&self) -> Dtype {
        match self {
            Self::Pending(_) => Dtype::F32,
            Self::Bytes(..) => Dtype::U8,
        }
    }

    fn shape(&self) -> &[usize] {
        match self {
            Self::Pending(pending) => pending.shape,
            Self::Bytes(shape, _) => shape,
        }
    }

    fn data(&self) -> Cow<'_, [u8]> {
        match self {
            Self::Bytes(_, bytes) => Cow::Borrowed(bytes),
            Self::Pending(pending) => {
                let mut source = pending.source.borrow_mut();
                // Views cannot fail; the file of a source that has failed is not wanted.
                let values = if source.failed.is_some() { Ok(Vec::new()) } else { (source.fetch)(pending.name) };
                let values = values.unwrap_or_else(|error| {
                    source.failed = Some(error);
                    Vec::new()
                });
                Cow::Owned(bytemuck::cast_slice(&values).to_vec())
            }
        }
    }

    fn data_len(&self) -> usize {
        match self {
            Self::Pending(pending) => 4 * pending.shape.iter().product::<usize>(),
            Self::Bytes(_, bytes) => bytes.len(),
        }
    }
}

/// Writes the file that [`Checkpoint::to_bytes`](super::Checkpoint::to_bytes) gives the bytes of. `tensors` are names and
/// shapes; `fetch` gives the values of one of them when it is written.
///
/// # Errors
/// The first error of `fetch`, or [`CheckpointError::Unwritable`]. What is at `path` then is no
/// checkpoint.
pub fn write<E: From<CheckpointError>>(
    path: &Path,
    state: &State,
    tensors: &[(String, Vec<usize>)],
    totals: Option<&[u8]>,
    fetch: impl FnMut(&str) -> Result<Vec<f32>, E>,
) -> Result<(), E> {
    let source = RefCell::new(Source { fetch, failed: None });
    let mut contents: Vec<(&str, Content<'_, _, E>)> = tensors
        .iter()
        .map(|(name, shape)| (name.as_str(), Content::Pending(Pending { name, shape, source: &source })))
        .collect();
    contents.extend(totals.map(|totals| (TOTALS, Content::Bytes([totals.len()], totals))));
    let written = safetensors::serialize_to_file(contents, Some(state.metadata()?), path);
    if let Some(error) = source.into_inner().failed {
        return Err(error);
    }
    written.map_err(|error| CheckpointError::Unwritable(error.to_string()).into())
}
