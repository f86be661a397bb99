//! The plan of local training: each block's forward, heads, losses, gradients and update in one command buffer, in the
//! order of the network. Behind a block's command buffer only its output is left.

use crate::gpu::{Slice, Stage};
use crate::kernels::batchnorm_backward::Upstream;
use crate::kernels::conv2d::Conv2d;
use crate::kernels::pool::PoolGeometry;
use crate::kernels::reduce::Measured;
use crate::kernels::similarity::{self, Similarity, SimilarityBuffers};
use crate::nn::{Block, MapKind, pad4};

use super::build::{Builder, Trunk};
use super::map::{Map, MapLabels};
use super::network::Network;
use super::plan::Mode;
use super::tensors::TensorTable;

const SIM: MapLabels = MapLabels { forward: "sim forward", input: "sim dX", weight: "sim dW" };

/// Stages of a training step: one a block, then the output layer.
pub fn plan(network: &Network, batch: u32) -> (Vec<Stage>, TensorTable) {
    let mut builder = Builder::new(network, batch);
    let mut x = builder.input();
    for block in &network.model.blocks {
        x = block_step(&mut builder, block, x);
        builder.close_stage(&block.name);
    }
    let owner = network.output();
    let features = network.model.output.device_features;
    let (rows, _) = builder.classifier(owner, x, features, Mode::Train, network.losses.output, false);
    builder.metrics(owner, Measured { pred_rows: Some(rows), ..Measured::default() }, Mode::Train);
    builder.update(owner);
    builder.close_stage("output");
    builder.finish()
}

/// A block's whole step; returns its output, computed with the weights from before the update.
fn block_step(builder: &mut Builder<'_>, block: &Block, x: Slice) -> Slice {
    let trunk = builder.trunk(block, x, Mode::Train);
    let mut measured = Measured::default();
    let mut pooled = None;
    if block.heads.pred {
        let (pred_rows, dpool, pool) = pred_head(builder, block, &trunk);
        measured.pred_rows = Some(pred_rows);
        pooled = Some((dpool, pool));
    }
    let (gradient, dense) = if block.heads.sim {
        let (sim_rows, dh) = sim_head(builder, block, &trunk);
        measured.sim_rows = Some(sim_rows);
        (dh, true)
    } else {
        (builder.activation(format!("{}.dh", block.name), trunk.map.output_len()), false)
    };
    builder.backward_trunk(block, &trunk, Upstream { gradient, dense, pooled });
    builder.metrics(block.index, measured, Mode::Train);
    // The heads see the activation before dropout, so the outgoing tensor is thinned out only now.
    builder.dropout(block, trunk.h);
    let out = builder.max_pool(block, trunk.h);
    builder.update(block.index);
    out
}

/// Geometry of the pooling in front of a block's local classifier; 1×1 where there is none.
pub fn pred_pool(builder: &Builder<'_>, block: &Block) -> PoolGeometry {
    let shape = block.out_shape;
    let (kh, kw, pad_h, pad_w) = block.pred_pool.map_or((1, 1, 0, 0), |p| (p.kh, p.kw, p.pad_h, p.pad_w));
    PoolGeometry {
        batch: builder.batch,
        height: shape.h as u32,
        width: shape.w as u32,
        channels: pad4(shape.c) as u32,
        kh: kh as u32,
        kw: kw as u32,
        pad_h: pad_h as u32,
        pad_w: pad_w as u32,
    }
}

/// The features that a block's local classifier sees: its activation, pooled where the block says so.
pub fn pred_features(builder: &mut Builder<'_>, block: &Block, h: Slice) -> (Slice, PoolGeometry, usize) {
    let pool = pred_pool(builder, block);
    let features = (pool.out_height() * pool.out_width() * pool.channels) as usize;
    if block.pred_pool.is_none() {
        return (h, pool, features);
    }
    let pooled = builder.activation(format!("{}.pooled", block.name), u64::from(builder.batch) * features as u64);
    builder.emit([pool.average(h, pooled)]);
    (pooled, pool, features)
}

