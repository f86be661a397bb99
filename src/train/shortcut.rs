//! The way past a residual unit, forward and backward: nothing, a 1x1 convolution, or one with a normalisation.

use crate::gpu::Slice;
use crate::kernels::Activation;
use crate::kernels::batchnorm_backward::Upstream;
use crate::nn::{Block, Shortcut, ShortcutKind};

use super::activated::{Activate, Activated, Made};
use super::build::Builder;
use super::map::{Map, MapLabels};
use super::plan::Mode;

const SHORTCUT: MapLabels = MapLabels { forward: "shortcut forward", input: "shortcut dX", weight: "shortcut dW" };

/// What happened on a shortcut.
#[derive(Debug)]
pub struct ShortcutPass {
    /// What entered it.
    x: Slice,
    map: Option<Map>,
    norm: Option<Activated>,
}

impl ShortcutPass {
    /// Whether anything lies on it.
    pub fn has_map(&self) -> bool {
        self.map.is_some()
    }
}

impl Builder<'_> {
    /// The tensor that a block's shortcut adds, from what entered its unit; `None` without a shortcut.
    pub fn shortcut_residual(
        &mut self,
        block: &Block,
        tap: Option<Slice>,
        mode: Mode,
    ) -> Option<(ShortcutPass, Slice)> {
        let (shortcut, mut pass, y, made) = self.along(block, tap, mode)?;
        if shortcut.kind != ShortcutKind::ConvNorm {
            return Some((pass, y));
        }
        let names = [block.name.as_str(), "residual"];
        let (norm, residual) = self.activate_made(self.shortcut_norm(block), y, made, None, mode, names);
        pass.norm = Some(norm);
        Some((pass, residual))
    }

    /// `y` and what a block's shortcut adds to it, in place where that can be; `None` without a shortcut.
    pub fn shortcut_sum(
        &mut self,
        block: &Block,
        tap: Option<Slice>,
        y: Slice,
        mode: Mode,
    ) -> Option<(ShortcutPass, Slice)> {
        let (shortcut, mut pass, residual, made) = self.along(block, tap, mode)?;
        if shortcut.kind != ShortcutKind::ConvNorm {
            self.accumulate(residual, y);
            return Some((pass, y));
        }
        let names = [block.name.as_str(), "sum"];
        let (norm, sum) = self.activate_made(self.shortcut_norm(block), residual, made, Some(y), mode, names);
        pass.norm = Some(norm);
        Some((pass, sum))
    }

    /// The shortcut as far as its convolution, if it has one.
    fn along(
        &mut self,
        block: &Block,
        tap: Option<Slice>,
        mode: Mode,
    ) -> Option<(Shortcut, ShortcutPass, Slice, Made)> {
        let shortcut = block.shortcut?;
        let x = tap.expect("a residual unit keeps what enters it");
        if shortcut.kind == ShortcutKind::Identity {
            return Some((shortcut, ShortcutPass { x, map: None, norm: None }, x, Made::Whole));
        }
        let map = Map::Conv(self.convolution(shortcut.from, block.out_shape.c, [1, shortcut.stride, 0]));
        let weight = self.arena(block).weight("shortcut.conv.weight").expect("it has a convolution");
        let bias = self.arena(block).weight("shortcut.conv.bias");
        let y = self.activation(format!("{}.shortcut", block.name), map.output_len());
        let normed = shortcut.kind == ShortcutKind::ConvNorm;
        let wanted = normed && self.shortcut_norm(block).wants_moments(self.batch, mode);
        let made = self.forward_to_norm(&map, SHORTCUT, [x, weight], bias, y, wanted, &block.name);
        Some((shortcut, ShortcutPass { x, map: Some(map), norm: None }, y, made))
    }

    fn shortcut_norm(&self, block: &Block) -> Activate {
        Activate::new(self.arena(block).norm("shortcut.bn"), Activation::None, block.out_shape)
    }

    /// Backward from the gradient of the sum, which a norm on the shortcut overwrites; `bias_moves` says that the
    /// gradient of a bias in the sum is not exactly zero. Returns the gradient of what entered the unit, if `wanted`.
    pub fn shortcut_backward(
        &mut self,
        block: &Block,
        pass: &ShortcutPass,
        dsum: Slice,
        bias_moves: bool,
        wanted: bool,
    ) -> Option<Slice> {
        let Some(map) = &pass.map else { return wanted.then_some(dsum) };
        if let Some(norm) = &pass.norm {
            self.backward_activated(norm, Upstream { gradient: dsum, dense: true, pooled: None }, &block.name);
        } else if let Some(dbias) = self.arena(block).grad("shortcut.conv.bias").filter(|_| bias_moves) {
            self.column_sum([map.rows(), map.channels()], dsum, dbias, &block.name);
        }
        let dw = self.arena(block).grad("shortcut.conv.weight").expect("it has a convolution");
        self.backward_weight(map, SHORTCUT, pass.x, dsum, dw, &block.name);
        wanted.then(|| {
            let weight = self.arena(block).weight("shortcut.conv.weight").expect("it has a convolution");
            self.backward_input(map, SHORTCUT, dsum, weight, &format!("{}.shortcut", block.name))
        })
    }
}
