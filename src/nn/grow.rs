//! Networks from their families: which blocks follow one another, and what stands between them.

use super::block::{Block, Heads, Order, Shortcut, ShortcutKind};
use super::config::{ModelConfig, scaled};
use super::error::ModelError;
use super::families::{BOTTLENECK, Family, M, PLAIN_WIDTH, RESNET_WIDTHS, WIDE_BASE};
use super::layout::pad4;
use super::ops::{End, EndPool, Op};
use super::params::check_size;
use super::shape::{MapKind, Shape};

/// Pictures with both sides above this get a strided 7x7 convolution as their first, and a residual network a max pooling
/// behind it.
const STEM_ABOVE: usize = 64;
/// Side of the last average pooling's window in a ResNet.
const RESNET_END: usize = 4;
/// The same in a wide ResNet.
const WIDE_END: usize = 8;
/// Rows and columns that a plain network's last pooling leaves.
const PLAIN_END: usize = 4;

/// The blocks of a network, without their heads, and what strings them together.
pub(super) struct Grown {
    /// In forward order.
    pub blocks: Vec<Block>,
    /// What happens, in order.
    pub ops: Vec<Op>,
    /// What enters the output layer.
    pub out_shape: Shape,
    /// The blocks' maps as the published script counts them: a stride divides the sides, rounding down.
    pub counted: Vec<Shape>,
}

/// Lays out the blocks of `config`'s network behind an input of shape `input`.
pub(super) fn grow(config: &ModelConfig, input: Shape) -> Result<Grown, ModelError> {
    let mut net = Grower {
        config,
        at: input,
        counted_at: input,
        blocks: Vec::new(),
        counted: Vec::new(),
        ops: Vec::new(),
        convs: 0,
        linears: 0,
    };
    match config.model.family() {
        Family::Mlp => net.dense()?,
        Family::Vgg(plan) => net.vgg(plan)?,
        Family::Resnet { bottleneck, units } => net.resnet(bottleneck, units)?,
        Family::WideResnet { units, widen, adapted } => net.wide(units, widen, adapted)?,
        Family::Plain { blocks } => net.plain(blocks)?,
    }
    Ok(Grown { blocks: net.blocks, ops: net.ops, out_shape: net.at, counted: net.counted })
}

/// A network under way.
struct Grower<'a> {
    config: &'a ModelConfig,
    /// What the next operation sees.
    at: Shape,
    /// The same as the published script counts it.
    counted_at: Shape,
    blocks: Vec<Block>,
    counted: Vec<Shape>,
    ops: Vec<Op>,
    convs: usize,
    linears: usize,
}

/// A convolutional block to come, padded so that stride 1 keeps the map's size.
#[derive(Clone, Copy)]
struct Conv {
    cout: usize,
    kernel: usize,
    stride: usize,
    bias: bool,
    order: Order,
    first: bool,
    dropout: f64,
}

