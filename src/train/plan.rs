//! The static plan of a step: every dispatch of every block, and a buffer for every tensor.
//!
//! A plan is a value. It is computed once for a network, a mode and a batch size, without a device; it can be printed,
//! tested and measured; the trainer makes it real and encodes it again at every step.

use std::collections::HashMap;
use std::ops::RangeInclusive;

use serde::Serialize;

use crate::gpu::{MirrorSpan, Stage, TensorId, mirror_bytes, schedule};

use super::network::Network;
use super::scheme;
use super::tensors::{Pool, Role, TensorTable, lifetimes};

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
    /// Which buffer of the pool holds each activation.
    pub assignment: HashMap<TensorId, usize>,
    /// The lives of the mirrors that the stages make, and which texture of the pool holds each.
    pub mirrors: Vec<(MirrorSpan, usize)>,
}

impl Plan {
    /// Plans a step of `batch` samples (at most the network's batch size), its activations in buffers of `pool`, which
    /// grows where they do not fit.
    pub fn new(network: &Network, mode: Mode, batch: u32, pool: &mut Pool) -> Self {
        let (mut stages, tensors) = match mode {
            Mode::Train => scheme::training(network, batch),
            Mode::Evaluate => scheme::evaluation(network, batch),
            Mode::Inspect => scheme::inspection(network, batch),
        };
        let spans = lifetimes(tensors.infos().len(), stages.iter().flat_map(|stage| &stage.dispatches));
        let wanted: Vec<_> = tensors
            .infos()
            .iter()
            .zip(spans)
            .enumerate()
            .filter(|(_, (info, _))| info.role == Role::Activation)
            .filter_map(|(index, (info, span))| Some((TensorId(index as u32), info.bytes, span?)))
            .collect();
        let assignment = pool.assign(&wanted).into_iter().collect();
        let spans = schedule(&mut stages, network.tuning.mirrored);
        let textures = pool.assign_mirrors(&spans);
        for refresh in stages.iter_mut().flat_map(|stage| &mut stage.refreshes) {
            refresh.texture = textures[refresh.texture];
        }
        let mirrors = spans.into_iter().zip(textures).collect();
        Self { mode, batch, stages, tensors, assignment, mirrors }
    }

    /// Floating-point operations of the whole step.
    pub fn flops(&self) -> u64 {
        self.stages.iter().flat_map(|stage| &stage.dispatches).map(|dispatch| dispatch.flops).sum()
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
            let (Some(span), Some(&buffer)) = (span, plan.assignment.get(&id)) else { continue };
            let info = plan.tensors.info(id);
            tensors.push((info.name.clone(), info.bytes, buffer, span));
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
