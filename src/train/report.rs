//! What a plan keeps, summed up for people.

use std::ops::RangeInclusive;

use serde::Serialize;

use crate::gpu::TensorId;

use super::network::Network;
use super::plan::Plan;
use super::pool::Pool;
use super::staging::Staging;
use super::tensors::{Role, lifetimes};

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
    /// Bytes of buffers that the host maps.
    pub staging_bytes: u64,
    /// Size of each shared buffer, then of each shared texture.
    pub buffers: Vec<u64>,
    /// Every activation and every mirror with its buffer or texture and its lifetime.
    pub tensors: Vec<TensorPlace>,
    /// Floating-point operations of a step.
    pub flops: u64,
    /// The same where nothing is made twice.
    pub least_flops: u64,
    /// What is live over the step: for each dispatch, floating-point operations up to its end, and bytes.
    #[serde(skip)]
    pub timeline: Vec<(u64, u64)>,
}

/// A stage's row.
#[derive(Debug, Clone, Serialize)]
pub struct StageMemory {
    /// Block's name.
    pub name: String,
    /// Samples in a part of the batch.
    pub chunk: u32,
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
    /// The memory of `plan` for `network`, with its activations in `pool`.
    pub fn new(network: &Network, plan: &Plan, pool: &Pool) -> Self {
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
            let bytes = span.sheet().bytes();
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
            .zip(&plan.chunks)
            .map(|(stage, &chunk)| StageMemory {
                name: stage.name.clone(),
                chunk,
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
        let done = dispatches().scan(0, |done, dispatch| {
            *done += dispatch.flops;
            Some(*done)
        });
        let timeline = done.zip(live).collect();
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
            staging_bytes: Staging::new(network).bytes(),
            buffers: pool.bytes.iter().copied().chain(pool.sheets.iter().map(|sheet| sheet.bytes())).collect(),
            tensors,
            flops: plan.flops(),
            least_flops: plan.least_flops,
            timeline,
        }
    }
}
