//! Gradients of whole training steps against differences of the losses, for what no golden case covers: modules of several
//! blocks, auxiliary classifiers with hidden layers, dropout in every place where it can be, large and oblong pictures.
//!
//! For every trained tensor the loss is taken a small step up and down along the gradient: its slope there has to be the
//! gradient's norm. A gradient that lacks a part, or has one too many, fails that at every length of the step.
//!
//! Activations and max poolings bend the loss wherever an element changes sign or a maximum moves, and a step that such
//! a kink lies in has another slope, by as much as 5 % in nets as small as these. The shorter the step the fewer lie in
//! it, the longer the less rounding counts; so a tensor may show its slope at any of several lengths.

use std::collections::HashMap;
use std::rc::Rc;

use predsim::gpu::{Gpu, Wanted, block_on};
use predsim::kernels::tuning::Tuning;
use predsim::nn::{InputShape, LossSup, LossUnsup, Model, ModelConfig, Nonlin, Role, init::initial_values};
use predsim::train::{Mode, NamedTensor, Network, Samples, Source, TrainConfig, Trainer};

const BATCH: usize = 6;
/// How far along the gradient.
const STEPS: [f64; 4] = [4e-4, 1e-4, 4e-5, 1e-5];
/// Rounding of a difference of two losses.
const ROUNDING: f64 = 3e-7;
/// Allowed difference between slope and norm, as a share of the norm, besides.
const TOLERANCE: f64 = 0.02;
/// Tensors whose gradients are a smaller share of the largest one's norm are not judged: rounding hides them.
const PALE: f64 = 0.04;
/// A step is too short for a gradient that rounding makes uncertain by more than this share of it.
const UNCERTAIN: f64 = 0.05;

type Values = HashMap<String, Vec<f32>>;

struct Bench {
    gpu: Rc<Gpu>,
    trainer: Trainer,
    x: Vec<f32>,
    labels: Vec<u32>,
    start: Values,
}

fn random(seed: u64, len: usize) -> impl Iterator<Item = f32> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ 0xD1B5_4A32_D192_ED03;
    (0..len).map(move |_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    })
}

impl Bench {
    fn new(gpu: &Rc<Gpu>, config: ModelConfig, no_detach: bool) -> Self {
        let model = Model::build(config).expect("the model can be built");
        // A learning rate of 0 in every step leaves the parameters where they are put.
        let train = TrainConfig { batch_size: BATCH, no_detach, alpha: 0.3, ..TrainConfig::default() };
        train.validate(&model.config).expect("the settings go together");
        let start = model
            .params
            .iter()
            .enumerate()
            .map(|(index, p)| {
                // Heads start at zero; a little noise lets gradients through them.
                let noise = random(index as u64 + 1, p.elements()).map(|v| 0.2 * v);
                let base = initial_values(p, 1);
                let keep = p.role != Role::Train;
                let values =
                    base.iter().zip(noise).map(|(&b, n)| if keep { b } else { b + n / (p.fan_in as f32).sqrt() });
                (p.name.clone(), values.collect())
            })
            .collect();
        let lanes = model.input.device_elements() / (model.input.h * model.input.w);
        let real = model.input.c;
        let x = random(77, BATCH * model.input.device_elements())
            .enumerate()
            .map(|(i, v)| if i % lanes < real { v } else { 0.0 })
            .collect();
        let labels = (0..BATCH as u32).map(|i| i * 5 % model.config.num_classes as u32).collect();
        let network = Network::new(model, train, Source::Floats, Tuning::for_gpu(gpu));
        let trainer = Trainer::new(gpu.clone(), network, &[(Mode::Train, BATCH as u32)]).expect("the network fits");
        Self { gpu: gpu.clone(), trainer, x, labels, start }
    }

