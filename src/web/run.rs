//! A network in training, as the page's worker drives it.

use serde::Serialize;
use serde_json::json;
use wasm_bindgen::prelude::wasm_bindgen;

use crate::checkpoint::Checkpoint;
use crate::data::AugmentParams;
use crate::nn::{Block, Model, Op};
use crate::run::engine::Capabilities;
use crate::run::memory::Planned;
use crate::run::{RunError, Settings, TrainFlags, engine};
use crate::train::{Limit, MemoryReport, Position, Samples, Session, Totals};

use super::data::Data;
use super::device::Device;
use super::error::{WebError, from_json, to_json};
use super::view::View;

/// Samples of the page's probe at most.
const PROBE: usize = 60;

/// A run.
#[wasm_bindgen]
#[derive(Debug)]
pub struct Run {
    session: Session<'static>,
    settings: Settings,
    best_error_percent: Option<f64>,
}

/// A block as the page shows it.
#[derive(Debug, Serialize)]
struct BlockDescription<'a> {
    name: &'a str,
    /// `[H, W, C]` of its activation.
    shape: [usize; 3],
    pred: bool,
    sim: bool,
    pooled: bool,
}

/// A block's losses and errors, summed since the epoch began.
#[derive(Debug, Serialize)]
struct Sums {
    samples: f64,
    steps: f64,
    pred: f64,
    sim: f64,
    wrong: f64,
    grad_norm: f64,
}

#[wasm_bindgen]
impl Run {
    /// Starts a run of `settings` (flags of `predsim train` as a JSON object) over `data`, or goes on with `checkpoint`,
    /// the bytes of a file of `predsim train` or of this page; the network's structure is then the checkpoint's.
    ///
    /// # Errors
    /// `usage`, `memory`, `lost`: see [`super::error`].
    pub async fn start(
        device: &Device,
        data: &Data,
        settings: String,
        checkpoint: Option<Vec<u8>>,
    ) -> Result<Run, WebError> {
        let (gpu, data) = (device.gpu.clone(), data.set);
        let flags: TrainFlags = from_json(&settings)?;
        let checkpoint = checkpoint.map(|bytes| read_checkpoint(&bytes)).transpose()?;
        let state = checkpoint.as_ref().map(|checkpoint| &checkpoint.state);
        let settings = match state {
            Some(state) => Settings::resumed(state, &flags, Some(&data.spec))?,
            None => Settings::resolve_for(&flags, data.spec.clone())?,
        };
        // The other plans are made when they are first used: the first step waits for no more kernels than it runs.
        let mut plans = Session::plans(data, settings.train.batch_size);
        plans.truncate(1);
        let capabilities = Capabilities::of(&gpu, settings.train.precision)?;
        let trainer = engine::trainer(&gpu, &capabilities, &settings, &plans, checkpoint.as_ref())?;
        let position = state.map_or(Position { epoch: 1, step: 0 }, |state| state.position);
        let best_error_percent = state.and_then(|state| state.best_error_percent);
        Ok(Self { session: Session::new(trainer, data, position), settings, best_error_percent })
    }

    /// Its settings, all of them, its blocks and its size, as JSON.
    ///
    /// # Errors
    /// None in practice.
    pub fn describe(&self) -> Result<String, WebError> {
        let model = &self.session.trainer.network().model;
        let losses = self.session.trainer.network().losses;
        to_json(&json!({
            "settings": self.settings.flags(),
            "epochs": self.settings.total_epochs(model),
            "blocks": model.blocks.iter().map(|block| BlockDescription::of(block, model)).collect::<Vec<_>>(),
            "weights": { "pred": losses.pred, "sim": losses.sim },
            "parameters": model.trained_parameters(),
            "parameters_trunk": model.trunk_parameters(),
            "steps_per_epoch": self.session.steps_per_epoch(),
            "probe": PROBE.min(self.settings.train.batch_size),
        }))
    }

    /// Submits the epoch's next step; returns its number of samples, or `undefined` at the end of the epoch.
    ///
    /// # Errors
    /// `lost`, `memory`, `failed`.
    pub async fn step(&mut self) -> Result<Option<usize>, WebError> {
        let samples = self.session.step().await?;
        self.session.glance()?;
        Ok(samples)
    }

    /// Where it stands, and the sums of this epoch so far as last seen, the output layer's last, as JSON.
    ///
    /// # Errors
    /// None in practice.
    pub fn progress(&self) -> Result<String, WebError> {
        let sums: Vec<Sums> = self.session.totals_seen().into_iter().flatten().map(Sums::of).collect();
        let Position { epoch, step } = self.session.position();
        to_json(&json!({ "epoch": epoch, "step": step, "lr": self.session.lr(), "sums": sums }))
    }

