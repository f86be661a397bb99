//! Every tensor that a network owns, in the order and with the names of checkpoints and golden cases.
//!
//! Only tensors that take part are declared.

use super::block::{Block, Order, ShortcutKind};
use super::config::ModelConfig;
use super::error::ModelError;
use super::layout::Layout;
use super::shape::{MapKind, Shape};

/// Most elements of one tensor on the device: 4 GiB of `f32`, what a 32-bit address reaches.
pub(super) const MAX_ELEMENTS: u64 = 1 << 30;

/// What becomes of a tensor during training.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// Updated by the optimiser.
    Train,
    /// Constant: the random matrices of `bio`, and a norm that no optimiser owns.
    Fixed,
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
    /// The map, its norms and its shortcut: what the network is at inference.
    Trunk,
    /// The local heads, and the norm in front of them where the network goes past it: only there to train the trunk.
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
pub(super) struct Declarations<'a> {
    config: &'a ModelConfig,
    list: Vec<ParamDecl>,
    owner: Owner,
    part: Part,
}

impl<'a> Declarations<'a> {
    /// All tensors of a network: `blocks` in order, the last norm if there is one, an output layer behind `features`.
    ///
    /// # Errors
    /// [`ModelError::TooLarge`] for a tensor that no device could address.
    pub fn of(
        config: &'a ModelConfig,
        blocks: &[Block],
        final_norm: bool,
        features: Shape,
    ) -> Result<Vec<ParamDecl>, ModelError> {
        let mut all = Self { config, list: Vec::new(), owner: Owner::Output, part: Part::Trunk };
        for block in blocks {
            all.trunk(block)?;
            all.heads(block)?;
        }
        (all.owner, all.part) = (Owner::Output, Part::Trunk);
        if final_norm {
            // The published program gives it to no optimiser unless it trains by backpropagation.
            let role = if config.backprop { Role::Train } else { Role::Fixed };
            all.norm("final_bn", features.c, role)?;
        }
        let start = if config.backprop { Init::Uniform } else { Init::Zero };
        all.affine("output", linear(features, config.num_classes), start, Some(Init::Uniform))?;
        Ok(all.list)
    }

    fn trunk(&mut self, block: &Block) -> Result<(), ModelError> {
        let path = format!("blocks.{}", block.index);
        (self.owner, self.part) = (Owner::Block(block.index), Part::Trunk);
        let (kind, map) = match block.map {
            MapKind::Conv { cin, cout, kernel, .. } => ("conv", conv(cin, cout, kernel)),
            MapKind::Linear { fan_out, .. } => ("linear", linear(block.in_shape, fan_out)),
        };
        self.affine(&format!("{path}.{kind}"), map, Init::Uniform, block.bias.then_some(Init::Uniform))?;
        if block.norm_before() {
            self.norm(&format!("{path}.bn_pre"), block.in_shape.c, Role::Train)?;
        }
        if block.norm_behind() {
            self.part = if block.order == Order::Post { Part::Trunk } else { Part::Head };
            self.norm(&format!("{path}.bn"), block.out_shape.c, Role::Train)?;
            self.part = Part::Trunk;
        }
        let Some(shortcut) = block.shortcut else { return Ok(()) };
        if shortcut.kind != ShortcutKind::Identity {
            let map = conv(shortcut.from.c, block.out_shape.c, 1);
            let bias = (shortcut.kind == ShortcutKind::Conv).then_some(Init::Uniform);
            self.affine(&format!("{path}.shortcut.conv"), map, Init::Uniform, bias)?;
        }
        if shortcut.kind == ShortcutKind::ConvNorm {
            self.norm(&format!("{path}.shortcut.bn"), block.out_shape.c, Role::Train)?;
        }
        Ok(())
    }

    fn heads(&mut self, block: &Block) -> Result<(), ModelError> {
        let path = format!("blocks.{}", block.index);
        let (out, heads) = (block.out_shape, block.heads);
        self.part = Part::Head;
        if heads.pred {
            self.classifier(&path, block)?;
        }
        if heads.bio {
            let (codes, classes) = (self.config.target_proj_size, self.config.num_classes);
            let layout = linear(Shape::dense(classes), codes);
            self.push(format!("{path}.proj.weight"), layout, Role::Fixed, Init::Uniform, classes)?;
        }
        if heads.sim_map() {
            let sim = if block.map.is_conv() { conv(out.c, out.c, 3) } else { linear(out, out.c) };
            self.affine(&format!("{path}.sim"), sim, Init::Uniform, None)?;
        }
        if heads.recon() {
            self.decoder(&format!("{path}.recon"), block)?;
        }
        Ok(())
    }

    /// The local classifier with its hidden convolutions.
    fn classifier(&mut self, path: &str, block: &Block) -> Result<(), ModelError> {
        let channels = block.out_shape.c;
        for layer in 0..block.heads.aux {
            let map = conv(channels, channels, 3);
            let bias = (!block.batch_norm).then_some(Init::Uniform);
            self.affine(&format!("{path}.aux.{layer}.conv"), map, Init::Uniform, bias)?;
            if block.batch_norm {
                self.norm(&format!("{path}.aux.{layer}.bn"), channels, Role::Train)?;
            }
        }
        let bio = block.heads.bio;
        let rows = if bio { self.config.target_proj_size } else { self.config.num_classes };
        let pred = linear(block.pred_in_shape(), rows);
        let bias = if bio { Init::Zero } else { Init::Uniform };
        self.affine(&format!("{path}.pred"), pred, Init::Zero, Some(bias))?;
        if bio {
            self.push(format!("{path}.pred.feedback"), pred, Role::Fixed, Init::Uniform, block.head_in)?;
        }
        Ok(())
    }

    /// The way back from a block's activation to its input: a transposed convolution, whose weight has the shape of the
    /// convolution's own, or a linear map. Its bias has one number for each channel of the input.
    fn decoder(&mut self, path: &str, block: &Block) -> Result<(), ModelError> {
        let (weight, bias, fan_in) = match block.map {
            MapKind::Conv { cin, cout, kernel, .. } => (conv(cin, cout, kernel), cin, cin * kernel * kernel),
            MapKind::Linear { fan_in, fan_out } => (linear(block.out_shape, fan_in), fan_in, fan_out),
        };
        self.push(format!("{path}.weight"), weight, Role::Train, Init::Uniform, fan_in)?;
        self.push(format!("{path}.bias"), Layout::Vector { len: bias }, Role::Train, Init::Uniform, fan_in)
    }

    /// Weight and, where it says how it starts, bias of a map; uniform ones have the weight's fan-in.
    fn affine(&mut self, path: &str, weight: Layout, init: Init, bias: Option<Init>) -> Result<(), ModelError> {
        let (fan_in, out) = match weight {
            Layout::Vector { len } => (1, len),
            Layout::Conv { cout, cin, kh, kw } => (cin * kh * kw, cout),
            Layout::Linear { out, h, w, c } => (h * w * c, out),
        };
        self.push(format!("{path}.weight"), weight, Role::Train, init, fan_in)?;
        if let Some(init) = bias {
            self.push(format!("{path}.bias"), Layout::Vector { len: out }, Role::Train, init, fan_in)?;
        }
        Ok(())
    }

    /// A norm, its weight and bias in the given role.
    fn norm(&mut self, path: &str, channels: usize, affine: Role) -> Result<(), ModelError> {
        let layout = Layout::Vector { len: channels };
        for (name, role, init) in [
            ("weight", affine, Init::One),
            ("bias", affine, Init::Zero),
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
