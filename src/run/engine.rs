//! From settings to a trainer on a device, fresh or as a checkpoint left it, and from a session back to a checkpoint.

use std::collections::HashMap;
use std::rc::Rc;

use crate::checkpoint::{Checkpoint, State};
use crate::data::Dataset;
use crate::gpu::Gpu;
use crate::kernels::precision::Precision;
use crate::kernels::tuning::{Tuning, TuningError};
use crate::nn::init::initial_values;
use crate::nn::{Model, ParamDecl, Role};
use crate::train::{Bounds, Footprint, Goal, Limit, Mode, NamedTensor, Network, Session, Source, TrainError, Trainer};

use super::error::RunError;
use super::memory;
use super::settings::Settings;

/// Keeps the first pictures of a data set, as many of each split as it is limited to (`--limit-train`, `--limit-test`).
pub fn limit(data: &mut Dataset, train: Option<u32>, test: Option<u32>) {
    train.into_iter().for_each(|n| data.train.limit(n));
    test.into_iter().for_each(|n| data.test.limit(n));
}

/// What of a device the plans for it depend on.
#[derive(Debug, Clone)]
pub struct Capabilities {
    /// How products are computed.
    pub tuning: Tuning,
    /// What buffers and bindings can be.
    pub limits: wgpu::Limits,
}

impl Capabilities {
    /// Those of an open device, for products in `precision`.
    ///
    /// # Errors
    /// [`TuningError`] for a precision or a [forced](crate::kernels::tuning::FORCE) tuning that cannot be had.
    pub fn of(gpu: &Gpu, precision: Precision) -> Result<Self, TuningError> {
        Ok(Self { tuning: Tuning::chosen(gpu, precision)?, limits: gpu.limits.clone() })
    }

    /// What WebGPU guarantees everywhere, for products in `precision`; of halves only where the adapter has them.
    pub fn webgpu(precision: Precision) -> Self {
        let tuning = match precision {
            Precision::F32 => Tuning::portable(),
            Precision::F16 => Tuning::portable_half(),
        };
        Self { tuning, limits: wgpu::Limits::default() }
    }
}

/// The network of `settings`, for pictures that reach the device as bytes. Its plans are as fast as `capabilities` allow,
/// whatever the settings' budget.
///
/// # Errors
/// A usage error for settings that make no network.
pub fn network(settings: &Settings, capabilities: &Capabilities) -> Result<Network, RunError> {
    let model = Model::build(settings.model.clone())?;
    let [mean, std] = settings.spec.normalisation();
    let source = Source::Pixels { mean, std };
    let bounds = Bounds::of(&capabilities.limits);
    let max_binding = settings.max_binding.map_or(bounds.max_binding, |most| most.min(bounds.max_binding));
    let goal = Goal { limit: Limit::Fastest, bounds: Bounds { max_binding, ..bounds } };
    Ok(Network::new(model, settings.train.clone(), source, capabilities.tuning).with_goal(goal))
}

/// A trainer with its plans made, and the parameters of `checkpoint` or the published initialisation in it. Its plans keep
/// to the settings' budget; without one they take half of the memory, and half again, where the device has no room. With a
/// greedy schedule it is in the phase that the checkpoint was last in, or in the first.
///
/// # Errors
/// What the device reports, or a usage error for a checkpoint that does not fit the network or a budget that is too small.
pub fn trainer(
    gpu: &Rc<Gpu>,
    capabilities: &Capabilities,
    settings: &Settings,
    plans: &[(Mode, u32)],
    checkpoint: Option<&Checkpoint>,
) -> Result<Trainer, RunError> {
    let mut network = memory::budgeted(settings, capabilities, plans)?;
    if let Some(checkpoint) = checkpoint {
        let epoch = checkpoint.state.position.latest_epoch();
        network.phase = network.train.phase_at(epoch, network.model.modules.len());
    }
    let seed = settings.train.seed;
    let fastest = || Footprint::new(&network, plans).map_or(0, |footprint| footprint.activations);
    let within = |limit| {
        gpu.forget_no_room();
        Trainer::new(gpu.clone(), network.within(limit), plans)
    };
    let made = match settings.memory_budget {
        Some(_) => within(network.goal.limit),
        None => memory::until_it_fits(fastest, within),
    };
    let mut trainer = made.map_err(|error| match error {
        TrainError::Unfit(unfit) => memory::advice(settings, capabilities, plans, unfit),
        other => other.into(),
    })?;
    match checkpoint {
        Some(checkpoint) => load(&mut trainer, checkpoint)?,
        None => {
            let declared = trainer.network().model.params.clone();
            let params: HashMap<&str, &ParamDecl> = declared.iter().map(|param| (param.name.as_str(), param)).collect();
            trainer.load(|name| params.get(name).map(|param| initial_values(param, seed)))?;
        }
    }
    Ok(trainer)
}

