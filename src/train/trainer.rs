//! Runs plans on a device: uploads a batch, encodes each stage into one command buffer, reads what the host asks for.

use std::collections::HashMap;
use std::rc::Rc;

use crate::gpu::{
    BufferSpan, Gpu, GpuError, Mirror, Part, Program, Readback, Slice, StageClock, StageTime, TensorId, UploadRing,
};
use crate::kernels::StepParams;

use super::error::TrainError;
use super::footprint::{Footprint, reserve};
use super::metrics::Totals;
use super::network::Network;
use super::plan::{Mode, Plan, PlanSummary};
use super::pool::Pool;
use super::staging::Staging;
use super::tensors::Role;

/// Every persistent tensor may be written by the host, and read back or mirrored.
const PERSISTENT: wgpu::BufferUsages =
    wgpu::BufferUsages::STORAGE.union(wgpu::BufferUsages::COPY_DST).union(wgpu::BufferUsages::COPY_SRC);

/// A batch's pictures, as the network's [`Source`](super::Source) wants them.
#[derive(Debug, Clone, Copy)]
pub enum Samples<'a> {
    /// Bytes `[N, H, W, C]` with the crop and flip of each sample.
    Pixels {
        /// Bytes of all pictures.
        pixels: &'a [u8],
        /// `CropFlip` of each, as bytes.
        crops: &'a [u8],
        /// `Hole`s of each, as bytes; none where the network's training has no cutout.
        holes: &'a [u8],
    },
    /// Numbers `[N, H, W, pad4(C)]`.
    Floats(&'a [f32]),
}

/// What a look at a run under way shows.
#[derive(Debug, Clone)]
pub struct Glance {
    /// The totals so far.
    pub totals: Vec<Totals>,
    /// How long the GPU worked on the latest training step; where the adapter takes timestamps.
    pub step_seconds: Option<f64>,
}

/// Bytes of a trainer's tensors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Allocated {
    /// Parameters, gradients, moments, statistics, inputs and outputs.
    pub persistent: u64,
    /// Buffers that activations share, and textures that mirror tensors.
    pub activations: u64,
}

/// A network on a device.
#[derive(Debug)]
pub struct Trainer {
    pub(super) gpu: Rc<Gpu>,
    pub(super) network: Network,
    persistent: Vec<wgpu::Buffer>,
    pool: Pool,
    shared: Vec<wgpu::Buffer>,
    mirrors: Vec<Mirror>,
    programs: HashMap<(Mode, u32), Prepared>,
    staging: Staging,
    ring: UploadRing,
    watch: Readback,
    /// Where the adapter takes timestamps.
    clock: Option<StageClock>,
    /// Stages of the last training step, if the clock has run.
    timed: usize,
    /// For parameters; once some have been asked for.
    values: Option<Readback>,
    steps: u64,
    phase_start: u64,
}

/// A plan made real.
#[derive(Debug)]
struct Prepared {
    program: Program,
    summary: PlanSummary,
    /// The plan's own outputs, in the order in which it made them.
    kept: Vec<wgpu::Buffer>,
    /// Room for these outputs and the logits; with an inspection only.
    readback: Option<Readback>,
}

impl Trainer {
    /// Puts `network` on the device and prepares plans for the given modes and batch sizes, so that no step allocates.
    /// Parameters are zero until [`Trainer::load`].
    ///
    /// # Errors
    /// What the device reports: no memory, a tensor over its limits.
    pub fn new(gpu: Rc<Gpu>, network: Network, plans: &[(Mode, u32)]) -> Result<Self, TrainError> {
        let persistent = network
            .tensors
            .infos()
            .iter()
            .map(|info| gpu.arena(&info.name, info.bytes, PERSISTENT))
            .collect::<Result<Vec<_>, _>>()?;
        let staging = Staging::new(&network);
        let (ring, watch) = (staging.ring(&gpu)?, staging.watch(&gpu)?);
        let clock = StageClock::new(&gpu, network.most_stages())?;
        let mut trainer = Self {
            gpu,
            network,
            persistent,
            pool: Pool::default(),
            shared: Vec::new(),
            mirrors: Vec::new(),
            programs: HashMap::new(),
            staging,
            ring,
            watch,
            clock,
            timed: 0,
            values: None,
            steps: 0,
            phase_start: 0,
        };
        reserve(&trainer.network, plans, &mut trainer.pool)?;
        for &(mode, batch) in plans {
            trainer.prepare(mode, batch)?;
        }
        Ok(trainer)
    }

    /// The network it trains.
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// The device it runs on.
    pub fn gpu(&self) -> &Rc<Gpu> {
        &self.gpu
    }

