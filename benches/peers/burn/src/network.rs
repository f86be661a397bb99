//! The networks: convolution and fully connected blocks, each with the two heads of its local loss where it learns by one.

use burn::module::Module;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::pool::{AvgPool2d, AvgPool2dConfig, MaxPool2d, MaxPool2dConfig};
use burn::nn::{BatchNorm, BatchNormConfig, Linear, LinearConfig, PaddingConfig2d};
use burn::tensor::activation::relu;
use burn::tensor::{Device, Tensor};

use crate::steps::Learning;

/// Convolutions of VGG8B: channels, and whether the maps are halved behind it.
const VGG8B: [(usize, bool); 6] = [(128, false), (256, true), (256, false), (512, true), (512, true), (512, true)];

/// Shape of a network.
#[derive(Debug, Clone)]
pub struct Architecture {
    /// Height and width of the pictures.
    pub side: usize,
    /// Their channels.
    pub channels: usize,
    /// 3x3 convolutions: channels, and whether the maps are halved behind it.
    pub convolutions: Vec<(usize, bool)>,
    /// Features of the hidden fully connected layers.
    pub hidden: Vec<usize>,
    /// Classes.
    pub classes: usize,
    /// Most features that enter a convolution's classifier.
    pub dim_in_decoder: usize,
}

impl Architecture {
    /// Fully connected layers only.
    pub fn mlp(side: usize, channels: usize, hidden: &[usize], classes: usize) -> Self {
        Self { side, channels, convolutions: Vec::new(), hidden: hidden.to_vec(), classes, dim_in_decoder: 0 }
    }

    /// VGG8B with `width` times its channels.
    pub fn vgg8b(
        side: usize,
        channels: usize,
        width: f64,
        hidden: &[usize],
        classes: usize,
        dim_in_decoder: usize,
    ) -> Self {
        let convolutions = VGG8B.map(|(channels, halved)| ((channels as f64 * width) as usize, halved)).to_vec();
        Self { side, channels, convolutions, hidden: hidden.to_vec(), classes, dim_in_decoder }
    }
}

/// Heads of a convolution block.
#[derive(Module, Debug)]
pub struct ConvHeads {
    pub pool: Option<AvgPool2d>,
    pub pred: Linear,
    pub sim: Conv2d,
}

/// Convolution, batch normalisation, rectifier.
#[derive(Module, Debug)]
pub struct ConvBlock {
    pub conv: Conv2d,
    pub norm: BatchNorm,
    pub halve: Option<MaxPool2d>,
    pub heads: Option<ConvHeads>,
}

/// Heads of a fully connected block.
#[derive(Module, Debug)]
pub struct DenseHeads {
    pub pred: Linear,
    pub sim: Linear,
}

/// Fully connected layer, batch normalisation, rectifier.
#[derive(Module, Debug)]
pub struct DenseBlock {
    pub linear: Linear,
    pub norm: BatchNorm,
    pub heads: Option<DenseHeads>,
}

/// A network.
#[derive(Module, Debug)]
pub struct Network {
    pub convs: Vec<ConvBlock>,
    pub dense: Vec<DenseBlock>,
    pub output: Linear,
}

impl Network {
    /// A network with initial weights on `device`, which has to be one with autodiff.
    pub fn new(architecture: &Architecture, learning: Learning, device: &Device) -> Self {
        let local = learning == Learning::Local;
        let (mut side, mut channels) = (architecture.side, architecture.channels);
        let mut convs = Vec::new();
        for &(width, halved) in &architecture.convolutions {
            convs.push(ConvBlock {
                conv: convolution([channels, width]).init(device),
                norm: BatchNormConfig::new(width).init(device),
                halve: halved.then(|| MaxPool2dConfig::new([2, 2]).with_strides([2, 2]).init()),
                heads: local.then(|| ConvHeads::new(width, side, architecture, device)),
            });
            channels = width;
            side = if halved { side / 2 } else { side };
        }
        let mut features = channels * side * side;
        let mut dense = Vec::new();
        for &width in &architecture.hidden {
            dense.push(DenseBlock {
                linear: LinearConfig::new(features, width).init(device),
                norm: BatchNormConfig::new(width).init(device),
                heads: local.then(|| DenseHeads {
                    pred: LinearConfig::new(width, architecture.classes).init(device),
                    sim: LinearConfig::new(width, width).with_bias(false).init(device),
                }),
            });
            features = width;
        }
        Self { convs, dense, output: LinearConfig::new(features, architecture.classes).init(device) }
    }

    /// Logits of `pictures` `[N, C, H, W]`.
    pub fn forward(&self, pictures: Tensor<4>) -> Tensor<2> {
        let maps = self.convs.iter().fold(pictures, |x, block| block.hand_on(block.forward(x)));
        let features = self.dense.iter().fold(maps.flatten(1, 3), |x, block| block.forward(x));
        self.output.forward(features)
    }
}

impl ConvBlock {
    /// What the block's loss sees.
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        relu(self.norm.forward(self.conv.forward(x)))
    }

    /// What the next block gets of it.
    pub fn hand_on(&self, activation: Tensor<4>) -> Tensor<4> {
        match &self.halve {
            Some(pool) => pool.forward(activation),
            None => activation,
        }
    }
}

impl DenseBlock {
    /// What the block's loss sees and the next block gets.
    pub fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        relu(self.norm.forward(self.linear.forward(x)))
    }
}

impl ConvHeads {
    fn new(channels: usize, side: usize, architecture: &Architecture, device: &Device) -> Self {
        let (kernel, features) = pooling(channels, side, architecture.dim_in_decoder);
        // Half a kernel of padding where the kernel does not divide the side, and then the padding counts as zeros.
        let [rows, columns] = kernel.map(|k| if side.is_multiple_of(k) { 0 } else { k / 2 });
        let padding = PaddingConfig2d::Explicit(rows, columns, rows, columns);
        let pool = AvgPool2dConfig::new(kernel).with_strides(kernel).with_padding(padding);
        Self {
            pool: (kernel != [1, 1]).then(|| pool.init()),
            pred: LinearConfig::new(features, architecture.classes).init(device),
            sim: convolution([channels, channels]).with_bias(false).init(device),
        }
    }
}

fn convolution(channels: [usize; 2]) -> Conv2dConfig {
    Conv2dConfig::new(channels, [3, 3]).with_padding(PaddingConfig2d::Explicit(1, 1, 1, 1))
}

/// Kernel of the average pooling in front of a convolution's classifier, and the features it leaves: height and width are
/// halved in turn until at most `limit` are left.
fn pooling(channels: usize, side: usize, limit: usize) -> ([usize; 2], usize) {
    let features = |[rows, columns]: [usize; 2]| channels * side.div_ceil(rows) * side.div_ceil(columns);
    let mut kernel = [1, 1];
    while features(kernel) > limit && kernel[0] < side {
        kernel[0] *= 2;
        if features(kernel) > limit {
            kernel[1] *= 2;
        }
    }
    (kernel, features(kernel))
}
