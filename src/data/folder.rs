//! Pictures in folders: `train/` and `val/` or `test/`, with one subfolder a class; ImageNet and anything like it.
//!
//! Any format of the `image` crate will do. Classes are numbered in the order of their names. The pictures of a split
//! are put in a random order that is always the same, so that the first N of them (`--limit-train N`) are of all
//! classes. They are decoded as they are needed ([`super::prefetch`]) and brought to one size ([`super::fit`]).

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use image::{ImageFormat, ImageReader};

use super::dataset::{ClassNames, DatasetSpec, Fit};
use super::error::DataError;
use super::fit::Part;
use super::imagenet::sized;
use super::picture::decode_rgb;
use super::size::ImageSize;
use super::walk::Draw;
use crate::rng::{Purpose, bits};

/// Names of the folder of test pictures, in the order in which they are looked for: ImageNet has no labels for its `test`.
const TEST: [&str; 2] = ["val", "test"];

/// The folders of a data set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    train: PathBuf,
    test: PathBuf,
    classes: Arc<[String]>,
}

impl Layout {
    /// Finds `train/` and its classes in the first of `folders` that has it. `name` is the data set's.
    ///
    /// # Errors
    /// No such folder, none of test pictures beside it, fewer than two classes.
    pub fn find(name: &'static str, folders: &[PathBuf]) -> Result<Self, DataError> {
        let Some(folder) = folders.iter().find(|folder| folder.join("train").is_dir()) else {
            let there = folders.iter().filter(|folder| folder.is_dir());
            let looked = there.map(|folder| folder.display().to_string()).collect::<Vec<_>>().join(", ");
            return Err(DataError::NoPictures { name, looked, problem: "there is no folder train".into() });
        };
        let train = folder.join("train");
        let problem = |problem: String| DataError::NoPictures { name, looked: folder.display().to_string(), problem };
        let test = TEST.iter().map(|test| folder.join(test)).find(|test| test.is_dir());
        let test = test.ok_or_else(|| problem("beside train there is neither val nor test".into()))?;
        let classes = subfolders(&train)?;
        if classes.len() < 2 {
            return Err(problem(format!(
                "train has {} subfolders, one a class, and needs two at least",
                classes.len()
            )));
        }
        Ok(Self { train, test, classes: classes.into() })
    }

    /// What is known of the data set `base` now, for pictures of `size`.
    ///
    /// # Errors
    /// Without a `size` where `base` has none, the first picture's is taken, which may be unreadable.
    pub fn describe(&self, base: &DatasetSpec, size: Option<ImageSize>) -> Result<DatasetSpec, DataError> {
        let size = match size {
            Some(size) => size,
            None if base.height > 0 => base.size(),
            None => self.first_size()?,
        };
        Ok(sized(base, size, ClassNames::Found(self.classes.clone()), self.classes()))
    }

    /// The folder of training pictures.
    pub fn train(&self) -> &Path {
        &self.train
    }

    /// How many classes there are.
    pub fn classes(&self) -> u32 {
        self.classes.len() as u32
    }

    fn first_size(&self) -> Result<ImageSize, DataError> {
        let class = self.train.join(&self.classes[0]);
        let path = class.join(&pictures_in(&class)?[0]);
        let shown = path.display().to_string();
        let reader = ImageReader::open(&path).and_then(ImageReader::with_guessed_format);
        let reader = reader.map_err(|reason| DataError::Unreadable { path: shown.clone(), reason })?;
        let (width, height) = reader.into_dimensions().map_err(|error| DataError::not_a_picture(&path, &error))?;
        if width.max(height) > ImageSize::MAX {
            return Err(DataError::TooLarge { path: shown, height, width });
        }
        Ok(ImageSize { height, width })
    }

    /// The pictures of the training and of the test set, as `spec` wants them.
    ///
    /// # Errors
    /// A class without pictures, a class of the test set that the training set does not have, an unreadable folder.
    pub fn pictures(&self, spec: &DatasetSpec) -> Result<[PictureFiles; 2], DataError> {
        let all: Vec<u32> = (0..self.classes.len() as u32).collect();
        let train = PictureFiles::list(&self.train, &self.classes, &all, spec)?;
        let label = |class: &String| match self.classes.binary_search(class) {
            Ok(label) => Ok(label as u32),
            Err(_) => {
                let path = self.test.join(class).display().to_string();
                Err(DataError::UnknownClass { path, train: self.train.display().to_string() })
            }
        };
        let classes = subfolders(&self.test)?;
        let labels = classes.iter().map(label).collect::<Result<Vec<u32>, _>>()?;
        Ok([train, PictureFiles::list(&self.test, &classes, &labels, spec)?])
    }
}

