//! The whole set of a run's settings: flags over a recipe over the published defaults, checked.

use std::path::PathBuf;

use crate::checkpoint::State;
use crate::data::{ClassNames, DatasetSpec, Fit, ImageSize};
use crate::gpu::Wanted;
use crate::nn::{Architecture, InputShape, Model, ModelConfig};
use crate::train::{Order, Schedule, TrainConfig};

use super::budget::Budget;
use super::error::RunError;
use super::flags::TrainFlags;
use super::tune::Tune;

/// Epochs of the published program.
const DEFAULT_EPOCHS: usize = 400;
/// Data set of the published program.
const DEFAULT_DATASET: &str = "cifar10";
/// Most samples of a batch: far beyond what any memory holds.
pub const MAX_BATCH: usize = 1 << 16;
/// Most epochs: more than anyone lives to see.
const MAX_EPOCHS: usize = 1 << 31;
/// Most holes of a picture: enough to leave nothing of it.
const MAX_HOLES: u32 = 1 << 10;
/// Least bytes of a binding: a few samples of anything.
const MIN_BINDING: u64 = 1 << 10;

/// What `predsim train` works with.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Structure of the network.
    pub model: ModelConfig,
    /// How it is trained.
    pub train: TrainConfig,
    /// The data set.
    pub spec: DatasetSpec,
    /// Folder of its files.
    pub data: Option<PathBuf>,
    /// Epochs: in all, or of each module if training is greedy ([`Settings::total_epochs`]).
    pub epochs: usize,
    /// Only the first so many training samples.
    pub limit_train: Option<u32>,
    /// Only the first so many test samples.
    pub limit_test: Option<u32>,
    /// Adapter.
    pub adapter: Wanted,
    /// How much of its memory the run may take.
    pub memory_budget: Option<Budget>,
    /// How the variants of the kernels are chosen, if not by the adapter's kind.
    pub tune: Option<Tune>,
    /// Most bytes of an activation that are bound at a time, where that is less than the adapter's.
    pub max_binding: Option<u64>,
}

impl Settings {
    /// Fills `flags` up with the defaults and checks what the network itself does not.
    ///
    /// # Errors
    /// A usage error that names the flag and what would be right.
    pub fn resolve(flags: &TrainFlags) -> Result<Self, RunError> {
        let dataset = flags.dataset.as_deref().unwrap_or(DEFAULT_DATASET);
        let spec = crate::data::spec_in(dataset, flags.data.as_deref(), flags.image_size)?;
        Self::resolve_for(flags, spec)
    }

    /// As [`Settings::resolve`], over a data set that is at hand, whatever `flags` say of it.
    ///
    /// # Errors
    /// As [`Settings::resolve`].
    pub fn resolve_for(flags: &TrainFlags, spec: DatasetSpec) -> Result<Self, RunError> {
        let input =
            InputShape { height: spec.height as usize, width: spec.width as usize, channels: spec.channels as usize };
        let architecture = flags.model.unwrap_or(Architecture::Vgg8b);
        let base = ModelConfig::new(architecture, input, spec.num_classes as usize);
        let model = ModelConfig {
            num_layers: flags.num_layers.unwrap_or(base.num_layers),
            num_hidden: flags.num_hidden.unwrap_or(base.num_hidden),
            dim_in_decoder: flags.dim_in_decoder.unwrap_or(base.dim_in_decoder),
            feat_mult: flags.feat_mult.unwrap_or(base.feat_mult),
            loss_sup: flags.loss_sup.unwrap_or(base.loss_sup),
            loss_unsup: flags.loss_unsup.unwrap_or(base.loss_unsup),
            nonlin: flags.nonlin.unwrap_or(base.nonlin),
            no_similarity_std: flags.no_similarity_std.unwrap_or(base.no_similarity_std),
            backprop: flags.backprop.unwrap_or(base.backprop),
            no_batch_norm: flags.no_batch_norm.unwrap_or(base.no_batch_norm),
            dropout: flags.dropout.unwrap_or(base.dropout),
            beta: flags.beta.unwrap_or(base.beta),
            pre_act: flags.pre_act.unwrap_or(base.pre_act),
            bio: flags.bio.unwrap_or(base.bio),
            target_proj_size: flags.target_proj_size.unwrap_or(base.target_proj_size),
            aux_depth: flags.aux_depth.unwrap_or(base.aux_depth),
            local_modules: flags.local_modules.or(base.local_modules),
            ..base
        };
        let epochs = flags.epochs.unwrap_or(DEFAULT_EPOCHS);
        let base = TrainConfig::default();
        let train = TrainConfig {
            batch_size: flags.batch_size.unwrap_or(base.batch_size),
            lr: flags.lr.unwrap_or(base.lr),
            lr_decay_milestones: flags.lr_decay_milestones.clone().unwrap_or(base.lr_decay_milestones),
            lr_decay_fact: flags.lr_decay_fact.unwrap_or(base.lr_decay_fact),
            optim: flags.optim.unwrap_or(base.optim),
            momentum: flags.momentum.unwrap_or(base.momentum),
            weight_decay: flags.weight_decay.unwrap_or(base.weight_decay),
            alpha: flags.alpha.unwrap_or(base.alpha),
            classes_per_batch: flags.classes_per_batch.unwrap_or(base.classes_per_batch),
            classes_per_batch_until_epoch: flags
                .classes_per_batch_until_epoch
                .unwrap_or(base.classes_per_batch_until_epoch),
            cutout: flags.cutout.unwrap_or(base.cutout),
            n_holes: flags.n_holes.unwrap_or(base.n_holes),
            length: flags.length.unwrap_or(base.length),
            no_detach: flags.no_detach.unwrap_or(base.no_detach),
            schedule: match flags.schedule {
                Some(Order::Greedy) => Schedule::Greedy { phase_epochs: epochs },
                Some(Order::Simultaneous) | None => Schedule::Simultaneous,
            },
            grad_stats: flags.grad_stats.unwrap_or(base.grad_stats),
            seed: flags.seed.unwrap_or(base.seed),
            precision: flags.precision.unwrap_or(base.precision),
        };
        let settings = Self {
            model,
            train,
            spec,
            data: flags.data.clone(),
            epochs,
            limit_train: flags.limit_train,
            limit_test: flags.limit_test,
            adapter: flags.adapter.as_deref().map_or(Wanted::Best, wanted),
            memory_budget: flags.memory_budget,
            tune: flags.tune,
            max_binding: flags.max_binding,
        };
        settings.validate()?;
        Ok(settings)
    }

