//! The plan of the baseline: one global cross-entropy, backward through the whole network, with the same kernels.
//!
//! Everything that the backward pass needs lives from a block's forward to its backward stage, which is what makes the
//! memory grow with depth.

use crate::gpu::{Slice, Stage};
use crate::kernels::batchnorm_backward::Upstream;
use crate::kernels::reduce::Measured;

use super::build::Builder;
use super::network::Network;
use super::plan::Mode;
use super::tensors::TensorTable;

/// Stages of a training step: forward through the blocks, the output layer, then backward.
pub fn plan(network: &Network, batch: u32) -> (Vec<Stage>, TensorTable) {
    let mut builder = Builder::new(network, batch);
    let blocks = &network.model.blocks;
    let mut x = builder.input(Mode::Train);
    let mut trunks = Vec::with_capacity(blocks.len());
    for block in blocks {
        let trunk = builder.trunk(block, x, Mode::Train);
        builder.dropout(block, trunk.h);
        x = builder.max_pool(block, trunk.h);
        trunks.push(trunk);
        builder.close_stage(&block.name);
    }
    let owner = network.output();
    let features = network.model.output.device_features;
    let (rows, dx) = builder.classifier(owner, x, features, Mode::Train, network.losses.output, true);
    builder.metrics(owner, Measured { pred_rows: Some(rows), ..Measured::default() }, Mode::Train);
    builder.update(owner);
    builder.close_stage("output");

    let mut grad: Slice = dx.expect("the gradient was asked for");
    for (block, trunk) in blocks.iter().zip(&trunks).rev() {
        if let Some(pool) = builder.max_pool_of(block) {
            let dh = builder.activation(format!("{}.dh", block.name), trunk.map.output_len());
            builder.emit([pool.backward(trunk.h, grad, dh)]);
            grad = dh;
        }
        builder.dropout(block, grad);
        builder.backward_trunk(block, trunk, Upstream { gradient: grad, dense: true, pooled: None });
        if block.index > 0 {
            grad = builder.backward_input(block, trunk, grad);
        }
        builder.metrics(block.index, Measured::default(), Mode::Train);
        builder.update(block.index);
        builder.close_stage(format!("{} backward", block.name));
    }
    builder.finish()
}
