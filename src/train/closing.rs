//! The close of an owner's step: its parameters updated, its losses and norms added to the totals.
//!
//! An arena larger than a binding is updated in stretches. Where kernels read mirrors, these are small, and each is mirrored
//! just before: its parameters, gradients and moments then come from memory once, and the mirrors, which all stretches
//! share, never leave the processor's cache.

use crate::gpu::Slice;
use crate::kernels::elementwise::Elementwise;
use crate::kernels::optimizer::Optimizer;
use crate::kernels::reduce::{self, Measured, Metrics};

use super::build::Builder;
use super::heads::Losses;

/// Floats of a stretch. A step of the mlp (3 blocks of 1024, 6 million parameters) on two threads that share 32 MiB of cache
/// takes 74 ms in stretches of 2^17, 71 ms of 2^18, 69 ms of 2^19 and 78 ms undivided.
const STRETCH: u32 = 1 << 19;

/// `partials` partial sums of squares, in `rows`.
#[derive(Debug, Clone, Copy)]
struct Squares {
    partials: u32,
    rows: Slice,
}

/// Floats of an arena that are updated by one dispatch.
#[derive(Debug, Clone, Copy)]
struct Stretch {
    begin: u32,
    len: u32,
    /// How many at its front belong to the trunk.
    trunk: u32,
}

/// An arena of `len` floats, `trunk` of which are the trunk's, in stretches of up to `most`.
fn stretches(len: u32, trunk: u32, most: u32) -> Vec<Stretch> {
    let at = |begin: u32| {
        let len = most.min(len - begin);
        Stretch { begin, len, trunk: trunk.saturating_sub(begin).min(len) }
    };
    (0..len).step_by(most.max(1) as usize).map(at).collect()
}

/// `len` floats of `whole`, from number `begin`.
fn part(whole: Slice, begin: u32, len: u32) -> Slice {
    Slice { offset: whole.offset + 4 * u64::from(begin), bytes: 4 * u64::from(len), ..whole }
}

