//! The data sets by name, and how each is loaded.

use std::path::Path;

use super::dataset::{ClassNames, Dataset, DatasetSpec, Fit};
use super::error::DataError;
use super::imagenet::{IMAGE_FOLDER, IMAGENET, sized};
use super::size::ImageSize;
use super::stream::Stream;
use super::{cifar, mnist, stl10, svhn};

/// How a data set is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    /// In the program itself.
    Embedded,
    /// The four idx files of [`mnist`].
    Idx,
    /// The binary version of [`cifar`], in these files of training and test set.
    Cifar { train: &'static [&'static str], test: &'static [&'static str] },
    /// The MATLAB files of [`svhn`].
    Svhn,
    /// The binary files of [`stl10`].
    Stl10,
    /// Folders of pictures.
    Folder,
}

/// A data set that has a name.
struct Known {
    spec: DatasetSpec,
    /// Other names that it goes by, those of the published program and of torchvision among them; also names of its folder.
    names: &'static [&'static str],
    /// Names of the folder that torchvision or the official archive puts its files in.
    #[cfg_attr(target_arch = "wasm32", allow(dead_code, reason = "a browser has no folders"))]
    inner: &'static [&'static str],
    format: Format,
}

static KNOWN: [Known; 10] = [
    Known { spec: mnist::MNIST_MINI, names: &[], inner: &[], format: Format::Embedded },
    Known { spec: mnist::MNIST, names: &["MNIST"], inner: &["raw"], format: Format::Idx },
    Known { spec: mnist::FASHION_MNIST, names: &["FashionMNIST"], inner: &["raw"], format: Format::Idx },
    Known { spec: mnist::KMNIST, names: &["KMNIST", "KuzushijiMNIST"], inner: &["raw"], format: Format::Idx },
    Known {
        spec: cifar::CIFAR10,
        names: &["CIFAR10", "cifar-10"],
        inner: &["cifar-10-batches-bin"],
        format: Format::Cifar { train: &cifar::CIFAR10_TRAIN, test: &cifar::CIFAR10_TEST },
    },
    Known {
        spec: cifar::CIFAR100,
        names: &["CIFAR100", "cifar-100"],
        inner: &["cifar-100-binary"],
        format: Format::Cifar { train: &cifar::CIFAR100_TRAIN, test: &cifar::CIFAR100_TEST },
    },
    Known { spec: svhn::SVHN, names: &["SVHN"], inner: &[], format: Format::Svhn },
    Known { spec: stl10::STL10, names: &["STL10", "stl-10"], inner: &["stl10_binary"], format: Format::Stl10 },
    Known { spec: IMAGENET, names: &["ImageNet"], inner: &[], format: Format::Folder },
    Known { spec: IMAGE_FOLDER, names: &["ImageFolder", "folder"], inner: &[], format: Format::Folder },
];

/// The names that `--dataset` takes.
pub fn names() -> impl Iterator<Item = &'static str> {
    KNOWN.iter().map(|known| known.spec.name)
}

fn find(name: &str) -> Result<&'static Known, DataError> {
    let goes_by = |known: &&Known| {
        std::iter::once(&known.spec.name).chain(known.names).any(|other| other.eq_ignore_ascii_case(name))
    };
    KNOWN.iter().find(goes_by).ok_or_else(|| DataError::UnknownDataset { name: name.into() })
}

/// Where a data set comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The program itself.
    Embedded,
    /// Its official files ([`files`]).
    Files,
    /// Folders of pictures.
    Pictures,
}

/// A file of a data set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DataFile {
    /// Its official name, without `.gz`.
    pub name: &'static str,
    /// Whether the data set can be used without it.
    pub optional: bool,
}

/// Where data set `name` comes from.
///
/// # Errors
/// An unknown name.
pub fn kind(name: &str) -> Result<Kind, DataError> {
    Ok(match find(name)?.format {
        Format::Embedded => Kind::Embedded,
        Format::Folder => Kind::Pictures,
        _ => Kind::Files,
    })
}