    /// Training steps done so far.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// Sets the number of steps done so far, when going on from a checkpoint.
    pub fn set_steps(&mut self, steps: u64) {
        self.steps = steps;
    }

    /// With a greedy schedule: from now on module `phase` is trained, whose first step was the global step `first`,
    /// counted from 0; the optimiser counts its updates from there. In another phase plans are made anew, in the memory
    /// that [`Trainer::new`] has taken for them.
    pub fn enter_phase(&mut self, phase: usize, first: u64) {
        self.phase_start = first;
        if self.network.phase == Some(phase) {
            return;
        }
        self.network.phase = Some(phase);
        self.programs.clear();
        self.pool.uniform_bytes = 0;
    }

    /// What its plans say that it takes of the device's memory.
    pub fn footprint(&self) -> Footprint {
        Footprint::of(&self.network, &self.pool)
    }

    /// How a step is done, of those for which there is a plan the one with the most samples.
    pub fn summary(&self, mode: Mode) -> Option<PlanSummary> {
        let plans = self.programs.iter().filter(|((of, _), _)| *of == mode);
        plans.max_by_key(|((_, batch), _)| *batch).map(|(_, prepared)| prepared.summary)
    }

    /// What it has allocated on the device, read off the buffers themselves.
    pub fn allocated(&self) -> Allocated {
        let sum = |buffers: &[wgpu::Buffer]| buffers.iter().map(wgpu::Buffer::size).sum();
        let mirrors: u64 = self.mirrors.iter().map(|mirror| mirror.sheet().bytes()).sum();
        Allocated { persistent: sum(&self.persistent), activations: sum(&self.shared) + mirrors }
    }

    fn prepare(&mut self, mode: Mode, batch: u32) -> Result<(), TrainError> {
        if self.programs.contains_key(&(mode, batch)) {
            return Ok(());
        }
        let plan = Plan::new(&self.network, mode, batch, &mut self.pool)?;
        let usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC;
        for &bytes in &self.pool.bytes[self.shared.len()..] {
            self.shared.push(self.gpu.arena("activations", bytes, usage)?);
        }
        for &sheet in &self.pool.sheets[self.mirrors.len()..] {
            self.mirrors.push(Mirror::new(&self.gpu, sheet)?);
        }
        let own = plan.tensors.infos().iter().enumerate().skip(self.persistent.len());
        let outputs = own.filter(|(_, info)| info.role == Role::Output);
        let kept = outputs
            .map(|(id, info)| Ok((TensorId(id as u32), self.gpu.buffer(&info.name, info.bytes, PERSISTENT)?)))
            .collect::<Result<Vec<_>, GpuError>>()?;
        let place = |id: TensorId| {
            let own = || kept.iter().find(|(output, _)| *output == id).map(|(_, buffer)| buffer);
            let persistent = self.persistent.get(id.0 as usize).or_else(own);
            match persistent {
                Some(buffer) => BufferSpan { buffer: buffer.clone(), offset: 0 },
                None => {
                    let place = plan.places[&id];
                    BufferSpan { buffer: self.shared[place.buffer].clone(), offset: place.offset }
                }
            }
        };
        let summary = plan.summary();
        let program = Program::new(&self.gpu, plan.stages, place, &self.mirrors)?;
        let kept: Vec<wgpu::Buffer> = kept.into_iter().map(|(_, buffer)| buffer).collect();
        let logits: u64 = self.network.logits.iter().flatten().map(|slice| slice.bytes).sum();
        let bytes = logits + kept.iter().map(wgpu::Buffer::size).sum::<u64>();
        let readback = (mode == Mode::Inspect).then(|| Readback::new(&self.gpu, bytes)).transpose()?;
        self.programs.insert((mode, batch), Prepared { program, summary, kept, readback });
        Ok(())
    }

    /// Runs a training step on `labels.len()` samples at learning rate `lr`; returns when it is submitted.
    ///
    /// # Errors
    /// What the device reports.
    pub async fn train(&mut self, samples: Samples<'_>, labels: &[u32], lr: f64) -> Result<(), TrainError> {
        self.run(Mode::Train, samples, labels, lr).await?;
        self.steps += 1;
        Ok(())
    }

    /// Runs an evaluation step; returns when it is submitted.
    ///
    /// # Errors
    /// What the device reports.
    pub async fn evaluate(&mut self, samples: Samples<'_>, labels: &[u32]) -> Result<(), TrainError> {
        self.run(Mode::Evaluate, samples, labels, 0.0).await
    }

