//! From settings to a network: the list of blocks, what strings them together, and the tensors they own.

use super::block::{Block, Heads, MapKind, Pool, Shape};
use super::config::{ModelConfig, scaled};
use super::error::ModelError;
use super::layout::pad4;
use super::params::{Declarations, Owner, ParamDecl, Part, Role, check_size};
use super::zoo::{Architecture, M};

/// Pictures with both sides above this get a strided 7x7 convolution as their first.
const STEM_ABOVE: usize = 64;

/// One thing that happens on the way through the network; the output layer comes behind the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Op {
    /// Runs the block of this index.
    Block(usize),
    /// 2x2 max pooling with stride 2.
    MaxPool,
    /// Takes a map as a dense tensor. Nothing moves on the device; weights are stored to fit.
    Flatten,
}

/// The layer behind the last block, a linear map to the classes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct OutputLayer {
    /// What enters, before it is flattened.
    pub in_shape: Shape,
    /// Features that enter, PyTorch's count.
    pub features: usize,
    /// Features that enter as they lie on the device, padding included.
    pub device_features: usize,
    /// Features that leave, one a class.
    pub classes: usize,
}

/// A network's structure.
#[derive(Clone, Debug, PartialEq)]
pub struct Model {
    /// The settings that it follows from.
    pub config: ModelConfig,
    /// A sample as the first block sees it. Grey pictures enter an mlp as a plain row of pixels, which spares it the
    /// padded lanes that a map of one channel has; all others enter as maps.
    pub input: Shape,
    /// The locally trained blocks, in forward order.
    pub blocks: Vec<Block>,
    /// What happens, in order.
    pub ops: Vec<Op>,
    /// The output layer.
    pub output: OutputLayer,
    /// Every tensor: each block's in forward order, the output's last; an owner's trunk before its heads.
    pub params: Vec<ParamDecl>,
}

impl Model {
    /// Lays out the network that `config` describes.
    ///
    /// # Errors
    /// [`ModelError`] for a setting outside its range, pictures too small for the network's max poolings,
    /// or a tensor too large to address.
    pub fn build(config: ModelConfig) -> Result<Self, ModelError> {
        config.validate()?;
        let input = Shape { h: config.input.height, w: config.input.width, c: config.input.channels };
        check_map("the input", input)?;
        let flat = config.model == Architecture::Mlp && input.c == 1;
        let input = if flat { Shape::dense(input.elements()) } else { input };
        let mut net = Builder { config: &config, at: input, blocks: Vec::new(), ops: Vec::new(), convs: 0, linears: 0 };
        net.convolutions()?;
        net.dense()?;
        let (blocks, ops, at) = (net.blocks, net.ops, net.at);
        let classes = config.num_classes;
        let params = Declarations::of(&blocks, at, classes, config.backprop)?;
        let output =
            OutputLayer { in_shape: at, features: at.elements(), device_features: at.device_elements(), classes };
        Ok(Self { config, input, blocks, ops, output, params })
    }

    /// The tensors of one owner in their fixed order, each with its index in [`params`](Self::params).
    pub fn params_of(&self, owner: Owner) -> impl Iterator<Item = (usize, &ParamDecl)> {
        let all = self.params.iter().enumerate();
        all.filter(move |(_, p)| p.owner == owner)
    }

    /// The owners in the order of a training step: the blocks, then the output layer.
    pub fn owners(&self) -> impl Iterator<Item = Owner> {
        let blocks = (0..self.blocks.len()).map(Owner::Block);
        blocks.chain([Owner::Output])
    }

    /// Trained parameters without the heads, padding not counted: the size that the paper's tables give.
    pub fn trunk_parameters(&self) -> u64 {
        self.count(|p| p.role == Role::Train && p.part == Part::Trunk)
    }

    /// All trained parameters, heads included, padding not counted.
    pub fn trained_parameters(&self) -> u64 {
        self.count(|p| p.role == Role::Train)
    }

    fn count(&self, of: impl Fn(&ParamDecl) -> bool) -> u64 {
        let counted = self.params.iter().filter(|p| of(p));
        counted.map(|p| p.elements() as u64).sum()
    }
}