impl Grower<'_> {
    /// For pictures that are not square the published program says nothing; here both sides decide.
    fn large(&self) -> bool {
        self.config.input.height.min(self.config.input.width) > STEM_ABOVE
    }

    fn width(&self, width: usize) -> usize {
        scaled(width, self.config.feat_mult)
    }

    /// Convolutions and max poolings, then the fully connected part.
    fn vgg(&mut self, plan: &[usize]) -> Result<(), ModelError> {
        for &width in plan {
            if width == M {
                let poolings = plan.iter().filter(|&&width| width == M).count();
                self.max_pool(poolings)?;
                continue;
            }
            let first = self.blocks.is_empty();
            let (kernel, stride) = if first && self.large() { (7, 2) } else { (3, 1) };
            let (cout, dropout) = (self.width(width), self.config.dropout);
            self.conv(Conv { cout, kernel, stride, bias: true, order: Order::Post, first, dropout }, None)?;
        }
        self.dense()
    }

    /// Flattens, then the hidden fully connected blocks. The first counts as first even behind convolutions.
    fn dense(&mut self) -> Result<(), ModelError> {
        self.ops.push(Op::Flatten);
        for layer in 0..self.config.num_layers {
            let (fan_in, fan_out) = (self.at.elements(), self.config.num_hidden);
            self.linears += 1;
            let name = format!("fc{}", self.linears);
            self.block(name, MapKind::Linear { fan_in, fan_out })?.first = layer == 0;
        }
        Ok(())
    }

    /// Equal convolutions, and a pooling that leaves little to the output layer.
    fn plain(&mut self, blocks: usize) -> Result<(), ModelError> {
        let (cout, dropout) = (self.width(PLAIN_WIDTH), self.config.dropout);
        for index in 0..blocks {
            let order = Order::Post;
            self.conv(Conv { cout, kernel: 3, stride: 1, bias: true, order, first: index == 0, dropout }, None)?;
        }
        let window = |side: usize| side.div_ceil(PLAIN_END);
        self.end(End { norm: false, pool: EndPool::Average { kh: window(self.at.h), kw: window(self.at.w) } }, 1)
    }

    /// He et al. 2016, for small pictures: a 3x3 convolution without pooling at first, 4x4 average pooling at the end.
    /// For large ones, which the published program has no network for, a strided 7x7 convolution and a max pooling at
    /// first, and an average of the whole map at the end.
    fn resnet(&mut self, bottleneck: bool, units: [usize; 4]) -> Result<(), ModelError> {
        let ModelConfig { pre_act, dropout, .. } = *self.config;
        let order = if pre_act && !bottleneck { Order::Pre } else { Order::Post };
        let stem = if pre_act { Order::Bare } else { Order::Post };
        self.stem(self.width(RESNET_WIDTHS[0]), false, stem, dropout)?;
        for (stage, (width, units)) in RESNET_WIDTHS.into_iter().zip(units).enumerate() {
            let width = self.width(width);
            let out = if bottleneck { BOTTLENECK * width } else { width };
            for unit in 0..units {
                let stride = if stage > 0 && unit == 0 { 2 } else { 1 };
                let conv = Conv { cout: width, kernel: 3, stride: 1, bias: false, order, first: false, dropout };
                let convs = if bottleneck {
                    vec![Conv { kernel: 1, ..conv }, Conv { stride, ..conv }, Conv { cout: out, kernel: 1, ..conv }]
                } else {
                    vec![Conv { stride, ..conv }, conv]
                };
                let same = stride == 1 && self.at.c == out;
                let kind = if same { ShortcutKind::Identity } else { ShortcutKind::ConvNorm };
                self.unit(&convs, kind, stride, false)?;
            }
        }
        let (kh, kw) = if self.large() { (self.at.h, self.at.w) } else { (RESNET_END, RESNET_END) };
        self.end(End { norm: false, pool: EndPool::Average { kh, kw } }, 8)
    }

    /// Zagoruyko & Komodakis 2016, with the published program's variant for local losses (`adapted`). Large pictures are
    /// treated as in a ResNet.
    fn wide(&mut self, units: usize, widen: usize, adapted: bool) -> Result<(), ModelError> {
        // The published variants differ in where dropout is: inside the units, or on each convolution's input.
        let between = if adapted { 0.0 } else { self.config.dropout };
        let dropout = if adapted { self.config.dropout } else { 0.0 };
        self.stem(self.width(WIDE_BASE * if adapted { widen } else { 1 }), true, Order::Bare, 0.0)?;
        for stage in 0..3 {
            let cout = self.width((WIDE_BASE * widen) << stage);
            for unit in 0..units {
                let stride = if stage > 0 && unit == 0 { 2 } else { 1 };
                let conv = Conv { cout, kernel: 3, stride: 1, bias: true, order: Order::Pre, first: false, dropout };
                let same = stride == 1 && self.at.c == cout;
                let kind = if same { ShortcutKind::Identity } else { ShortcutKind::Conv };
                self.unit(&[conv, Conv { stride, ..conv }], kind, stride, between > 0.0)?;
            }
        }
        let pool = match (adapted, self.large()) {
            (true, _) => EndPool::Max,
            (false, true) => EndPool::Average { kh: self.at.h, kw: self.at.w },
            (false, false) => EndPool::Average { kh: WIDE_END, kw: WIDE_END },
        };
        self.end(End { norm: true, pool }, 4)
    }

    /// The first convolution of a residual network.
    fn stem(&mut self, cout: usize, bias: bool, order: Order, dropout: f64) -> Result<(), ModelError> {
        let (kernel, stride) = if self.large() { (7, 2) } else { (3, 1) };
        self.conv(Conv { cout, kernel, stride, bias, order, first: false, dropout }, None)?;
        if self.large() { self.max_pool(1) } else { Ok(()) }
    }

    /// A residual unit: the tensor entering it feeds the shortcut of its last block.
    fn unit(
        &mut self,
        convs: &[Conv],
        kind: ShortcutKind,
        stride: usize,
        drop_between: bool,
    ) -> Result<(), ModelError> {
        let shortcut = Shortcut { kind, from: self.at, stride };
        self.ops.push(Op::Tap(self.blocks.len()));
        let last = convs.len() - 1;
        for (index, conv) in convs.iter().enumerate() {
            self.conv(*conv, (index == last).then_some(shortcut))?;
            if drop_between && index < last {
                self.ops.push(Op::Drop);
            }
        }
        Ok(())
    }

    fn conv(&mut self, conv: Conv, shortcut: Option<Shortcut>) -> Result<(), ModelError> {
        let Conv { cout, kernel, stride, .. } = conv;
        self.convs += 1;
        let map = MapKind::Conv { cin: self.at.c, cout, kernel, stride, pad: kernel / 2 };
        let block = self.block(format!("conv{}", self.convs), map)?;
        (block.bias, block.order, block.first) = (conv.bias, conv.order, conv.first);
        (block.dropout, block.shortcut) = (conv.dropout, shortcut);
        Ok(())
    }

    /// A block with a bias, normalisation and activation behind its map, and dropout.
    fn block(&mut self, name: String, map: MapKind) -> Result<&mut Block, ModelError> {
        let (in_shape, out_shape) = (self.at, map.out_shape(self.at));
        check_map(&format!("the output of {name}"), out_shape)?;
        let index = self.blocks.len();
        self.ops.push(Op::Block(index));
        self.at = out_shape;
        self.counted_at = match map {
            MapKind::Conv { stride, .. } => {
                Shape { h: self.counted_at.h / stride, w: self.counted_at.w / stride, ..out_shape }
            }
            MapKind::Linear { .. } => out_shape,
        };
        self.counted.push(self.counted_at);
        self.blocks.push(Block {
            index,
            name,
            map,
            in_shape,
            out_shape,
            bias: true,
            order: Order::Post,
            first: false,
            dropout: self.config.dropout,
            batch_norm: !self.config.no_batch_norm,
            shortcut: None,
            heads: Heads::default(),
            pred_pool: None,
            head_in: 0,
        });
        Ok(&mut self.blocks[index])
    }

    /// A max pooling behind the last block, one of `poolings` in the network.
    fn max_pool(&mut self, poolings: usize) -> Result<(), ModelError> {
        let Shape { h, w, .. } = self.at;
        if let Some(block) = self.blocks.last()
            && h.min(w) < 2
        {
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
        self.ops.push(Op::MaxPool);
        self.at = self.at.max_pooled();
        self.counted_at = self.counted_at.max_pooled();
        Ok(())
    }

    /// What stands in front of the output layer, behind convolutions whose strides multiply to `reduction`.
    fn end(&mut self, end: End, reduction: usize) -> Result<(), ModelError> {
        let Shape { h, w, c } = self.at;
        let (kh, kw) = end.pool.window();
        if h < kh || w < kw {
            return Err(ModelError::MapTooSmall {
                model: self.config.model.to_string(),
                height: self.config.input.height,
                width: self.config.input.width,
                left_h: h,
                left_w: w,
                window: kh,
                // Strided convolutions round up.
                need: (kh - 1) * reduction + 1,
            });
        }
        self.ops.push(Op::End(end));
        self.at = Shape { h: h / kh, w: w / kw, c };
        Ok(())
    }
}

/// Refuses a map that holds more than a tensor can, for one picture.
pub(super) fn check_map(name: &str, shape: Shape) -> Result<(), ModelError> {
    let Shape { h, w, c } = shape;
    check_size(name, h as u64 * w as u64 * pad4(c) as u64)
}