    fn validate(&self) -> Result<(), RunError> {
        let train = &self.train;
        // Rows are counted in 32 bits: every pixel of a batch is one.
        let pixels = self.model.input.height * self.model.input.width;
        let most_samples = MAX_BATCH.min(u32::MAX as usize / pixels.max(1));
        let most_classes = train.batch_size.min(self.spec.num_classes as usize);
        let checks = [
            ("--batch-size", (1..=most_samples).contains(&train.batch_size), format!("from 1 to {most_samples}")),
            ("--epochs", (1..=MAX_EPOCHS).contains(&self.epochs), format!("from 1 to {MAX_EPOCHS}")),
            ("--seed", i64::try_from(train.seed).is_ok(), format!("at most {}", i64::MAX)),
            ("--limit-train", self.limit_train != Some(0), "at least 1".to_owned()),
            ("--limit-test", self.limit_test != Some(0), "at least 1".to_owned()),
            ("--lr", train.lr > 0.0, "above 0".to_owned()),
            ("--lr-decay-fact", train.lr_decay_fact > 0.0, "above 0".to_owned()),
            ("--momentum", (0.0..1.0).contains(&train.momentum), "at least 0 and below 1".to_owned()),
            ("--weight-decay", train.weight_decay >= 0.0, "at least 0".to_owned()),
            ("--classes-per-batch", train.classes_per_batch <= most_classes, format!("from 0 to {most_classes}")),
            ("--n_holes", (1..=MAX_HOLES).contains(&train.n_holes), format!("from 1 to {MAX_HOLES}")),
            (
                "--max-binding",
                self.max_binding.is_none_or(|bytes| bytes >= MIN_BINDING),
                format!("at least {MIN_BINDING}"),
            ),
            ("--length", train.length >= 1, "at least 1".to_owned()),
            ("--alpha", (0.0..=1.0).contains(&train.alpha), "from 0 to 1".to_owned()),
        ];
        match checks.into_iter().find(|(_, right, _)| !right) {
            Some((flag, _, need)) => Err(RunError::usage(format!("{flag} must be {need}"))),
            None => Ok(train.validate(&self.model)?),
        }
    }

    /// What the network learns from, in a word: its supervised local loss, or `backprop`.
    pub fn loss(&self) -> String {
        if self.model.backprop { "backprop".to_owned() } else { self.model.loss_sup.to_string() }
    }

    /// Epochs of the whole run of `model`.
    pub fn total_epochs(&self, model: &Model) -> usize {
        if self.train.is_greedy() { self.epochs * model.modules.len() } else { self.epochs }
    }