    /// The losses of a step at `values`, weighted, by arena; the same step each time, with the same dropout.
    fn losses(&mut self, values: &Values) -> Vec<f64> {
        self.trainer.load(|name| values.get(name).cloned()).expect("the parameters fit");
        self.trainer.set_steps(3);
        let (gpu, trainer) = (self.gpu.clone(), &mut self.trainer);
        let (x, labels) = (&self.x, &self.labels);
        let totals = block_on(&gpu, async {
            trainer.train(Samples::Floats(x), labels, 0.0).await?;
            trainer.take_totals().await
        });
        let network = self.trainer.network();
        let (weights, output) = (network.losses, network.output());
        let weighted = |owner: usize, t: &predsim::train::Totals| {
            let pred = if owner == output { weights.output } else { weights.pred };
            (pred * t.pred + weights.sim * t.sim + weights.unsup * t.unsup) / BATCH as f64
        };
        totals.expect("the step runs").iter().enumerate().map(|(owner, t)| weighted(owner, t)).collect()
    }

    fn gradients(&mut self) -> Vec<NamedTensor> {
        let gpu = self.gpu.clone();
        block_on(&gpu, self.trainer.gradients()).expect("they are there")
    }

    /// The arenas whose losses reach the parameters of `name`: those of its module, or all.
    fn judges(&self, name: &str) -> Vec<usize> {
        let network = self.trainer.network();
        if network.joined() {
            return (0..=network.output()).collect();
        }
        let block = name.strip_prefix("blocks.").and_then(|rest| rest.split('.').next()?.parse::<usize>().ok());
        let Some(block) = block else { return vec![network.output()] };
        let module = network.model.modules.iter().find(|module| module.contains(&block)).expect("it is in a module");
        module.clone().collect()
    }

    /// How fast the losses rise along `gradient`, whose norm is `size`, from `step` below the start to `step` above it.
    fn slope(&mut self, gradient: &NamedTensor, size: f64, step: f64) -> f64 {
        let judges = self.judges(&gradient.name);
        let mut loss_at = |step: f64| -> f64 {
            let mut values = self.start.clone();
            let tensor = values.get_mut(&gradient.name).expect("it has a start");
            tensor.iter_mut().zip(&gradient.values).for_each(|(v, g)| *v += (step * f64::from(*g) / size) as f32);
            let losses = self.losses(&values);
            judges.iter().map(|&judge| losses[judge]).sum()
        };
        (loss_at(step) - loss_at(-step)) / (2.0 * step)
    }

    /// Compares slope and norm for every trained tensor; returns how many had a gradient to speak of.
    fn check(&mut self, what: &str) -> usize {
        self.losses(&self.start.clone());
        let gradients = self.gradients();
        let norm = |g: &NamedTensor| g.values.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>().sqrt();
        let largest = gradients.iter().map(norm).fold(0.0, f64::max);
        assert!(largest.is_finite() && largest > 0.0, "{what}: {largest}");
        let mut judged = 0;
        for gradient in &gradients {
            let size = norm(gradient);
            let long_enough = |step: &f64| ROUNDING / step < UNCERTAIN * size;
            if size < PALE * largest || !STEPS.iter().any(long_enough) {
                continue;
            }
            let mut slopes = Vec::new();
            let straight = STEPS.into_iter().filter(long_enough).any(|step| {
                let slope = self.slope(gradient, size, step);
                slopes.push(slope);
                (slope - size).abs() < TOLERANCE * size + ROUNDING / step
            });
            assert!(straight, "{what}: {} has slopes {slopes:.5?} and gradient {size:.5}", gradient.name);
            judged += 1;
        }
        judged
    }
}

fn config(model: &str, [height, width, channels]: [usize; 3]) -> ModelConfig {
    let base = ModelConfig::new(model.parse().expect("a model"), InputShape { height, width, channels }, 4);
    ModelConfig {
        num_hidden: 9,
        dim_in_decoder: 60,
        beta: 0.6,
        nonlin: Nonlin::LeakyRelu,
        feat_mult: if model.starts_with("wresnet") { 0.25 } else { 0.03 },
        ..base
    }
}

/// One device for all networks of a test, so that they share its pipelines.
fn gpu() -> Rc<Gpu> {
    Rc::new(pollster::block_on(Gpu::open(&Wanted::Best)).expect("these tests need a GPU adapter"))
}

fn check(gpu: &Rc<Gpu>, what: &str, config: ModelConfig, no_detach: bool, at_least: usize) {
    let judged = Bench::new(gpu, config, no_detach).check(what);
    assert!(judged >= at_least, "{what}: only {judged} tensors have a gradient");
}