impl Builder<'_> {
    /// Adds the losses of an evaluation to the totals of arena `owner`.
    pub fn close_evaluation(&mut self, owner: usize, losses: Losses) {
        self.metrics(owner, losses, None);
    }

    /// Updates every trained tensor of arena `owner`. The step's losses and the norm of the trunk's gradient join the
    /// totals, with `grad_stats` also the norms of the update and of the trunk's weights behind it.
    pub fn close_training(&mut self, owner: usize, losses: Losses) {
        let (name, arena) = (self.network.title(owner), &self.network.arenas[owner]);
        let trunk = Slice { bytes: arena.trunk_bytes, ..arena.weights };
        let before = self.network.train.grad_stats.then(|| {
            let before = self.scratch(name, "weights before", arena.trunk_bytes);
            let copies = self.stretches_of(trunk, arena.trunk_bytes).into_iter().map(|stretch| {
                let [from, to] = [trunk, before].map(|whole| part(whole, stretch.begin, stretch.len));
                Elementwise { len: to.bytes / 4 }.copy(from, to)
            });
            self.emit(copies);
            before
        });
        let gradient = self.update(owner);
        if let Some(before) = before {
            self.update_norms(owner, trunk, before);
        }
        self.metrics(owner, losses, Some(gradient));
    }

    fn metrics(&mut self, owner: usize, losses: Losses, gradient: Option<Squares>) {
        let network = self.network;
        let measured = Measured {
            pred_rows: losses.pred,
            sim_rows: losses.sim,
            unsup_rows: losses.unsup.map(|(rows, _)| rows),
            partials: gradient.map(|squares| squares.rows),
        };
        let metrics = Metrics {
            samples: self.batch,
            partials: gradient.map_or(0, |squares| squares.partials),
            unsup_parts: losses.unsup.map_or(0, |(_, parts)| parts),
        };
        self.emit([metrics.dispatch(measured, network.inputs.step, network.totals_of(owner))]);
    }

    /// Moves an arena by its gradients, and squares the trunk's on the way.
    fn update(&mut self, owner: usize) -> Squares {
        let (arena, train, step) = (&self.network.arenas[owner], &self.network.train, self.network.inputs.step);
        let updates: Vec<(Stretch, Optimizer)> = self
            .stretches_of(arena.weights, arena.trunk_bytes)
            .into_iter()
            .map(|stretch @ Stretch { len, trunk, .. }| {
                (stretch, Optimizer { len, trunk, kind: train.kind(), weight_decay: train.weight_decay as f32 })
            })
            .collect();
        let partials = updates.iter().map(|(_, optimizer)| optimizer.partials()).sum();
        let rows = self.scratch(self.network.title(owner), "gradient norm", 4 * u64::from(partials));
        let mut summed = 0;
        for (stretch, optimizer) in updates {
            let of = |whole: Slice| part(whole, stretch.begin, stretch.len);
            let moments: Vec<Slice> = arena.moments.iter().map(|&moment| of(moment)).collect();
            let squares = part(rows, summed, optimizer.partials());
            summed += optimizer.partials();
            self.emit(optimizer.dispatch(step, of(arena.weights), of(arena.grads), &moments, squares));
        }
        Squares { partials, rows }
    }

    /// Adds the norms of what moved `trunk` from its copy `before`, and of `trunk` itself, to the totals.
    fn update_norms(&mut self, owner: usize, trunk: Slice, before: Slice) {
        let name = self.network.title(owner);
        let stretches = self.stretches_of(trunk, trunk.bytes);
        let partials = stretches.iter().map(|stretch| reduce::partials(stretch.len)).sum();
        let moved = self.scratch(name, "update norm", 4 * u64::from(partials));
        let weight = self.scratch(name, "weight norm", 4 * u64::from(partials));
        let mut summed = 0;
        for stretch in stretches {
            let [old, new] = [before, trunk].map(|whole| part(whole, stretch.begin, stretch.len));
            let count = reduce::partials(stretch.len);
            let [moved, weight] = [moved, weight].map(|rows| part(rows, summed, count));
            self.emit([
                reduce::sum_of_squared_differences(stretch.len, new, old, moved),
                reduce::sum_of_squares(stretch.len, new, weight),
            ]);
            summed += count;
        }
        self.emit([reduce::norms(partials, moved, weight, self.network.totals_of(owner))]);
    }

    /// `arena`, the first `trunk_bytes` of which are the trunk's, in stretches: no larger than a binding, and where kernels
    /// read mirrors small ones.
    fn stretches_of(&self, arena: Slice, trunk_bytes: u64) -> Vec<Stretch> {
        let [len, trunk] = [arena.bytes, trunk_bytes].map(|bytes| (bytes / 4) as u32);
        let bound =
            u64::from(STRETCH).max(self.network.goal.bounds.max_binding / 4 / u64::from(STRETCH) * u64::from(STRETCH));
        let most = if self.network.tuning.mirrored { STRETCH } else { bound.min(len.into()) as u32 };
        stretches(len, trunk, most)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::optimizer;

    fn sizes(len: u32, trunk: u32, most: u32) -> Vec<[u32; 3]> {
        stretches(len, trunk, most).iter().map(|s| [s.begin, s.len, s.trunk]).collect()
    }

    #[test]
    fn stretches_cover_the_arena_and_tell_the_trunk() {
        let most = 4096;
        assert_eq!(sizes(9000, 5000, most), [[0, 4096, 4096], [4096, 4096, 904], [8192, 808, 0]]);
        assert_eq!(sizes(9000, 5000, 9000), [[0, 9000, 5000]]);
        assert_eq!(sizes(4096, 4096, most), [[0, 4096, 4096]]);
        assert_eq!(sizes(16, 0, most), [[0, 16, 0]]);
    }

    /// Bindings start at multiples of 256 bytes on every adapter.
    #[test]
    fn partial_sums_of_stretches_are_aligned() {
        assert_eq!((4 * reduce::partials(STRETCH)) % 256, 0);
        assert_eq!((4 * STRETCH / optimizer::SPAN) % 256, 0);
        assert_eq!(4 * STRETCH % 256, 0);
        assert_eq!(reduce::partials(STRETCH), STRETCH / reduce::PARTIAL_SPAN, "full stretches sum alike");
    }
}