fn load(trainer: &mut Trainer, checkpoint: &Checkpoint) -> Result<(), TrainError> {
    let held: HashMap<&str, &NamedTensor> =
        checkpoint.tensors.iter().map(|tensor| (tensor.name.as_str(), tensor)).collect();
    for param in &trainer.network().model.params {
        check(&held, &param.name, &param.shape)?;
        if param.role != Role::Train {
            continue;
        }
        for moment in trainer.network().train.kind().state() {
            check(&held, &format!("optimizer.{moment}.{}", param.name), &param.shape)?;
        }
    }
    trainer.load(|name| held.get(name).map(|tensor| tensor.values.clone()))?;
    trainer.set_steps(checkpoint.state.steps);
    if let Some(totals) = &checkpoint.totals {
        let needed = trainer.network().totals.bytes;
        if totals.len() as u64 != needed {
            let problem = format!("has {} bytes instead of {needed}", totals.len());
            return Err(TrainError::Tensor { name: "progress.totals".to_owned(), problem });
        }
        trainer.set_totals_bytes(totals);
    }
    Ok(())
}

/// Whether there is a tensor of that name and shape.
fn check(held: &HashMap<&str, &NamedTensor>, name: &str, shape: &[usize]) -> Result<(), TrainError> {
    let problem = match held.get(name) {
        None => "is missing".to_owned(),
        Some(found) if found.shape != shape => format!("is {:?}, not {shape:?}", found.shape),
        Some(_) => return Ok(()),
    };
    Err(TrainError::Tensor { name: name.to_owned(), problem })
}

/// All that is needed to go on with `session` to the same bits. Waits for the GPU.
///
/// # Errors
/// What the device reports.
pub async fn checkpoint(
    session: &mut Session<'_>,
    settings: &Settings,
    best_error_percent: Option<f64>,
) -> Result<Checkpoint, RunError> {
    let state = state(session, settings, best_error_percent);
    let tensors = session.trainer.save(true).await?;
    let totals = totals(session).await?;
    Ok(Checkpoint { state, tensors, totals })
}

/// Writes the same to the file `path`, tensor by tensor.
///
/// # Errors
/// What the device reports, or that the file cannot be written.
#[cfg(not(target_arch = "wasm32"))]
pub fn write_checkpoint(
    path: &std::path::Path,
    gpu: &Gpu,
    session: &mut Session<'_>,
    settings: &Settings,
    best_error_percent: Option<f64>,
) -> Result<(), RunError> {
    use crate::gpu::block_on;
    use crate::train::Located;
    let state = state(session, settings, best_error_percent);
    let totals = block_on(gpu, totals(session))?;
    let located = session.trainer.tensors(true);
    let tensors: Vec<(String, Vec<usize>)> =
        located.iter().map(|located| (located.name.clone(), session.trainer.shape(located).to_vec())).collect();
    let places: HashMap<&str, &Located> = located.iter().map(|located| (located.name.as_str(), located)).collect();
    let fetch = |name: &str| -> Result<Vec<f32>, RunError> { Ok(block_on(gpu, session.trainer.tensor(places[name]))?) };
    crate::checkpoint::write(path, &state, &tensors, totals.as_deref(), fetch)
}

fn state(session: &Session<'_>, settings: &Settings, best_error_percent: Option<f64>) -> State {
    State {
        model: settings.model.clone(),
        train: settings.train.clone(),
        dataset: settings.spec.name.to_owned(),
        class_names: settings.found_classes(),
        limit_train: settings.limit_train,
        limit_test: settings.limit_test,
        position: session.position(),
        samples: Some(session.training_samples()),
        steps: session.trainer.steps(),
        best_error_percent,
    }
}

/// The loss totals of an epoch that is not at its end.
async fn totals(session: &mut Session<'_>) -> Result<Option<Vec<u8>>, TrainError> {
    match session.position().step {
        0 => Ok(None),
        _ => session.trainer.totals_bytes().await.map(Some),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_webgpu_guarantees_is_planned_in_the_precision_that_is_asked_for() {
        for precision in [Precision::F32, Precision::F16] {
            assert_eq!(Capabilities::webgpu(precision).tuning.precision(), precision);
        }
    }
}
