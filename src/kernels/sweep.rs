//! How a kernel over `[rows, channels]` is spread over invocations: each takes four channels of a run of rows, a "slot".
//! A sum over rows leaves one partial sum a slot and channel; their number is bounded, so that finishing them is cheap.

use super::MOST_TURNS;
use crate::gpu::grid;

/// `shaders/sweep.wgsl`, which finds an invocation's share.
pub(crate) const SWEEP: &str = include_str!("../../shaders/sweep.wgsl");

/// Invocations in a workgroup of every kernel of this family.
pub(crate) const WORKGROUP: u32 = 64;
/// Rows an elementwise kernel gives an invocation: enough to pay for loading the channels' coefficients.
const ELEMENTWISE_SPAN: u32 = 8;
/// Fewest rows a slot of a sum has, where there are as many.
const REDUCTION_SPAN: u32 = 16;
/// Most slots of a sum, unless they would be too long.
const MAX_SLOTS: u32 = 256;
/// Invocations that a sum need not exceed to fill a large GPU.
const ENOUGH_INVOCATIONS: u32 = 65_536;

/// A division of `[rows, channels]` into invocations.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sweep {
    /// Rows in all.
    pub rows: u32,
    /// Groups of four channels.
    pub groups: u32,
    /// Rows of a slot; the last may have fewer.
    pub span: u32,
    /// Rows of a chunk; no slot straddles two of them. All rows where they come as a whole.
    pub chunk_rows: u32,
}

/// A run of the rows of a batch that comes in chunks: what a kernel that sums over all rows is given at a time. Its partial
/// sums lie behind those of the chunks before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RowChunk {
    /// Rows of a full chunk; the last may have fewer.
    pub size: u32,
    /// Which chunk it is, from 0.
    pub index: u32,
}

impl RowChunk {
    /// All `rows` at once.
    pub fn whole(rows: u32) -> Self {
        Self { size: rows, index: 0 }
    }
}

impl Sweep {
    /// For a kernel that treats every row alike.
    pub fn elementwise(rows: u32, channels: u32) -> Self {
        Self { rows, groups: groups(channels), span: ELEMENTWISE_SPAN, chunk_rows: rows }
    }

    /// For a kernel that treats every 2x2 window of pixels alike.
    pub fn of_windows(windows: u32, channels: u32) -> Self {
        Self { span: ELEMENTWISE_SPAN / 4, ..Self::elementwise(windows, channels) }
    }

    /// For a sum over rows. Spans are multiples of 8, as the unrolled loops like them.
    pub fn reduction(rows: u32, channels: u32) -> Self {
        let groups = groups(channels);
        let slots = (ENOUGH_INVOCATIONS / groups).clamp(1, MAX_SLOTS);
        let span = rows.div_ceil(slots).max(REDUCTION_SPAN).next_multiple_of(8).min(MOST_TURNS);
        Self { rows, groups, span, chunk_rows: rows }
    }

    /// The same for rows that come in chunks of `chunk_rows`. There are no more slots than without chunks, unless there are
    /// more chunks than that.
    pub fn chunked(rows: u32, channels: u32, chunk_rows: u32) -> Self {
        let whole = Self::reduction(rows, channels);
        if chunk_rows >= rows {
            return whole;
        }
        let chunks = rows.div_ceil(chunk_rows.max(1));
        let slots = (whole.slots() / chunks).max(1);
        Self { span: chunk_rows.div_ceil(slots).max(whole.span).min(MOST_TURNS), chunk_rows, ..whole }
    }

    /// For the tiles of a product, a slot each, whose rows come in chunks of `chunk_rows`.
    pub fn tiles(rows: u32, channels: u32, tile_rows: u32, chunk_rows: u32) -> Self {
        Self { rows, groups: groups(channels), span: tile_rows, chunk_rows: chunk_rows.min(rows) }
    }

    /// Slots of a full chunk.
    pub fn chunk_slots(self) -> u32 {
        self.chunk_rows.div_ceil(self.span.max(1))
    }

    /// The sweep of one chunk alone, and its first slot among all.
    pub fn chunk(self, index: u32) -> (Self, u32) {
        let rows = self.chunk_rows.min(self.rows - index * self.chunk_rows);
        (Self { rows, chunk_rows: rows, ..self }, index * self.chunk_slots())
    }

    /// For finishing a sum: all rows in one slot.
    pub fn whole(rows: u32, channels: u32) -> Self {
        Self { rows, groups: groups(channels), span: rows, chunk_rows: rows }
    }

    /// How many slots there are; the partial sums of a reduction are `[slots, channels]`.
    pub fn slots(self) -> u32 {
        let rest = self.rows.checked_rem(self.chunk_rows).unwrap_or(0);
        self.rows.checked_div(self.chunk_rows).unwrap_or(0) * self.chunk_slots() + rest.div_ceil(self.span.max(1))
    }

    /// Workgroups of one invocation a slot and group.
    pub fn workgroups(self) -> [u32; 3] {
        let invocations = u64::from(self.slots()) * u64::from(self.groups);
        grid(invocations.div_ceil(u64::from(WORKGROUP)) as u32)
    }
}

/// Groups of four in `channels`; never 0, because the shaders divide by it.
pub(crate) fn groups(channels: u32) -> u32 {
    channels.div_ceil(4).max(1)
}

/// Workgroups for `invocations` that fit in one dimension: a channel or a group each.
pub(crate) fn line(invocations: u32) -> [u32; 3] {
    [invocations.div_ceil(WORKGROUP).max(1), 1, 1]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_have_slots_of_their_own_and_no_more_than_needed() {
        for (rows, channels, chunk) in [(128, 64, 16), (50_176, 256, 784), (131_072, 512, 1024), (100, 4, 30)] {
            let sweep = Sweep::chunked(rows, channels, chunk);
            let chunks = rows.div_ceil(chunk);
            let parts: Vec<_> = (0..chunks).map(|index| sweep.chunk(index)).collect();
            assert_eq!(parts.iter().map(|(part, _)| part.rows).sum::<u32>(), rows);
            let mut next = 0;
            for (part, first) in parts {
                assert_eq!(first, next, "{sweep:?}");
                next += part.slots();
            }
            assert_eq!(next, sweep.slots());
            assert!(next <= Sweep::reduction(rows, channels).slots().max(chunks), "{sweep:?}");
        }
    }

    #[test]
    fn slots_cover_all_rows_and_stay_few() {
        for rows in [1, 15, 16, 17, 128, 4096, 131_072, 6_422_528, 19_267_584] {
            for channels in [4, 12, 64, 1024, 16_384] {
                let sweep = Sweep::reduction(rows, channels);
                assert!(sweep.slots() <= MAX_SLOTS.max(rows.div_ceil(MOST_TURNS)), "{sweep:?}");
                let chunked = Sweep::chunked(rows, channels, rows.div_ceil(16));
                assert!(sweep.span.max(chunked.span) <= MOST_TURNS, "{sweep:?}, {chunked:?}");
                assert!(sweep.slots() * sweep.span >= rows, "{sweep:?}");
                assert!((sweep.slots() - 1) * sweep.span < rows, "no empty slot: {sweep:?}");
            }
        }
    }
}
