//! Where the official files of a data set are looked for.
//!
//! A user's folder may be that of one data set or of many, and may have been filled by hand, by
//! torchvision, or by unpacking an official archive. So a file is looked for in `DIR/<name>`, under each name that the
//! data set goes by, and in `DIR` itself, and in each of these also in the folder that torchvision or the archive
//! makes. The data set's own folder comes first: MNIST and its relatives have files of the same names.

use std::path::{Path, PathBuf};

use super::error::DataError;
use super::registry::Files;
use super::stream::Stream;

/// The places of a data set's files.
#[derive(Debug)]
pub struct Places {
    name: &'static str,
    folders: Vec<PathBuf>,
}

impl Places {
    /// Places for data set `name`, which also goes by `names`, in the user's folder `dir`; `inner` are the names of the
    /// folders in which the files may lie.
    ///
    /// # Errors
    /// [`DataError::NotAFolder`].
    pub fn new(dir: &Path, name: &'static str, names: &[&str], inner: &[&str]) -> Result<Self, DataError> {
        if !dir.is_dir() {
            return Err(DataError::NotAFolder { path: dir.display().to_string() });
        }
        let own = std::iter::once(&name).chain(names).map(|name| dir.join(name));
        let with_inner = |folder: PathBuf| {
            let inside = inner.iter().map(|inner| folder.join(inner)).collect::<Vec<_>>();
            std::iter::once(folder).chain(inside)
        };
        let folders = own.chain([dir.to_path_buf()]).flat_map(with_inner).collect();
        Ok(Self { name, folders })
    }

    /// Folders that are looked in, in order.
    pub fn folders(&self) -> &[PathBuf] {
        &self.folders
    }

    /// The path of `file`, or of `file.gz`, in the first folder that has either.
    pub fn find(&self, file: &str) -> Option<PathBuf> {
        let candidates = self.folders.iter().flat_map(|folder| [folder.join(file), folder.join(format!("{file}.gz"))]);
        // Some archives unpack each file into a folder of the same name, so being there is not enough.
        candidates.into_iter().find(|path| path.is_file())
    }

    /// The folders that there are, for errors.
    fn looked(&self) -> String {
        let there = self.folders.iter().filter(|folder| folder.is_dir());
        there.map(|folder| folder.display().to_string()).collect::<Vec<_>>().join(", ")
    }
}

impl Files for Places {
    fn has(&self, file: &str) -> bool {
        self.find(file).is_some()
    }

    fn open(&self, file: &'static str) -> Result<Stream<'_>, DataError> {
        match self.find(file) {
            Some(path) => Stream::open(&path),
            None => Err(DataError::MissingFile { name: self.name, file, looked: self.looked() }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn places(dir: &Path) -> Places {
        Places::new(dir, "kmnist", &["KuzushijiMNIST"], &["raw"]).unwrap()
    }

    #[test]
    fn a_file_is_found_in_every_place_and_its_own_folder_comes_first() {
        let order = ["kmnist", "kmnist/raw", "KuzushijiMNIST", "KuzushijiMNIST/raw", "", "raw"];
        let dir = tempfile::tempdir().unwrap();
        for place in order.iter().rev() {
            let folder = dir.path().join(place);
            fs::create_dir_all(&folder).unwrap();
            for file in ["file.gz", "file"] {
                fs::write(folder.join(file), place).unwrap();
                assert_eq!(places(dir.path()).find("file"), Some(folder.join(file)), "{place}");
            }
        }
    }

    #[test]
    fn a_missing_file_is_named_with_the_places() {
        let dir = tempfile::tempdir().unwrap();
        // A folder of that name is not the file.
        fs::create_dir_all(dir.path().join("kmnist/file")).unwrap();
        let shown = dir.path().display();
        assert_eq!(
            places(dir.path()).open("file").unwrap_err().to_string(),
            format!(
                "data set kmnist lacks its file file, gzipped (file.gz) or not; looked in {shown}/kmnist, {shown}; give the \
                 folder that holds it with --data DIR"
            )
        );
    }

    #[test]
    fn a_folder_that_is_none_is_said_to_be_none() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("nowhere");
        let message = || Places::new(&path, "kmnist", &[], &[]).unwrap_err().to_string();
        let expected =
            format!("{}: is not a folder; --data takes the folder that holds the data set's files", path.display());
        assert_eq!(message(), expected);
        fs::write(&path, "a file").unwrap();
        assert_eq!(message(), expected);
    }
}
