//! The data sets by name, and how each is loaded.

use std::path::Path;

use super::dataset::{ClassNames, Dataset, DatasetSpec, Fit};
use super::error::DataError;
use super::imagenet::{IMAGE_FOLDER, IMAGENET, sized};
use super::size::ImageSize;
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
/// `size` (`--image-size`) for the size of its pictures; ImageNet has 1,000 classes of 224 x 224 pixels also where no `dir` is
/// given.
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

/// What is known of data set `name` to a checkpoint that was trained on pictures of `size` in `num_classes` classes, the names
/// of which it remembers if they were found in a folder.
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

/// A browser has no folders: there, pages hand the bytes of files to [`mnist::parse`] and its like.
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
    let places = places(known.spec.name, dir)?;
    match known.format {
        Format::Embedded => mnist::embedded(),
        Format::Idx => {
            let [a, b, c, d] = mnist::FILES.map(|file| places.open(file));
            mnist::parse(spec, [a?, b?, c?, d?])
        }
        Format::Cifar { train, test } => {
            let open = |file: &&'static str| places.open(file);
            cifar::parse(spec, train.iter().map(open), test.iter().map(open))
        }
        Format::Svhn => {
            let extra = places.find(svhn::EXTRA).map(|_| places.open(svhn::EXTRA)).transpose()?;
            svhn::parse(places.open(svhn::TRAIN)?, extra, places.open(svhn::TEST)?)
        }
        Format::Stl10 => {
            let [a, b, c, d] = stl10::FILES.map(|file| places.open(file));
            stl10::parse([a?, b?, c?, d?])
        }
        Format::Folder => {
            let [train, test] = layout(known.spec.name, dir)?.pictures(spec)?.map(super::Pictures::Files);
            Ok(Dataset { spec: spec.clone(), train, test })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{gzip, images_file, labels_file};
    use super::*;
    use std::fs;
    use std::io::Write;

    /// A tiny data set in `folder`, gzipped or not.
    fn write(folder: &Path, gzipped: bool) {
        fs::create_dir_all(folder).unwrap();
        let put = |file: &str, bytes: Vec<u8>| {
            let (name, bytes) = if gzipped { (format!("{file}.gz"), gzip(&bytes)) } else { (file.into(), bytes) };
            fs::write(folder.join(name), bytes).unwrap();
        };
        put(mnist::FILES[0], images_file(3, 28, 28));
        put(mnist::FILES[1], labels_file(&[1, 2, 3]));
        put(mnist::FILES[2], images_file(2, 28, 28));
        put(mnist::FILES[3], labels_file(&[4, 5]));
    }

    fn message(name: &str, dir: Option<&Path>) -> String {
        load(name, dir).unwrap_err().to_string()
    }

    #[test]
    fn the_published_names_and_ours_are_known_in_any_case() {
        for name in names() {
            assert_eq!(spec(name).unwrap().name, name);
            assert_eq!(spec(&name.to_ascii_uppercase()).unwrap().name, name);
        }
        let published = ["MNIST", "FashionMNIST", "KuzushijiMNIST", "CIFAR10", "CIFAR100", "SVHN", "STL10", "ImageNet"];
        let ours = ["mnist", "fashion-mnist", "kmnist", "cifar10", "cifar100", "svhn", "stl10", "imagenet"];
        for (published, ours) in published.into_iter().zip(ours) {
            assert_eq!(spec(published).unwrap().name, ours);
            assert_eq!(spec(&published.to_ascii_lowercase()).unwrap().name, ours);
        }
    }

    #[test]
    fn every_spec_is_whole() {
        for name in names() {
            let spec = spec(name).unwrap();
            if spec.fit == Fit::Exact {
                assert_eq!(spec.class_names.len(), spec.num_classes as usize, "{name}");
            }
            let channels = spec.channels as usize;
            assert_eq!((spec.mean.len(), spec.std.len()), (channels, channels), "{name}");
        }
    }

    #[test]
    fn an_unknown_name_lists_the_known() {
        assert_eq!(
            message("minst", None),
            "unknown data set \"minst\"; the known ones are mnist-mini, mnist, fashion-mnist, kmnist, cifar10, cifar100, svhn, \
             stl10, imagenet, image-folder"
        );
    }

    #[test]
    fn a_data_set_of_files_asks_for_its_folder() {
        assert_eq!(
            message("CIFAR10", None),
            "data set cifar10 is read from files: give their folder with --data DIR, `predsim data fetch cifar10` gets them; \
             --dataset mnist-mini and --recipe quickstart need no files"
        );
    }

    #[test]
    fn files_are_read_gzipped_or_not() {
        for (name, place) in
            [("mnist", ""), ("mnist", "MNIST/raw"), ("fashion-mnist", "FashionMNIST"), ("kmnist", "kmnist")]
        {
            for gzipped in [false, true] {
                let dir = tempfile::tempdir().unwrap();
                write(&dir.path().join(place), gzipped);
                let data = load(name, Some(dir.path())).unwrap();
                assert_eq!(
                    (data.train.labels(), data.test.labels()),
                    (&[1, 2, 3][..], &[4, 5][..]),
                    "{place} {gzipped}"
                );
            }
        }
    }

    #[test]
    fn what_is_wrong_in_a_file_is_said_with_its_path() {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), true);
        let path = dir.path().join("train-labels-idx1-ubyte.gz");
        fs::write(&path, gzip(&labels_file(&[1, 10, 3]))).unwrap();
        let path = path.display();
        assert_eq!(
            message("mnist", Some(dir.path())),
            format!("{path}: label 10 at index 1 is out of range; labels go from 0 to 9")
        );
    }

    #[test]
    fn folders_of_pictures_need_to_be_seen() {
        assert_eq!(spec_in("ImageNet", None, None).unwrap(), IMAGENET);
        let size = ImageSize { height: 64, width: 96 };
        let small = spec_in("imagenet", None, Some(size)).unwrap();
        assert_eq!((small.size(), small.num_classes), (size, 1000));
        let error = spec_in("image-folder", None, Some(size)).unwrap_err().to_string();
        assert!(error.starts_with("data set image-folder is read from picture files: give their folder"), "{error}");
        let names = ["cat".to_owned(), "owl".to_owned()];
        let known = recall("image-folder", size, 2, &names).unwrap();
        assert_eq!((known.size(), known.num_classes, known.class_names.get(1)), (size, 2, Some("owl")));
        assert_eq!(recall("cifar10", size, 2, &names).unwrap(), cifar::CIFAR10);
    }

    #[test]
    fn pictures_of_a_fixed_size_are_not_resized() {
        let size = ImageSize { height: 64, width: 64 };
        assert_eq!(
            spec_in("cifar10", None, Some(size)).unwrap_err().to_string(),
            "--image-size: pictures of cifar10 are 32 as they are; only those of imagenet and image-folder are resized"
        );
        assert_eq!(spec_in("stl10", None, Some(ImageSize { height: 96, width: 96 })).unwrap(), stl10::STL10);
    }

    /// The official files, where the machine has them.
    #[test]
    fn the_whole_mnist_loads_and_begins_with_the_embedded_part() {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data");
        if !dir.is_dir() {
            // Not eprintln: the test runner hides that of tests that pass.
            writeln!(std::io::stderr(), "SKIPPED: the whole MNIST is not checked, no folder {}", dir.display())
                .unwrap();
            return;
        }
        let (whole, mini) = (load("mnist", Some(&dir)).unwrap(), mnist::embedded().unwrap());
        assert_eq!((whole.train.n(), whole.test.n()), (60_000, 10_000));
        for (mut whole, mini) in [(whole.train, mini.train), (whole.test, mini.test)] {
            whole.limit(mini.n());
            assert!(whole == mini);
        }
    }
}
