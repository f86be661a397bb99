//! One locally trained block: an affine map with its normalisations, activation and shortcut, and the local heads that
//! train it.
//!
//! How these follow one another is the block's [`Order`]; the names are those of the golden cases.

use super::choices::LossUnsup;
use super::pooling::Pool;
use super::shape::{MapKind, Shape};

/// In which order map, normalisation and activation come, and what the heads see (a) and the next block sees (y).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Order {
    /// `y = act(bn(map(x)) + shortcut)`, `a = y`.
    Post,
    /// `y = map(act(bn_pre(x))) + shortcut`, `a = act(bn(y))`: pre-activation. `bn` serves the heads only.
    Pre,
    /// `y = map(x)`, `a = act(bn(y))`: the first convolution in front of pre-activated blocks.
    Bare,
}

/// What leads past a residual unit. It belongs to the unit's last block and starts from the tensor that entered the unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Shortcut {
    /// What lies on the way.
    pub kind: ShortcutKind,
    /// The tensor that entered the unit.
    pub from: Shape,
    /// Step of the shortcut's convolution; 1 for an identity.
    pub stride: usize,
}

/// What lies on a shortcut.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ShortcutKind {
    /// Nothing.
    Identity,
    /// A 1x1 convolution with a bias.
    Conv,
    /// A 1x1 convolution without a bias, and a normalisation, which stays even where the blocks have none.
    ConvNorm,
}

/// Which local heads a block has, and what they are trained on; none at all when training by backpropagation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct Heads {
    /// Linear classifier on the pooled activation: cross-entropy against the classes, in `bio` against their codes.
    pub pred: bool,
    /// The supervised similarity loss.
    pub sim: bool,
    /// The unsupervised loss.
    pub unsup: LossUnsup,
    /// Feedback alignment and random target projections.
    pub bio: bool,
    /// Hidden 3x3 convolutions of the classifier, in front of its pooling.
    pub aux: usize,
}

impl Heads {
    /// Whether there is any.
    pub fn any(self) -> bool {
        self.pred || self.similarity() || self.recon()
    }

    /// Whether similarities of the block's features are matched to something.
    pub fn similarity(self) -> bool {
        self.sim || self.unsup == LossUnsup::Sim
    }

    /// Whether those features come from a trained 3x3 convolution or linear map. In `bio` they are the activation itself.
    pub fn sim_map(self) -> bool {
        self.similarity() && !self.bio
    }

    /// Whether the block's input is reconstructed from its activation.
    pub fn recon(self) -> bool {
        self.unsup == LossUnsup::Recon
    }
}

/// One locally trained block.
#[derive(Clone, Debug, PartialEq)]
pub struct Block {
    /// Position among the blocks, from 0; parameters are named by it.
    pub index: usize,
    /// Name for people, numbered by kind from 1: "conv1", "fc1".
    pub name: String,
    /// The affine map.
    pub map: MapKind,
    /// What enters the block. For a linear map behind convolutions, the map that it sees flattened.
    pub in_shape: Shape,
    /// What the map gives, and the block's heads see.
    pub out_shape: Shape,
    /// Whether the map adds a bias.
    pub bias: bool,
    /// What follows what.
    pub order: Order,
    /// Whether it is counted as the first, which has nothing to reconstruct: the first convolution of a vgg, and the
    /// first of the fully connected part.
    pub first: bool,
    /// Probability that dropout clears a feature (linear) or a whole map (convolution): of the output in
    /// [`Order::Post`], of the map's input in [`Order::Pre`], of nothing in [`Order::Bare`].
    pub dropout: f64,
    /// Whether the network's blocks are batch-normalised.
    pub batch_norm: bool,
    /// Where the block closes a residual unit.
    pub shortcut: Option<Shortcut>,
    /// The local heads.
    pub heads: Heads,
    /// Average pooling in front of the `pred` head, and of the similarities in `bio`; `None` if they see the output as it
    /// is, or there is nothing of the kind.
    pub pred_pool: Option<Pool>,
    /// Features that enter the `pred` head, in PyTorch's count. Linear blocks have it with or without the head;
    /// convolutions without the head have 0.
    pub head_in: usize,
}

impl Block {
    /// Shape of what the `pred` head sees, before it is flattened.
    pub fn pred_in_shape(&self) -> Shape {
        self.pred_pool.map_or(self.out_shape, |pool| pool.out_shape(self.out_shape))
    }

    /// Whether a normalisation follows the map directly: on the way through the network in [`Order::Post`], else on the
    /// way to the heads.
    pub fn norm_behind(&self) -> bool {
        self.batch_norm && (self.order == Order::Post || self.heads.any())
    }

    /// Whether a normalisation stands in front of the map.
    pub fn norm_before(&self) -> bool {
        self.batch_norm && self.order == Order::Pre
    }

    /// Whether the next block sees the activation `a`, not the map's output. It does in [`Order::Post`]; and where there
    /// are heads but no normalisation, because there the published program rectifies in place.
    pub fn hands_on_activation(&self) -> bool {
        self.order == Order::Post || (self.heads.any() && !self.batch_norm)
    }
}
