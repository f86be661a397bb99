//! One scheme for every way of training: modules, between which no gradient flows.
//!
//! A step takes the modules in order. A module runs forward through its blocks; where its blocks have heads, these add
//! their losses; then the gradient of all its losses runs backward through the module, each block is updated, and only
//! what the module's last block hands on is left. The ways differ in where the borders are, where the losses sit, and
//! when updates happen:
//!
//! | | modules | losses |
//! |---|---|---|
//! | local, the default | each block | its heads |
//! | `local_modules` K | K runs of blocks | heads of each run's last block |
//! | `no_detach` | all blocks and the output layer together | all heads, and the output layer's |
//! | `backprop` | all blocks and the output layer together | the output layer's |
//! | greedy | as local or K runs, one of them a phase; those before it are frozen | that module's |
//!
//! Where the output layer is in no module with blocks it comes behind them as one more, which hands no gradient back.
//! Each block's forward is a command buffer of its own; a module's last block goes backward in the same one, so that a
//! local step is one command buffer a block.

use std::ops::Range;

use crate::gpu::Slice;

use super::block::{BlockPass, WithHeads};
use super::build::{Builder, Steps};
use super::heads::Losses;
use super::network::Network;
use super::plan::Mode;
use super::tensors::TensorTable;
use super::walk::{Pass, Position, ops_of};

/// Stages of a training step.
pub fn training(network: &Network, batch: u32) -> (Vec<Steps>, TensorTable) {
    let mut builder = Builder::new(network, batch);
    let mut at = Position::start(builder.input(Mode::Train));
    for (index, module) in network.modules_in_turn().iter().enumerate() {
        if network.phase.is_some_and(|phase| index < phase) {
            frozen(&mut builder, module, &mut at);
        } else {
            trained(&mut builder, module, &mut at);
        }
    }
    if !network.joined() && network.reaches_output() {
        output(&mut builder, at.x, Mode::Train);
    }
    builder.finish()
}

/// Stages of an evaluation step: running statistics everywhere, and what each classifier has learned.
pub fn evaluation(network: &Network, batch: u32) -> (Vec<Steps>, TensorTable) {
    forward(network, batch, Mode::Evaluate)
}

fn forward(network: &Network, batch: u32, mode: Mode) -> (Vec<Steps>, TensorTable) {
    let mut builder = Builder::new(network, batch);
    let mut at = Position::start(builder.input(mode));
    for module in network.modules_in_turn() {
        builder.walk(ops_of(&network.model, module), &mut at, mode, WithHeads::Yes);
        builder.close_stage(network.title(module.end - 1));
    }
    if network.reaches_output() {
        output(&mut builder, at.x, mode);
    }
    builder.finish()
}

/// Stages of an inspection step: as evaluation, but with what [`super::inspect`] keeps in the place of measurements.
pub fn inspection(network: &Network, batch: u32) -> (Vec<Steps>, TensorTable) {
    forward(network, batch, Mode::Inspect)
}

/// A module that has been trained before: forward with running statistics, nothing else.
fn frozen(builder: &mut Builder<'_>, module: &Range<usize>, at: &mut Position) {
    builder.walk(ops_of(&builder.network.model, module), at, Mode::Evaluate, WithHeads::No);
    builder.close_stage(builder.network.title(module.end - 1));
}

/// A module under training.
fn trained(builder: &mut Builder<'_>, module: &Range<usize>, at: &mut Position) {
    let network = builder.network;
    let tape = builder.walk(ops_of(&network.model, module), at, Mode::Train, WithHeads::Yes);
    let last = module.end - 1;
    let behind_blocks = tape.iter().rposition(|pass| matches!(pass, Pass::Block(_))).map_or(0, |last| last + 1);
    let (blocks, tail) = tape.split_at(behind_blocks);
    let gradient = network.joined().then(|| {
        builder.close_stage(network.title(last));
        output_joined(builder, at.x, tail)
    });
    builder.walk_back(blocks, gradient, |builder, block: &BlockPass| {
        builder.close_training(block.index, block.heads.losses);
        let title = network.title(block.index);
        let whole_step = block.index == last && !network.joined();
        builder.close_stage(if whole_step { title.to_owned() } else { format!("{title} backward") });
    });
}

/// The output layer's stage, by itself.
fn output(builder: &mut Builder<'_>, x: Slice, mode: Mode) {
    let (rows, _) = builder.output_layer(x, mode, false);
    close_output(builder, rows, mode);
}

/// The output layer's stage, in one module with the blocks; returns the gradient of what the last block handed on. `tail`
/// is what came between, with a norm that belongs to the output layer.
fn output_joined(builder: &mut Builder<'_>, x: Slice, tail: &[Pass]) -> Slice {
    let (rows, gradient) = builder.output_layer(x, Mode::Train, true);
    let gradient = builder.walk_back_from_output(tail, gradient.expect("it was asked for"));
    close_output(builder, rows, Mode::Train);
    gradient
}

fn close_output(builder: &mut Builder<'_>, rows: Slice, mode: Mode) {
    let owner = builder.network.output();
    let losses = Losses { pred: Some(rows), ..Losses::default() };
    match mode {
        Mode::Train => builder.close_training(owner, losses),
        Mode::Evaluate => builder.note_measured(owner, losses, None),
        Mode::Inspect => {}
    }
    builder.close_stage("output");
}
