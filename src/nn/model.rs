//! From settings to a network: its blocks with their heads, what strings them together, and the tensors they own.

use std::ops::Range;

use super::block::{Block, Heads};
use super::choices::LossUnsup;
use super::config::ModelConfig;
use super::error::ModelError;
use super::grow::{check_map, grow};
use super::ops::{End, Op};
use super::params::{Declarations, Owner, ParamDecl, Part, Role};
use super::pooling::Pool;
use super::shape::Shape;
use super::zoo::Architecture;

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
    /// The groups of blocks between which no gradient flows, in forward order; each block by itself unless
    /// `local_modules` says otherwise, and all of them in one when training by backpropagation.
    pub modules: Vec<Range<usize>>,
    /// The output layer.
    pub output: OutputLayer,
    /// Every tensor: each block's in forward order, the output's last.
    pub params: Vec<ParamDecl>,
}

impl Model {
    /// Lays out the network that `config` describes.
    ///
    /// # Errors
    /// [`ModelError`] for a setting outside its range, pictures too small for the network's poolings, or a tensor too
    /// large to address.
    pub fn build(config: ModelConfig) -> Result<Self, ModelError> {
        config.validate()?;
        let input = Shape { h: config.input.height, w: config.input.width, c: config.input.channels };
        check_map("the input", input)?;
        let flat = config.model == Architecture::Mlp && input.c == 1;
        let input = if flat { Shape::dense(input.elements()) } else { input };
        let grown = grow(&config, input)?;
        let (mut blocks, ops, at) = (grown.blocks, grown.ops, grown.out_shape);
        let modules = modules(&config, blocks.len())?;
        for last in modules.iter().map(|module| module.end - 1) {
            add_heads(&config, &mut blocks[last], grown.counted[last]);
        }
        for block in blocks.iter_mut().filter(|block| !block.map.is_conv()) {
            block.head_in = block.out_shape.c;
        }
        let final_norm = ops.iter().any(|op| matches!(op, Op::End(End { norm: true, .. })));
        let params = Declarations::of(&config, &blocks, final_norm, at)?;
        let classes = config.num_classes;
        let output =
            OutputLayer { in_shape: at, features: at.elements(), device_features: at.device_elements(), classes };
        Ok(Self { config, input, blocks, ops, modules, output, params })
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

    /// The tensor that enters `ops[index]`, of one sample.
    pub fn shape_before(&self, index: usize) -> Shape {
        self.ops[..index].iter().fold(self.input, |shape, op| match *op {
            Op::Block(block) => self.blocks[block].out_shape,
            Op::MaxPool => shape.max_pooled(),
            Op::End(end) => {
                let (kh, kw) = end.pool.window();
                Shape { h: shape.h / kh, w: shape.w / kw, c: shape.c }
            }
            Op::Tap(_) | Op::Flatten | Op::Drop => shape,
        })
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

/// Cuts `blocks` into runs whose lengths differ by at most one.
fn modules(config: &ModelConfig, blocks: usize) -> Result<Vec<Range<usize>>, ModelError> {
    if config.backprop {
        return Ok(std::iter::once(0..blocks).collect());
    }
    let count = config.local_modules.unwrap_or(blocks);
    if config.local_modules.is_some() && !(1..=blocks).contains(&count) {
        let need = format!("from 1 to {blocks}, the blocks of {}", config.model);
        return Err(ModelError::Setting { setting: "--local-modules", got: count.to_string(), need });
    }
    Ok((0..count).map(|module| module * blocks / count..(module + 1) * blocks / count).collect())
}

/// Gives `block`, the last of its module, the heads that `config` asks for; `counted` is its map as the published script
/// counts it.
fn add_heads(config: &ModelConfig, block: &mut Block, counted: Shape) {
    if config.backprop {
        return;
    }
    let unsup = match config.loss_unsup {
        LossUnsup::Recon if block.first => LossUnsup::None,
        other => other,
    };
    block.heads = Heads {
        pred: config.has_pred(),
        sim: config.has_sim(),
        unsup,
        bio: config.bio,
        aux: if block.map.is_conv() { config.aux_depth - 1 } else { 0 },
    };
    if block.map.is_conv() && (config.bio || config.has_pred()) {
        block.pred_pool = Pool::published(block.out_shape, counted, config.dim_in_decoder);
        block.head_in = block.pred_in_shape().elements();
    }
}
