//! How long the GPU works on each stage of a step, taken in passing.

use super::{Gpu, GpuError, Part};

/// Bytes of a stage's two timestamps.
const STAGE_BYTES: u64 = 16;

/// Timestamps at the beginning and at the end of each stage of a program. They cost no command buffer, and nobody waits for
/// them. Copies into mirrors that come before a stage's first dispatch are not between them.
#[derive(Debug)]
pub struct StageClock {
    queries: wgpu::QuerySet,
    resolved: wgpu::Buffer,
    /// Nanoseconds of a tick.
    period: f64,
}

impl StageClock {
    /// Bytes of the timestamps of `stages` stages.
    pub fn bytes(stages: usize) -> u64 {
        STAGE_BYTES * stages as u64
    }

    /// For programs of up to `stages` stages; `None` where the adapter takes no timestamps, or not so many.
    ///
    /// # Errors
    /// If the buffer cannot be created.
    pub fn new(gpu: &Gpu, stages: usize) -> Result<Option<Self>, GpuError> {
        let count = 2 * stages as u32;
        if !gpu.features.contains(wgpu::Features::TIMESTAMP_QUERY) || count > wgpu::QUERY_SET_MAX_QUERIES {
            return Ok(None);
        }
        let queries = gpu.device.create_query_set(&wgpu::QuerySetDescriptor {
            label: Some("stage times"),
            ty: wgpu::QueryType::Timestamp,
            count,
        });
        let usage = wgpu::BufferUsages::QUERY_RESOLVE | wgpu::BufferUsages::COPY_SRC;
        let resolved = gpu.buffer("stage times", Self::bytes(stages), usage)?;
        Ok(Some(Self { queries, resolved, period: f64::from(gpu.queue.get_timestamp_period()) }))
    }

    /// What a stage's pass writes, of which the first begins the stage and the last ends it.
    pub(super) fn writes(&self, stage: usize, first: bool, last: bool) -> Option<wgpu::ComputePassTimestampWrites<'_>> {
        let begin = 2 * stage as u32;
        (first || last).then(|| wgpu::ComputePassTimestampWrites {
            query_set: &self.queries,
            beginning_of_pass_write_index: first.then_some(begin),
            end_of_pass_write_index: last.then_some(begin + 1),
        })
    }

    /// Puts the timestamps of `stages` stages, all of which ran, where they can be read.
    pub fn resolve(&self, stages: usize, encoder: &mut wgpu::CommandEncoder) {
        encoder.resolve_query_set(&self.queries, 0..2 * stages as u32, &self.resolved, 0);
    }

    /// Where they can be read.
    pub fn part(&self, stages: usize) -> Part<'_> {
        Part { source: &self.resolved, offset: 0, bytes: Self::bytes(stages) }
    }

    /// Seconds that the stages took together, from the bytes read there.
    pub fn seconds(&self, bytes: &[u8]) -> f64 {
        let ticks = |pair: &[u8]| {
            let [begin, end] = [0, 8].map(|at| bytemuck::pod_read_unaligned::<u64>(&pair[at..at + 8]));
            end.saturating_sub(begin) as f64
        };
        bytes.chunks_exact(STAGE_BYTES as usize).map(ticks).sum::<f64>() * self.period * 1e-9
    }
}
