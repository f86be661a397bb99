//! The way through a network's ops, forward with a record of what happened, and backward along that record.

use std::ops::Range;

use crate::gpu::Slice;
use crate::kernels::Activation;
use crate::kernels::batchnorm_backward::Upstream;
use crate::kernels::pool::{MaxPool, PoolGeometry};
use crate::nn::{Block, End, EndPool, Model, Op, Order, Shape, pad4};

use super::activated::{Activate, Activated};
use super::block::{BlockPass, Wanted, WithHeads};
use super::build::Builder;
use super::plan::Mode;

/// Share of the new batch in the running statistics of a wide ResNet's last norm.
const FINAL_MOMENTUM: f32 = 0.9;

/// Where the way forward has come to.
#[derive(Debug, Clone, Copy)]
pub struct Position {
    /// What the next op sees.
    pub x: Slice,
    /// What the residual unit under way began with.
    tap: Option<Slice>,
}

impl Position {
    /// At the network's input.
    pub fn start(x: Slice) -> Self {
        Self { x, tap: None }
    }
}

/// What an op did.
#[derive(Debug)]
pub enum Pass {
    /// A block.
    Block(Box<BlockPass>),
    /// A max pooling of maps `x`; none where the block in front of it has done it and nothing else reads `x`.
    MaxPool { pool: MaxPool, x: Slice },
    /// Dropout of a tensor of `shape`.
    Drop { shape: Shape, stream: usize },
    /// What was kept for a shortcut; where it was rectified, how.
    Tap { rectified: Option<Activated> },
    /// The last norm, if there is one, and the average pooling; a maximum is a pass of its own.
    End { shape: Shape, norm: Option<Activated>, average: Option<PoolGeometry> },
}

/// The ops of a run of blocks: from the first block's on, for the network's first block from the very first, to the next
/// run's.
pub fn ops_of(model: &Model, blocks: &Range<usize>) -> Range<usize> {
    let position = |block: usize| model.ops.iter().position(|op| *op == Op::Block(block));
    let start = if blocks.start == 0 { 0 } else { position(blocks.start).unwrap_or(model.ops.len()) };
    start..position(blocks.end).unwrap_or(model.ops.len())
}