/// Grows a network from its input on.
struct Builder<'a> {
    config: &'a ModelConfig,
    /// What the next operation sees.
    at: Shape,
    blocks: Vec<Block>,
    ops: Vec<Op>,
    convs: usize,
    linears: usize,
}

impl Builder<'_> {
    /// The convolutions and max poolings of a vgg; none for an mlp.
    fn convolutions(&mut self) -> Result<(), ModelError> {
        // For pictures that are not square the published program says nothing; here both sides decide.
        let large = self.at.h.min(self.at.w) > STEM_ABOVE;
        for &width in self.config.model.conv_plan() {
            if width == M {
                self.max_pool()?;
                continue;
            }
            let (cin, cout) = (self.at.c, scaled(width, self.config.feat_mult));
            // On an odd side the stem's output is one larger than the published script takes it for.
            let (kernel, stride, pad) = if self.blocks.is_empty() && large { (7, 2, 3) } else { (3, 1, 1) };
            let map = MapKind::Conv { cin, cout, kernel, stride, pad };
            self.block(map, self.blocks.is_empty())?;
        }
        Ok(())
    }

    /// Flattens, then the hidden fully connected blocks. The first counts as first even behind convolutions.
    fn dense(&mut self) -> Result<(), ModelError> {
        self.ops.push(Op::Flatten);
        for layer in 0..self.config.num_layers {
            let (fan_in, fan_out) = (self.at.elements(), self.config.num_hidden);
            self.block(MapKind::Linear { fan_in, fan_out }, layer == 0)?;
        }
        Ok(())
    }

    fn block(&mut self, map: MapKind, first: bool) -> Result<(), ModelError> {
        let config = self.config;
        let (in_shape, out_shape) = (self.at, map.out_shape(self.at));
        let name = if map.is_conv() {
            self.convs += 1;
            format!("conv{}", self.convs)
        } else {
            self.linears += 1;
            format!("fc{}", self.linears)
        };
        check_map(&format!("the output of {name}"), out_shape)?;
        let heads = Heads { pred: config.has_pred(), sim: config.has_sim() };
        let (pred_pool, head_in) = if !map.is_conv() {
            (None, out_shape.c)
        } else if heads.pred {
            let pool = Pool::plan(out_shape, config.dim_in_decoder);
            let pooled = pool.map_or(out_shape, |p| p.out_shape(out_shape));
            (pool, pooled.elements())
        } else {
            (None, 0)
        };
        let index = self.blocks.len();
        self.blocks.push(Block {
            index,
            name,
            map,
            in_shape,
            out_shape,
            bias: true,
            first,
            dropout: config.dropout,
            batch_norm: !config.no_batch_norm,
            heads,
            pred_pool,
            head_in,
            max_pool_after: false,
        });
        self.ops.push(Op::Block(index));
        self.at = out_shape;
        Ok(())
    }

    /// A max pooling behind the last block.
    fn max_pool(&mut self) -> Result<(), ModelError> {
        let Shape { h, w, .. } = self.at;
        if let Some(block) = self.blocks.last_mut() {
            if h.min(w) < 2 {
                let plan = self.config.model.conv_plan();
                let poolings = plan.iter().filter(|&&width| width == M).count();
                return Err(ModelError::InputTooSmall {
                    model: self.config.model.to_string(),
                    height: self.config.input.height,
                    width: self.config.input.width,
                    block: block.name.clone(),
                    left_h: h,
                    left_w: w,
                    // Each pooling halves, rounding down; the stem comes with pictures that are large enough.
                    need: 1 << poolings,
                });
            }
            block.max_pool_after = true;
        }
        self.ops.push(Op::MaxPool);
        self.at = self.at.max_pooled();
        Ok(())
    }
}

/// Refuses a map that holds more than a tensor can, for one picture.
fn check_map(name: &str, shape: Shape) -> Result<(), ModelError> {
    let Shape { h, w, c } = shape;
    check_size(name, h as u64 * w as u64 * pad4(c) as u64)
}
