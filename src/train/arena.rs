//! Where each parameter lies: one arena of weights for each block, so that one dispatch updates all of a block.
//!
//! The arenas of gradients and of the optimiser's moments have the same layout. Trunk tensors (the map and its norm)
//! come first, heads behind them, each aligned to what a binding needs; a norm's weight and bias, and its running
//! mean and variance, lie side by side because kernels read them as one.

use crate::gpu::Slice;
use crate::nn::{Owner, ParamDecl, Part, Role as ParamRole};

use super::tensors::{Role, TensorTable};

/// Storage bindings start at multiples of this many bytes on every adapter.
const BINDING_ALIGNMENT: u64 = 256;

/// The persistent tensors of one block, or of the output layer.
#[derive(Debug, Clone)]
pub struct Arena {
    /// Trained values.
    pub weights: Slice,
    /// Raw gradients of the last step.
    pub grads: Slice,
    /// The optimiser's tensors (`m`, `v`, `vmax`), as many as it needs.
    pub moments: Vec<Slice>,
    /// Running statistics, empty without batch norm.
    pub statistics: Slice,
    /// Bytes at the front of `weights` and `grads` that belong to the trunk.
    pub trunk_bytes: u64,
    places: Vec<Place>,
}

/// Where a parameter lies in its arena.
#[derive(Debug, Clone)]
pub struct Place {
    /// Index into the model's parameters.
    pub param: usize,
    /// Name after the owner's prefix: `conv.weight`.
    pub suffix: String,
    /// First byte.
    pub offset: u64,
    /// Length in bytes, padded lanes included.
    pub bytes: u64,
    /// Trained, or a running statistic.
    pub role: ParamRole,
}

impl Arena {
    /// Lays out the parameters of `owner`, with `moments` tensors of optimiser memory, in `table`.
    pub fn new(table: &mut TensorTable, params: &[ParamDecl], owner: Owner, title: &str, moments: &[&str]) -> Self {
        let mut places = Vec::new();
        let (mut trained, mut statistics, mut trunk_bytes) = (0, 0, 0);
        for part in [Part::Trunk, Part::Head] {
            for (index, param) in params.iter().enumerate().filter(|(_, p)| p.owner == owner && p.part == part) {
                let suffix = suffix(&param.name);
                let end = if param.role == ParamRole::Train { &mut trained } else { &mut statistics };
                let follows = matches!(suffix.as_str(), "bn.bias" | "bn.running_var");
                let offset: u64 = if follows { *end } else { u64::next_multiple_of(*end, BINDING_ALIGNMENT) };
                let bytes = 4 * param.layout.device_len() as u64;
                *end = offset + bytes;
                places.push(Place { param: index, suffix, offset, bytes, role: param.role });
            }
            if part == Part::Trunk {
                trunk_bytes = trained;
            }
        }
        let mut tensor = |what: &str, role, bytes: u64| table.add(format!("{title}.{what}"), role, bytes.max(16));
        Self {
            weights: tensor("weights", Role::Weights, trained),
            grads: tensor("grads", Role::Gradients, trained),
            moments: moments.iter().map(|moment| tensor(moment, Role::Optimizer, trained)).collect(),
            statistics: tensor("statistics", Role::Statistics, statistics),
            trunk_bytes,
            places,
        }
    }

    /// Every parameter in it.
    pub fn places(&self) -> &[Place] {
        &self.places
    }

    /// The slices of `conv.weight` and the like in the weights, if the block has it.
    pub fn weight(&self, suffix: &str) -> Option<Slice> {
        self.find(suffix).map(|place| within(self.weights, place))
    }

    /// The same stretch of the gradients.
    pub fn grad(&self, suffix: &str) -> Option<Slice> {
        self.find(suffix).map(|place| within(self.grads, place))
    }

    /// Weight and bias of the norm, side by side, in the weights.
    pub fn norm_affine(&self) -> Option<Slice> {
        self.weight("bn.weight").map(double)
    }

    /// The same stretch of the gradients.
    pub fn norm_affine_grad(&self) -> Option<Slice> {
        self.grad("bn.weight").map(double)
    }

    /// Running mean and variance of the norm, side by side.
    pub fn norm_running(&self) -> Option<Slice> {
        self.find("bn.running_mean").map(|place| double(within(self.statistics, place)))
    }

    fn find(&self, suffix: &str) -> Option<&Place> {
        self.places.iter().find(|place| place.suffix == suffix)
    }
}

fn within(whole: Slice, place: &Place) -> Slice {
    Slice { offset: whole.offset + place.offset, bytes: place.bytes, ..whole }
}

fn double(slice: Slice) -> Slice {
    Slice { bytes: 2 * slice.bytes, ..slice }
}

/// `blocks.3.conv.weight` and `output.weight` without their owner.
fn suffix(name: &str) -> String {
    let owned = name.strip_prefix("blocks.").and_then(|rest| rest.split_once('.')).map(|(_, suffix)| suffix);
    owned.or_else(|| name.split_once('.').map(|(_, suffix)| suffix)).unwrap_or(name).to_owned()
}