#[test]
fn modules_of_several_blocks() {
    let gpu = gpu();
    let vgg = config("vgg8b", [16, 16, 3]);
    for modules in [1, 3] {
        let config = ModelConfig { local_modules: Some(modules), ..vgg.clone() };
        check(&gpu, &format!("{modules} modules of vgg8b"), config, false, 10);
    }
    // Borders inside of residual units.
    let resnet = ModelConfig { local_modules: Some(5), pre_act: true, ..config("resnet18", [25, 26, 1]) };
    check(&gpu, "modules of a pre-activated resnet", resnet, false, 15);
    let without_norms =
        ModelConfig { local_modules: Some(3), no_batch_norm: true, ..config("wresnet10-1", [32, 32, 1]) };
    check(&gpu, "modules without norms", without_norms, false, 6);
}

#[test]
fn auxiliary_classifiers_with_hidden_layers() {
    let gpu = gpu();
    let base = ModelConfig { aux_depth: 3, loss_sup: LossSup::Pred, ..config("vgg6a", [16, 16, 3]) };
    check(&gpu, "aux depth 3", base.clone(), false, 20);
    let without_norms = ModelConfig { no_batch_norm: true, local_modules: Some(2), ..base };
    check(&gpu, "aux depth 3 without norms, two modules", without_norms, false, 4);
}

#[test]
fn dropout_wherever_it_is() {
    let gpu = gpu();
    let dropout = |config| ModelConfig { dropout: 0.3, ..config };
    // Behind the activation, in front of the convolution, inside of the units; with heads that look on, and without.
    let resnet = dropout(config("resnet18", [29, 29, 1]));
    for pre_act in [false, true] {
        let config = ModelConfig { pre_act, ..resnet.clone() };
        check(&gpu, &format!("resnet18, pre_act {pre_act}, no_detach"), config, true, 25);
    }
    for model in ["wresnet10-1", "wresnet10-1a"] {
        let config = dropout(config(model, [29, 29, 1]));
        check(&gpu, &format!("{model}, no_detach"), config.clone(), true, 15);
        check(&gpu, &format!("{model}, backprop"), ModelConfig { backprop: true, ..config }, false, 8);
    }
    let vgg = dropout(config("vgg8b", [16, 16, 3]));
    check(&gpu, "vgg8b, no_detach", vgg.clone(), true, 10);
    // What is reconstructed is no function of the block's own parameters, so this slope is the gradient's.
    check(&gpu, "vgg8b, recon", ModelConfig { loss_unsup: LossUnsup::Recon, num_layers: 2, ..vgg }, false, 10);
}

#[test]
fn large_and_oblong_pictures() {
    let gpu = gpu();
    let resnet = config("resnet18", [66, 70, 3]);
    check(&gpu, "resnet18, large", ModelConfig { backprop: true, ..resnet }, false, 10);
    check(&gpu, "wresnet, oblong", config("wresnet10-1", [32, 35, 1]), true, 10);
    let oblong = config("resnet18", [26, 31, 1]);
    check(&gpu, "resnet18, oblong", ModelConfig { loss_unsup: LossUnsup::Recon, ..oblong }, false, 15);
}

#[test]
fn plain_networks() {
    let gpu = gpu();
    let plain = ModelConfig { no_batch_norm: true, ..config("plain:5", [13, 9, 2]) };
    check(&gpu, "plain:5", plain.clone(), false, 10);
    check(&gpu, "plain:5, backprop", ModelConfig { backprop: true, ..plain }, false, 3);
}

/// Codes pass no true gradient to the features (that is the point of feedback alignment), but all else is exact.
#[test]
fn projected_targets_without_a_classifier() {
    let gpu = gpu();
    let base = ModelConfig { bio: true, target_proj_size: 11, loss_sup: LossSup::Sim, ..config("vgg8b", [20, 16, 3]) };
    check(&gpu, "bio, sim", ModelConfig { loss_unsup: LossUnsup::Sim, ..base.clone() }, false, 10);
    check(&gpu, "bio, sim, in modules", ModelConfig { local_modules: Some(2), ..base }, false, 8);
}
