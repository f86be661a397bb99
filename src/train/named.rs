//! A trainer's tensors by their names, in and out: parameters, gradients and the optimiser's memory, in PyTorch's layout.

use crate::gpu::Slice;
use crate::nn::Role as ParamRole;

use super::arena::{Arena, Place};
use super::error::TrainError;
use super::network::Network;
use super::trainer::Trainer;

/// What the names of the optimiser's tensors begin with in a checkpoint.
const OPTIMIZER: &str = "optimizer.";

/// A parameter or a piece of the optimiser's memory in PyTorch's layout.
#[derive(Debug, Clone, PartialEq)]
pub struct NamedTensor {
    /// `blocks.0.conv.weight`, `optimizer.m.blocks.0.conv.weight`.
    pub name: String,
    /// PyTorch's shape.
    pub shape: Vec<usize>,
    /// Row-major values.
    pub values: Vec<f32>,
}

/// A parameter, its gradient or a piece of the optimiser's memory, and where on the device it lies.
#[derive(Debug, Clone)]
pub struct Located {
    /// Its name in a checkpoint.
    pub name: String,
    param: usize,
    slice: Slice,
}

impl Trainer {
    /// Sets parameters and the optimiser's memory; `find` gives a tensor by name in PyTorch's layout, or `None` for one
    /// that stays zero.
    ///
    /// # Errors
    /// [`TrainError::Tensor`] for one of another length.
    pub fn load(&mut self, find: impl Fn(&str) -> Option<Vec<f32>>) -> Result<(), TrainError> {
        for arena in &self.network.arenas {
            for (prefix, slice, role) in tensors_of(&self.network, arena) {
                let mut content = vec![0f32; (slice.bytes / 4) as usize];
                for place in arena.places().iter().filter(|place| place.role == role) {
                    let param = &self.network.model.params[place.param];
                    let name = format!("{prefix}{}", param.name);
                    let Some(values) = find(&name) else { continue };
                    if values.len() != param.elements() {
                        let problem = format!("has {} elements instead of {}", values.len(), param.elements());
                        return Err(TrainError::Tensor { name, problem });
                    }
                    let at = (place.offset / 4) as usize;
                    content[at..at + (place.bytes / 4) as usize].copy_from_slice(&param.layout.pack(&values));
                }
                self.gpu.write(self.buffer(slice), bytemuck::cast_slice(&content))?;
            }
        }
        Ok(())
    }

    /// All parameters, and with `optimizer` its memory: where they are, for [`Self::tensor`].
    pub fn tensors(&self, optimizer: bool) -> Vec<Located> {
        let network = &self.network;
        let of = |arena: &Arena| -> Vec<Located> {
            let all = tensors_of(network, arena).into_iter();
            all.flat_map(|(prefix, slice, role)| located_in(arena, network, &prefix, slice, role)).collect()
        };
        let all = network.arenas.iter().flat_map(of);
        all.filter(|located| optimizer || !located.name.starts_with(OPTIMIZER)).collect()
    }

    /// PyTorch's shape of one of them.
    pub fn shape(&self, located: &Located) -> &[usize] {
        &self.network.model.params[located.param].shape
    }

    /// One of them, in PyTorch's layout. Waits for the GPU.
    ///
    /// # Errors
    /// What the device reports.
    pub async fn tensor(&mut self, located: &Located) -> Result<Vec<f32>, TrainError> {
        let content = self.read(located.slice).await?;
        Ok(self.network.model.params[located.param].layout.unpack(&content))
    }

    /// All parameters, and with `optimizer` its memory, in PyTorch's layout. Waits for the GPU.
    ///
    /// # Errors
    /// What the device reports.
    pub async fn save(&mut self, optimizer: bool) -> Result<Vec<NamedTensor>, TrainError> {
        self.export(self.tensors(optimizer)).await
    }

    /// Raw gradients of the last step, by parameter name. Waits for the GPU.
    ///
    /// # Errors
    /// What the device reports.
    pub async fn gradients(&mut self) -> Result<Vec<NamedTensor>, TrainError> {
        let of = |arena: &Arena| located_in(arena, &self.network, "", arena.grads, ParamRole::Train);
        self.export(self.network.arenas.iter().flat_map(of).collect()).await
    }

    async fn export(&mut self, all: Vec<Located>) -> Result<Vec<NamedTensor>, TrainError> {
        let mut tensors = Vec::with_capacity(all.len());
        for located in all {
            let values = self.tensor(&located).await?;
            tensors.push(NamedTensor { shape: self.shape(&located).to_vec(), name: located.name, values });
        }
        Ok(tensors)
    }
}

/// The tensors of `role` that lie in a slice of `arena`.
fn located_in(arena: &Arena, network: &Network, prefix: &str, slice: Slice, role: ParamRole) -> Vec<Located> {
    let places = arena.places().iter().filter(|place| place.role == role);
    let located = |place: &Place| Located {
        name: format!("{prefix}{}", network.model.params[place.param].name),
        param: place.param,
        slice: Slice { offset: slice.offset + place.offset, bytes: place.bytes, ..slice },
    };
    places.map(located).collect()
}

/// The arena's tensors that a checkpoint holds, each with the prefix of its names and the role of its content.
fn tensors_of(network: &Network, arena: &Arena) -> Vec<(String, Slice, ParamRole)> {
    let weights = (String::new(), arena.weights, ParamRole::Train);
    let statistics = (String::new(), arena.statistics, ParamRole::Stat);
    let constants = arena.constants.map(|slice| (String::new(), slice, ParamRole::Fixed));
    let names = network.train.kind().state().iter();
    let moments =
        names.zip(&arena.moments).map(|(name, &slice)| (format!("{OPTIMIZER}{name}."), slice, ParamRole::Train));
    [weights, statistics].into_iter().chain(constants).chain(moments).collect()
}
