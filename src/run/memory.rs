//! What a training step of some settings keeps on the device: the plan, made without a device, and its sum.

use crate::kernels::gemm::Tuning;
use crate::nn::{Model, ModelConfig};
use crate::train::{MemoryReport, Mode, Plan, Pool, TrainError};

use super::engine;
use super::error::RunError;
use super::settings::Settings;

/// A plan and its sum.
#[derive(Debug)]
pub struct Planned {
    /// What it keeps.
    pub report: MemoryReport,
    /// The plan itself.
    pub plan: Plan,
}

impl Planned {
    /// Plans a training step of `settings`, by backpropagation or locally whatever they say.
    ///
    /// # Errors
    /// A usage error for settings that make no network.
    pub fn new(settings: &Settings, tuning: Tuning, backprop: bool) -> Result<Self, RunError> {
        let model = Model::build(ModelConfig { backprop, ..settings.model.clone() })?;
        let network = engine::network(model, settings.train.clone(), &settings.spec, tuning);
        let mut pool = Pool::default();
        let plan =
            Plan::new(&network, Mode::Train, settings.train.batch_size as u32, &mut pool).map_err(TrainError::from)?;
        Ok(Self { report: MemoryReport::new(&plan, &pool), plan })
    }
}