    /// Waits for all steps so far, so that [`Run::progress`] knows of them.
    ///
    /// # Errors
    /// `lost`, `memory`, `failed`.
    pub async fn settle(&mut self) -> Result<(), WebError> {
        Ok(self.session.check().await?)
    }

    /// Closes the epoch and evaluates on the test split: the two rows of `metrics.jsonl`, but for the time, as JSON.
    ///
    /// # Errors
    /// `lost`, `memory`, `failed`.
    pub async fn close_epoch(&mut self) -> Result<String, WebError> {
        let epoch = self.session.position().epoch;
        let train = self.session.close_epoch().await?;
        let test = self.session.test(epoch).await?;
        let best = self.best_error_percent.is_none_or(|best| test.error_percent < best);
        if best {
            self.best_error_percent = Some(test.error_percent);
        }
        to_json(&json!({ "train": train, "test": test, "best_error_percent": self.best_error_percent }))
    }

    /// Looks at test samples, at most [`Run::describe`]'s `probe` of them.
    ///
    /// # Errors
    /// `lost`, `memory`.
    pub async fn look(&mut self, indices: Vec<u32>) -> Result<View, WebError> {
        Ok(View(self.session.inspect(&indices).await?))
    }

    /// Looks at one picture, `[H, W, C]` bytes as the data set has them.
    ///
    /// # Errors
    /// `usage`: it has another size; `lost`, `memory`.
    pub async fn look_at(&mut self, pixels: Vec<u8>) -> Result<View, WebError> {
        let input = self.settings.model.input;
        let expected = input.height * input.width * input.channels;
        if pixels.len() != expected {
            return Err(
                RunError::usage(format!("the picture has {} bytes; it must have {expected}", pixels.len())).into()
            );
        }
        let crop = [AugmentParams::IDENTITY];
        let samples = Samples::Pixels { pixels: &pixels, crops: bytemuck::cast_slice(&crop), holes: &[] };
        Ok(View(self.session.trainer.inspect(samples, 1).await?))
    }

    /// The checkpoint's file.
    ///
    /// # Errors
    /// `lost`, `memory`, `failed`.
    pub async fn checkpoint(&mut self) -> Result<Vec<u8>, WebError> {
        let checkpoint = engine::checkpoint(&mut self.session, &self.settings, self.best_error_percent).await?;
        Ok(checkpoint.to_bytes()?)
    }
}

impl<'b> BlockDescription<'b> {
    fn of(block: &'b Block, model: &Model) -> Self {
        let at = model.ops.iter().position(|op| *op == Op::Block(block.index));
        Self {
            name: &block.name,
            shape: [block.out_shape.h, block.out_shape.w, block.out_shape.c],
            pred: block.heads.pred,
            sim: block.heads.sim,
            pooled: at.and_then(|at| model.ops.get(at + 1)) == Some(&Op::MaxPool),
        }
    }
}

impl Sums {
    fn of(totals: &Totals) -> Self {
        let Totals { samples, steps, pred, sim, wrong, grad_norm, .. } = *totals;
        Self { samples, steps, pred, sim, wrong, grad_norm }
    }
}

/// All settings of a checkpoint's run, as JSON.
///
/// # Errors
/// `usage`: the bytes are not a checkpoint.
#[wasm_bindgen]
pub fn settings_of_checkpoint(bytes: &[u8]) -> Result<String, WebError> {
    to_json(&Settings::of_state(&read_checkpoint(bytes)?.state)?.flags())
}

/// Bytes that a step of `settings` over `data` keeps, locally and by backpropagation, as JSON. Needs no device.
///
/// # Errors
/// `usage`: the settings make no network.
#[wasm_bindgen]
pub fn memory_plans(settings: &str, data: &Data) -> Result<String, WebError> {
    let settings = Settings::resolve_for(&from_json(settings)?, data.set.spec.clone())?;
    let planned = |backprop| {
        Planned::within(&settings, &Capabilities::webgpu(settings.train.precision), backprop, Limit::Fastest)
    };
    let (local, backprop) = (planned(false)?, planned(true)?);
    to_json(&json!({ "local": kept(&local.report), "backprop": kept(&backprop.report) }))
}

fn kept(report: &MemoryReport) -> serde_json::Value {
    json!({
        "activations": report.activation_bytes,
        "weights": report.weight_bytes,
        "gradients": report.gradient_bytes,
        "optimizer": report.optimizer_bytes,
    })
}

/// A file that the visitor chose: what is wrong with it is theirs to know.
fn read_checkpoint(bytes: &[u8]) -> Result<Checkpoint, RunError> {
    Checkpoint::from_bytes(bytes).map_err(|error| RunError::usage(format!("the checkpoint is {error}")))
}