    pub(super) async fn run(
        &mut self,
        mode: Mode,
        samples: Samples<'_>,
        labels: &[u32],
        lr: f64,
    ) -> Result<(), TrainError> {
        let batch = labels.len() as u32;
        self.prepare(mode, batch)?;
        let mut encoder = self.encoder(self.network.title(0));
        let slot = self.upload(&mut encoder, samples, labels, lr).await?;
        let program = &self.programs[&(mode, batch)].program;
        let clock = self.clock.as_ref().filter(|_| mode == Mode::Train);
        program.encode(0, &mut encoder, clock);
        self.gpu.submit(encoder.finish())?;
        self.ring.recycle(slot);
        for stage in 1..program.len() {
            let mut encoder = self.encoder(self.network.title(stage));
            program.encode(stage, &mut encoder, clock);
            self.gpu.submit(encoder.finish())?;
        }
        if clock.is_some() {
            self.timed = program.len();
        }
        Ok(())
    }

    /// GPU time of every dispatch of one training step. Changes the parameters as a step does.
    ///
    /// # Errors
    /// What the device reports.
    pub async fn profile(
        &mut self,
        samples: Samples<'_>,
        labels: &[u32],
        lr: f64,
    ) -> Result<Vec<StageTime>, TrainError> {
        let key = (Mode::Train, labels.len() as u32);
        self.prepare(key.0, key.1)?;
        let mut encoder = self.encoder("upload");
        let slot = self.upload(&mut encoder, samples, labels, lr).await?;
        self.gpu.submit(encoder.finish())?;
        self.ring.recycle(slot);
        let program = &self.programs[&key].program;
        let mut times = Vec::new();
        for stage in 0..program.len() {
            times.extend(program.profile(&self.gpu, stage).await?);
        }
        self.steps += 1;
        Ok(times)
    }

    fn encoder(&self, label: &str) -> wgpu::CommandEncoder {
        self.gpu.device.create_command_encoder(&wgpu::CommandEncoderDescriptor { label: Some(label) })
    }

    async fn upload(
        &mut self,
        encoder: &mut wgpu::CommandEncoder,
        samples: Samples<'_>,
        labels: &[u32],
        lr: f64,
    ) -> Result<crate::gpu::UploadSlot, TrainError> {
        let slot = self.ring.acquire(&self.gpu).await?;
        let (inputs, offsets) = (self.network.inputs, self.staging);
        let updates = self.steps.saturating_sub(self.phase_start) + 1;
        let step = StepParams::new(lr, updates, self.steps as u32, self.network.train.seed);
        let mut parts: Vec<(Slice, u64, &[u8])> = vec![
            (inputs.step, 0, bytemuck::bytes_of(&step)),
            (inputs.labels, offsets.labels, bytemuck::cast_slice(labels)),
        ];
        match samples {
            Samples::Pixels { pixels, crops, holes } => {
                parts.push((inputs.samples, offsets.samples, pixels));
                parts.extend(inputs.crops.map(|target| (target, offsets.crops, crops)));
                parts.extend(inputs.holes.filter(|_| !holes.is_empty()).map(|target| (target, offsets.holes, holes)));
            }
            Samples::Floats(values) => parts.push((inputs.samples, offsets.samples, bytemuck::cast_slice(values))),
        }
        for (_, offset, bytes) in &parts {
            slot.write(*offset, bytes)?;
        }
        let staging = slot.finish();
        for (target, offset, bytes) in parts {
            let length = (bytes.len() as u64).next_multiple_of(4);
            encoder.copy_buffer_to_buffer(staging, offset, self.buffer(target), 0, length);
        }
        Ok(slot)
    }

    pub(super) fn buffer(&self, slice: Slice) -> &wgpu::Buffer {
        &self.persistent[slice.tensor.0 as usize]
    }

    /// The totals since they were last taken; clears them. Waits for the GPU.
    ///
    /// # Errors
    /// What the device reports.
    pub async fn take_totals(&mut self) -> Result<Vec<Totals>, TrainError> {
        let bytes = self.totals_bytes().await?;
        let mut encoder = self.encoder("clear totals");
        encoder.clear_buffer(self.buffer(self.network.totals), 0, None);
        self.gpu.submit(encoder.finish())?;
        Ok(Totals::parse(&bytes))
    }

    /// The totals as they lie on the device, for a checkpoint in the middle of an epoch. Waits for the GPU.
    ///
    /// # Errors
    /// What the device reports.
    pub async fn totals_bytes(&mut self) -> Result<Vec<u8>, TrainError> {
        let totals = self.network.totals;
        let source = self.persistent[totals.tensor.0 as usize].clone();
        Ok(self.watch.read(&self.gpu, &source, 0, totals.bytes).await?)
    }

