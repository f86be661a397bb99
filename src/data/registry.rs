//! The data sets by name, and where their files are looked for.

use std::path::Path;

use super::dataset::{Dataset, DatasetSpec};
use super::error::DataError;
use super::mnist;

/// The names that `--dataset` takes.
pub const NAMES: [&str; 2] = [mnist::MNIST_MINI.name, mnist::MNIST.name];

/// What is known of data set `name` without its files; the case of the letters does not matter (the published
/// program writes `MNIST`).
///
/// # Errors
/// An unknown name; the message lists the known ones.
pub fn spec(name: &str) -> Result<DatasetSpec, DataError> {
    [mnist::MNIST_MINI, mnist::MNIST]
        .into_iter()
        .find(|spec| spec.name.eq_ignore_ascii_case(name))
        .ok_or_else(|| DataError::UnknownDataset { name: name.into() })
}

/// Loads data set `name` (see [`spec`]) and checks it. Its official files, gzipped or not, are looked for in the folder
/// `dir`, in `dir/<name>` (also in capitals), and in `raw` in those; embedded data sets need no `dir` and do not look at it.
///
/// # Errors
/// An unknown name, no folder, a missing or unreadable file, or anything wrong in one.
pub fn load(name: &str, dir: Option<&Path>) -> Result<Dataset, DataError> {
    let spec = spec(name)?;
    if spec.name == mnist::MNIST_MINI.name {
        return mnist::embedded();
    }
    let dir = dir.ok_or(DataError::NeedsFolder { name: spec.name, file: mnist::FILES[0] })?;
    from_folder(spec, dir)
}

/// A browser has no folders: there, pages hand the bytes of files to [`mnist::parse`].
#[cfg(target_arch = "wasm32")]
fn from_folder(_: DatasetSpec, dir: &Path) -> Result<Dataset, DataError> {
    Err(DataError::NotAFolder { path: dir.display().to_string() })
}

#[cfg(not(target_arch = "wasm32"))]
fn from_folder(spec: DatasetSpec, dir: &Path) -> Result<Dataset, DataError> {
    if !dir.is_dir() {
        return Err(DataError::NotAFolder { path: dir.display().to_string() });
    }
    let [a, b, c, d] = mnist::FILES.map(|file| find(spec.name, dir, file));
    mnist::parse(spec, [a?, b?, c?, d?])
}

/// Reads `file` or `file.gz` from the first of the folders that has it.
#[cfg(not(target_arch = "wasm32"))]
fn find(name: &'static str, dir: &Path, file: &'static str) -> Result<mnist::Source<'static>, DataError> {
    let (small, large) = (dir.join(name), dir.join(name.to_ascii_uppercase()));
    let folders = [dir.to_path_buf(), small.clone(), large.clone(), small.join("raw"), large.join("raw")];
    let mut candidates = folders.iter().flat_map(|folder| [folder.join(file), folder.join(format!("{file}.gz"))]);
    // Some archives unpack each file into a folder of the same name, so being there is not enough.
    let Some(path) = candidates.find(|path| path.is_file()) else {
        let looked: Vec<_> = folders.iter().map(|folder| folder.display().to_string()).collect();
        return Err(DataError::MissingFile { name, file, looked: looked.join(", ") });
    };
    let shown = path.display().to_string();
    match std::fs::read(&path) {
        Ok(bytes) => Ok(mnist::Source { path: shown, bytes: bytes.into() }),
        Err(reason) => Err(DataError::Unreadable { path: shown, reason }),
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
    fn names_are_those_of_the_specs_in_any_case() {
        for name in NAMES {
            assert_eq!(spec(name).unwrap().name, name);
        }
        assert_eq!(spec("MNIST").unwrap(), mnist::MNIST);
        assert_eq!(load("Mnist-Mini", None).unwrap().name, "mnist-mini");
    }

    #[test]
    fn an_unknown_name_lists_the_known() {
        assert_eq!(message("minst", None), "unknown data set \"minst\"; the known ones are mnist-mini, mnist");
    }

    #[test]
    fn mnist_asks_for_its_folder() {
        assert_eq!(
            message("MNIST", None),
            "data set mnist is read from files: give --data DIR, the folder of train-images-idx3-ubyte (or \
             train-images-idx3-ubyte.gz) and its companions; mnist-mini needs no files"
        );
    }

    #[test]
    fn files_are_found_in_every_place_gzipped_or_not() {
        for place in ["", "mnist", "MNIST", "mnist/raw", "MNIST/raw"] {
            for gzipped in [false, true] {
                let dir = tempfile::tempdir().unwrap();
                write(&dir.path().join(place), gzipped);
                let data = load("mnist", Some(dir.path())).unwrap();
                assert_eq!((data.train.labels, data.test.labels), (vec![1, 2, 3], vec![4, 5]), "{place} {gzipped}");
            }
        }
    }

    #[test]
    fn a_missing_file_is_named_with_the_places() {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), false);
        fs::remove_file(dir.path().join(mnist::FILES[2])).unwrap();
        // A folder of that name is not the file.
        fs::create_dir(dir.path().join(mnist::FILES[2])).unwrap();
        let places = ["mnist", "MNIST", "mnist/raw", "MNIST/raw"].map(|place| {
            let path = place.split('/').fold(dir.path().to_path_buf(), |path, part| path.join(part));
            format!(", {}", path.display())
        });
        assert_eq!(
            message("mnist", Some(dir.path())),
            format!(
                "data set mnist lacks its file t10k-images-idx3-ubyte, gzipped (t10k-images-idx3-ubyte.gz) or not; \
                 looked in {}{}; give the folder that holds it with --data DIR",
                dir.path().display(),
                places.concat()
            )
        );
    }

    #[test]
    fn a_folder_that_is_none_is_said_to_be_none() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("nowhere");
        let expected =
            format!("{}: is not a folder; --data takes the folder that holds the data set's files", path.display());
        assert_eq!(message("mnist", Some(&path)), expected);
        fs::write(&path, "a file").unwrap();
        assert_eq!(message("mnist", Some(&path)), expected);
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
