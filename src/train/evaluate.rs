//! The plans without training: forward with running statistics. Evaluation measures what the local classifiers and the
//! output layer have learned; inspection measures nothing, and keeps what there is to look at instead.

use crate::gpu::{Slice, Stage};
use crate::kernels::reduce::Measured;

use super::build::Builder;
use super::inspect;
use super::local::pred_features;
use super::network::Network;
use super::plan::Mode;
use super::tensors::TensorTable;

/// Stages of an evaluation or inspection step: one a block, then the output layer.
pub fn plan(network: &Network, batch: u32, mode: Mode) -> (Vec<Stage>, TensorTable) {
    let mut builder = Builder::new(network, batch);
    let mut x = builder.input();
    for block in &network.model.blocks {
        let trunk = builder.trunk(block, x, mode);
        if block.heads.pred {
            let (input, _, features) = pred_features(&mut builder, block, trunk.h);
            let weight = network.losses.pred;
            let (rows, _) = builder.classifier(block.index, input, features, mode, weight, false);
            measure(&mut builder, block.index, rows, mode);
        }
        if mode == Mode::Inspect {
            inspect::block(&mut builder, block, trunk.h);
        }
        x = builder.max_pool(block, trunk.h);
        builder.close_stage(&block.name);
    }
    let owner = network.output();
    let features = network.model.output.device_features;
    let (rows, _) = builder.classifier(owner, x, features, mode, network.losses.output, false);
    measure(&mut builder, owner, rows, mode);
    builder.close_stage("output");
    builder.finish()
}

fn measure(builder: &mut Builder<'_>, owner: usize, rows: Slice, mode: Mode) {
    if mode == Mode::Evaluate {
        builder.metrics(owner, Measured { pred_rows: Some(rows), ..Measured::default() }, mode);
    }
}
