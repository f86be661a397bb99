//! The static plan of a step: every dispatch of every block, and a buffer for every tensor.
//!
//! A plan is a value. It is computed once for a network, a mode and a batch size, without a device; it can be printed,
//! tested and measured; the trainer makes it real and encodes it again at every step.

use std::collections::HashMap;

use serde::Serialize;

use crate::gpu::{MirrorSpan, Mirroring, Stage, TensorId, schedule, uniform_bytes};

use super::build::Steps;
use super::fit::{self, Fitted, Fitting};
use super::goal::{Goal, Limit};
use super::network::Network;
use super::pool::{Place, Pool};
use super::scheme;
use super::tensors::TensorTable;
use super::work::Work;

/// What a plan's step does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Forward, losses, gradients, update.
    Train,
    /// Forward with running statistics, and the classifiers' losses.
    Evaluate,
    /// The same forward pass, of which nothing is measured and what there is to look at is kept.
    Inspect,
}

/// A step, planned.
#[derive(Debug, Clone)]
pub struct Plan {
    /// What it does.
    pub mode: Mode,
    /// Samples in the step.
    pub batch: u32,
    /// One command buffer each.
    pub stages: Vec<Stage>,
    /// The network's persistent tensors and behind them the plan's activations.
    pub tensors: TensorTable,
    /// Where in the pool each activation lies.
    pub places: HashMap<TensorId, Place>,
    /// The lives of the mirrors that the stages make, and which texture of the pool holds each.
    pub mirrors: Vec<(MirrorSpan, usize)>,
    /// Samples in a part of the batch, for each stage.
    pub chunks: Vec<u32>,
    /// Floating-point operations of the step where nothing is made twice.
    pub least_flops: u64,
}

impl Plan {
    /// Plans a step of `batch` samples (at most the network's batch size), its activations in buffers of `pool`, which
    /// grows where they do not fit.
    ///
    /// # Errors
    /// [`Unfit`] where the network's [`Goal`](super::Goal) cannot be met.
    pub fn new(network: &Network, mode: Mode, batch: u32, pool: &mut Pool) -> Result<Self, Unfit> {
        let (steps, tensors) = match mode {
            Mode::Train => scheme::training(network, batch),
            Mode::Evaluate => scheme::evaluation(network, batch),
            Mode::Inspect => scheme::inspection(network, batch),
        };
        let most = network.goal.bounds.max_buffer;
        let least_flops = steps.iter().flat_map(|stage| &stage.works).map(Work::flops).sum();
        let (Fitted { mut stages, tensors, chunks }, mirroring) =
            fit(network, steps, tensors, batch, |fitted, mirroring| {
                let mut pool = pool.clone();
                lay_out(&mut fitted.stages.clone(), &fitted.tensors, mirroring, most, &mut pool);
                pool.total_bytes() + pool.uniform_bytes
            })?;
        let (places, mirrors) = lay_out(&mut stages, &tensors, mirroring, most, pool);
        Ok(Self { mode, batch, stages, tensors, places, mirrors, chunks, least_flops })
    }

    /// Floating-point operations of the whole step.
    pub fn flops(&self) -> u64 {
        self.stages.iter().flat_map(|stage| &stage.dispatches).map(|dispatch| dispatch.flops).sum()
    }

    /// What was chosen to make it fit.
    pub fn summary(&self) -> PlanSummary {
        let parts = self.chunks.iter().map(|&chunk| self.batch.div_ceil(chunk.max(1))).max();
        let arithmetic = self.flops() as f64 / self.least_flops.max(1) as f64;
        PlanSummary { most_parts: parts.unwrap_or(1), arithmetic }
    }
}

/// What was chosen to make a step fit into memory.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct PlanSummary {
    /// In how many parts the batch comes to the block that takes the most.
    pub most_parts: u32,
    /// Arithmetic, in terms of the least: above 1 where something is made twice.
    pub arithmetic: f64,
}

/// A place in `pool` for every activation that is used, and a texture for every mirror that is read.
fn lay_out(
    stages: &mut [Stage],
    tensors: &TensorTable,
    mirroring: Mirroring,
    most: u64,
    pool: &mut Pool,
) -> (HashMap<TensorId, Place>, Vec<(MirrorSpan, usize)>) {
    pool.uniform_bytes += uniform_bytes(stages);
    let places = pool.place(stages.iter().flat_map(|stage| &stage.dispatches), tensors, most);
    let spans = schedule(stages, mirroring);
    let textures = pool.assign_mirrors(&spans);
    for refresh in stages.iter_mut().flat_map(|stage| &mut stage.refreshes) {
        refresh.texture = textures[refresh.texture];
    }
    (places, spans.into_iter().zip(textures).collect())
}

/// A network's memory goal cannot be met.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the activations of a step of {batch} samples do not fit")]
pub struct Unfit {
    /// Samples of the step.
    pub batch: u32,
}

/// The step's stages, in the way that suits the network's goal, and what they read from mirrors. `bytes_of` says what they
/// would take.
fn fit(
    network: &Network,
    steps: Vec<Steps>,
    tensors: TensorTable,
    batch: u32,
    bytes_of: impl Fn(&Fitted, Mirroring) -> u64,
) -> Result<(Fitted, Mirroring), Unfit> {
    let Goal { limit, bounds } = network.goal;
    let none = Unfit { batch };
    if limit == Limit::Bytes(0) {
        return Err(none);
    }
    let fastest = Mirroring::fastest(network.tuning.mirrored);
    let frugal = fastest.min(Mirroring::Rereading);
    // To try one is to lay out the step.
    let mut ways = vec![fastest, frugal, Mirroring::Off];
    ways.dedup();
    // Mirrors make steps faster, but less so than parts make them slower (a step of vgg8b in 60 % of the memory: 3.4 s
    // without mirrors, 6.3 s in parts with them).
    let within =
        |fitted: &Fitted, most: u64| ways.iter().copied().find(|&mirroring| bytes_of(fitted, mirroring) <= most);
    let (again, whole) = (steps.clone(), fit::unparted(steps, tensors.clone(), batch));
    if whole.bindable(bounds.max_binding) {
        let mirroring = match limit {
            Limit::Fastest => Some(fastest),
            Limit::Bytes(most) => within(&whole, most),
            Limit::Arithmetic(_) => None,
        };
        if let Some(mirroring) = mirroring {
            return Ok((whole, mirroring));
        }
    }
    let fitting = Fitting::new(again, tensors, batch, bounds, network.joined()).ok_or(none)?;
    match limit {
        Limit::Fastest => fitting.largest().map(|fitted| (fitted, fastest)).ok_or(none),
        Limit::Arithmetic(times) => fitting
            .by_arithmetic(whole.flops(), times, |fitted| bytes_of(fitted, frugal))
            .map(|fitted| (fitted, frugal))
            .ok_or(none),
        Limit::Bytes(most) => {
            let fitted = fitting.largest_that(|fitted| within(fitted, most).is_some()).ok_or(none)?;
            let mirroring = within(&fitted, most).unwrap_or(Mirroring::Off);
            Ok((fitted, mirroring))
        }
    }
}
