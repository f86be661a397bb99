//! A training step, by backpropagation and by local losses, with Adam.
//!
//! The local loss of a block is that of Nøkland & Eidnes (2019): 0.01 of the cross-entropy of a linear classifier of the pooled
//! activation and 0.99 of the squared distance between the similarity matrix of what a second head makes of the activation and
//! that of the labels. Every block is given a detached input and updated at once.

use burn::nn::loss::CrossEntropyLossConfig;
use burn::optim::decay::WeightDecayConfig;
use burn::optim::{AdamConfig, GradientsParams, ModuleOptimizer};
use burn::tensor::{Device, Distribution, Int, Tensor, TensorData};

use crate::network::{Architecture, ConvBlock, DenseBlock, Network};
use crate::timing::{self, Times};

/// Learning rate of the published program.
const LEARNING_RATE: f64 = 5e-4;
/// Share of the similarity loss.
const BETA: f64 = 0.99;
/// Keeps a vector of zeros from being divided by zero.
const COSINE_EPSILON: f64 = 1e-8;
/// Keeps the gradient of the root finite where a map is constant. Too small to show in any other.
const VARIANCE_EPSILON: f64 = 1e-12;

/// How a network learns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Learning {
    /// One loss behind the output layer.
    Backprop,
    /// A loss a block.
    Local,
}

/// A batch as a data loader hands it over.
pub struct Batch {
    /// `[N, C, H, W]`.
    pub pictures: Tensor<4>,
    /// `[N]`.
    pub labels: Tensor<1, Int>,
    /// The labels again, `[N, classes]`. Made by the host, because burn's own `one_hot` waits for the device.
    pub one_hot: Tensor<2>,
}

impl Batch {
    /// A batch of `pictures` `[N, C, H, W]`.
    pub fn new(pictures: TensorData, labels: &[i32], classes: usize, device: &Device) -> Self {
        let mut one_hot = vec![0.0f32; labels.len() * classes];
        for (row, &label) in one_hot.chunks_exact_mut(classes).zip(labels) {
            row[label as usize] = 1.0;
        }
        Self {
            pictures: Tensor::from_data(pictures, device),
            labels: Tensor::from_data(TensorData::new(labels.to_vec(), [labels.len()]), device),
            one_hot: Tensor::from_data(TensorData::new(one_hot, [labels.len(), classes]), device),
        }
    }
}

/// The losses of a block.
pub struct Losses {
    /// Cross-entropy of its classifier.
    pub pred: Tensor<1>,
    /// The similarity loss.
    pub sim: Tensor<1>,
}

impl Losses {
    fn total(&self) -> Tensor<1> {
        self.pred.clone() * (1.0 - BETA) + self.sim.clone() * BETA
    }
}

/// What a step came to.
pub struct Outcome {
    /// The blocks' losses; none by backpropagation.
    pub blocks: Vec<Losses>,
    /// Cross-entropy of the output layer.
    pub output: Tensor<1>,
}

/// Adam as the published program has it.
pub fn optimizer(weight_decay: f32) -> ModuleOptimizer {
    let decay = (weight_decay > 0.0).then(|| WeightDecayConfig::new(weight_decay));
    AdamConfig::new().with_epsilon(1e-8).with_weight_decay(decay).init()
}

/// Times a step of `architecture` on a batch of random pictures.
pub fn time(architecture: &Architecture, size: usize, learning: Learning, seconds: f64, device: &Device) -> Times {
    let device = device.clone().autodiff();
    let Architecture { side, channels, classes, .. } = *architecture;
    let pictures: Tensor<4> = Tensor::random([size, channels, side, side], Distribution::Uniform(-1.0, 1.0), &device);
    let labels: Vec<i32> = (0..size).map(|sample| (sample % classes) as i32).collect();
    let batch = Batch::new(pictures.into_data(), &labels, classes, &device);
    let mut optimizer = optimizer(0.0);
    let mut network = Some(Network::new(architecture, learning, &device));
    let times = timing::time(&device, seconds, || {
        let (updated, outcome) = step(network.take().expect("a step returns it"), &mut optimizer, &batch, learning);
        network = Some(updated);
        outcome
    });
    let (_, outcome) = step(network.expect("a step returns it"), &mut optimizer, &batch, learning);
    let loss: f32 = outcome.output.into_scalar();
    assert!(loss.is_finite(), "the loss has stopped being a number: {loss}");
    times
}

