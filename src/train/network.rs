//! A network with everything that outlives a step: its parameters' arenas, what the host uploads, what it reads back.

use std::ops::Range;

use crate::gpu::{BINDING_ALIGNMENT, Slice};
use crate::kernels::augment::Hole;
use crate::kernels::reduce::TOTAL_WORDS;
use crate::kernels::tuning::Tuning;
use crate::nn::{Block, Model, Owner, pad4};

use super::arena::Arena;
use super::goal::{Goal, Limit};
use super::measures::Measures;
use super::settings::{LossWeights, TrainConfig};
use super::tensors::{Role, TensorTable};

/// How samples reach the device.
#[derive(Debug, Clone, PartialEq)]
pub enum Source {
    /// Bytes `[N, H, W, C]`, cropped, flipped and normalised by a kernel.
    Pixels {
        /// Mean of each channel, of values in [0, 1].
        mean: [f32; 3],
        /// Standard deviation of each channel.
        std: [f32; 3],
    },
    /// Numbers, uploaded as they are.
    Floats,
}

/// Bytes from one block's totals to the next: what a binding's offset demands.
pub const TOTALS_STRIDE: u64 = BINDING_ALIGNMENT;

/// What the host uploads each step, sized for the largest batch.
#[derive(Debug, Clone, Copy)]
pub struct Inputs {
    /// Pictures: packed bytes, or floats `[N, H, W, pad4(C)]`.
    pub samples: Slice,
    /// Crop and flip of each sample; with [`Source::Pixels`] only.
    pub crops: Option<Slice>,
    /// Holes of each sample; where training pictures have some.
    pub holes: Option<Slice>,
    /// Class of each sample, `u32`.
    pub labels: Slice,
    /// Rates and counters: `kernels::StepParams`.
    pub step: Slice,
}

/// A model with its training settings and its persistent tensors.
#[derive(Debug, Clone)]
pub struct Network {
    /// The structure.
    pub model: Model,
    /// How it is trained.
    pub train: TrainConfig,
    /// Weights of the losses.
    pub losses: LossWeights,
    /// How products are computed on the adapter at hand.
    pub tuning: Tuning,
    /// What its plans' memory keeps to.
    pub goal: Goal,
    /// How samples arrive.
    pub source: Source,
    /// Persistent tensors; a plan adds its activations behind them.
    pub tensors: TensorTable,
    /// One for each block, the output layer's last.
    pub arenas: Vec<Arena>,
    /// Upload targets.
    pub inputs: Inputs,
    /// Loss totals, one stretch of [`TOTALS_STRIDE`] for each arena.
    pub totals: Slice,
    /// Parts of losses and of norms, which the last dispatch of a step adds to the totals.
    pub measures: Slice,
    /// Logits of each block's local classifier, where there is one that tells classes, then of the output layer,
    /// `[N, pad4(K)]`.
    pub logits: Vec<Option<Slice>>,
    /// With a greedy schedule, the module under training.
    pub phase: Option<usize>,
    /// All blocks, as one module.
    whole: Range<usize>,
}

