//! Epochs and batches: which samples come when, what is measured, where to go on.
//!
//! All randomness is a function of seed, epoch and sample, so a session that starts in the middle of an epoch gives the
//! bits of one that never stopped.

use std::num::NonZeroU32;

use serde::{Deserialize, Serialize};

use crate::data::{AugmentParams, Batches, Dataset, Hole, Split, augment_params, class_order, epoch_order, gather};

use super::error::TrainError;
use super::inspect::Inspection;
use super::metrics::{EpochReport, Totals};
use super::plan::Mode;
use super::settings::Schedule;
use super::trainer::{Samples, Trainer};

/// Steps between two looks at the totals on the device, for the NaN watch and the progress line.
const GLANCE_EVERY: usize = 8;

/// Where a session stands, between two steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// Epoch under way, from 1.
    pub epoch: usize,
    /// Steps of it that are done.
    pub step: usize,
}

/// A trainer walking over a data set.
#[derive(Debug)]
pub struct Session<'d> {
    /// The trainer, for saving and loading.
    pub trainer: Trainer,
    data: &'d Dataset,
    position: Position,
    order: Vec<u32>,
    pixels: Vec<u8>,
    labels: Vec<u32>,
    crops: Vec<AugmentParams>,
    holes: Vec<Hole>,
    seen: Option<Vec<Totals>>,
}

impl<'d> Session<'d> {
    /// Starts or goes on at `position`.
    pub fn new(trainer: Trainer, data: &'d Dataset, position: Position) -> Self {
        // Between two epochs, what is there to be looked at is the one that has been.
        let last = if position.step > 0 { position.epoch } else { position.epoch.saturating_sub(1).max(1) };
        let mut session = Self {
            trainer,
            data,
            position,
            order: Vec::new(),
            pixels: Vec::new(),
            labels: Vec::new(),
            crops: Vec::new(),
            holes: Vec::new(),
            seen: None,
        };
        session.shuffle();
        session.enter_phase(last);
        session
    }

    /// The plans that a session over `data` will run: for full batches and for the last, smaller ones. With a greedy
    /// schedule, those of its first phase.
    pub fn plans(data: &Dataset, batch: usize) -> Vec<(Mode, u32)> {
        let mut plans = Vec::new();
        for (mode, split) in [(Mode::Train, &data.train), (Mode::Evaluate, &data.test)] {
            for range in batches(split, batch) {
                if plans.last() != Some(&(mode, range.len() as u32)) {
                    plans.push((mode, range.len() as u32));
                }
            }
        }
        plans
    }

    /// Where it stands.
    pub fn position(&self) -> Position {
        self.position
    }

    /// Steps in an epoch.
    pub fn steps_per_epoch(&self) -> usize {
        batches(&self.data.train, self.batch_size()).len()
    }

    /// Learning rate of the epoch under way.
    pub fn lr(&self) -> f64 {
        self.trainer.network().train.lr_at(self.position.epoch)
    }

    /// The output layer's mean loss in this epoch so far, as last seen; in a greedy phase that does not reach it, that of
    /// the module's classifier.
    pub fn running_loss(&self) -> Option<f64> {
        let last = self.totals_seen()?.get(self.trainer.network().last_classifier())?;
        (last.samples > 0.0).then(|| last.pred / last.samples)
    }

    /// The totals of this epoch so far, as last seen: each block's, the output layer's last.
    pub fn totals_seen(&self) -> Option<&[Totals]> {
        self.seen.as_deref()
    }

    /// Sees the totals that have arrived meanwhile, and asks for the next. Never waits.
    ///
    /// # Errors
    /// What the device reports; [`TrainError::NotFinite`] if a loss has stopped being a number.
    pub fn glance(&mut self) -> Result<(), TrainError> {
        if let Some(totals) = self.trainer.glance()? {
            self.refuse_nan(&totals)?;
            self.seen = Some(totals);
        }
        Ok(())
    }

    /// Submits the epoch's next step and returns its number of samples, or `None` at the end of the epoch.
    ///
    /// # Errors
    /// What the device reports; [`TrainError::NotFinite`] soon after a loss stops being a number.
    pub async fn step(&mut self) -> Result<Option<usize>, TrainError> {
        let (data, position) = (self.data, self.position);
        let Some(range) = batches(&data.train, self.batch_size()).nth(position.step) else { return Ok(None) };
        self.enter_phase(position.epoch);
        let indices = self.order[range].to_vec();
        self.fill(&data.train, &indices, true);
        let lr = self.lr();
        let samples = samples(&self.pixels, &self.crops, &self.holes);
        self.trainer.train(samples, &self.labels, lr).await?;
        self.position.step += 1;
        if self.position.step.is_multiple_of(GLANCE_EVERY) {
            self.glance()?;
        }
        Ok(Some(indices.len()))
    }

    /// Closes the epoch: its training report, and on to the next. Waits for the GPU.
    ///
    /// # Errors
    /// What the device reports; [`TrainError::NotFinite`].
    pub async fn close_epoch(&mut self) -> Result<EpochReport, TrainError> {
        let (epoch, lr) = (self.position.epoch, self.lr());
        let totals = self.trainer.take_totals().await?;
        self.refuse_nan(&totals)?;
        self.position = Position { epoch: epoch + 1, step: 0 };
        self.shuffle();
        self.seen = None;
        Ok(EpochReport::new(self.trainer.network(), &totals, Mode::Train, epoch, lr))
    }

