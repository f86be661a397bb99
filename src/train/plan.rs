//! The static plan of a step: every dispatch of every block, and a buffer for every tensor.
//!
//! A plan is a value. It is computed once for a network, a mode and a batch size, without a device; it can be printed,
//! tested and measured; the trainer makes it real and encodes it again at every step.

use std::collections::HashMap;
use std::ops::RangeInclusive;

use serde::Serialize;

use crate::gpu::{MirrorSpan, Stage, TensorId, mirror_bytes, schedule};

use super::build::Steps;
use super::fit::{self, Fitted, Fitting, Goal, Limit};
use super::network::Network;
use super::pool::{Place, Pool};
use super::scheme;
use super::tensors::{Role, TensorTable, lifetimes};

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
        let ((mut stages, tensors), mirrored) = fit(network, steps, tensors, batch, |(stages, tensors), mirrored| {
            let mut pool = pool.clone();
            lay_out(&mut stages.clone(), tensors, mirrored, most, &mut pool);
            pool.total_bytes()
        })?;
        let (places, mirrors) = lay_out(&mut stages, &tensors, mirrored, most, pool);
        Ok(Self { mode, batch, stages, tensors, places, mirrors })
    }

    /// Floating-point operations of the whole step.
    pub fn flops(&self) -> u64 {
        self.stages.iter().flat_map(|stage| &stage.dispatches).map(|dispatch| dispatch.flops).sum()
    }
}

/// A place in `pool` for every activation that is used, and a texture for every mirror that is read.
fn lay_out(
    stages: &mut [Stage],
    tensors: &TensorTable,
    mirrored: bool,
    most: u64,
    pool: &mut Pool,
) -> (HashMap<TensorId, Place>, Vec<(MirrorSpan, usize)>) {
    let places = pool.place(stages.iter().flat_map(|stage| &stage.dispatches), tensors, most);
    let spans = schedule(stages, mirrored);
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
    /// The fewest bytes of activations that would do; `None` where no tensor of the step is small enough for a binding.
    pub least: Option<u64>,
}

/// The step's stages, in the way that suits the network's goal, and whether they read mirrors. `bytes_of` says what they
/// would take.
fn fit(
    network: &Network,
    steps: Vec<Steps>,
    tensors: TensorTable,
    batch: u32,
    bytes_of: impl Fn(&Fitted, bool) -> u64,
) -> Result<(Fitted, bool), Unfit> {
    let Goal { limit, bounds } = network.goal;
    let mirrored = network.tuning.mirrored;
    // Mirrors make steps faster, but less so than parts make them slower.
    let within =
        |fitted: &Fitted, most: u64| [mirrored, false].into_iter().find(|&mirrored| bytes_of(fitted, mirrored) <= most);
    let (again, whole) = (steps.clone(), fit::unparted(steps, tensors.clone()));
    if fit::bindable(&whole, bounds.max_binding) {
        let mirrored = match limit {
            Limit::Fastest => Some(mirrored),
            Limit::Bytes(most) => within(&whole, most),
            Limit::Arithmetic(_) => None,
        };
        if let Some(mirrored) = mirrored {
            return Ok((whole, mirrored));
        }
    }
    let none = Unfit { batch, least: None };
    let fitting = Fitting::new(again, tensors, batch, bounds, network.joined()).ok_or(none)?;
    match limit {
        Limit::Fastest => fitting.largest().map(|fitted| (fitted, mirrored)).ok_or(none),
        Limit::Arithmetic(times) => {
            let flops = whole.0.iter().flat_map(|stage| &stage.dispatches).map(|dispatch| dispatch.flops).sum();
            fitting.by_arithmetic(flops, times).map(|fitted| (fitted, mirrored)).ok_or(none)
        }
        Limit::Bytes(most) => match fitting.largest_that(|fitted| within(fitted, most).is_some()) {
            Some(fitted) => {
                let mirrored = within(&fitted, most).unwrap_or(false);
                Ok((fitted, mirrored))
            }
            None => Err(Unfit { batch, least: fitting.smallest().map(|fitted| bytes_of(&fitted, false)) }),
        },
    }
}

