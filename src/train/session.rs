//! Epochs and batches: which samples come when, what is measured, where to go on.
//!
//! All randomness is a function of seed, epoch and sample, so a session that starts in the middle of an epoch gives the
//! bits of one that never stopped.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::data::{AugmentParams, Dataset, Split, augment_params, epoch_order, gather};

use super::error::TrainError;
use super::metrics::EpochReport;
use super::plan::Mode;
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
    running: Option<f64>,
}

impl<'d> Session<'d> {
    /// Starts or goes on at `position`.
    pub fn new(trainer: Trainer, data: &'d Dataset, position: Position) -> Self {
        let mut session = Self {
            trainer,
            data,
            position,
            order: Vec::new(),
            pixels: Vec::new(),
            labels: Vec::new(),
            crops: Vec::new(),
            running: None,
        };
        session.shuffle();
        session
    }

    /// The batches' sizes of a pass over `n` samples: the full one, and the last, smaller one.
    pub fn batch_sizes(n: usize, batch: usize) -> impl Iterator<Item = u32> {
        let full = (n >= batch).then_some(batch as u32);
        let rest = (n % batch > 0).then_some((n % batch) as u32);
        full.into_iter().chain(rest)
    }

    /// The plans that a session over `data` will run.
    pub fn plans(data: &Dataset, batch: usize) -> Vec<(Mode, u32)> {
        let train = Self::batch_sizes(data.train.n, batch).map(|size| (Mode::Train, size));
        let test = Self::batch_sizes(data.test.n, batch).map(|size| (Mode::Evaluate, size));
        train.chain(test).collect()
    }

    /// Where it stands.
    pub fn position(&self) -> Position {
        self.position
    }

    /// Steps in an epoch.
    pub fn steps_per_epoch(&self) -> usize {
        self.data.train.n.div_ceil(self.batch_size())
    }

    /// Learning rate of the epoch under way.
    pub fn lr(&self) -> f64 {
        self.trainer.network().train.lr_at(self.position.epoch)
    }

    /// The output layer's mean loss in this epoch so far, as last seen.
    pub fn running_loss(&self) -> Option<f64> {
        self.running
    }

    /// Submits the epoch's next step and returns its number of samples, or `None` at the end of the epoch.
    ///
    /// # Errors
    /// What the device reports; [`TrainError::NotFinite`] soon after a loss stops being a number.
    pub async fn step(&mut self) -> Result<Option<usize>, TrainError> {
        let (data, position) = (self.data, self.position);
        let Some(range) = batch_range(position.step, self.batch_size(), data.train.n) else { return Ok(None) };
        let indices = self.order[range].to_vec();
        self.fill(&data.train, &indices, true);
        let lr = self.lr();
        self.trainer
            .train(Samples::Pixels { pixels: &self.pixels, crops: bytemuck::cast_slice(&self.crops) }, &self.labels, lr)
            .await?;
        self.position.step += 1;
        if self.position.step.is_multiple_of(GLANCE_EVERY)
            && let Some(totals) = self.trainer.glance()?
        {
            let output = totals[self.trainer.network().output()];
            self.running = (output.samples > 0.0).then(|| output.pred / output.samples);
            self.refuse_nan(&totals)?;
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
        self.running = None;
        Ok(EpochReport::new(self.trainer.network(), &totals, Mode::Train, epoch, lr))
    }

    /// Says whether every loss since the last epoch's end was a number. Waits for the GPU.
    ///
    /// # Errors
    /// [`TrainError::NotFinite`], or what the device reports.
    pub async fn check(&mut self) -> Result<(), TrainError> {
        let totals = super::metrics::Totals::parse(&self.trainer.totals_bytes().await?);
        self.refuse_nan(&totals)
    }

    /// Evaluates on the whole test split with `epoch` in the report. Waits for the GPU.
    ///
    /// # Errors
    /// What the device reports.
    pub async fn test(&mut self, epoch: usize) -> Result<EpochReport, TrainError> {
        let (data, batch) = (self.data, self.batch_size());
        let mut step = 0;
        while let Some(range) = batch_range(step, batch, data.test.n) {
            let indices: Vec<u32> = (range.start as u32..range.end as u32).collect();
            self.fill(&data.test, &indices, false);
            let samples = Samples::Pixels { pixels: &self.pixels, crops: bytemuck::cast_slice(&self.crops) };
            self.trainer.evaluate(samples, &self.labels).await?;
            step += 1;
        }
        let totals = self.trainer.take_totals().await?;
        let lr = self.trainer.network().train.lr_at(epoch);
        Ok(EpochReport::new(self.trainer.network(), &totals, Mode::Evaluate, epoch, lr))
    }

    /// GPU time of each dispatch of the epoch's next step, which is taken.
    ///
    /// # Errors
    /// What the device reports.
    pub async fn profile(&mut self) -> Result<Vec<crate::gpu::StageTime>, TrainError> {
        let data = self.data;
        let range = batch_range(self.position.step, self.batch_size(), data.train.n).unwrap_or(0..0);
        let indices = self.order[range].to_vec();
        self.fill(&data.train, &indices, true);
        let samples = Samples::Pixels { pixels: &self.pixels, crops: bytemuck::cast_slice(&self.crops) };
        let lr = self.trainer.network().train.lr_at(self.position.epoch);
        let times = self.trainer.profile(samples, &self.labels, lr).await?;
        self.position.step += 1;
        Ok(times)
    }

    fn refuse_nan(&self, totals: &[super::metrics::Totals]) -> Result<(), TrainError> {
        let bad = totals.iter().enumerate().filter_map(|(index, t)| Some((t.bad_step?, index))).min();
        let Some((step, index)) = bad else { return Ok(()) };
        let block = self.trainer.network().title(index).to_owned();
        Err(TrainError::NotFinite { block, step: step + 1, epoch: self.position.epoch })
    }

    fn batch_size(&self) -> usize {
        self.trainer.network().train.batch_size
    }

    fn shuffle(&mut self) {
        let seed = self.trainer.network().train.seed;
        self.order = epoch_order(seed, self.position.epoch as u64, self.data.train.n);
    }

    fn fill(&mut self, split: &Split, indices: &[u32], train: bool) {
        let (seed, epoch) = (self.trainer.network().train.seed, self.position.epoch as u64);
        gather(split, indices, &mut self.pixels, &mut self.labels);
        let crop = |&index: &u32| augment_params(&self.data.spec, seed, epoch, u64::from(index), train);
        self.crops.clear();
        self.crops.extend(indices.iter().map(crop));
    }
}

fn batch_range(step: usize, batch: usize, n: usize) -> Option<Range<usize>> {
    let start = step * batch;
    (start < n).then(|| start..(start + batch).min(n))
}
