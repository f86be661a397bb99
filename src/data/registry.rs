//! The data sets by name, and how each is loaded.

use std::path::Path;

use super::dataset::{Dataset, DatasetSpec};
use super::error::DataError;
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

static KNOWN: [Known; 8] = [
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

/// What is known of data set `name` without its files. The published program's names (`MNIST`, `KuzushijiMNIST`) do as
/// well, and the case of the letters does not matter.
///
/// # Errors
/// An unknown name; the message lists the known ones.
pub fn spec(name: &str) -> Result<DatasetSpec, DataError> {
    find(name).map(|known| known.spec.clone())
}

/// Loads data set `name` (see [`spec`]) and checks it. Its official files, gzipped or not, are looked for in the folder
/// `dir` and in `dir/<name>` ([`super::files`]); embedded data sets need no `dir` and do not look at it.
///
/// # Errors
/// An unknown name, no folder, a missing or unreadable file, or anything wrong in one.
pub fn load(name: &str, dir: Option<&Path>) -> Result<Dataset, DataError> {
    let known = find(name)?;
    if known.format == Format::Embedded {
        return mnist::embedded();
    }
    let dir = dir.ok_or(DataError::NeedsFolder { name: known.spec.name })?;
    from_folder(known, dir)
}

/// A browser has no folders: there, pages hand the bytes of files to [`mnist::parse`] and its like.
#[cfg(target_arch = "wasm32")]
fn from_folder(_: &Known, dir: &Path) -> Result<Dataset, DataError> {
    Err(DataError::NotAFolder { path: dir.display().to_string() })
}

#[cfg(not(target_arch = "wasm32"))]
fn from_folder(known: &Known, dir: &Path) -> Result<Dataset, DataError> {
    let places = super::files::Places::new(dir, known.spec.name, known.names, known.inner)?;
    match known.format {
        Format::Embedded => mnist::embedded(),
        Format::Idx => {
            let [a, b, c, d] = mnist::FILES.map(|file| places.open(file));
            mnist::parse(&known.spec, [a?, b?, c?, d?])
        }
        Format::Cifar { train, test } => {
            let open = |file: &&'static str| places.open(file);
            cifar::parse(&known.spec, train.iter().map(open), test.iter().map(open))
        }
        Format::Svhn => {
            let extra = places.find(svhn::EXTRA).map(|_| places.open(svhn::EXTRA)).transpose()?;
            svhn::parse(places.open(svhn::TRAIN)?, extra, places.open(svhn::TEST)?)
        }
        Format::Stl10 => {
            let [a, b, c, d] = stl10::FILES.map(|file| places.open(file));
            stl10::parse([a?, b?, c?, d?])
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
        let published = ["MNIST", "FashionMNIST", "KuzushijiMNIST", "CIFAR10", "CIFAR100", "SVHN", "STL10"];
        let ours = ["mnist", "fashion-mnist", "kmnist", "cifar10", "cifar100", "svhn", "stl10"];
        for (published, ours) in published.into_iter().zip(ours) {
            assert_eq!(spec(published).unwrap().name, ours);
            assert_eq!(spec(&published.to_ascii_lowercase()).unwrap().name, ours);
        }
    }

    #[test]
    fn every_spec_is_whole() {
        for name in names() {
            let spec = spec(name).unwrap();
            assert_eq!(spec.class_names.len(), spec.num_classes as usize, "{name}");
            let channels = spec.channels as usize;
            assert_eq!((spec.mean.len(), spec.std.len()), (channels, channels), "{name}");
        }
    }

    #[test]
    fn an_unknown_name_lists_the_known() {
        assert_eq!(
            message("minst", None),
            "unknown data set \"minst\"; the known ones are mnist-mini, mnist, fashion-mnist, kmnist, cifar10, cifar100, svhn, \
             stl10"
        );
    }

    #[test]
    fn a_data_set_of_files_asks_for_its_folder() {
        assert_eq!(
            message("CIFAR10", None),
            "data set cifar10 is read from files: give their folder with --data DIR; \
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
                assert_eq!((data.train.labels, data.test.labels), (vec![1, 2, 3], vec![4, 5]), "{place} {gzipped}");
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
        assert_eq!((whole.train.n, whole.test.n), (60_000, 10_000));
        for (mut whole, mini) in [(whole.train, mini.train), (whole.test, mini.test)] {
            whole.limit(mini.n);
            assert!(whole == mini);
        }
    }
}
