//! Shapes of one sample's tensors, and the affine maps that lead from one to the next.

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn convolution_arithmetic() {
        let square = |side, c| Shape { h: side, w: side, c };
        let stem = MapKind::Conv { cin: 3, cout: 8, kernel: 7, stride: 2, pad: 3 };
        let sides = |n| stem.out_shape(square(n, 3)).h;
        assert_eq!((sides(66), sides(67), sides(96), sides(97)), (33, 34, 48, 49));
        assert_eq!(square(7, 5).max_pooled(), square(3, 5));
        assert_eq!(square(7, 5).device_elements(), 7 * 7 * 8);
    }
}