    /// Every setting as its flag: what `config.toml` holds, and what a checkpoint's run started from.
    pub fn flags(&self) -> TrainFlags {
        let (model, train) = (&self.model, &self.train);
        TrainFlags {
            dataset: Some(self.spec.name.to_owned()),
            data: self.data.clone(),
            image_size: (self.spec.fit != Fit::Exact).then(|| self.spec.size()),
            limit_train: self.limit_train,
            limit_test: self.limit_test,
            classes_per_batch: Some(train.classes_per_batch),
            classes_per_batch_until_epoch: Some(train.classes_per_batch_until_epoch),
            cutout: Some(train.cutout),
            n_holes: Some(train.n_holes),
            length: Some(train.length),
            model: Some(model.model),
            num_layers: Some(model.num_layers),
            num_hidden: Some(model.num_hidden),
            dim_in_decoder: Some(model.dim_in_decoder),
            feat_mult: Some(model.feat_mult),
            nonlin: Some(model.nonlin),
            pre_act: Some(model.pre_act),
            no_batch_norm: Some(model.no_batch_norm),
            dropout: Some(model.dropout),
            loss_sup: Some(model.loss_sup),
            loss_unsup: Some(model.loss_unsup),
            beta: Some(model.beta),
            alpha: Some(train.alpha),
            no_similarity_std: Some(model.no_similarity_std),
            backprop: Some(model.backprop),
            bio: Some(model.bio),
            target_proj_size: Some(model.target_proj_size),
            no_detach: Some(train.no_detach),
            aux_depth: Some(model.aux_depth),
            local_modules: model.local_modules,
            schedule: Some(train.order()),
            grad_stats: Some(train.grad_stats),
            epochs: Some(self.epochs),
            batch_size: Some(train.batch_size),
            lr: Some(train.lr),
            lr_decay_milestones: Some(train.lr_decay_milestones.clone()),
            lr_decay_fact: Some(train.lr_decay_fact),
            optim: Some(train.optim),
            momentum: Some(train.momentum),
            weight_decay: Some(train.weight_decay),
            seed: Some(train.seed),
            adapter: match &self.adapter {
                Wanted::Best => None,
                Wanted::Index(index) => Some(index.to_string()),
                Wanted::Name(name) => Some(name.clone()),
            },
            precision: Some(train.precision),
            memory_budget: self.memory_budget,
            tune: self.tune,
            max_binding: self.max_binding,
        }
    }

    /// The settings of a checkpoint with `flags` over them, over the data set `at_hand` where there is one already. The
    /// network's structure is the checkpoint's.
    ///
    /// # Errors
    /// A usage error for a flag that would make another network, or any that [`Settings::resolve`] finds.
    pub fn resumed(state: &State, flags: &TrainFlags, at_hand: Option<&DatasetSpec>) -> Result<Self, RunError> {
        let stored = Self::of_state(state)?;
        let flags = flags.over(&stored.flags());
        let settings = match at_hand {
            Some(spec) => Self::resolve_for(&flags, spec.clone())?,
            None => Self::resolve(&flags)?,
        };
        settings.same_classes(&stored)?;
        if settings.model != stored.model {
            let flag =
                first_difference(&Self { model: settings.model, spec: settings.spec, ..stored.clone() }, &stored);
            return Err(RunError::usage(format!(
                "--{flag} would make another network than the checkpoint's; leave it out, or start a new run"
            )));
        }
        let kept = stored.train.kind().state();
        if let Some(moment) = settings.train.kind().state().iter().find(|moment| !kept.contains(moment)) {
            let flag = if settings.train.optim == stored.train.optim { "--momentum" } else { "--optim" };
            return Err(RunError::usage(format!(
                "{flag} asks for an optimizer with {moment}, which the checkpoint's does not have; leave it out, or start \
                 a new run"
            )));
        }
        if settings.train.schedule != stored.train.schedule {
            return Err(RunError::usage(
                "--schedule and the --epochs of a greedy one cannot change in the middle of a run; leave them out"
                    .to_owned(),
            ));
        }
        let in_a_phase = match stored.train.schedule {
            Schedule::Simultaneous => false,
            Schedule::Greedy { phase_epochs } => {
                let done = state.position.epoch.saturating_sub(1);
                state.position.step > 0 || !done.is_multiple_of(phase_epochs.max(1))
            }
        };
        let epoch = state.position.epoch;
        let fixed = |changed: &Self, place: String| {
            let flag = first_difference(changed, &stored);
            Err(RunError::usage(format!("--{flag} cannot change in the middle of {place}; leave it out")))
        };
        let pace = |s: &Self| (s.train.batch_size, s.limit_train, s.spec.name);
        if in_a_phase && pace(&settings) != pace(&stored) {
            return fixed(&stored.with_pace_of(&settings), format!("a greedy phase, here in epoch {epoch}"));
        }
        let in_an_epoch = state.position.step > 0;
        let order = |s: &Self| {
            let classes = s.train.classes_per_batch_at(epoch);
            (s.train.batch_size, s.train.seed, classes, s.limit_train, s.spec.name)
        };
        if in_an_epoch && order(&settings) != order(&stored) {
            return fixed(&stored.with_order_of(&settings), format!("epoch {epoch}"));
        }
        Ok(settings)
    }