/// The pictures of a split, each in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PictureFiles {
    /// Classes, `[N]`.
    pub labels: Vec<u32>,
    size: ImageSize,
    fit: Fit,
    /// Names of the files, `[N]`.
    names: Arc<[OsString]>,
    /// The folder of each class.
    folders: Arc<[PathBuf]>,
}

impl PictureFiles {
    fn list(folder: &Path, classes: &[String], labels: &[u32], spec: &DatasetSpec) -> Result<Self, DataError> {
        let mut folders = vec![PathBuf::new(); spec.num_classes as usize];
        let mut all = Vec::new();
        for (class, &label) in classes.iter().zip(labels) {
            let path = folder.join(class);
            all.extend(pictures_in(&path)?.into_iter().map(|name| (label, name)));
            folders[label as usize] = path;
        }
        // The epoch is one that no run comes to.
        let key = |index: usize| bits(0, Purpose::Shuffle, u64::MAX, index as u64);
        let mut keyed: Vec<_> = all.into_iter().enumerate().map(|(index, picture)| (key(index), picture)).collect();
        keyed.sort_unstable();
        let (labels, names): (Vec<u32>, Vec<OsString>) = keyed.into_iter().map(|(_, picture)| picture).unzip();
        Ok(Self { labels, size: spec.size(), fit: spec.fit, names: names.into(), folders: folders.into() })
    }

    /// Keeps the first `n` pictures.
    pub fn limit(&mut self, n: u32) {
        self.labels.truncate(n as usize);
    }

    /// Bytes of a picture: H·W·3.
    pub fn image_len(&self) -> usize {
        3 * self.size.height as usize * self.size.width as usize
    }

    /// Picture `index` as `[H, W, 3]`: with `draw` as training has it, else as evaluation does.
    ///
    /// # Errors
    /// A file that cannot be read or is no picture.
    pub fn decode(&self, index: u32, draw: Option<Draw>) -> Result<Vec<u8>, DataError> {
        let (label, name) = (self.labels[index as usize], &self.names[index as usize]);
        let picture = decode_rgb(&self.folders[label as usize].join(name))?;
        let whole = ImageSize { height: picture.height(), width: picture.width() };
        let part = match draw {
            Some(draw) if self.fit == Fit::ResizedCrop => Part::random(whole, draw, index),
            _ => Part::middle(whole, self.size, self.fit),
        };
        Ok(part.resized(&picture, self.size))
    }
}

/// Names of the folders in `folder`, sorted; hidden ones do not count.
fn subfolders(folder: &Path) -> Result<Vec<String>, DataError> {
    let mut names: Vec<String> = entries(folder)?
        .into_iter()
        .filter(|entry| entry.path().is_dir())
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .filter(|name| !name.starts_with('.'))
        .collect();
    names.sort_unstable();
    Ok(names)
}

/// Names of the pictures in a class's folder, sorted; at least one. What is a picture is known by the ending.
fn pictures_in(folder: &Path) -> Result<Vec<OsString>, DataError> {
    let is_picture = |name: &OsString| ImageFormat::from_path(name).is_ok_and(|format| format.reading_enabled());
    let mut names: Vec<OsString> = entries(folder)?
        .into_iter()
        .map(|entry| entry.file_name())
        .filter(|name| !name.as_encoded_bytes().starts_with(b"."))
        .filter(is_picture)
        .collect();
    names.sort_unstable();
    if names.is_empty() {
        return Err(DataError::Empty { path: folder.display().to_string(), content: "pictures" });
    }
    Ok(names)
}

fn entries(folder: &Path) -> Result<Vec<fs::DirEntry>, DataError> {
    let read = || fs::read_dir(folder)?.collect::<Result<Vec<_>, _>>();
    read().map_err(|reason| DataError::Unreadable { path: folder.display().to_string(), reason })
}

#[cfg(test)]
#[path = "folder_tests.rs"]
mod tests;