/// A plan's memory as `predsim plan` shows it.
#[derive(Debug, Clone, Serialize)]
pub struct MemoryReport {
    /// One row for each stage.
    pub stages: Vec<StageMemory>,
    /// Bytes of all buffers that activations live in, and of all textures that mirror tensors: what is allocated for them.
    pub activation_bytes: u64,
    /// The most that was live at one time, never above `activation_bytes`.
    pub peak_live_bytes: u64,
    /// The stage in which that is so.
    pub peak_stage: String,
    /// Bytes of weights.
    pub weight_bytes: u64,
    /// Bytes of gradients.
    pub gradient_bytes: u64,
    /// Bytes of the optimiser's moments.
    pub optimizer_bytes: u64,
    /// Bytes of running statistics.
    pub statistics_bytes: u64,
    /// Bytes of upload targets and read-back results.
    pub transfer_bytes: u64,
    /// Size of each shared buffer, then of each shared texture.
    pub buffers: Vec<u64>,
    /// Every activation and every mirror with its buffer or texture and its lifetime.
    pub tensors: Vec<TensorPlace>,
    /// Floating-point operations of a step.
    pub flops: u64,
}

/// A stage's row.
#[derive(Debug, Clone, Serialize)]
pub struct StageMemory {
    /// Block's name.
    pub name: String,
    /// Dispatches in its command buffer.
    pub dispatches: usize,
    /// The most bytes of activations and mirrors live at one of them.
    pub live_bytes: u64,
    /// Floating-point operations.
    pub flops: u64,
}

/// An activation's row.
#[derive(Debug, Clone, Serialize)]
pub struct TensorPlace {
    /// Tensor's name.
    pub name: String,
    /// Its size.
    pub bytes: u64,
    /// Which of the shared buffers and textures.
    pub buffer: usize,
    /// Stage of its first use.
    pub first: String,
    /// Stage of its last use.
    pub last: String,
}

impl MemoryReport {
    /// The memory of `plan`, whose activations are in `pool`.
    pub fn new(plan: &Plan, pool: &Pool) -> Self {
        let dispatches = || plan.stages.iter().flat_map(|stage| &stage.dispatches);
        let stage_of: Vec<usize> = plan
            .stages
            .iter()
            .enumerate()
            .flat_map(|(i, stage)| std::iter::repeat_n(i, stage.dispatches.len()))
            .collect();
        let mut live = vec![0u64; stage_of.len()];
        let mut tensors = Vec::new();
        for (index, span) in lifetimes(plan.tensors.infos().len(), dispatches()).into_iter().enumerate() {
            let id = TensorId(index as u32);
            let (Some(span), Some(place)) = (span, plan.places.get(&id)) else { continue };
            let info = plan.tensors.info(id);
            let name = plan.tensors.info(info.like.unwrap_or(id)).name.clone();
            tensors.push((name, info.bytes, place.buffer, span));
        }
        for (span, texture) in &plan.mirrors {
            let name = format!("mirror of {}", plan.tensors.info(span.slice.tensor).name);
            let bytes = mirror_bytes(span.slice.bytes);
            tensors.push((name, bytes, pool.bytes.len() + texture, span.lifetime.clone()));
        }
        let stage = |time: usize| plan.stages[stage_of[time]].name.clone();
        let placed = |(name, bytes, buffer, span): (String, u64, usize, RangeInclusive<usize>)| {
            live[span.clone()].iter_mut().for_each(|live| *live += bytes);
            TensorPlace { name, bytes, buffer, first: stage(*span.start()), last: stage(*span.end()) }
        };
        let tensors = tensors.into_iter().map(placed).collect();
        let mut stages: Vec<StageMemory> = plan
            .stages
            .iter()
            .map(|stage| StageMemory {
                name: stage.name.clone(),
                dispatches: stage.dispatches.len(),
                live_bytes: 0,
                flops: stage.dispatches.iter().map(|dispatch| dispatch.flops).sum(),
            })
            .collect();
        for (&stage, &bytes) in stage_of.iter().zip(&live) {
            stages[stage].live_bytes = stages[stage].live_bytes.max(bytes);
        }
        let peak = stages.iter().max_by_key(|stage| stage.live_bytes);
        let (peak_live_bytes, peak_stage) = peak.map_or((0, String::new()), |s| (s.live_bytes, s.name.clone()));
        let of = |role: Role| plan.tensors.infos().iter().filter(|i| i.role == role).map(|i| i.bytes).sum();
        Self {
            stages,
            activation_bytes: pool.total_bytes(),
            peak_live_bytes,
            peak_stage,
            weight_bytes: of(Role::Weights),
            gradient_bytes: of(Role::Gradients),
            optimizer_bytes: of(Role::Optimizer),
            statistics_bytes: of(Role::Statistics),
            transfer_bytes: of(Role::Input) + of(Role::Output),
            buffers: pool.bytes.iter().copied().chain(pool.mirrored.iter().map(|&bytes| mirror_bytes(bytes))).collect(),
            tensors,
            flops: plan.flops(),
        }
    }
}
