//! Epochs and batches: which samples come when, what is measured, where to go on.
//!
//! All randomness is a function of seed, epoch and sample, so a session that starts in the middle of an epoch gives the
//! bits of one that never stopped.

use std::num::NonZeroU32;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::data::{
    AugmentParams, Batches, Dataset, Draw, Hole, Pictures, Walk, augment_params, class_order, epoch_order,
};

use super::error::TrainError;
use super::inspect::Inspection;
use super::metrics::{EpochReport, Totals};
use super::plan::Mode;
use super::settings::Schedule;
use super::trainer::{Glance, Samples, Trainer};

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

impl Position {
    /// The epoch that was last at work: between two, what there is to be looked at is the one that has been.
    pub fn latest_epoch(self) -> usize {
        if self.step > 0 { self.epoch } else { self.epoch.saturating_sub(1).max(1) }
    }
}

/// A trainer walking over a data set.
#[derive(Debug)]
pub struct Session<'d> {
    /// The trainer, for saving and loading.
    pub trainer: Trainer,
    data: &'d Dataset,
    position: Position,
    order: Arc<[u32]>,
    /// The training pictures of the epoch, from the next step on; begun by the first step.
    walk: Option<Walk<'d>>,
    pixels: Vec<u8>,
    labels: Vec<u32>,
    crops: Vec<AugmentParams>,
    holes: Vec<Hole>,
    seen: Option<Vec<Totals>>,
    /// How many of the epoch's steps were looked at, and their GPU seconds.
    timed: (u32, f64),
}

impl<'d> Session<'d> {
    /// Starts or goes on at `position`.
    pub fn new(trainer: Trainer, data: &'d Dataset, position: Position) -> Self {
        let mut session = Self {
            trainer,
            data,
            position,
            order: Arc::default(),
            walk: None,
            pixels: Vec::new(),
            labels: Vec::new(),
            crops: Vec::new(),
            holes: Vec::new(),
            seen: None,
            timed: (0, 0.0),
        };
        session.shuffle();
        session.enter_phase(position.latest_epoch());
        session
    }

