//! Checkpoints: safetensors in, safetensors out.
//!
//! A file holds every parameter under its name in PyTorch's layout, the optimiser's memory under `optimizer.m.NAME`,
//! `optimizer.v.NAME`, `optimizer.vmax.NAME`, and one metadata entry, `predsim`, a JSON object with the settings and the
//! position ([`State`]). In the middle of an epoch it also holds the loss totals, so that a resumed epoch reports what
//! an unbroken one would. Nothing in it depends on the time, the machine or a path: equal runs give equal bytes.

#[cfg(not(target_arch = "wasm32"))]
mod stream;

use std::collections::HashMap;

use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use serde::{Deserialize, Serialize};

use crate::nn::ModelConfig;
use crate::train::{NamedTensor, Position, TrainConfig};

#[cfg(not(target_arch = "wasm32"))]
pub use stream::write;

/// Name of the metadata entry.
const METADATA: &str = "predsim";

/// Name of the tensor with the totals of an unfinished epoch.
const TOTALS: &str = "progress.totals";

/// Everything in a checkpoint that is not a tensor.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// Structure of the network.
    pub model: ModelConfig,
    /// How it is trained.
    pub train: TrainConfig,
    /// Name of the data set, which also gives the pictures' normalisation and the classes' names.
    pub dataset: String,
    /// Names of the classes, if they were found in a folder.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub class_names: Vec<String>,
    /// Only the first so many training samples are used.
    pub limit_train: Option<u32>,
    /// Only the first so many test samples are used.
    pub limit_test: Option<u32>,
    /// Where the run stands.
    pub position: Position,
    /// Training samples of an epoch, where the file says so: within one they cannot change.
    #[serde(default)]
    pub samples: Option<u32>,
    /// Training steps done.
    pub steps: u64,
    /// Lowest test error so far, in percent.
    pub best_error_percent: Option<f64>,
}

/// A checkpoint in memory.
#[derive(Debug, Clone, PartialEq)]
pub struct Checkpoint {
    /// Settings and position.
    pub state: State,
    /// Parameters and the optimiser's memory.
    pub tensors: Vec<NamedTensor>,
    /// Loss totals of the epoch under way, as they lie on the device; `None` between epochs.
    pub totals: Option<Vec<u8>>,
}

/// Why bytes are not a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CheckpointError {
    /// Not a safetensors file, or a damaged one.
    #[error("not a readable safetensors file ({0}); it may be cut off or damaged")]
    Format(String),
    /// A safetensors file of someone else.
    #[error("no predsim checkpoint: its metadata has no entry \"predsim\"")]
    Foreign,
    /// The settings cannot be read.
    #[error("its settings are not readable ({0}); it was written by another version of predsim")]
    Settings(String),
    /// The file cannot be written.
    #[error("{0}")]
    Unwritable(String),
    /// A tensor is not 32-bit floats.
    #[error("tensor {name} is {dtype}, not F32")]
    Type {
        /// Its name.
        name: String,
        /// Its type.
        dtype: String,
    },
}

impl State {
    /// The file's metadata. One entry only: a map of several would be written in a different order each time.
    fn metadata(&self) -> Result<HashMap<String, String>, CheckpointError> {
        let settings = serde_json::to_string(self).map_err(|error| CheckpointError::Settings(error.to_string()))?;
        Ok(HashMap::from([(METADATA.to_owned(), settings)]))
    }
}

impl Checkpoint {
    /// The file's bytes.
    ///
    /// # Errors
    /// [`CheckpointError::Format`] if safetensors cannot write it.
    pub fn to_bytes(&self) -> Result<Vec<u8>, CheckpointError> {
        let format = |error: safetensors::SafeTensorError| CheckpointError::Format(error.to_string());
        let mut views = Vec::with_capacity(self.tensors.len() + 1);
        for tensor in &self.tensors {
            let bytes = bytemuck::cast_slice(&tensor.values);
            views.push((
                tensor.name.as_str(),
                TensorView::new(Dtype::F32, tensor.shape.clone(), bytes).map_err(format)?,
            ));
        }
        if let Some(totals) = &self.totals {
            views.push((TOTALS, TensorView::new(Dtype::U8, vec![totals.len()], totals).map_err(format)?));
        }
        safetensors::serialize(views, Some(self.state.metadata()?)).map_err(format)
    }

