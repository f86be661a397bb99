//! One locally trained block: an affine map with its normalisation and activation, and the local heads that
//! train it.
//!
//! A block computes `y = act(bn(map(x)))`; its heads see y, the next block sees y behind dropout and, where the
//! plan says so, a max pooling.

use super::layout::pad4;

/// Shape of one sample's tensor; a dense tensor has `h = w = 1`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Shape {
    /// Rows.
    pub h: usize,
    /// Columns.
    pub w: usize,
    /// Channels, or features of a dense tensor.
    pub c: usize,
}

impl Shape {
    /// A dense tensor of `features` features.
    pub const fn dense(features: usize) -> Self {
        Self { h: 1, w: 1, c: features }
    }

    /// Elements without padding, PyTorch's count.
    pub const fn elements(self) -> usize {
        self.h * self.w * self.c
    }

    /// Elements on the device, where channels are padded to a multiple of four.
    pub const fn device_elements(self) -> usize {
        self.h * self.w * pad4(self.c)
    }

    /// Behind 2x2 max pooling with stride 2; an odd last row or column is dropped.
    pub const fn max_pooled(self) -> Self {
        Self { h: self.h / 2, w: self.w / 2, c: self.c }
    }
}

/// The trained map of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MapKind {
    /// Cross-correlation with a square kernel, zero-padded on all sides.
    Conv {
        /// Channels of the input.
        cin: usize,
        /// Channels of the output.
        cout: usize,
        /// Rows and columns of the kernel.
        kernel: usize,
        /// Step in both directions.
        stride: usize,
        /// Rows and columns of zeros on each side.
        pad: usize,
    },
    /// Fully connected.
    Linear {
        /// Features of the input, padding not counted.
        fan_in: usize,
        /// Features of the output.
        fan_out: usize,
    },
}

impl MapKind {
    /// Output shape for an input of shape `input`, by the convolution's arithmetic: (n + 2 pad - kernel) /
    /// stride + 1, rounded down. The input has to be at least as large as the kernel less its padding.
    pub const fn out_shape(self, input: Shape) -> Shape {
        match self {
            Self::Conv { cout, kernel, stride, pad, .. } => Shape {
                h: (input.h + 2 * pad - kernel) / stride + 1,
                w: (input.w + 2 * pad - kernel) / stride + 1,
                c: cout,
            },
            Self::Linear { fan_out, .. } => Shape::dense(fan_out),
        }
    }

    /// Whether this is a convolution.
    pub const fn is_conv(self) -> bool {
        matches!(self, Self::Conv { .. })
    }
}

/// Average pooling in front of a convolutional `pred` head: stride = kernel, padding counts in the divisor,
/// which is always `kh * kw`, and rows that no window reaches are ignored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Pool {
    /// Rows of a window.
    pub kh: usize,
    /// Columns of a window.
    pub kw: usize,
    /// Rows of zeros above and below.
    pub pad_h: usize,
    /// Columns of zeros left and right.
    pub pad_w: usize,
}

impl Pool {
    /// The published pooling rule: the window's height and width are doubled in turn, height first, until at
    /// most `limit` features are left or the window covers the map; half a window of padding where it does
    /// not divide the side. `None` where the map is small enough as it is.
    ///
    /// The published rule knows square maps only. For others a side is doubled while it is smaller than its
    /// side of the map, which is the same rule when the sides are equal.
    pub fn plan(map: Shape, limit: usize) -> Option<Self> {
        let (mut kh, mut kw) = (1, 1);
        let left = |kh, kw| map.c * map.h.div_ceil(kh) * map.w.div_ceil(kw);
        while left(kh, kw) > limit && (kh < map.h || kw < map.w) {
            if kh < map.h {
                kh *= 2;
            }
            if left(kh, kw) > limit && kw < map.w {
                kw *= 2;
            }
        }
        let margin = |k: usize, side: usize| if side.is_multiple_of(k) { 0 } else { k / 2 };
        (kh > 1 || kw > 1).then(|| Self { kh, kw, pad_h: margin(kh, map.h), pad_w: margin(kw, map.w) })
    }

    /// Shape of the pooled map.
    pub const fn out_shape(self, map: Shape) -> Shape {
        Shape {
            h: (map.h + 2 * self.pad_h - self.kh) / self.kh + 1,
            w: (map.w + 2 * self.pad_w - self.kw) / self.kw + 1,
            c: map.c,
        }
    }
}