/// The files that data set `name` is read from; none of one that is embedded or a folder of pictures.
///
/// # Errors
/// An unknown name.
pub fn files(name: &str) -> Result<Vec<DataFile>, DataError> {
    let needed: Vec<&'static str> = match find(name)?.format {
        Format::Embedded | Format::Folder => Vec::new(),
        Format::Idx => mnist::FILES.to_vec(),
        Format::Cifar { train, test } => [train, test].concat(),
        Format::Svhn => vec![svhn::TRAIN, svhn::TEST],
        Format::Stl10 => stl10::FILES.to_vec(),
    };
    let mut files: Vec<DataFile> = needed.into_iter().map(|name| DataFile { name, optional: false }).collect();
    if find(name)?.format == Format::Svhn {
        files.push(DataFile { name: svhn::EXTRA, optional: true });
    }
    Ok(files)
}

/// What is known of data set `name` without its files. The published program's names (`MNIST`, `KuzushijiMNIST`) do as
/// well, and the case of the letters does not matter. Of folders of pictures only [`spec_in`] knows the classes.
///
/// # Errors
/// An unknown name; the message lists the known ones.
pub fn spec(name: &str) -> Result<DatasetSpec, DataError> {
    find(name).map(|known| known.spec.clone())
}

/// What is known of data set `name` whose files are in `dir`. A folder of pictures is looked at for its classes, and without
/// `size` (`--image-size`) for the size of its pictures; ImageNet has 1,000 classes of 224 x 224 pixels also where no
/// `dir` is given.
///
/// # Errors
/// An unknown name; a `size` for pictures that have another; what [`super::folder::Layout::find`] finds wrong.
pub fn spec_in(name: &str, dir: Option<&Path>, size: Option<ImageSize>) -> Result<DatasetSpec, DataError> {
    let known = find(name)?;
    let spec = &known.spec;
    match (dir, size) {
        _ if known.format != Format::Folder => match size {
            Some(size) if size != spec.size() => Err(DataError::FixedSize { name: spec.name, size: spec.size() }),
            _ => Ok(spec.clone()),
        },
        (Some(dir), size) => look(known, dir, size),
        (None, _) if spec.num_classes == 0 => Err(DataError::NeedsPictures { name: spec.name }),
        (None, size) => Ok(sized(spec, size.unwrap_or(spec.size()), spec.class_names.clone(), spec.num_classes)),
    }
}

/// What is known of data set `name` to a checkpoint that was trained on pictures of `size` in `num_classes` classes,
/// the names of which it remembers if they were found in a folder.
///
/// # Errors
/// An unknown name.
pub fn recall(name: &str, size: ImageSize, num_classes: u32, names: &[String]) -> Result<DatasetSpec, DataError> {
    let spec = spec(name)?;
    if spec.fit == Fit::Exact {
        return Ok(spec);
    }
    let names = if names.is_empty() { spec.class_names.clone() } else { ClassNames::Found(names.into()) };
    Ok(sized(&spec, size, names, num_classes))
}

/// Loads data set `name` (see [`spec`]) and checks it. Its official files, gzipped or not, are looked for in the folder
/// `dir` and in `dir/<name>` ([`super::files`]); embedded data sets need no `dir` and do not look at it.
///
/// # Errors
/// As [`open`].
pub fn load(name: &str, dir: Option<&Path>) -> Result<Dataset, DataError> {
    open(&spec_in(name, dir, None)?, dir)
}

/// Loads the data set that `spec` describes, from `dir` (see [`load`]). Pictures in folders are listed only.
///
/// # Errors
/// No folder, a missing or unreadable file, or anything wrong in one.
pub fn open(spec: &DatasetSpec, dir: Option<&Path>) -> Result<Dataset, DataError> {
    let known = find(spec.name)?;
    match (known.format, dir) {
        (Format::Embedded, _) => mnist::embedded(),
        (Format::Folder, None) => Err(DataError::NeedsPictures { name: spec.name }),
        (_, None) => Err(DataError::NeedsFolder { name: spec.name }),
        (_, Some(dir)) => from_folder(known, spec, dir),
    }
}