    /// Reads a file's bytes.
    ///
    /// # Errors
    /// [`CheckpointError`] says what is wrong with them.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, CheckpointError> {
        let format = |error: safetensors::SafeTensorError| CheckpointError::Format(error.to_string());
        let (_, metadata) = SafeTensors::read_metadata(bytes).map_err(format)?;
        let settings =
            metadata.metadata().as_ref().and_then(|map| map.get(METADATA)).ok_or(CheckpointError::Foreign)?;
        let state: State = serde_json::from_str(settings).map_err(|e| CheckpointError::Settings(e.to_string()))?;
        let file = SafeTensors::deserialize(bytes).map_err(format)?;
        let mut totals = None;
        let mut tensors = Vec::with_capacity(file.len());
        for (name, view) in file.iter() {
            if name == TOTALS {
                totals = Some(view.data().to_vec());
                continue;
            }
            if view.dtype() != Dtype::F32 {
                return Err(CheckpointError::Type { name: name.to_owned(), dtype: format!("{:?}", view.dtype()) });
            }
            let values = view.data().chunks_exact(4).map(bytemuck::pod_read_unaligned).collect();
            tensors.push(NamedTensor { name: name.to_owned(), shape: view.shape().to_vec(), values });
        }
        tensors.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(Self { state, tensors, totals })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::{Architecture, InputShape};

    fn checkpoint() -> Checkpoint {
        let input = InputShape { height: 28, width: 28, channels: 1 };
        let state = State {
            model: ModelConfig::new(Architecture::Mlp, input, 10),
            train: TrainConfig::default(),
            dataset: "mnist".into(),
            class_names: vec!["cat".into(), "owl".into()],
            limit_train: Some(100),
            limit_test: None,
            position: Position { epoch: 2, step: 17 },
            samples: Some(2176),
            steps: 42,
            best_error_percent: Some(1.25),
        };
        let values = vec![1.0, -2.5, f32::MIN_POSITIVE, 4.0, 5.0, 6.0];
        let tensors = vec![NamedTensor { name: "blocks.0.linear.weight".into(), shape: vec![2, 3], values }];
        Checkpoint { state, tensors, totals: Some(vec![1, 2, 3, 4]) }
    }

    #[test]
    fn what_is_written_is_read() {
        let bytes = checkpoint().to_bytes().unwrap();
        assert_eq!(Checkpoint::from_bytes(&bytes).unwrap(), checkpoint());
        assert_eq!(bytes, checkpoint().to_bytes().unwrap());
    }

    /// Of a test split of 26032 pictures, as SVHN has.
    #[test]
    fn every_error_comes_back_to_the_last_bit() {
        for wrong in 0..=26_032 {
            let mut state = checkpoint().state;
            state.best_error_percent = Some(100.0 * f64::from(wrong) / 26_032.0);
            let text = &state.metadata().unwrap()[METADATA];
            assert_eq!(serde_json::from_str::<State>(text).unwrap(), state);
        }
    }

    #[test]
    fn a_stream_of_tensors_makes_the_same_file() {
        let whole = checkpoint();
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("streamed");
        let shapes: Vec<_> = whole.tensors.iter().map(|tensor| (tensor.name.clone(), tensor.shape.clone())).collect();
        let named = |name: &str| whole.tensors.iter().find(|tensor| tensor.name == name).unwrap();
        let fetch = |name: &str| Ok::<_, CheckpointError>(named(name).values.clone());
        write(&path, &whole.state, &shapes, whole.totals.as_deref(), fetch).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), whole.to_bytes().unwrap());
        let failing = |_: &str| Err(CheckpointError::Foreign);
        assert_eq!(write(&path, &whole.state, &shapes, None, failing), Err(CheckpointError::Foreign));
    }

    #[test]
    fn damage_is_told_apart() {
        let bytes = checkpoint().to_bytes().unwrap();
        for cut in [0, 7, 20, bytes.len() - 1] {
            let error = Checkpoint::from_bytes(&bytes[..cut]).unwrap_err();
            assert!(matches!(error, CheckpointError::Format(_)), "{cut}: {error}");
        }
        let foreign = safetensors::serialize(Vec::<(&str, TensorView<'_>)>::new(), None).unwrap();
        assert_eq!(Checkpoint::from_bytes(&foreign), Err(CheckpointError::Foreign));
    }
}
