//! What passes between host and device, and through how much memory: a batch goes up through a ring of slots, loss totals
//! and parameters come down through one buffer each.

use crate::gpu::{Gpu, GpuError, Readback, Slice, StageClock, UploadRing};

use super::network::Network;

/// Steps that the host may be ahead of the GPU.
const STEPS_AHEAD: usize = 3;

/// Most bytes that come down at a time.
const MOST: u64 = 8 << 20;

/// Sizes of a network's staging buffers, and where each part of a batch lies in an upload slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Staging {
    /// First byte of the labels; the rates and counters come before them.
    pub labels: u64,
    /// First byte of the crops and flips.
    pub crops: u64,
    /// First byte of the holes.
    pub holes: u64,
    /// First byte of the samples, which come last.
    pub samples: u64,
    slot: u64,
    totals: u64,
    times: u64,
    values: u64,
}

impl Staging {
    /// Of `network`.
    pub fn new(network: &Network) -> Self {
        let inputs = network.inputs;
        let bytes = |slice: Option<Slice>| slice.map_or(0, |slice| slice.bytes.next_multiple_of(16));
        let labels = inputs.step.bytes.next_multiple_of(16);
        let crops = labels + inputs.labels.bytes.next_multiple_of(16);
        let holes = crops + bytes(inputs.crops);
        let samples = holes + bytes(inputs.holes);
        let largest = network.tensors.infos().iter().map(|info| info.bytes).max().unwrap_or(0);
        let slot = (samples + inputs.samples.bytes).next_multiple_of(8);
        let (totals, times) = (network.totals.bytes, StageClock::bytes(network.most_stages()));
        Self { labels, crops, holes, samples, slot, totals, times, values: largest.min(MOST) }
    }

    /// Bytes of all of it.
    pub fn bytes(&self) -> u64 {
        STEPS_AHEAD as u64 * self.slot + self.totals + 2 * self.times + self.values.next_multiple_of(8)
    }

    /// The slots that batches go up through.
    ///
    /// # Errors
    /// If the buffers cannot be created.
    pub fn ring(&self, gpu: &Gpu) -> Result<UploadRing, GpuError> {
        UploadRing::new(gpu, STEPS_AHEAD, self.slot)
    }

    /// Room for the totals and the stages' times.
    ///
    /// # Errors
    /// If the buffer cannot be created.
    pub fn watch(&self, gpu: &Gpu) -> Result<Readback, GpuError> {
        Readback::new(gpu, self.totals + self.times)
    }

    /// Room for parameters and the like, which come in pieces.
    ///
    /// # Errors
    /// If the buffer cannot be created.
    pub fn values(&self, gpu: &Gpu) -> Result<Readback, GpuError> {
        Readback::new(gpu, self.values)
    }

    /// The pieces in which `slice` comes down, as first byte and length.
    pub fn pieces(&self, slice: Slice) -> impl Iterator<Item = (u64, u64)> + use<> {
        let (values, end) = (self.values, slice.offset + slice.bytes);
        (slice.offset..end).step_by(values.max(1) as usize).map(move |begin| (begin, values.min(end - begin)))
    }
}