    /// The same with the samples of `other`, and as many of them in a step.
    fn with_pace_of(&self, other: &Self) -> Self {
        let train = TrainConfig { batch_size: other.train.batch_size, ..self.train.clone() };
        Self { train, spec: other.spec.clone(), limit_train: other.limit_train, ..self.clone() }
    }

    /// The same with these in their order too.
    fn with_order_of(&self, other: &Self) -> Self {
        let paced = self.with_pace_of(other);
        let train = TrainConfig {
            seed: other.train.seed,
            classes_per_batch: other.train.classes_per_batch,
            classes_per_batch_until_epoch: other.train.classes_per_batch_until_epoch,
            ..paced.train
        };
        Self { train, ..paced }
    }

    /// Names of classes that were found in a folder: a checkpoint remembers them.
    pub fn found_classes(&self) -> Vec<String> {
        match &self.spec.class_names {
            ClassNames::Known(_) => Vec::new(),
            ClassNames::Found(names) => names.to_vec(),
        }
    }

    /// Refuses a folder whose classes are not those that the checkpoint's network has learned.
    ///
    /// # Errors
    /// A usage error that names the first class that is another, or says how many there are.
    pub fn same_classes(&self, stored: &Self) -> Result<(), RunError> {
        let (found, learned) = (self.found_classes(), stored.found_classes());
        if found.is_empty() || learned.is_empty() {
            return Ok(());
        }
        if found.len() != learned.len() {
            return Err(RunError::usage(format!(
                "--data has {} classes where the checkpoint's network has {}; the same classes are needed",
                found.len(),
                learned.len()
            )));
        }
        match found.iter().zip(&learned).find(|(found, learned)| found != learned) {
            Some((found, learned)) => Err(RunError::usage(format!(
                "--data has a class {found} where the checkpoint's network has {learned}; the same classes are needed"
            ))),
            None => Ok(()),
        }
    }

    /// The settings that a checkpoint holds; where its data is and on which adapter to run is not among them.
    ///
    /// # Errors
    /// A usage error if its data set is not known any more.
    pub fn of_state(state: &State) -> Result<Self, RunError> {
        let (spec, input) = (recall(state)?, state.model.input);
        let picture = |h: u32, w: u32, c: u32| [h, w, c].map(|side| side as usize);
        let same = picture(spec.height, spec.width, spec.channels) == [input.height, input.width, input.channels];
        if !same || input.height * input.width == 0 {
            return Err(RunError::usage(format!(
                "the checkpoint's network takes {}x{}x{} pictures, which {} has not; its settings are damaged",
                input.height, input.width, input.channels, spec.name
            )));
        }
        Ok(Self {
            model: state.model.clone(),
            train: state.train.clone(),
            spec,
            data: None,
            epochs: match state.train.schedule {
                Schedule::Simultaneous => DEFAULT_EPOCHS,
                Schedule::Greedy { phase_epochs } => phase_epochs,
            },
            limit_train: state.limit_train,
            limit_test: state.limit_test,
            adapter: Wanted::Best,
            memory_budget: None,
            tune: None,
            max_binding: None,
        })
    }
}

/// The data set as it was when the checkpoint was written.
fn recall(state: &State) -> Result<DatasetSpec, RunError> {
    let input = state.model.input;
    let size = ImageSize { height: input.height as u32, width: input.width as u32 };
    Ok(crate::data::recall(&state.dataset, size, state.model.num_classes as u32, &state.class_names)?)
}

/// The adapter that `--adapter` names.
pub fn wanted(text: &str) -> Wanted {
    match text.parse() {
        Ok(wanted) => wanted,
        Err(never) => match never {},
    }
}

/// Name of the first flag in which two settings differ.
fn first_difference(a: &Settings, b: &Settings) -> String {
    let [a, b] = [a, b].map(|settings| serde_json::to_value(settings.flags()).unwrap_or_default());
    let names = a.as_object().into_iter().flat_map(|object| object.keys());
    let mut different = names.filter(|name| a[name.as_str()] != b[name.as_str()]);
    // The pictures' size is the data set's.
    different.next().cloned().unwrap_or_else(|| "dataset".to_owned())
}