impl Builder<'_> {
    /// Forward through `ops`. The stage of every block is closed but the last one's.
    pub fn walk(&mut self, ops: Range<usize>, at: &mut Position, mode: Mode, heads: WithHeads) -> Vec<Pass> {
        let model = &self.network.model;
        let mut tape: Vec<Pass> = Vec::with_capacity(ops.len());
        let mut open: Option<&Block> = None;
        let end = ops.end;
        for index in ops {
            let shape = model.shape_before(index);
            match model.ops[index] {
                Op::Block(block) => {
                    let block = &model.blocks[block];
                    if let Some(done) = open.replace(block) {
                        self.close_stage(&done.name);
                    }
                    let next = model.ops[index + 1..end].first();
                    let pool = (next == Some(&Op::MaxPool)).then(|| self.max_pool_of(block.out_shape));
                    let pass = self.block_forward(block, at.x, at.tap, pool, mode, heads);
                    if mode == Mode::Evaluate && block.heads.pred && heads == WithHeads::Yes {
                        self.note_measured(block.index, pass.heads.losses, None);
                    }
                    at.x = pass.out;
                    tape.push(Pass::Block(Box::new(pass)));
                }
                Op::Tap(unit) => tape.push(self.tap(unit, shape, at, mode)),
                Op::MaxPool => match tape.last() {
                    Some(Pass::Block(done)) if done.pooled.is_some() => {
                        let kept = done.pooled.zip(done.a);
                        tape.extend(kept.map(|(pool, x)| Pass::MaxPool { pool, x }));
                    }
                    _ => tape.push(self.max_pool(shape, at, open.map_or("input", |block| &block.name))),
                },
                Op::Flatten => {}
                Op::Drop => {
                    if mode == Mode::Train {
                        tape.push(self.drop_forward(index, shape, at, open));
                    }
                }
                Op::End(end) => self.end(end, shape, at, mode, &mut tape),
            }
        }
        tape
    }

    /// Keeps what a residual unit begins with.
    fn tap(&mut self, unit: usize, shape: Shape, at: &mut Position, mode: Mode) -> Pass {
        let block = &self.network.model.blocks[unit];
        if block.order != Order::Pre || block.batch_norm {
            at.tap = Some(at.x);
            return Pass::Tap { rectified: None };
        }
        let what = Activate::new(None, self.nonlinearity(), shape);
        let (rectified, tap) = self.activate(what, at.x, None, mode, [&block.name, "tap"]);
        at.tap = Some(tap);
        Pass::Tap { rectified: Some(rectified) }
    }

    /// Max pooling of maps of `shape`.
    fn max_pool_of(&self, shape: Shape) -> MaxPool {
        MaxPool { batch: self.batch, height: shape.h as u32, width: shape.w as u32, channels: pad4(shape.c) as u32 }
    }

    fn max_pool(&mut self, shape: Shape, at: &mut Position, name: &str) -> Pass {
        let pool = self.max_pool_of(shape);
        let x = at.x;
        at.x = self.activation(format!("{name}.out"), self.elements(shape.max_pooled()));
        let out = at.x;
        self.emit_by_sample(move |part| {
            vec![MaxPool { batch: part.samples, ..pool }.forward(part.of(x), part.of(out))]
        });
        Pass::MaxPool { pool, x }
    }

    /// Dropout behind block `before`: in place, but for heads that still need what they have seen.
    fn drop_forward(&mut self, index: usize, shape: Shape, at: &mut Position, before: Option<&Block>) -> Pass {
        if let Some(block) = before.filter(|block| block.heads.any()) {
            at.x = self.copy(format!("{}.dropped", block.name), shape, at.x);
        }
        let stream = self.network.model.blocks.len() + index;
        self.dropout(shape, self.network.model.config.dropout, stream, false, at.x);
        Pass::Drop { shape, stream }
    }

    fn end(&mut self, end: End, shape: Shape, at: &mut Position, mode: Mode, tape: &mut Vec<Pass>) {
        let norm = end.norm.then(|| {
            let place = self.network.arenas[self.network.output()].norm("final_bn");
            let what = Activate { momentum: FINAL_MOMENTUM, ..Activate::new(place, Activation::Relu, shape) };
            let (norm, h) = self.activate(what, at.x, None, mode, ["end", "h"]);
            at.x = h;
            norm
        });
        let EndPool::Average { kh, kw } = end.pool else {
            tape.push(Pass::End { shape, norm, average: None });
            tape.push(self.max_pool(shape, at, "end"));
            return;
        };
        let windows = self.windows(shape, [kh, kw], [0, 0]);
        let pooled = Shape { h: shape.h / kh, w: shape.w / kw, c: shape.c };
        let out = self.activation("end.average".into(), self.elements(pooled));
        self.emit_average(windows, at.x, out);
        at.x = out;
        tape.push(Pass::End { shape, norm, average: Some(windows) });
    }

    /// Backward along `tape`, which begins with a block or what comes before one: `gradient` is that of what came out at its
    /// end, where any flows in there; `close` is called behind each block's own gradients.
    pub fn walk_back(
        &mut self,
        tape: &[Pass],
        mut gradient: Option<Slice>,
        mut close: impl FnMut(&mut Self, &BlockPass),
    ) {
        let model = &self.network.model;
        // Nothing in front of the first block asks for a gradient.
        let Some(first) = tape.iter().position(|pass| matches!(pass, Pass::Block(_))) else { return };
        let mut tap = None;
        for (index, pass) in tape.iter().enumerate().skip(first).rev() {
            match pass {
                Pass::Block(pass) => {
                    let kept = tape[first..index].iter().any(|pass| matches!(pass, Pass::Tap { .. }));
                    let wanted = Wanted { input: index > first, tap: kept };
                    let back = self.block_backward(&model.blocks[pass.index], pass, gradient, wanted);
                    gradient = back.input;
                    tap = back.tap.or(tap);
                    close(self, pass);
                }
                Pass::Tap { rectified } => {
                    if let Some(dtap) = tap.take() {
                        gradient = Some(self.untap(rectified.as_ref(), dtap, gradient));
                    }
                }
                between => gradient = gradient.map(|gradient| self.pass_back(between, gradient)),
            }
        }
    }

    /// Backward along what came behind the last block.
    pub fn walk_back_from_output(&mut self, tail: &[Pass], gradient: Slice) -> Slice {
        tail.iter().rev().fold(gradient, |gradient, pass| self.pass_back(pass, gradient))
    }

    /// Backward through what has one input and one output and no block's parameters.
    fn pass_back(&mut self, pass: &Pass, gradient: Slice) -> Slice {
        match pass {
            Pass::MaxPool { pool, x } => {
                let dx = self.activation("max pool.dx".into(), x.bytes / 4);
                let (pool, x) = (*pool, *x);
                self.emit_by_sample(move |part| {
                    let (x, gradient, dx) = (part.of(x), part.of(gradient), part.of(dx));
                    vec![MaxPool { batch: part.samples, ..pool }.backward(x, gradient, dx)]
                });
                dx
            }
            Pass::Drop { shape, stream } => {
                let rate = self.network.model.config.dropout;
                self.dropout(*shape, rate, *stream, false, gradient);
                gradient
            }
            Pass::End { shape, norm, average } => self.end_backward(*shape, norm.as_ref(), *average, gradient),
            Pass::Block(_) | Pass::Tap { .. } => gradient,
        }
    }

    /// The gradient of what a residual unit began with: by way of its blocks, and past them.
    fn untap(&mut self, rectified: Option<&Activated>, dtap: Slice, through: Option<Slice>) -> Slice {
        if let Some(rectified) = rectified {
            self.backward_activated(rectified, Upstream { gradient: dtap, dense: true, pooled: None }, "tap");
        }
        let Some(gradient) = through else { return dtap };
        self.accumulate(dtap, gradient);
        gradient
    }

    fn end_backward(
        &mut self,
        shape: Shape,
        norm: Option<&Activated>,
        average: Option<PoolGeometry>,
        dout: Slice,
    ) -> Slice {
        let Some(windows) = average else {
            if let Some(norm) = norm {
                self.backward_activated(norm, Upstream { gradient: dout, dense: true, pooled: None }, "end");
            }
            return dout;
        };
        let dx = self.activation("end.dx".into(), self.elements(shape));
        match norm {
            Some(norm) => {
                let upstream = Upstream { gradient: dx, dense: false, pooled: Some((dout, windows)) };
                self.backward_activated(norm, upstream, "end");
            }
            None => self.emit_by_sample(move |part| {
                vec![windows.of_batch(part.samples).average_backward(part.of(dout), part.of(dx))]
            }),
        }
        dx
    }
}
