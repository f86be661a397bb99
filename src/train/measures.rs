//! What a step measures. Parts of losses and of norms lie side by side in one tensor until the step's last dispatch adds
//! them up, for all blocks at once.

use crate::gpu::{BINDING_ALIGNMENT, Dispatch, Slice};
use crate::kernels::reduce::{self, Measured};

use super::heads::Losses;
use super::network::Network;
use super::scheme;
use super::tensors::TensorTable;

/// The parts, and whose they are.
#[derive(Debug)]
pub struct Measures {
    tensor: Slice,
    bytes: u64,
    blocks: Vec<Measured>,
}

impl Measures {
    /// None yet, in `network`'s tensor of measures.
    pub fn new(network: &Network) -> Self {
        Self { tensor: network.measures, bytes: 0, blocks: Vec::new() }
    }

    /// How large that tensor has to be: what the larger of `network`'s plans for `batch` samples measures.
    pub fn most_bytes(network: &Network, batch: u32) -> u64 {
        let bytes = |(_, tensors): (_, TensorTable)| tensors.info(network.measures.tensor).bytes;
        bytes(scheme::training(network, batch)).max(bytes(scheme::evaluation(network, batch)))
    }

    /// Room for parts of `bytes` bytes.
    pub fn room(&mut self, bytes: u64) -> Slice {
        let offset = self.bytes;
        self.bytes += bytes.next_multiple_of(BINDING_ALIGNMENT);
        Slice { offset, bytes, ..self.tensor }
    }

    /// Notes where the losses that belong to an arena's `totals` lie and, in training, the squares of its trunk's gradient.
    pub fn note(&mut self, totals: Slice, losses: Losses, squares: Option<Slice>) {
        let Losses { pred, sim, unsup } = losses;
        let totals = (totals.offset / 4) as u32;
        self.blocks.push(Measured { pred, sim, unsup, squares, totals });
    }

    /// What adds it all to the totals. The tensor grows in `tensors` to the size that this takes.
    pub fn close(self, network: &Network, batch: u32, tensors: &mut TensorTable) -> Vec<Dispatch> {
        let bytes = tensors.info(self.tensor.tensor).bytes.max(self.bytes);
        tensors.resize(self.tensor.tensor, bytes);
        let measures = Slice { bytes, ..self.tensor };
        reduce::metrics(batch, &self.blocks, measures, network.inputs.step, network.totals)
    }
}
