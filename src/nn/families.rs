//! What the architectures are built from: VGG plans as tables, counts of residual units, widths.

/// In a VGG plan: 2x2 max pooling with stride 2, behind the convolution before it.
pub const M: usize = 0;

/// Width of the first convolution of a wide ResNet that is not adapted, and of all its stages before they are widened.
pub(super) const WIDE_BASE: usize = 16;

/// Widths of a ResNet's stages; a bottleneck's outer convolutions have [`BOTTLENECK`] times as many.
pub(super) const RESNET_WIDTHS: [usize; 4] = [64, 128, 256, 512];

/// How much wider a bottleneck ends than it is inside.
pub(super) const BOTTLENECK: usize = 4;

/// Width of a plain network's convolutions.
pub(super) const PLAIN_WIDTH: usize = 128;

/// A kind of network with its numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// Fully connected blocks; `num_layers` and `num_hidden` say how many of which width.
    Mlp,
    /// Convolutions by a plan, the published program's in the notation of the VGG paper: the width of each convolution
    /// in order, [`M`] where a max pooling stands. The fully connected part behind them comes from `num_layers` and
    /// `num_hidden`.
    Vgg(&'static [usize]),
    /// A first convolution, four stages of residual units, average pooling.
    Resnet {
        /// Whether a unit is 1x1, 3x3, 1x1 instead of two 3x3 convolutions.
        bottleneck: bool,
        /// Units of each stage.
        units: [usize; 4],
    },
    /// A first convolution, three stages of pre-activated units, a normalisation and pooling.
    WideResnet {
        /// Units of each stage.
        units: usize,
        /// Factor on the stages' widths.
        widen: usize,
        /// Whether the first convolution is widened as well, and the last pooling takes maxima.
        adapted: bool,
    },
    /// Equal convolutions.
    Plain {
        /// How many.
        blocks: usize,
    },
}

impl Family {
    /// The narrowest and the widest convolution before `feat_mult`; `None` where there is no convolution.
    pub(super) fn widths(self) -> Option<(usize, usize)> {
        match self {
            Self::Mlp => None,
            Self::Vgg(plan) => {
                let convolutions = || plan.iter().copied().filter(|&width| width != M);
                convolutions().min().zip(convolutions().max())
            }
            Self::Resnet { bottleneck, .. } => {
                let [narrow, .., wide] = RESNET_WIDTHS;
                Some((narrow, wide * if bottleneck { BOTTLENECK } else { 1 }))
            }
            Self::WideResnet { widen, adapted, .. } => {
                let stem = WIDE_BASE * if adapted { widen } else { 1 };
                Some((stem, 4 * WIDE_BASE * widen))
            }
            Self::Plain { .. } => Some((PLAIN_WIDTH, PLAIN_WIDTH)),
        }
    }

    /// Whether hidden fully connected blocks are part of it.
    pub(super) fn has_dense_part(self) -> bool {
        matches!(self, Self::Mlp | Self::Vgg(_))
    }
}
