//! The tensors of a plan. A tensor's lifetime runs from the first to the last dispatch that binds it.

use std::ops::RangeInclusive;

use serde::Serialize;

use crate::gpu::{Dispatch, Slice, TensorId};

/// What a tensor is for, which decides how long it lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Trained tensors of one block.
    Weights,
    /// Their gradients.
    Gradients,
    /// The optimiser's memory.
    Optimizer,
    /// Running statistics.
    Statistics,
    /// What the host uploads each step: pictures, labels, rates.
    Input,
    /// What the host reads back: loss totals, logits.
    Output,
    /// Lives within a step and shares its buffer with others.
    Activation,
}

/// A tensor by name and size.
#[derive(Debug, Clone, Serialize)]
pub struct TensorInfo {
    /// `conv1.y` and the like.
    pub name: String,
    /// Size.
    pub bytes: u64,
    /// What it is for.
    pub role: Role,
    /// The tensor that is for an earlier part of the batch what this one is for a later part, and whose place it takes.
    #[serde(skip)]
    pub like: Option<TensorId>,
}

/// All tensors of a network or of a plan; the index is the [`TensorId`].
#[derive(Debug, Clone, Default)]
pub struct TensorTable {
    infos: Vec<TensorInfo>,
}

impl TensorTable {
    /// Adds a tensor and returns the whole of it.
    pub fn add(&mut self, name: impl Into<String>, role: Role, bytes: u64) -> Slice {
        self.push(TensorInfo { name: name.into(), bytes, role, like: None })
    }

    /// Adds an activation that takes the place of `like`.
    pub fn add_like(&mut self, like: TensorId, bytes: u64) -> Slice {
        self.push(TensorInfo { name: String::new(), bytes, role: Role::Activation, like: Some(like) })
    }

    fn push(&mut self, info: TensorInfo) -> Slice {
        let (tensor, bytes) = (TensorId(self.infos.len() as u32), info.bytes);
        self.infos.push(info);
        Slice { tensor, offset: 0, bytes }
    }

    /// Gives a tensor another size.
    pub fn resize(&mut self, id: TensorId, bytes: u64) {
        self.infos[id.0 as usize].bytes = bytes;
    }

    /// Forgets all but the first `len`.
    pub fn truncate(&mut self, len: usize) {
        self.infos.truncate(len);
    }

    /// All of them.
    pub fn infos(&self) -> &[TensorInfo] {
        &self.infos
    }

    /// One of them.
    pub fn info(&self, id: TensorId) -> &TensorInfo {
        &self.infos[id.0 as usize]
    }
}

/// First and last dispatch that binds each tensor; `None` for one that nothing binds.
pub fn lifetimes<'a>(
    tensors: usize,
    dispatches: impl Iterator<Item = &'a Dispatch>,
) -> Vec<Option<RangeInclusive<usize>>> {
    let mut lifetimes: Vec<Option<RangeInclusive<usize>>> = vec![None; tensors];
    for (time, dispatch) in dispatches.enumerate() {
        for binding in &dispatch.bindings {
            let lifetime = &mut lifetimes[binding.slice.tensor.0 as usize];
            let first = lifetime.as_ref().map_or(time, |l| *l.start());
            *lifetime = Some(first..=time);
        }
    }
    lifetimes
}
