//! The close of an owner's step: its losses and norms added to the totals, its parameters updated.

use crate::gpu::Slice;
use crate::kernels::elementwise::Elementwise;
use crate::kernels::optimizer::Optimizer;
use crate::kernels::reduce::{self, Measured, Metrics};

use super::build::Builder;
use super::heads::Losses;
use super::plan::Mode;

impl Builder<'_> {
    /// Adds the step's losses, and in training the norm of the trunk's gradient, to the totals of arena `owner`.
    pub fn metrics(&mut self, owner: usize, losses: Losses, mode: Mode) {
        let network = self.network;
        let arena = &network.arenas[owner];
        let len = (arena.trunk_bytes / 4) as u32;
        let partials = reduce::partials(len);
        let norm = (mode == Mode::Train).then(|| {
            let rows = self.scratch(network.title(owner), "gradient norm", 4 * u64::from(partials));
            self.emit([reduce::sum_of_squares(len, arena.grads, rows)]);
            rows
        });
        let measured = Measured {
            pred_rows: losses.pred,
            sim_rows: losses.sim,
            unsup_rows: losses.unsup.map(|(rows, _)| rows),
            partials: norm,
        };
        let metrics =
            Metrics { samples: self.batch, partials, unsup_parts: losses.unsup.map_or(0, |(_, parts)| parts) };
        self.emit([metrics.dispatch(measured, network.inputs.step, network.totals_of(owner))]);
    }

    /// One dispatch that updates every trained tensor of arena `owner`; with `grad_stats` the norms of the update and of
    /// the trunk's weights behind it join the totals.
    pub fn update(&mut self, owner: usize) {
        let (arena, train) = (&self.network.arenas[owner], &self.network.train);
        let (len, trunk) = ((arena.weights.bytes / 4) as u32, Slice { bytes: arena.trunk_bytes, ..arena.weights });
        let name = self.network.title(owner);
        let before = train.grad_stats.then(|| {
            let before = self.scratch(name, "weights before", arena.trunk_bytes);
            self.emit([Elementwise { len: arena.trunk_bytes / 4 }.copy(trunk, before)]);
            before
        });
        let optimizer = Optimizer { len, kind: train.kind(), weight_decay: train.weight_decay as f32 };
        self.emit(optimizer.dispatch(self.network.inputs.step, arena.weights, arena.grads, &arena.moments));
        let Some(before) = before else { return };
        let len = (arena.trunk_bytes / 4) as u32;
        let partials = reduce::partials(len);
        let moved = self.scratch(name, "update norm", 4 * u64::from(partials));
        let weight = self.scratch(name, "weight norm", 4 * u64::from(partials));
        self.emit([
            reduce::sum_of_squared_differences(len, trunk, before, moved),
            reduce::sum_of_squares(len, trunk, weight),
            reduce::norms(partials, moved, weight, self.network.totals_of(owner)),
        ]);
    }
}
