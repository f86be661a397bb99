//! What can be wrong with a data set or a picture that the user gave, as one typed error.
//!
//! Every message is one line: which file, what was found there, and what would be right. The command line
//! maps all of them to exit code 2. `path` is the file as the user would name it; files that are
//! embedded in the program have the path `<data set>/<file>`.

use std::io;
use std::ops::Range;

use super::registry::names;
use super::size::ImageSize;

/// An error of a data set's name, its files, or a picture.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// No data set has this name.
    #[error("unknown data set {name:?}; the known ones are {}", names().collect::<Vec<_>>().join(", "))]
    UnknownDataset {
        /// The name as given.
        name: String,
    },
    /// The data set is not embedded, and no folder was given.
    #[error(
        "data set {name} is read from files: give their folder with --data DIR, `predsim data fetch {name}` gets them; \
         --dataset mnist-mini and --recipe quickstart need no files"
    )]
    NeedsFolder {
        /// The data set.
        name: &'static str,
    },
    /// The data set is a folder of pictures, and none was given.
    #[error(
        "data set {name} is read from picture files: give their folder with --data DIR, which holds train and val or test, \
         each with one subfolder a class; --dataset mnist-mini and --recipe quickstart need no files"
    )]
    NeedsPictures {
        /// The data set.
        name: &'static str,
    },
    /// What `--data` names is not a folder.
    #[error("{path}: is not a folder; --data takes the folder that holds the data set's files")]
    NotAFolder {
        /// What was given.
        path: String,
    },
    /// A file of the data set is nowhere.
    #[error(
        "data set {name} lacks its file {file}, gzipped ({file}.gz) or not; looked in {looked}; \
         give the folder that holds it with --data DIR"
    )]
    MissingFile {
        /// The data set.
        name: &'static str,
        /// The official name of the file.
        file: &'static str,
        /// The folders, separated by commas.
        looked: String,
    },
    /// The operating system would not give the file's bytes.
    #[error("{path}: cannot be read ({reason}); a readable file is needed here")]
    Unreadable {
        /// The file.
        path: String,
        /// The operating system's words.
        reason: io::Error,
    },
    /// The gzip stream stops before its end.
    #[error("{path}: the gzip stream is cut off, the file ends after {bytes} bytes; get the complete file again")]
    TruncatedGzip {
        /// The file.
        path: String,
        /// The size of the file as it is, packed.
        bytes: u64,
    },
    /// The gzip stream is damaged: bad codes, or another checksum than promised.
    #[error("{path}: the gzip stream is damaged ({reason}); get an undamaged file again")]
    CorruptGzip {
        /// The file.
        path: String,
        /// The decoder's words.
        reason: String,
    },
    /// The file is not an idx file of the right kind.
    #[error("{path}: begins with {found:#010x}, but an idx file of {content} begins with {expected:#010x}")]
    WrongMagic {
        /// The file.
        path: String,
        /// The first four bytes, big-endian.
        found: u32,
        /// The magic number that would be right.
        expected: u32,
        /// `images` or `labels`.
        content: &'static str,
    },
    /// The file is not a MATLAB file of the form that SVHN has.
    #[error("{path}: {problem}; SVHN's files are of MATLAB's version 5 and hold X [32, 32, 3, N] and y [N, 1], bytes")]
    Mat {
        /// The file.
        path: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The (unpacked) file is shorter than its header says, or than a header.
    #[error(
        "{path}: ends after {found} bytes (unpacked), but {expected} are needed for {what}; get the complete file again"
    )]
    TooShort {
        /// The file.
        path: String,
        /// Bytes found, unpacked, header included.
        found: u64,
        /// Bytes needed, header included.
        expected: u64,
        /// What needs them.
        what: String,
    },
    /// The file goes on behind its content.
    #[error("{path}: has {extra} bytes too many after {what}; the file should end there")]
    TrailingBytes {
        /// The file.
        path: String,
        /// How many bytes there are too many.
        extra: u64,
        /// What should have been the end.
        what: String,
    },
    /// The header promises no items at all.
    #[error("{path}: holds no {content}; at least one is needed")]
    Empty {
        /// The file.
        path: String,
        /// `images` or `labels`.
        content: &'static str,
    },
    /// Pictures of another size than the data set's or the model's.
    #[error("{path}: the size is {found_height}x{found_width} (height x width), but {height}x{width} is needed")]
    WrongImageSize {
        /// The file.
        path: String,
        /// Rows found.
        found_height: u32,
        /// Columns found.
        found_width: u32,
        /// Rows needed.
        height: u32,
        /// Columns needed.
        width: u32,
    },
    /// Images and labels do not belong together.
    #[error(
        "{labels_path}: holds {labels} labels, but {images_path} holds {images} images; the two counts should be equal"
    )]
    CountMismatch {
        /// The file of the images.
        images_path: String,
        /// How many images.
        images: u32,
        /// The file of the labels.
        labels_path: String,
        /// How many labels.
        labels: u32,
    },
    /// A label that names no class.
    #[error(
        "{path}: label {label} at index {index} is out of range; labels go from {} to {}",
        labels.start, labels.end.saturating_sub(1)
    )]
    LabelOutOfRange {
        /// The file.
        path: String,
        /// Index of the label, from zero.
        index: usize,
        /// The label as the file has it.
        label: u32,
        /// Those that would be right, as files have them.
        labels: Range<u32>,
    },
    /// The file is not a picture that the `image` crate can decode.
    #[error("{path}: is not a readable picture ({reason}); PNG, JPEG, BMP and the other common formats are")]
    NotAPicture {
        /// The file.
        path: String,
        /// The decoder's words.
        reason: String,
    },
    /// A decoder failed in a way that it should not.
    #[error("picture {place} of the epoch could not be decoded: its decoder has a defect; convert or remove it")]
    Decoder {
        /// Its place in the order of the epoch.
        place: usize,
    },
    /// A picture that is too large to be the size of all.
    #[error(
        "{path}: the first picture is {height}x{width} (height x width); name a smaller size for all with --image-size"
    )]
    TooLarge {
        /// The file.
        path: String,
        /// Its rows.
        height: u32,
        /// Its columns.
        width: u32,
    },
    /// A size was asked for of pictures that have one.
    #[error(
        "--image-size: pictures of {name} are {size} as they are; only those of imagenet and image-folder are resized"
    )]
    FixedSize {
        /// The data set.
        name: &'static str,
        /// The size of its pictures.
        size: ImageSize,
    },
    /// A folder of pictures has not the form that is needed.
    #[error("{looked}: {problem}; {name} needs train and val or test, each with one subfolder of pictures a class")]
    NoPictures {
        /// The data set.
        name: &'static str,
        /// Where it was looked for.
        looked: String,
        /// What is missing.
        problem: String,
    },
    /// A class of the test set is none of the training set.
    #[error("{path}: is a class that {train} does not have; both need the same subfolders")]
    UnknownClass {
        /// The class's folder.
        path: String,
        /// The folder of the training pictures.
        train: String,
    },
    /// The model's input has a number of channels that no picture is converted to.
    #[error("{path}: a picture becomes 1 channel (grey) or 3 (red, green, blue), but the model takes {channels}")]
    PictureChannels {
        /// The file.
        path: String,
        /// The channels of the model's input.
        channels: u32,
    },
}

#[cfg(not(target_arch = "wasm32"))]
impl DataError {
    /// What the `image` crate says of the file at `path`.
    pub(super) fn not_a_picture(path: &std::path::Path, error: &image::ImageError) -> Self {
        Self::NotAPicture { path: path.display().to_string(), reason: crate::text::one_line(&error.to_string()) }
    }
}
