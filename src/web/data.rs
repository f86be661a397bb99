//! Data sets of the page: the embedded digits, official files and pictures that the user gives.

use js_sys::{Array, Uint8Array};
use serde::Serialize;
use wasm_bindgen::prelude::wasm_bindgen;

use crate::data::{DataError, Dataset, DatasetSpec, Split, Stream, mnist};
use crate::run::{RunError, Settings, engine};

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
    classes: &'static [&'static str],
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
    pub fn open(settings: &str, names: Vec<String>, files: &Array) -> Result<Data, WebError> {
        let settings = Settings::resolve(&from_json(settings)?)?;
        let mut set = match settings.spec.name {
            name if name == mnist::MNIST_MINI.name => mnist::embedded()?,
            _ => official(&settings.spec, &names, files)?,
        };
        engine::limit(&mut set, &settings);
        Ok(Self { set: Box::leak(Box::new(set)) })
    }

    /// Name, classes and sizes, as JSON.
    ///
    /// # Errors
    /// None in practice.
    pub fn describe(&self) -> Result<String, WebError> {
        let Dataset { name, spec, train, test } = self.set;
        to_json(&Description {
            name,
            classes: spec.class_names,
            height: spec.height,
            width: spec.width,
            channels: spec.channels,
            train: train.n,
            test: test.n,
        })
    }

    /// At most `most` test samples, equally many of each class where there are, one class after the other: what the
    /// page looks at again and again.
    pub fn probe(&self, most: u32) -> Vec<u32> {
        probe(&self.set.test, self.set.spec.num_classes, most)
    }

    /// Classes of test samples.
    ///
    /// # Errors
    /// `usage`: there is no such sample.
    pub fn labels(&self, indices: &[u32]) -> Result<Vec<u32>, WebError> {
        let label = |&index: &u32| self.set.test.labels.get(index as usize).copied().ok_or_else(|| no_sample(index));
        indices.iter().map(label).collect()
    }

    /// Bytes `[H, W, C]` of a test sample.
    ///
    /// # Errors
    /// `usage`: there is no such sample.
    pub fn picture(&self, index: u32) -> Result<Vec<u8>, WebError> {
        if index >= self.set.test.n {
            return Err(no_sample(index));
        }
        Ok(self.set.test.image(index).to_vec())
    }
}

/// MNIST, or a data set in its format, from its four files.
fn official(spec: &DatasetSpec, names: &[String], files: &Array) -> Result<Dataset, DataError> {
    let find = |wanted: &'static str| {
        let at = names.iter().position(|name| name.strip_suffix(".gz").unwrap_or(name) == wanted);
        let missing = || DataError::MissingFile { name: spec.name, file: wanted, looked: names.join(", ") };
        let at = at.ok_or_else(missing)?;
        Ok((names[at].clone(), Uint8Array::from(files.get(at as u32)).to_vec()))
    };
    let [a, b, c, d] = mnist::FILES.map(find);
    let found = [a?, b?, c?, d?];
    mnist::parse(spec, found.each_ref().map(|(name, bytes)| Stream::from_bytes(name.clone(), bytes)))
}

fn no_sample(index: u32) -> WebError {
    RunError::usage(format!("there is no test sample {index}")).into()
}

fn probe(split: &Split, classes: u32, most: u32) -> Vec<u32> {
    let each = (most / classes.max(1)).max(1) as usize;
    let of_class = |class: u32| (0..split.n).filter(move |&index| split.labels[index as usize] == class).take(each);
    (0..classes).flat_map(of_class).take(most as usize).collect()
}
