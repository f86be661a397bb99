//! What a run's training step keeps on a device, planned without one; and plans that keep to a budget.

use crate::gpu::GpuError;
use crate::train::{Footprint, Limit, MemoryReport, Mode, Network, Plan, Pool, Schedule, TrainError, Unfit};

use super::budget::Budget;
use super::engine::{self, Capabilities};
use super::error::RunError;
use super::settings::Settings;

/// How much more arithmetic than the least a frugal plan may do.
pub const FRUGAL: f64 = 1.35;

/// A plan and its sum. With a greedy schedule, of the phase that takes the most.
#[derive(Debug)]
pub struct Planned {
    /// What it keeps.
    pub report: MemoryReport,
    /// The plan itself.
    pub plan: Plan,
    /// What a run takes that also evaluates, in all of its phases.
    pub footprint: Footprint,
    /// The module that is trained in this phase of a greedy schedule, from 0.
    pub phase: Option<usize>,
}

impl Planned {
    /// Plans a training step of `settings` as they ask for it.
    ///
    /// # Errors
    /// A usage error for settings that make no network, or do not fit.
    pub fn new(settings: &Settings, capabilities: &Capabilities) -> Result<Self, RunError> {
        let plans = plans_of(settings);
        let network = budgeted(settings, capabilities, &plans)?;
        Self::of(&network, &plans).map_err(|unfit| advice(settings, capabilities, &plans, unfit))
    }

    /// Plans a training step of `settings` within `limit`, by backpropagation or locally whatever they say, and
    /// all modules in every step: a phase of a greedy schedule has no twin in backpropagation.
    ///
    /// # Errors
    /// A usage error for settings that make no network, or do not fit.
    pub fn within(
        settings: &Settings,
        capabilities: &Capabilities,
        backprop: bool,
        limit: Limit,
    ) -> Result<Self, RunError> {
        let mut settings = Settings { memory_budget: None, ..settings.clone() };
        settings.model.backprop = backprop;
        settings.train.schedule = Schedule::Simultaneous;
        if backprop {
            // What only local heads have, backpropagation refuses.
            (settings.model.aux_depth, settings.model.local_modules) = (1, None);
        }
        let network = engine::network(&settings, capabilities)?.within(limit);
        let plans = plans_of(&settings);
        Self::of(&network, &plans).map_err(|unfit| advice(&settings, capabilities, &plans, unfit))
    }

    fn of(network: &Network, plans: &[(Mode, u32)]) -> Result<Self, Unfit> {
        let footprint = Footprint::new(network, plans)?;
        let mut most = Self::of_phase(network, footprint)?;
        for later in network.later_phases() {
            let other = Self::of_phase(&later, footprint)?;
            if other.report.activation_bytes > most.report.activation_bytes {
                most = other;
            }
        }
        Ok(most)
    }

    fn of_phase(network: &Network, footprint: Footprint) -> Result<Self, Unfit> {
        let mut pool = Pool::default();
        let plan = Plan::new(network, Mode::Train, network.train.batch_size as u32, &mut pool)?;
        Ok(Self { report: MemoryReport::new(network, &plan, &pool), plan, footprint, phase: network.phase })
    }
}

/// What a run over a large data set prepares.
fn plans_of(settings: &Settings) -> [(Mode, u32); 2] {
    [Mode::Train, Mode::Evaluate].map(|mode| (mode, settings.train.batch_size as u32))
}

/// The network of `settings`, which is to keep to their budget with `plans` prepared.
///
/// # Errors
/// A usage error for settings that make no network, or if the budget is a share of what does not fit.
pub fn budgeted(settings: &Settings, capabilities: &Capabilities, plans: &[(Mode, u32)]) -> Result<Network, RunError> {
    let network = engine::network(settings, capabilities)?;
    let total = match settings.memory_budget {
        None => return Ok(network),
        Some(Budget::Bytes(bytes)) => bytes,
        Some(share) => {
            let fastest = Footprint::new(&network, plans);
            share.bytes(fastest.map_err(|unfit| advice(settings, capabilities, plans, unfit))?.total())
        }
    };
    Ok(network.within(limit_within(&network, plans, total)))
}

