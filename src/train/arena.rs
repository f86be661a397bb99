//! Where each parameter lies: one arena of weights for each block, so that one dispatch updates all of a block.
//!
//! The arenas of gradients and of the optimiser's moments have the same layout. Trunk tensors (the map and its norm)
//! come first, heads behind them, each aligned to what a binding needs; a norm's weight and bias, and its running
//! mean and variance, lie side by side because kernels read them as one.

use crate::gpu::{BINDING_ALIGNMENT, Slice};
use crate::nn::{Layout, Owner, ParamDecl, Part, Role as ParamRole};

use super::tensors::{Role, TensorTable};

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
    /// Numbers that are never trained, where there are any.
    pub constants: Option<Slice>,
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
    /// Trained, constant, or a running statistic.
    pub role: ParamRole,
}

/// A normalisation: weight and bias, and running mean and variance, each pair side by side.
#[derive(Debug, Clone, Copy)]
pub struct NormPlace {
    /// `[gamma | beta]`.
    pub affine: Slice,
    /// Their gradients; `None` where they are constant.
    pub gradient: Option<Slice>,
    /// `[running mean | running variance]`.
    pub running: Slice,
}

impl Arena {
    /// Lays out the parameters of `owner`, with `moments` tensors of optimiser memory, in `table`.
    pub fn new(table: &mut TensorTable, params: &[ParamDecl], owner: Owner, title: &str, moments: &[&str]) -> Self {
        let mut places: Vec<Place> = Vec::new();
        // Bytes so far of what is trained, constant and a statistic.
        let mut ends = [0u64; 3];
        let mut trunk_bytes = 0;
        for part in [Part::Trunk, Part::Head] {
            for (index, param) in params.iter().enumerate().filter(|(_, p)| p.owner == owner && p.part == part) {
                let suffix = suffix(&param.name);
                let end = &mut ends[param.role as usize];
                let pair = matches!(param.layout, Layout::Vector { .. }) && second_of_a_pair(&places, &suffix, params);
                let offset = if pair { *end } else { end.next_multiple_of(BINDING_ALIGNMENT) };
                let bytes = 4 * param.layout.device_len() as u64;
                *end = offset + bytes;
                places.push(Place { param: index, suffix, offset, bytes, role: param.role });
            }
            if part == Part::Trunk {
                trunk_bytes = ends[ParamRole::Train as usize];
            }
        }
        let [trained, fixed, statistics] = ends;
        let mut tensor = |what: &str, role, bytes: u64| table.add(format!("{title}.{what}"), role, bytes.max(16));
        Self {
            weights: tensor("weights", Role::Weights, trained),
            grads: tensor("grads", Role::Gradients, trained),
            moments: moments.iter().map(|moment| tensor(moment, Role::Optimizer, trained)).collect(),
            statistics: tensor("statistics", Role::Statistics, statistics),
            constants: (fixed > 0).then(|| tensor("constants", Role::Weights, fixed)),
            trunk_bytes,
            places,
        }
    }

    /// Every parameter in it.
    pub fn places(&self) -> &[Place] {
        &self.places
    }

    /// Where `conv.weight` and the like lies in the weights, or in the constants, if the owner has it.
    pub fn weight(&self, suffix: &str) -> Option<Slice> {
        let place = self.find(suffix)?;
        let whole = if place.role == ParamRole::Fixed { self.constants? } else { self.weights };
        Some(within(whole, place))
    }

    /// The same stretch of the gradients; `None` for a constant, too.
    pub fn grad(&self, suffix: &str) -> Option<Slice> {
        self.find(suffix).filter(|place| place.role == ParamRole::Train).map(|place| within(self.grads, place))
    }

    /// The normalisation of this name: `bn`, `shortcut.bn`.
    pub fn norm(&self, path: &str) -> Option<NormPlace> {
        let first = format!("{path}.weight");
        let running = self.find(&format!("{path}.running_mean"))?;
        Some(NormPlace {
            affine: self.weight(&first).map(double)?,
            gradient: self.grad(&first).map(double),
            running: double(within(self.statistics, running)),
        })
    }

    fn find(&self, suffix: &str) -> Option<&Place> {
        self.places.iter().find(|place| place.suffix == suffix)
    }
}

/// Whether `suffix` is a norm's bias or running variance, behind its weight or running mean.
fn second_of_a_pair(places: &[Place], suffix: &str, params: &[ParamDecl]) -> bool {
    let Some(before) = places.last() else { return false };
    let vector = matches!(params[before.param].layout, Layout::Vector { .. });
    let pairs = [(".weight", ".bias"), (".running_mean", ".running_var")];
    vector
        && pairs.iter().any(|(first, second)| {
            let path = before.suffix.strip_suffix(first);
            path.is_some() && path == suffix.strip_suffix(second)
        })
}

fn within(whole: Slice, place: &Place) -> Slice {
    Slice { offset: whole.offset + place.offset, bytes: place.bytes, ..whole }
}

fn double(slice: Slice) -> Slice {
    Slice { bytes: 2 * slice.bytes, ..slice }
}

/// `blocks.3.conv.weight` and `output.weight` without their owner; the output layer also owns `final_bn.weight`.
fn suffix(name: &str) -> String {
    let owned = name.strip_prefix("blocks.").and_then(|rest| rest.split_once('.')).map(|(_, suffix)| suffix);
    owned.or_else(|| name.strip_prefix("output.")).unwrap_or(name).to_owned()
}