/// A browser has no folders: there, pages hand the bytes of files to [`read`].
#[cfg(target_arch = "wasm32")]
fn from_folder(_: &Known, _: &DatasetSpec, dir: &Path) -> Result<Dataset, DataError> {
    Err(DataError::NotAFolder { path: dir.display().to_string() })
}

/// As [`from_folder`].
#[cfg(target_arch = "wasm32")]
fn look(_: &Known, dir: &Path, _: Option<ImageSize>) -> Result<DatasetSpec, DataError> {
    Err(DataError::NotAFolder { path: dir.display().to_string() })
}

/// The places of the files of data set `name` in `dir`.
#[cfg(not(target_arch = "wasm32"))]
pub(super) fn places(name: &str, dir: &Path) -> Result<super::files::Places, DataError> {
    let known = find(name)?;
    super::files::Places::new(dir, known.spec.name, known.names, known.inner)
}

/// The folders of data set `name`, a folder of pictures, in `dir`.
#[cfg(not(target_arch = "wasm32"))]
pub(super) fn layout(name: &str, dir: &Path) -> Result<super::folder::Layout, DataError> {
    super::folder::Layout::find(find(name)?.spec.name, places(name, dir)?.folders())
}

#[cfg(not(target_arch = "wasm32"))]
fn look(known: &Known, dir: &Path, size: Option<ImageSize>) -> Result<DatasetSpec, DataError> {
    layout(known.spec.name, dir)?.describe(&known.spec, size)
}

#[cfg(not(target_arch = "wasm32"))]
fn from_folder(known: &Known, spec: &DatasetSpec, dir: &Path) -> Result<Dataset, DataError> {
    if known.format == Format::Folder {
        let [train, test] = layout(known.spec.name, dir)?.pictures(spec)?.map(super::Pictures::Files);
        return Ok(Dataset { spec: spec.clone(), train, test });
    }
    read(spec, &places(known.spec.name, dir)?)
}

/// Official files of a data set, wherever they are.
pub trait Files {
    /// Whether there is a file of this official name, gzipped or not.
    fn has(&self, file: &str) -> bool;

    /// Opens it.
    ///
    /// # Errors
    /// [`DataError::MissingFile`], or a file that cannot be read.
    fn open(&self, file: &'static str) -> Result<Stream<'_>, DataError>;
}

/// Reads the data set that `spec` describes from its official files and checks it.
///
/// # Errors
/// A missing or unreadable file, or anything wrong in one; a data set that is a folder of pictures.
pub fn read(spec: &DatasetSpec, from: &impl Files) -> Result<Dataset, DataError> {
    match find(spec.name)?.format {
        Format::Embedded => mnist::embedded(),
        Format::Idx => {
            let [a, b, c, d] = mnist::FILES.map(|file| from.open(file));
            mnist::parse(spec, [a?, b?, c?, d?])
        }
        Format::Cifar { train, test } => {
            let open = |file: &&'static str| from.open(file);
            cifar::parse(spec, train.iter().map(open), test.iter().map(open))
        }
        Format::Svhn => {
            let extra = from.has(svhn::EXTRA).then(|| from.open(svhn::EXTRA)).transpose()?;
            svhn::parse(from.open(svhn::TRAIN)?, extra, from.open(svhn::TEST)?)
        }
        Format::Stl10 => {
            let [a, b, c, d] = stl10::FILES.map(|file| from.open(file));
            stl10::parse([a?, b?, c?, d?])
        }
        Format::Folder => Err(DataError::NeedsPictures { name: spec.name }),
    }
}

#[cfg(test)]
#[path = "registry_tests.rs"]
mod tests;