/// The limit with which `plans` keep to `total` bytes, if there is one. Each takes what it can use, in its turn, and
/// may leave too little to those behind it; then all get less.
fn limit_within(network: &Network, plans: &[(Mode, u32)], total: u64) -> Limit {
    let limit_of = |total: u64| Footprint::fixed(network).limit_of(total);
    let fits = |total: u64| Footprint::new(&network.within(limit_of(total)), plans).is_ok();
    if limit_of(total) == Limit::Bytes(0) || fits(total) {
        return limit_of(total);
    }
    let Some(least) = Footprint::least(network, plans).ok().filter(|&least| least <= total) else {
        return limit_of(total);
    };
    let less = std::iter::successors(Some(total - total / 64), |less| Some(less - less / 64));
    limit_of(less.take_while(|&less| less > least).find(|&less| fits(less)).unwrap_or(least))
}

/// Why `plans` do not fit, and what would: the smallest budget, and the largest batch.
pub fn advice(settings: &Settings, capabilities: &Capabilities, plans: &[(Mode, u32)], unfit: Unfit) -> RunError {
    let batch = settings.train.batch_size;
    let fits = |batch: usize| {
        let mut settings = settings.clone();
        settings.train.batch_size = batch;
        let plans = plans_of(&settings);
        let network = budgeted(&settings, capabilities, &plans).ok()?;
        Footprint::new(&network, &plans).ok()
    };
    let batches: Vec<usize> = (1..batch).collect();
    let largest = batches.partition_point(|&batch| fits(batch).is_some());
    let smaller = match largest {
        0 => "no smaller --batch-size would do".to_owned(),
        largest => format!("the largest --batch-size that would do is {largest}"),
    };
    let least = engine::network(settings, capabilities).ok().and_then(|network| Footprint::least(&network, plans).ok());
    RunError::Usage(match (settings.memory_budget, least) {
        (Some(budget), Some(least)) => format!(
            "--memory-budget {budget} is too little for a step of {batch} samples: the smallest that would do is \
             --memory-budget {}; {smaller}",
            Budget::Bytes(least)
        ),
        (_, Some(_)) => format!("{unfit} on this device; {smaller}"),
        (_, None) => format!("{unfit}: a tensor of it is larger than the device can bind; {smaller}"),
    })
}

/// Makes something within memory that is not known: as fast as can be at first, which takes `fastest` bytes of activations,
/// then within half of it, and so on as long as the device has no room.
///
/// # Errors
/// What `attempt` fails with otherwise, and at last that there is no room.
pub fn until_it_fits<T>(
    fastest: impl FnOnce() -> u64,
    mut attempt: impl FnMut(Limit) -> Result<T, TrainError>,
) -> Result<T, TrainError> {
    let no_room = |error: &TrainError| matches!(error, TrainError::Gpu(GpuError::OutOfMemory(_)));
    let mut error = match attempt(Limit::Fastest) {
        Err(error) if no_room(&error) => error,
        other => return other,
    };
    let mut bytes = fastest();
    loop {
        bytes /= 2;
        error = match attempt(Limit::Bytes(bytes)) {
            Err(TrainError::Unfit(_)) => return Err(error),
            Err(error) if no_room(&error) => error,
            other => return other,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn out_of_memory() -> TrainError {
        TrainError::Gpu(GpuError::OutOfMemory("no room".into()))
    }

    /// A device with room for `room` bytes, on which nothing does with less than `least`.
    fn device(room: u64, least: u64) -> (Vec<Limit>, Result<u64, TrainError>) {
        let mut asked = Vec::new();
        let found = until_it_fits(
            || 1000,
            |limit| {
                asked.push(limit);
                match limit {
                    Limit::Bytes(bytes) if bytes < least => Err(Unfit { batch: 1 }.into()),
                    Limit::Bytes(bytes) if bytes <= room => Ok(bytes),
                    Limit::Fastest if room >= 1000 => Ok(1000),
                    _ => Err(out_of_memory()),
                }
            },
        );
        (asked, found)
    }

    #[test]
    fn what_has_no_room_is_tried_again_in_half_of_it() {
        assert!(matches!(device(1000, 10), (asked, Ok(1000)) if asked == [Limit::Fastest]));
        let (asked, found) = device(300, 10);
        assert_eq!(asked, [Limit::Fastest, Limit::Bytes(500), Limit::Bytes(250)]);
        assert!(matches!(found, Ok(250)));
        let (asked, found) = device(5, 300);
        assert_eq!(asked, [Limit::Fastest, Limit::Bytes(500), Limit::Bytes(250)]);
        assert!(matches!(found, Err(TrainError::Gpu(GpuError::OutOfMemory(_)))));
    }
}
