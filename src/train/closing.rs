//! The close of an owner's step: its parameters updated, and what was measured noted for the totals.

use crate::gpu::Slice;
use crate::kernels::elementwise::Elementwise;
use crate::kernels::optimizer::Optimizer;
use crate::kernels::reduce;

use super::build::Builder;
use super::heads::Losses;

/// Floats that the lengths of stretches are multiples of, so that their partial sums begin where a binding may.
const STRETCH: u64 = 1 << 19;

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
    /// Updates every trained tensor of arena `owner`. The step's losses and the norm of the trunk's gradient are noted for
    /// the totals; with `grad_stats` the norms of the update and of the trunk's weights behind it join them here.
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
        self.note_measured(owner, losses, Some(gradient));
    }

    /// Moves an arena by its gradients, and squares the trunk's on the way: parts of the sum.
    fn update(&mut self, owner: usize) -> Slice {
        let (arena, train, step) = (&self.network.arenas[owner], &self.network.train, self.network.inputs.step);
        let updates: Vec<(Stretch, Optimizer)> = self
            .stretches_of(arena.weights, arena.trunk_bytes)
            .into_iter()
            .map(|stretch @ Stretch { len, trunk, .. }| {
                (stretch, Optimizer { len, trunk, kind: train.kind(), weight_decay: train.weight_decay as f32 })
            })
            .collect();
        let partials: u32 = updates.iter().map(|(_, optimizer)| optimizer.partials()).sum();
        let rows = self.measured(4 * u64::from(partials));
        let mut summed = 0;
        for (stretch, optimizer) in updates {
            let of = |whole: Slice| part(whole, stretch.begin, stretch.len);
            let moments: Vec<Slice> = arena.moments.iter().map(|&moment| of(moment)).collect();
            let squares = part(rows, summed, optimizer.partials());
            summed += optimizer.partials();
            self.emit(optimizer.dispatch(step, of(arena.weights), of(arena.grads), &moments, squares));
        }
        rows
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

    /// `arena`, the first `trunk_bytes` of which are the trunk's, in stretches no larger than a binding: mostly one.
    fn stretches_of(&self, arena: Slice, trunk_bytes: u64) -> Vec<Stretch> {
        let [len, trunk] = [arena.bytes, trunk_bytes].map(|bytes| (bytes / 4) as u32);
        let most = STRETCH.max(self.network.goal.bounds.max_binding / 4 / STRETCH * STRETCH);
        stretches(len, trunk, most.min(len.into()) as u32)
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
        let stretch = STRETCH as u32;
        assert_eq!((4 * reduce::partials(stretch)) % 256, 0);
        assert_eq!((4 * stretch / optimizer::SPAN) % 256, 0);
        assert_eq!(4 * stretch % 256, 0);
        assert_eq!(reduce::partials(stretch), stretch / reduce::PARTIAL_SPAN, "full stretches sum alike");
    }
}
