//! What can be wrong with a description of a network, each in one line that says what, where and what would
//! be right.

use thiserror::Error;

use crate::names::UnknownName;

/// A network that cannot be built.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ModelError {
    /// A name that is none of the known ones.
    #[error(transparent)]
    UnknownName(#[from] UnknownName),
    /// A setting outside its range.
    #[error("{setting} is {got}; it must be {need}")]
    Setting {
        /// The setting, by its flag where it has one.
        setting: &'static str,
        /// The value as given.
        got: String,
        /// The values that are allowed.
        need: String,
    },
    /// Pictures too small for the network's max poolings.
    #[error(
        "{model} cannot take {height}x{width} pictures: nothing is left to max-pool behind block {block} \
         (its map is {left_h}x{left_w}); both sides must be at least {need}"
    )]
    InputTooSmall {
        /// The architecture's name.
        model: String,
        /// Rows of the picture.
        height: usize,
        /// Columns of the picture.
        width: usize,
        /// Name of the block in front of the impossible pooling.
        block: String,
        /// Rows of that block's output map.
        left_h: usize,
        /// Columns of that block's output map.
        left_w: usize,
        /// The smallest side of a picture that the network takes.
        need: usize,
    },
    /// Pictures too small for the pooling at a network's end.
    #[error(
        "{model} cannot take {height}x{width} pictures: its last map is {left_h}x{left_w}, smaller than the {window}x{window} \
         pooling in front of the output layer; both sides must be at least {need}"
    )]
    MapTooSmall {
        /// The architecture's name.
        model: String,
        /// Rows of the picture.
        height: usize,
        /// Columns of the picture.
        width: usize,
        /// Rows of the last map.
        left_h: usize,
        /// Columns of the last map.
        left_w: usize,
        /// Rows and columns of the pooling's window.
        window: usize,
        /// The smallest side of a picture that the network takes.
        need: usize,
    },
    /// A tensor too large for a device to address.
    #[error(
        "{tensor} would hold {elements} numbers, more than the {limit} that a tensor can have; \
         use a smaller --feat-mult, --num-hidden or smaller pictures"
    )]
    TooLarge {
        /// The tensor's name.
        tensor: String,
        /// Its elements on the device.
        elements: u64,
        /// The most that a tensor may have.
        limit: u64,
    },
}