    /// Says whether every loss since the last epoch's end was a number, and sees the totals so far. Waits for the GPU.
    ///
    /// # Errors
    /// [`TrainError::NotFinite`], or what the device reports.
    pub async fn check(&mut self) -> Result<(), TrainError> {
        let totals = Totals::parse(&self.trainer.totals_bytes().await?);
        self.refuse_nan(&totals)?;
        self.seen = Some(totals);
        Ok(())
    }

    /// Evaluates on the whole test split with `epoch` in the report. Waits for the GPU.
    ///
    /// # Errors
    /// What the device reports.
    pub async fn test(&mut self, epoch: usize) -> Result<EpochReport, TrainError> {
        let data = self.data;
        for range in batches(&data.test, self.batch_size()) {
            let indices: Vec<u32> = (range.start as u32..range.end as u32).collect();
            self.fill(&data.test, &indices, false);
            let samples = samples(&self.pixels, &self.crops, &self.holes);
            self.trainer.evaluate(samples, &self.labels).await?;
        }
        let totals = self.trainer.take_totals().await?;
        let lr = self.trainer.network().train.lr_at(epoch);
        Ok(EpochReport::new(self.trainer.network(), &totals, Mode::Evaluate, epoch, lr))
    }

    /// Looks at the test samples `indices` (at most a batch of them). Waits for the GPU.
    ///
    /// # Errors
    /// What the device reports.
    pub async fn inspect(&mut self, indices: &[u32]) -> Result<Inspection, TrainError> {
        let data = self.data;
        self.fill(&data.test, indices, false);
        self.trainer.inspect(samples(&self.pixels, &self.crops, &self.holes), indices.len()).await
    }

    /// GPU time of each dispatch of the epoch's next step, which is taken.
    ///
    /// # Errors
    /// What the device reports.
    pub async fn profile(&mut self) -> Result<Vec<crate::gpu::StageTime>, TrainError> {
        let data = self.data;
        let range = batches(&data.train, self.batch_size()).nth(self.position.step).unwrap_or(0..0);
        let indices = self.order[range].to_vec();
        self.fill(&data.train, &indices, true);
        let samples = samples(&self.pixels, &self.crops, &self.holes);
        let lr = self.trainer.network().train.lr_at(self.position.epoch);
        let times = self.trainer.profile(samples, &self.labels, lr).await?;
        self.position.step += 1;
        Ok(times)
    }

    /// With a greedy schedule, sees to it that the trainer is in the phase of `epoch`.
    fn enter_phase(&mut self, epoch: usize) {
        let network = self.trainer.network();
        let phase = network.train.phase_at(epoch, network.model.modules.len());
        let Schedule::Greedy { phase_epochs } = network.train.schedule else { return };
        if let Some(phase) = phase.filter(|phase| network.phase != Some(*phase)) {
            let first = phase * phase_epochs * self.steps_per_epoch();
            self.trainer.enter_phase(phase, first as u64);
        }
    }

    fn refuse_nan(&self, totals: &[Totals]) -> Result<(), TrainError> {
        let bad = totals.iter().enumerate().filter_map(|(index, t)| Some((t.bad_step?, index))).min();
        let Some((step, index)) = bad else { return Ok(()) };
        let block = self.trainer.network().title(index).to_owned();
        Err(TrainError::NotFinite { block, step: step + 1, epoch: self.position.epoch })
    }

    fn batch_size(&self) -> usize {
        self.trainer.network().train.batch_size
    }

    fn shuffle(&mut self) {
        let (train, epoch) = (&self.trainer.network().train, self.position.epoch);
        let split = &self.data.train;
        self.order = match train.classes_per_batch_at(epoch) {
            Some(classes) => class_order(train.seed, epoch as u64, &split.labels, classes, size(train.batch_size)),
            None => epoch_order(train.seed, epoch as u64, split.n),
        };
    }

    fn fill(&mut self, split: &Split, indices: &[u32], train: bool) {
        let settings = &self.trainer.network().train;
        let (seed, epoch) = (settings.seed, self.position.epoch as u64);
        self.pixels.resize(indices.len() * split.image_len(), 0);
        self.labels.resize(indices.len(), 0);
        gather(split, indices, &mut self.pixels, &mut self.labels);
        let crop = |&index: &u32| augment_params(&self.data.spec, seed, epoch, index, train);
        self.crops.clear();
        self.crops.extend(indices.iter().map(crop));
        self.holes.clear();
        if let (true, Some(cutout)) = (train, settings.holes()) {
            let shape = [split.height, split.width];
            self.holes.extend(indices.iter().flat_map(|&index| cutout.centres(shape, seed, epoch, index)));
        }
    }
}

fn samples<'b>(pixels: &'b [u8], crops: &'b [AugmentParams], holes: &'b [Hole]) -> Samples<'b> {
    Samples::Pixels { pixels, crops: bytemuck::cast_slice(crops), holes: bytemuck::cast_slice(holes) }
}

/// A pass over `split`.
fn batches(split: &Split, batch: usize) -> Batches {
    Batches::new(split.n, size(batch))
}

/// A batch of zero samples counts as one, so that no pass is endless.
fn size(batch: usize) -> NonZeroU32 {
    NonZeroU32::new(u32::try_from(batch).unwrap_or(u32::MAX)).unwrap_or(NonZeroU32::MIN)
}
