//! Data sets of the page: the embedded digits, official files and folders of pictures that the user gives.

use js_sys::{Array, Uint8Array};
use serde::Serialize;
use wasm_bindgen::prelude::wasm_bindgen;

use crate::data::registry::{self, Files};
use crate::data::{DataError, Dataset, DatasetSpec, ImageSize, Pictures, Split, Stream};
use crate::run::{RunError, TrainFlags, engine};

use super::error::{WebError, from_json, to_json};

/// A data set. It stays in memory for as long as the worker that made it, which is made for one data set and ended with
/// it: a session borrows it, and JavaScript knows no lifetimes.
#[wasm_bindgen]
#[derive(Debug, Clone, Copy)]
pub struct Data {
    pub(super) set: &'static Dataset,
}

/// What the page has to know of a data set.
#[derive(Debug, Serialize)]
struct Description {
    name: &'static str,
    classes: Vec<String>,
    height: u32,
    width: u32,
    channels: u32,
    train: u32,
    test: u32,
}

#[wasm_bindgen]
impl Data {
    /// The data set that `settings` (flags of `predsim train` as a JSON object) name, with the limits that they set.
    /// Official files, gzipped or not and in any order, come as `names` and `files` (`Uint8Array`) of equal length; the
    /// embedded digits need none.
    ///
    /// # Errors
    /// `usage`: the settings are wrong, a file is missing or is not what its name says.
    pub fn open(settings: &str, names: Vec<String>, files: Array) -> Result<Data, WebError> {
        let flags: TrainFlags = from_json(settings)?;
        let spec = registry::spec(flags.dataset.as_deref().unwrap_or_default())?;
        let set = registry::read(&spec, &Given { name: spec.name, names, files })?;
        Ok(Self::keep(set, &flags))
    }

    /// A folder of pictures, all of one size: the names of its classes, and for training and test the bytes `[N, H, W, 3]`
    /// and labels `[N]`.
    ///
    /// # Errors
    /// `usage`: the settings are wrong, there is no picture to learn from or to test on, or a size or label does not fit.
    #[expect(clippy::too_many_arguments, reason = "JavaScript's side of it is one call with named variables")]
    pub fn of_pictures(
        settings: &str,
        classes: Vec<String>,
        height: u32,
        width: u32,
        train: Vec<u8>,
        train_labels: Vec<u32>,
        test: Vec<u8>,
        test_labels: Vec<u32>,
    ) -> Result<Data, WebError> {
        let flags: TrainFlags = from_json(settings)?;
        let name = flags.dataset.as_deref().unwrap_or_default();
        let spec = registry::recall(name, ImageSize { height, width }, classes.len() as u32, &classes)?;
        let train = split(&spec, "training", train, train_labels)?;
        let test = split(&spec, "test", test, test_labels)?;
        Ok(Self::keep(Dataset { spec, train, test }, &flags))
    }

    fn keep(mut set: Dataset, flags: &TrainFlags) -> Self {
        engine::limit(&mut set, flags.limit_train, flags.limit_test);
        Self { set: Box::leak(Box::new(set)) }
    }

    /// Name, classes and sizes, as JSON.
    ///
    /// # Errors
    /// None in practice.
    pub fn describe(&self) -> Result<String, WebError> {
        let Dataset { spec, train, test } = self.set;
        let name = |class: u32| spec.class_names.get(class as usize).map_or_else(|| class.to_string(), str::to_owned);
        to_json(&Description {
            name: spec.name,
            classes: (0..spec.num_classes).map(name).collect(),
            height: spec.height,
            width: spec.width,
            channels: spec.channels,
            train: train.n(),
            test: test.n(),
        })
    }

    /// At most `most` test samples, equally many of each class where there are, one class after the other: what the
    /// page looks at again and again.
    pub fn probe(&self, most: u32) -> Vec<u32> {
        let (labels, classes) = (self.set.test.labels(), self.set.spec.num_classes);
        let each = (most / classes.max(1)).max(1) as usize;
        let of_class = |class: u32| {
            let with_label = labels.iter().enumerate().filter(move |&(_, &label)| label == class);
            with_label.map(|(index, _)| index as u32).take(each)
        };
        (0..classes).flat_map(of_class).take(most as usize).collect()
    }

    /// Classes of test samples.
    ///
    /// # Errors
    /// `usage`: there is no such sample.
    pub fn labels(&self, indices: &[u32]) -> Result<Vec<u32>, WebError> {
        let labels = self.set.test.labels();
        let label = |&index: &u32| labels.get(index as usize).copied().ok_or_else(|| no_sample(index));
        indices.iter().map(label).collect()
    }

    /// Bytes `[H, W, C]` of a test sample.
    ///
    /// # Errors
    /// `usage`: there is no such sample.
    pub fn picture(&self, index: u32) -> Result<Vec<u8>, WebError> {
        let Pictures::Memory(split) = &self.set.test;
        if index >= split.n {
            return Err(no_sample(index));
        }
        Ok(split.image(index).to_vec())
    }
}

/// Files that the user gave.
struct Given {
    /// The data set that they are to be of.
    name: &'static str,
    names: Vec<String>,
    files: Array,
}

impl Given {
    fn find(&self, file: &str) -> Option<usize> {
        self.names.iter().position(|name| name.strip_suffix(".gz").unwrap_or(name) == file)
    }
}

impl Files for Given {
    fn has(&self, file: &str) -> bool {
        self.find(file).is_some()
    }

    fn open(&self, file: &'static str) -> Result<Stream<'_>, DataError> {
        let looked = || if self.names.is_empty() { "no files".to_owned() } else { self.names.join(", ") };
        let at = self.find(file).ok_or_else(|| DataError::MissingFile { name: self.name, file, looked: looked() })?;
        Ok(Stream::from_bytes(self.names[at].clone(), Uint8Array::from(self.files.get(at as u32)).to_vec()))
    }
}

/// Pictures of a folder, checked.
fn split(spec: &DatasetSpec, what: &str, images: Vec<u8>, labels: Vec<u32>) -> Result<Pictures, RunError> {
    let DatasetSpec { height, width, channels, num_classes, .. } = *spec;
    let n = labels.len() as u32;
    if n == 0 {
        return Err(RunError::usage(format!("the folder has no {what} pictures; at least one is needed")));
    }
    let split = Split { images, labels, n, height, width, channels };
    let (found, expected) = (split.images.len(), split.image_len() * n as usize);
    if found != expected {
        return Err(RunError::usage(format!("the {what} pictures have {found} bytes; they must have {expected}")));
    }
    match split.labels.iter().find(|&&label| label >= num_classes) {
        Some(label) => Err(RunError::usage(format!("label {label} is none of the {num_classes} classes"))),
        None => Ok(split.into()),
    }
}

fn no_sample(index: u32) -> WebError {
    RunError::usage(format!("there is no test sample {index}")).into()
}