impl Network {
    /// Lays out the persistent tensors for batches of up to `train.batch_size` samples.
    pub fn new(model: Model, train: TrainConfig, source: Source, tuning: Tuning) -> Self {
        let mut tensors = TensorTable::default();
        let moments = train.kind().state();
        let mut arenas = Vec::with_capacity(model.blocks.len() + 1);
        for block in &model.blocks {
            arenas.push(Arena::new(&mut tensors, &model.params, Owner::Block(block.index), &block.name, moments));
        }
        arenas.push(Arena::new(&mut tensors, &model.params, Owner::Output, "output", moments));

        let batch = train.batch_size as u64;
        let shape = model.config.input;
        let pixels = batch * (shape.height * shape.width) as u64;
        let (sample_bytes, crops) = match source {
            Source::Pixels { .. } => {
                let crops = tensors.add("input.crops", Role::Input, batch * 16);
                (pixels * shape.channels as u64, Some(crops))
            }
            Source::Floats => (4 * batch * model.input.device_elements() as u64, None),
        };
        let holes = train.holes().filter(|_| crops.is_some()).map(|cutout| {
            let bytes = batch * u64::from(cutout.holes) * size_of::<Hole>() as u64;
            tensors.add("input.holes", Role::Input, bytes)
        });
        let inputs = Inputs {
            samples: tensors.add("input.samples", Role::Input, sample_bytes.next_multiple_of(4)),
            crops,
            holes,
            labels: tensors.add("input.labels", Role::Input, 4 * batch),
            step: tensors.add("input.step", Role::Input, 32),
        };
        let totals = tensors.add("totals", Role::Output, TOTALS_STRIDE * arenas.len() as u64);
        let measures = tensors.add("measures", Role::Output, 0);
        let row = 4 * batch * pad4(model.config.num_classes) as u64;
        let mut logits: Vec<Option<Slice>> = model
            .blocks
            .iter()
            .map(|block| {
                (block.heads.pred && !block.heads.bio)
                    .then(|| tensors.add(format!("{}.logits", block.name), Role::Output, row))
            })
            .collect();
        logits.push(Some(tensors.add("output.logits", Role::Output, row)));
        let losses = LossWeights::new(&model.config, &train);
        let whole = 0..model.blocks.len();
        let mut network = Self {
            model,
            train,
            losses,
            tuning,
            goal: Goal::default(),
            source,
            tensors,
            arenas,
            inputs,
            totals,
            measures,
            logits,
            phase: None,
            whole,
        };
        network.measures.bytes = Measures::most_bytes(&network, batch as u32);
        network.tensors.resize(measures.tensor, network.measures.bytes);
        network.phase = network.train.is_greedy().then_some(0);
        network
    }

    /// The same, whose plans keep to another goal.
    #[must_use]
    pub fn with_goal(mut self, goal: Goal) -> Self {
        self.goal = goal;
        self
    }

    /// The same, whose plans keep to another limit.
    #[must_use]
    pub fn within(&self, limit: Limit) -> Self {
        self.clone().with_goal(Goal { limit, ..self.goal })
    }

    /// The same in each phase of a greedy schedule that is still to come, the last one first.
    pub fn later_phases(&self) -> impl Iterator<Item = Self> {
        let later = self.phase.map_or(0..0, |phase| phase + 1..self.model.modules.len());
        later.rev().map(|phase| Self { phase: Some(phase), ..self.clone() })
    }

    /// Whether blocks and output layer are one module: gradients flow all the way.
    pub fn joined(&self) -> bool {
        self.model.config.backprop || self.train.no_detach
    }

    /// The modules that a step runs through: all, and with a greedy schedule up to the one under training.
    pub fn modules_in_turn(&self) -> &[Range<usize>] {
        let modules = if self.joined() { std::slice::from_ref(&self.whole) } else { &self.model.modules[..] };
        &modules[..self.phase.map_or(modules.len(), |phase| modules.len().min(phase + 1))]
    }

    /// Whether a step runs through the last block, and with it the output layer.
    pub fn reaches_output(&self) -> bool {
        self.modules_in_turn().last().is_some_and(|module| module.end == self.model.blocks.len())
    }

    /// The arena of the classifier that says how far training has come: the output layer's, or in a greedy phase that does
    /// not reach it the trained module's.
    pub fn last_classifier(&self) -> usize {
        if self.reaches_output() {
            self.output()
        } else {
            self.modules_in_turn().last().map_or(0, |module| module.end - 1)
        }
    }

    /// Most stages of a step: forward and, with backprop, backward through each owner of an arena.
    pub fn most_stages(&self) -> usize {
        2 * self.arenas.len()
    }

    /// Name of the owner of arena `index`.
    pub fn title(&self, index: usize) -> &str {
        self.model.blocks.get(index).map_or("output", |block: &Block| &block.name)
    }

    /// Index of the output layer's arena.
    pub fn output(&self) -> usize {
        self.model.blocks.len()
    }

    /// The totals of arena `index`.
    pub fn totals_of(&self, index: usize) -> Slice {
        Slice { offset: TOTALS_STRIDE * index as u64, bytes: 4 * TOTAL_WORDS as u64, ..self.totals }
    }
}
