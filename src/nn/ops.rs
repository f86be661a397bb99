//! What strings the blocks together, in the golden cases' words.

/// One thing that happens on the way through the network; the output layer comes behind the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Op {
    /// Runs the block of this index.
    Block(usize),
    /// Keeps the tensor for the shortcut of the residual unit that starts at the block of this index. In front of a
    /// pre-activated block without normalisation it is rectified first, as in the published program, which works in
    /// place there.
    Tap(usize),
    /// 2x2 max pooling with stride 2.
    MaxPool,
    /// Takes a map as a dense tensor. Nothing moves on the device; weights are stored to fit.
    Flatten,
    /// Dropout, element by element, between two blocks of a residual unit.
    Drop,
    /// The last pooling of a network without fully connected blocks; what comes out is flattened.
    End(End),
}

/// What stands in front of the output layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct End {
    /// Whether `final_bn` and a relu (always a relu, whatever the activation is) come before the pooling.
    pub norm: bool,
    /// The pooling.
    pub pool: EndPool,
}

/// A last pooling; stride = kernel, no padding, cut-off rows and columns are left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EndPool {
    /// Averages.
    Average {
        /// Rows of a window.
        kh: usize,
        /// Columns of a window.
        kw: usize,
    },
    /// Maxima of 2x2 windows.
    Max,
}

impl EndPool {
    /// Rows and columns of a window.
    pub const fn window(self) -> (usize, usize) {
        match self {
            Self::Average { kh, kw } => (kh, kw),
            Self::Max => (2, 2),
        }
    }
}