/// Which local heads a block has; none when training by backpropagation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Heads {
    /// Linear classifier on the pooled activation.
    pub pred: bool,
    /// 3x3 convolution or linear map whose output's similarities are matched to the labels'.
    pub sim: bool,
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
    /// What enters the map. For a linear map behind convolutions, the map that it sees flattened.
    pub in_shape: Shape,
    /// What the map gives, and the block's heads see. A max pooling comes behind it.
    pub out_shape: Shape,
    /// Whether the map adds a bias.
    pub bias: bool,
    /// First of its network, or first of the fully connected part.
    pub first: bool,
    /// Probability that dropout clears a feature (linear) or a whole map (convolution) of the output.
    pub dropout: f64,
    /// Whether the map's output is batch-normalised.
    pub batch_norm: bool,
    /// The local heads.
    pub heads: Heads,
    /// Average pooling in front of the `pred` head; `None` if the head sees the output as it is, or there is
    /// no such head.
    pub pred_pool: Option<Pool>,
    /// Features that enter the `pred` head, in PyTorch's count. Linear blocks have it with or without the
    /// head; convolutions without the head have 0.
    pub head_in: usize,
    /// Whether a 2x2 max pooling with stride 2 follows, behind the dropout.
    pub max_pool_after: bool,
}

impl Block {
    /// Shape of what the `pred` head sees, before it is flattened.
    pub fn pred_in_shape(&self) -> Shape {
        self.pred_pool.map_or(self.out_shape, |pool| pool.out_shape(self.out_shape))
    }

    /// Shape of what the next block sees.
    pub fn next_shape(&self) -> Shape {
        if self.max_pool_after { self.out_shape.max_pooled() } else { self.out_shape }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn square(side: usize, c: usize) -> Shape {
        Shape { h: side, w: side, c }
    }

    /// The rule for square maps as golden/README.md words it.
    fn published(side: usize, c: usize, limit: usize) -> (usize, usize) {
        let (mut kh, mut kw) = (1, 1);
        let n = |kh, kw| c * side.div_ceil(kh) * side.div_ceil(kw);
        while n(kh, kw) > limit && kh < side {
            kh *= 2;
            if n(kh, kw) > limit {
                kw *= 2;
            }
        }
        (kh, kw)
    }

    proptest! {
        #[test]
        fn pooling_of_square_maps_is_the_published_rule(side in 1usize..100, c in 1usize..600, limit in 1usize..5000) {
            let got = Pool::plan(square(side, c), limit).map_or((1, 1), |p| (p.kh, p.kw));
            prop_assert_eq!(got, published(side, c, limit));
        }

        #[test]
        fn pooled_maps_fit_the_limit_or_are_one_pixel(h in 1usize..100, w in 1usize..100, c in 1usize..600, limit in 1usize..5000) {
            let map = Shape { h, w, c };
            if let Some(pool) = Pool::plan(map, limit) {
                let out = pool.out_shape(map);
                // The rule counts ceil(side / k); the pooling's own arithmetic has to agree.
                prop_assert_eq!(out, Shape { h: h.div_ceil(pool.kh), w: w.div_ceil(pool.kw), c });
                prop_assert!(out.elements() <= limit || (out.h, out.w) == (1, 1));
                prop_assert!(map.elements() > limit);
            } else {
                prop_assert!(map.elements() <= limit || (h, w) == (1, 1));
            }
        }
    }

    #[test]
    fn a_wide_map_is_pooled_along_its_width() {
        let map = Shape { h: 1, w: 12, c: 8 };
        let pool = Pool::plan(map, 32).unwrap();
        assert_eq!((pool.kh, pool.kw, pool.pad_h, pool.pad_w), (1, 4, 0, 0));
        let map = Shape { h: 3, w: 12, c: 8 };
        let pool = Pool::plan(map, 16).unwrap();
        assert_eq!((pool.kh, pool.kw, pool.pad_h, pool.pad_w), (4, 8, 2, 4));
        assert_eq!(pool.out_shape(map), Shape { h: 1, w: 2, c: 8 });
    }

    #[test]
    fn convolution_arithmetic() {
        let stem = MapKind::Conv { cin: 3, cout: 8, kernel: 7, stride: 2, pad: 3 };
        let sides = |n| stem.out_shape(square(n, 3)).h;
        assert_eq!((sides(66), sides(67), sides(96), sides(97)), (33, 34, 48, 49));
        assert_eq!(square(7, 5).max_pooled(), square(3, 5));
        assert_eq!(square(7, 5).device_elements(), 7 * 7 * 8);
    }
}