    /// The plans that a session over `data` will run: for full batches and for the last, smaller ones. With a greedy
    /// schedule, in each of its phases.
    pub fn plans(data: &Dataset, batch: usize) -> Vec<(Mode, u32)> {
        let mut plans = Vec::new();
        for (mode, pictures) in [(Mode::Train, &data.train), (Mode::Evaluate, &data.test)] {
            for range in batches(pictures, batch) {
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

    /// Samples in an epoch.
    pub fn training_samples(&self) -> u32 {
        self.data.train.n()
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

    /// How long the GPU works on a step of this epoch, on the average of those that were looked at: one in eight.
    /// `None` before the first, and where the adapter takes no timestamps.
    pub fn step_seconds(&self) -> Option<f64> {
        let (steps, seconds) = self.timed;
        (steps > 0).then(|| seconds / f64::from(steps))
    }

    /// Sees the totals that have arrived meanwhile, and asks for the next. Never waits.
    ///
    /// # Errors
    /// What the device reports; [`TrainError::NotFinite`] if a loss has stopped being a number.
    pub fn glance(&mut self) -> Result<(), TrainError> {
        if let Some(Glance { totals, step_seconds }) = self.trainer.glance()? {
            self.refuse_nan(&totals)?;
            self.seen = Some(totals);
            if let Some(seconds) = step_seconds {
                self.timed = (self.timed.0 + 1, self.timed.1 + seconds);
            }
        }
        Ok(())
    }

    /// Submits the epoch's next step and returns its number of samples, or `None` at the end of the epoch.
    ///
    /// # Errors
    /// What the device reports; a picture that cannot be read; [`TrainError::NotFinite`] soon after a loss stops being a
    /// number.
    pub async fn step(&mut self) -> Result<Option<usize>, TrainError> {
        let position = self.position;
        let Some(range) = batches(&self.data.train, self.batch_size()).nth(position.step) else { return Ok(None) };
        let count = range.len();
        self.enter_phase(position.epoch);
        self.fill_train(range)?;
        let lr = self.lr();
        let samples = samples(&self.pixels, &self.crops, &self.holes);
        self.trainer.train(samples, &self.labels, lr).await?;
        self.position.step += 1;
        if self.position.step.is_multiple_of(GLANCE_EVERY) {
            self.glance()?;
        }
        Ok(Some(count))
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
        self.timed = (0, 0.0);
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
    /// What the device reports, or a picture that cannot be read.
    pub async fn test(&mut self, epoch: usize) -> Result<EpochReport, TrainError> {
        let data = self.data;
        let mut walk = data.test.walk((0..data.test.n()).collect(), 0, None);
        for range in batches(&data.test, self.batch_size()) {
            self.fill_test(&mut walk, range.len())?;
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
        let mut walk = data.test.walk(indices.into(), 0, None);
        self.fill_test(&mut walk, indices.len())?;
        self.trainer.inspect(samples(&self.pixels, &self.crops, &self.holes), indices.len()).await
    }

    /// GPU time of each dispatch of the epoch's next step, which is taken.
    ///
    /// # Errors
    /// What the device reports, or a picture that cannot be read.
    pub async fn profile(&mut self) -> Result<Vec<crate::gpu::StageTime>, TrainError> {
        let range = batches(&self.data.train, self.batch_size()).nth(self.position.step).unwrap_or(0..0);
        self.fill_train(range)?;
        let samples = samples(&self.pixels, &self.crops, &self.holes);
        let lr = self.trainer.network().train.lr_at(self.position.epoch);
        let times = self.trainer.profile(samples, &self.labels, lr).await?;
        self.position.step += 1;
        Ok(times)
    }

    /// With a greedy schedule, sees to it that the trainer is in the phase of `epoch`, and knows when it began: the steps
    /// of an epoch change only between two phases.
    fn enter_phase(&mut self, epoch: usize) {
        let network = self.trainer.network();
        let Schedule::Greedy { phase_epochs } = network.train.schedule else { return };
        let Some(phase) = network.train.phase_at(epoch, network.model.modules.len()) else { return };
        let Position { epoch: now, step } = self.position;
        let done = now.saturating_sub(1 + phase * phase_epochs) * self.steps_per_epoch() + step;
        self.trainer.enter_phase(phase, self.trainer.steps().saturating_sub(done as u64));
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
        let pictures = &self.data.train;
        self.order = match train.classes_per_batch_at(epoch) {
            Some(classes) => class_order(train.seed, epoch as u64, pictures.labels(), classes, size(train.batch_size)),
            None => epoch_order(train.seed, epoch as u64, pictures.n()),
        }
        .into();
        self.walk = None;
    }

    /// Fills the buffers with the training samples at `range` of the epoch's order, which begins where the last step ended,
    /// and draws what happens to each.
    fn fill_train(&mut self, range: std::ops::Range<usize>) -> Result<(), TrainError> {
        let data = self.data;
        let settings = &self.trainer.network().train;
        let draw = Draw { seed: settings.seed, epoch: self.position.epoch as u64 };
        let samples = &self.order[range.clone()];
        let crop = |&sample: &u32| augment_params(&data.spec, draw.seed, draw.epoch, sample, true);
        self.crops.clear();
        self.crops.extend(samples.iter().map(crop));
        self.holes.clear();
        if let Some(cutout) = settings.holes() {
            let shape = [data.spec.height, data.spec.width];
            self.holes.extend(samples.iter().flat_map(|&sample| cutout.centres(shape, draw.seed, draw.epoch, sample)));
        }
        let begin = || data.train.walk(self.order.clone(), range.start, Some(draw));
        let mut walk = self.walk.take().unwrap_or_else(begin);
        self.fill(&mut walk, range.len())?;
        self.walk = Some(walk);
        Ok(())
    }

    /// Fills the buffers with the next `count` samples of `walk` as they are.
    fn fill_test(&mut self, walk: &mut Walk<'_>, count: usize) -> Result<(), TrainError> {
        self.fill(walk, count)?;
        self.crops.clear();
        self.crops.resize(count, AugmentParams::IDENTITY);
        self.holes.clear();
        Ok(())
    }

    /// The next `count` pictures and labels.
    fn fill(&mut self, walk: &mut Walk<'_>, count: usize) -> Result<(), TrainError> {
        self.pixels.resize(count * self.data.train.image_len(), 0);
        self.labels.resize(count, 0);
        Ok(walk.fill(&mut self.pixels, &mut self.labels)?)
    }
}

fn samples<'b>(pixels: &'b [u8], crops: &'b [AugmentParams], holes: &'b [Hole]) -> Samples<'b> {
    Samples::Pixels { pixels, crops: bytemuck::cast_slice(crops), holes: bytemuck::cast_slice(holes) }
}

/// A pass over `pictures`.
fn batches(pictures: &Pictures, batch: usize) -> Batches {
    Batches::new(pictures.n(), size(batch))
}

/// A batch of zero samples counts as one, so that no pass is endless.
fn size(batch: usize) -> NonZeroU32 {
    NonZeroU32::new(u32::try_from(batch).unwrap_or(u32::MAX)).unwrap_or(NonZeroU32::MIN)
}