/// The local classifier: losses of its rows, and the gradient of the pooled activation.
fn pred_head(builder: &mut Builder<'_>, block: &Block, trunk: &Trunk) -> (Slice, Slice, PoolGeometry) {
    let (x, pool, features) = pred_features(builder, block, trunk.h);
    let weight = builder.network.losses.pred;
    let (rows, dx) = builder.classifier(block.index, x, features, Mode::Train, weight, true);
    (rows, dx.expect("the gradient was asked for"), pool)
}

/// The similarity head: losses of its rows, and the gradient of the activation.
fn sim_head(builder: &mut Builder<'_>, block: &Block, trunk: &Trunk) -> (Slice, Slice) {
    let network = builder.network;
    let arena = &network.arenas[block.index];
    let name = &block.name;
    let SimHead { map, weight, loss, buffers } = sim_forward(builder, block, trunk.h, None);
    builder.emit(loss.backward(&buffers, network.model.config.num_classes as u32, network.losses.sim as f32));

    let dw = arena.grad("sim.weight").expect("a sim head has weights");
    builder.backward_weight(&map, SIM, trunk.h, buffers.z, dw, name);
    let dh = builder.activation(format!("{name}.dh"), map.input_len());
    let dispatches = map.backward_input(SIM, buffers.z, weight, dh, |b| builder.scratch(name, "dX partials", b));
    builder.emit(dispatches);
    (buffers.rows, dh)
}

/// A similarity head whose forward is emitted.
pub struct SimHead {
    map: Map,
    weight: Slice,
    loss: Similarity,
    buffers: SimilarityBuffers,
}

/// Forward of a block's similarity head: its map, the cosines of its features (into `matrix` where that is given), the
/// losses of its rows.
pub fn sim_forward(builder: &mut Builder<'_>, block: &Block, h: Slice, matrix: Option<Slice>) -> SimHead {
    let network = builder.network;
    let (batch, name) = (builder.batch, &block.name);
    let shape = block.out_shape;
    let channels = pad4(shape.c) as u32;
    let map = match block.map {
        MapKind::Conv { .. } => Map::Conv(Conv2d {
            batch,
            height: shape.h as u32,
            width: shape.w as u32,
            cin: channels,
            cout: channels,
            kernel: 3,
            stride: 1,
            pad: 1,
            tuning: network.tuning,
        }),
        MapKind::Linear { .. } => Map::Dense { batch, fan_in: channels, fan_out: channels, tuning: network.tuning },
    };
    let weight = network.arenas[block.index].weight("sim.weight").expect("a sim head has weights");
    let z = builder.activation(format!("{name}.z"), map.output_len());
    builder.forward(&map, SIM, h, weight, None, z, name);
    let (loss, buffers) = similarity_of(builder, block, z, matrix);
    builder.emit(loss.forward(&buffers, network.model.config.num_classes as u32));
    SimHead { map, weight, loss, buffers }
}

/// The similarity loss over `z`, a tensor of the shape of the block's activation, and where its tensors lie.
pub fn similarity_of(
    builder: &mut Builder<'_>,
    block: &Block,
    z: Slice,
    matrix: Option<Slice>,
) -> (Similarity, SimilarityBuffers) {
    let shape = block.out_shape;
    let mode = match block.map {
        MapKind::Conv { .. } => {
            let deviations = !builder.network.model.config.no_similarity_std;
            similarity::Mode::of_maps(shape.c as u32, shape.h as u32, deviations)
        }
        MapKind::Linear { .. } => similarity::Mode::Flat,
    };
    let (batch, name) = (builder.batch, &block.name);
    let (spatial, channels) = ((shape.h * shape.w) as u32, pad4(shape.c) as u32);
    let loss = Similarity { batch, spatial, channels, real_channels: shape.c as u32, mode };
    let buffers = SimilarityBuffers {
        z,
        u: builder.scratch(name, "u", loss.u_bytes()),
        stats: builder.scratch(name, "sim stats", loss.stats_bytes()),
        matrix: matrix.unwrap_or_else(|| builder.scratch(name, "similarity", loss.matrix_bytes())),
        rows: builder.scratch(name, "sim rows", loss.rows_bytes()),
        coefficients: builder.scratch(name, "sim coefficients", loss.coefficients_bytes()),
        labels: builder.labels(),
    };
    (loss, buffers)
}