/// One training step. Returns the updated network.
pub fn step(
    network: Network,
    optimizer: &mut ModuleOptimizer,
    batch: &Batch,
    learning: Learning,
) -> (Network, Outcome) {
    match learning {
        Learning::Backprop => backprop_step(network, optimizer, batch),
        Learning::Local => local_step(network, optimizer, batch),
    }
}

fn backprop_step(network: Network, optimizer: &mut ModuleOptimizer, batch: &Batch) -> (Network, Outcome) {
    let loss = cross_entropy(network.forward(batch.pictures.clone()), batch);
    let gradients = GradientsParams::from_grads(loss.backward(), &network);
    (optimizer.step(LEARNING_RATE, network, gradients), Outcome { blocks: Vec::new(), output: loss })
}

fn local_step(network: Network, optimizer: &mut ModuleOptimizer, batch: &Batch) -> (Network, Outcome) {
    let target = similarity(batch.one_hot.clone());
    let mut losses = Vec::new();
    let mut convs = Vec::new();
    let mut x = batch.pictures.clone();
    for block in network.convs {
        let activation = block.forward(x);
        let loss = conv_losses(&block, activation.clone(), target.clone(), batch);
        let gradients = GradientsParams::from_grads(loss.total().backward(), &block);
        // What the next block gets was computed with the weights from before this update.
        x = block.hand_on(activation.detach());
        convs.push(optimizer.step(LEARNING_RATE, block, gradients));
        losses.push(loss);
    }
    let mut dense = Vec::new();
    let mut x: Tensor<2> = x.flatten(1, 3);
    for block in network.dense {
        let activation = block.forward(x);
        let loss = dense_losses(&block, activation.clone(), target.clone(), batch);
        let gradients = GradientsParams::from_grads(loss.total().backward(), &block);
        x = activation.detach();
        dense.push(optimizer.step(LEARNING_RATE, block, gradients));
        losses.push(loss);
    }
    let loss = cross_entropy(network.output.forward(x), batch);
    let gradients = GradientsParams::from_grads((loss.clone() * (1.0 - BETA)).backward(), &network.output);
    let output = optimizer.step(LEARNING_RATE, network.output, gradients);
    (Network { convs, dense, output }, Outcome { blocks: losses, output: loss })
}

fn conv_losses(block: &ConvBlock, activation: Tensor<4>, target: Tensor<2>, batch: &Batch) -> Losses {
    let heads = block.heads.as_ref().expect("a block with a loss of its own has heads");
    let pooled = match &heads.pool {
        Some(pool) => pool.forward(activation.clone()),
        None => activation.clone(),
    };
    let logits = heads.pred.forward(pooled.flatten(1, 3));
    let maps: Tensor<3> = heads.sim.forward(activation).flatten(2, 3);
    let deviations = (maps.var(2) + VARIANCE_EPSILON).sqrt().flatten(1, 2);
    Losses { pred: cross_entropy(logits, batch), sim: distance(similarity(deviations), target) }
}

fn dense_losses(block: &DenseBlock, activation: Tensor<2>, target: Tensor<2>, batch: &Batch) -> Losses {
    let heads = block.heads.as_ref().expect("a block with a loss of its own has heads");
    let logits = heads.pred.forward(activation.clone());
    let features = heads.sim.forward(activation);
    Losses { pred: cross_entropy(logits, batch), sim: distance(similarity(features), target) }
}

/// Cosine similarities of the samples' centred features, `[N, N]`.
fn similarity(features: Tensor<2>) -> Tensor<2> {
    let centred = features.clone() - features.mean_dim(1);
    let length = centred.clone().square().sum_dim(1).sqrt();
    let unit = centred / (length + COSINE_EPSILON);
    unit.clone().matmul(unit.transpose()).clamp(-1.0, 1.0)
}

fn distance(a: Tensor<2>, b: Tensor<2>) -> Tensor<1> {
    (a - b).square().mean()
}

fn cross_entropy(logits: Tensor<2>, batch: &Batch) -> Tensor<1> {
    CrossEntropyLossConfig::new().init(&logits.device()).forward(logits, batch.labels.clone())
}
