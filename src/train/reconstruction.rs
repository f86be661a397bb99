//! The `recon` head: a block's input from its activation, by a transposed convolution or a linear map.

use crate::gpu::Slice;
use crate::kernels::conv2d::Conv2d;
use crate::kernels::reconstruction::Reconstruction;
use crate::nn::{Block, pad4};

use super::build::Builder;
use super::map::{Map, MapLabels};

const RECON: MapLabels = MapLabels { forward: "recon forward", input: "recon dX", weight: "recon dW" };

impl Builder<'_> {
    /// The loss of reconstructing `x`, what entered the block's map, from activation `a`: parts of the loss, and the
    /// gradient of `a`.
    pub fn reconstruction(&mut self, block: &Block, a: Slice, x: Slice) -> (Slice, Slice) {
        let (name, arena) = (&block.name, self.arena(block));
        let weight = arena.weight("recon.weight").expect("a recon head has weights");
        let bias = arena.weight("recon.bias").expect("a recon head has a bias");
        let dw = arena.grad("recon.weight").expect("a recon head has weights");
        let dbias = arena.grad("recon.bias").expect("a recon head has a bias");
        let loss = Reconstruction {
            len: self.elements(block.in_shape),
            real: u64::from(self.batch) * block.in_shape.elements() as u64,
            activation: self.nonlinearity(),
        };
        let z = self.activation(format!("{name}.recon"), loss.len);
        let rows = self.measured(loss.partials_bytes());
        let emit_loss = |builder: &mut Self| builder.emit([loss.dispatch(x, z, rows, builder.network.losses.unsup)]);
        let da = match self.block_map(block).0 {
            Map::Conv(conv) => {
                // The block's convolution run backwards, so what its gradients are is turned around as well.
                self.emit_by_sample(move |part| {
                    let conv = Conv2d { batch: part.samples, ..conv };
                    conv.transposed(RECON.forward, part.of(a), weight, bias, part.of(z))
                });
                emit_loss(self);
                let map = Map::Conv(conv);
                self.backward_weight(&map, RECON, z, a, dw, name);
                let da = self.activation(format!("{name}.recon dh"), map.output_len());
                let labels = MapLabels { forward: RECON.input, ..RECON };
                self.forward(&map, labels, z, weight, None, da, name);
                da
            }
            Map::Dense { .. } => {
                let map = self.dense(block.out_shape.device_elements(), block.in_shape.c);
                self.forward(&map, RECON, a, weight, Some(bias), z, name);
                emit_loss(self);
                self.backward_weight(&map, RECON, a, z, dw, name);
                self.backward_input(&map, RECON, z, weight, &format!("{name}.recon"))
            }
        };
        let channels = pad4(block.in_shape.c) as u32;
        self.column_sum([(loss.len / u64::from(channels)) as u32, channels], z, dbias, name);
        (rows, da)
    }
}
