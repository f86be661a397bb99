//! The plan of evaluation: forward with running statistics; the local classifiers say what they have learned.

use crate::gpu::Stage;
use crate::kernels::reduce::Measured;

use super::build::Builder;
use super::local::pred_features;
use super::network::Network;
use super::plan::Mode;
use super::tensors::TensorTable;

/// Stages of an evaluation step: one a block, then the output layer.
pub fn plan(network: &Network, batch: u32) -> (Vec<Stage>, TensorTable) {
    let mut builder = Builder::new(network, batch);
    let mut x = builder.input(Mode::Evaluate);
    for block in &network.model.blocks {
        let trunk = builder.trunk(block, x, Mode::Evaluate);
        if block.heads.pred {
            let (input, _, features) = pred_features(&mut builder, block, trunk.h);
            let weight = network.losses.pred;
            let (rows, _) = builder.classifier(block.index, input, features, Mode::Evaluate, weight, false);
            builder.metrics(block.index, Measured { pred_rows: Some(rows), ..Measured::default() }, Mode::Evaluate);
        }
        x = builder.max_pool(block, trunk.h);
        builder.close_stage(&block.name);
    }
    let owner = network.output();
    let features = network.model.output.device_features;
    let (rows, _) = builder.classifier(owner, x, features, Mode::Evaluate, network.losses.output, false);
    builder.metrics(owner, Measured { pred_rows: Some(rows), ..Measured::default() }, Mode::Evaluate);
    builder.close_stage("output");
    builder.finish()
}
