//! Every tensor that a network owns, in the order and with the names of checkpoints and golden cases.
//!
//! Only tensors that take part are declared. Within one owner the order is fixed: the trunk (the block's own
//! map and norm) first, then the heads, so that an owner's trained tensors can lie in one buffer.

use super::block::{Block, MapKind, Shape};
use super::error::ModelError;
use super::layout::Layout;

/// Most elements of one tensor on the device: 4 GiB of `f32`, what a 32-bit address reaches.
pub(super) const MAX_ELEMENTS: u64 = 1 << 30;

/// What becomes of a tensor during training.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// Updated by the optimiser.
    Train,
    /// Running statistics of a normalisation.
    Stat,
}

/// What a tensor starts from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Init {
    /// U(-1/sqrt(fan_in), 1/sqrt(fan_in)).
    Uniform,
    /// All 0.
    Zero,
    /// All 1.
    One,
}

/// Whom a tensor belongs to; its owner's command buffer updates it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Owner {
    /// The block of this index.
    Block(usize),
    /// The output layer.
    Output,
}

/// Which side of its owner a tensor is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Part {
    /// The map and its norm: what the network is at inference.
    Trunk,
    /// `pred` and `sim`: only there to train the trunk.
    Head,
}

/// One tensor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParamDecl {
    /// Its name in files, such as `blocks.0.conv.weight`.
    pub name: String,
    /// Its shape in PyTorch's layout.
    pub shape: Vec<usize>,
    /// Trained or not.
    pub role: Role,
    /// What it starts from.
    pub init: Init,
    /// Inputs that enter one output of its map; 1 for norms.
    pub fan_in: usize,
    /// Its order of elements in files and on the device.
    pub layout: Layout,
    /// Whom it belongs to.
    pub owner: Owner,
    /// Trunk or head.
    pub part: Part,
}

impl ParamDecl {
    /// Elements in PyTorch's layout.
    pub fn elements(&self) -> usize {
        self.layout.len()
    }
}

/// Collects declarations for one owner after the other.
pub(super) struct Declarations {
    list: Vec<ParamDecl>,
    owner: Owner,
    part: Part,
}

impl Declarations {
    /// All tensors of a network: `blocks` in order, then an output layer from `features` to `classes`.
    /// `backprop` starts the output weights uniform instead of at zero.
    ///
    /// # Errors
    /// [`ModelError::TooLarge`] for a tensor that no device could address.
    pub fn of(blocks: &[Block], features: Shape, classes: usize, backprop: bool) -> Result<Vec<ParamDecl>, ModelError> {
        let mut all = Self { list: Vec::new(), owner: Owner::Output, part: Part::Trunk };
        for block in blocks {
            all.block(block, classes)?;
        }
        (all.owner, all.part) = (Owner::Output, Part::Trunk);
        let start = if backprop { Init::Uniform } else { Init::Zero };
        all.affine("output", linear(features, classes), start, true)?;
        Ok(all.list)
    }

    fn block(&mut self, block: &Block, classes: usize) -> Result<(), ModelError> {
        let path = format!("blocks.{}", block.index);
        let out = block.out_shape;
        (self.owner, self.part) = (Owner::Block(block.index), Part::Trunk);
        let (kind, map) = match block.map {
            MapKind::Conv { cin, cout, kernel, .. } => ("conv", conv(cin, cout, kernel)),
            MapKind::Linear { fan_out, .. } => ("linear", linear(block.in_shape, fan_out)),
        };
        self.affine(&format!("{path}.{kind}"), map, Init::Uniform, block.bias)?;
        if block.batch_norm {
            self.norm(&format!("{path}.bn"), out.c)?;
        }
        self.part = Part::Head;
        if block.heads.pred {
            let pred = linear(block.pred_in_shape(), classes);
            self.affine(&format!("{path}.pred"), pred, Init::Zero, true)?;
        }
        if block.heads.sim {
            let sim = if block.map.is_conv() { conv(out.c, out.c, 3) } else { linear(out, out.c) };
            self.affine(&format!("{path}.sim"), sim, Init::Uniform, false)?;
        }
        Ok(())
    }

    /// Weight and, where there is one, bias of a map. Biases start uniform with the weight's fan-in, also
    /// where the weight starts at zero.
    fn affine(&mut self, path: &str, weight: Layout, init: Init, bias: bool) -> Result<(), ModelError> {
        let (fan_in, out) = match weight {
            Layout::Vector { len } => (1, len),
            Layout::Conv { cout, cin, kh, kw } => (cin * kh * kw, cout),
            Layout::Linear { out, h, w, c } => (h * w * c, out),
        };
        self.push(format!("{path}.weight"), weight, Role::Train, init, fan_in)?;
        if bias {
            let layout = Layout::Vector { len: out };
            self.push(format!("{path}.bias"), layout, Role::Train, Init::Uniform, fan_in)?;
        }
        Ok(())
    }

    fn norm(&mut self, path: &str, channels: usize) -> Result<(), ModelError> {
        let layout = Layout::Vector { len: channels };
        for (name, role, init) in [
            ("weight", Role::Train, Init::One),
            ("bias", Role::Train, Init::Zero),
            ("running_mean", Role::Stat, Init::Zero),
            ("running_var", Role::Stat, Init::One),
        ] {
            self.push(format!("{path}.{name}"), layout, role, init, 1)?;
        }
        Ok(())
    }

    fn push(&mut self, name: String, layout: Layout, role: Role, init: Init, fan_in: usize) -> Result<(), ModelError> {
        check_size(&name, layout.device_len_u64())?;
        self.list.push(ParamDecl {
            name,
            shape: layout.torch_shape(),
            role,
            init,
            fan_in,
            layout,
            owner: self.owner,
            part: self.part,
        });
        Ok(())
    }
}

/// Refuses a tensor of more than [`MAX_ELEMENTS`].
pub(super) fn check_size(tensor: &str, elements: u64) -> Result<(), ModelError> {
    if elements <= MAX_ELEMENTS {
        return Ok(());
    }
    Err(ModelError::TooLarge { tensor: tensor.into(), elements, limit: MAX_ELEMENTS })
}

fn conv(cin: usize, cout: usize, kernel: usize) -> Layout {
    Layout::Conv { cout, cin, kh: kernel, kw: kernel }
}

fn linear(input: Shape, out: usize) -> Layout {
    Layout::Linear { out, h: input.h, w: input.w, c: input.c }
}