    /// Puts back what [`Trainer::totals_bytes`] gave.
    pub fn set_totals_bytes(&self, bytes: &[u8]) {
        self.gpu.queue.write_buffer(self.buffer(self.network.totals), 0, bytes);
    }

    /// What was asked for a while ago, if it has arrived, and asks for the next. Never waits.
    ///
    /// # Errors
    /// What the device reports.
    pub fn glance(&mut self) -> Result<Option<Glance>, TrainError> {
        let seen = self.watch.try_finish(&self.gpu)?;
        let totals = self.network.totals;
        let source = &self.persistent[totals.tensor.0 as usize];
        let mut parts = vec![Part { source, offset: 0, bytes: totals.bytes }];
        let clock = self.clock.as_ref();
        let ran = clock.filter(|_| self.timed > 0);
        parts.extend(ran.map(|clock| clock.part(self.timed)));
        let resolve =
            |encoder: &mut wgpu::CommandEncoder| ran.into_iter().for_each(|clock| clock.resolve(self.timed, encoder));
        self.watch.begin(&self.gpu, resolve, &parts)?;
        let parse = |bytes: Vec<u8>| {
            let (totals, times) = bytes.split_at(totals.bytes as usize);
            let clock = clock.filter(|_| !times.is_empty());
            Glance { totals: Totals::parse(totals), step_seconds: clock.map(|clock| clock.seconds(times)) }
        };
        Ok(seen.map(parse))
    }

    /// Logits of classifier `owner` (a block, or the output layer behind them) for the last batch of `batch`
    /// samples: `[batch][classes]`; none of a block whose classifier tells codes, not classes.
    ///
    /// # Errors
    /// What the device reports.
    pub async fn logits(&mut self, owner: usize, batch: usize) -> Result<Vec<Vec<f32>>, TrainError> {
        let Some(slice) = self.network.logits[owner] else { return Ok(Vec::new()) };
        let classes = self.network.model.config.num_classes;
        let padded = crate::nn::pad4(classes);
        let values = self.read(Slice { bytes: 4 * (batch * padded) as u64, ..slice }).await?;
        Ok(values.chunks(padded).map(|row| row[..classes].to_vec()).collect())
    }

    /// What the last inspection of `batch` samples kept, in the plan's order, and the logits of each classifier, padded as
    /// they lie on the device, the output layer's last. One wait for all of it.
    pub(super) async fn read_inspection(&mut self, batch: u32) -> Result<(Vec<Vec<f32>>, Vec<Vec<f32>>), TrainError> {
        let key = (Mode::Inspect, batch);
        let Some(mut readback) = self.programs.get_mut(&key).and_then(|prepared| prepared.readback.take()) else {
            return Ok((Vec::new(), Vec::new()));
        };
        let kept = self.programs[&key].kept.iter();
        let kept: Vec<Part<'_>> = kept.map(|buffer| Part { source: buffer, offset: 0, bytes: buffer.size() }).collect();
        let row = 4 * crate::nn::pad4(self.network.model.config.num_classes) as u64;
        let logits = self.network.logits.iter().flatten().map(|slice| {
            let bytes = row * u64::from(batch);
            Part { source: self.buffer(*slice), offset: slice.offset, bytes }
        });
        let count = kept.len();
        let parts: Vec<Part<'_>> = kept.into_iter().chain(logits).collect();
        let answer = readback.read_parts(&self.gpu, &parts).await;
        let floats = |bytes: Vec<u8>| bytes.chunks_exact(4).map(bytemuck::pod_read_unaligned).collect();
        let mut kept: Vec<Vec<f32>> = answer?.into_iter().map(floats).collect();
        let logits = kept.split_off(count);
        if let Some(prepared) = self.programs.get_mut(&key) {
            prepared.readback = Some(readback);
        }
        Ok((kept, logits))
    }

    pub(super) async fn read(&mut self, slice: Slice) -> Result<Vec<f32>, GpuError> {
        let mut readback = match self.values.take() {
            Some(readback) => readback,
            None => self.staging.values(&self.gpu)?,
        };
        let mut bytes = Vec::with_capacity(slice.bytes as usize);
        for (begin, length) in self.staging.pieces(slice) {
            bytes.extend(readback.read(&self.gpu, self.buffer(slice), begin, length).await?);
        }
        self.values = Some(readback);
        Ok(bytes.chunks_exact(4).map(bytemuck::pod_read_unaligned).collect())
    }
}
