//! All that a trainer takes of the device's memory, known before it does.

use serde::Serialize;

use super::goal::Limit;
use super::network::Network;
use super::plan::{Mode, Plan, Unfit};
use super::pool::Pool;
use super::staging::Staging;
use super::tensors::Role;

/// Finds room in `pool` for these plans in all phases of a greedy schedule that come after the one of `network`, and
/// returns the most bytes of uniforms that one of them needs. What only evaluates stays in its phase.
///
/// # Errors
/// [`Unfit`] where the network's goal cannot be met.
pub(super) fn reserve(network: &Network, plans: &[(Mode, u32)], pool: &mut Pool) -> Result<u64, Unfit> {
    let mut uniforms = 0;
    if plans.iter().any(|&(mode, _)| mode == Mode::Train) {
        for later in network.later_phases() {
            place(&later, plans, pool)?;
            uniforms = uniforms.max(std::mem::take(&mut pool.uniform_bytes));
        }
    }
    Ok(uniforms)
}

fn place(network: &Network, plans: &[(Mode, u32)], pool: &mut Pool) -> Result<(), Unfit> {
    plans.iter().try_for_each(|&(mode, batch)| Plan::new(network, mode, batch, pool).map(|_| ()))
}

/// Bytes of a trainer on the device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Footprint {
    /// Weights, gradients, the optimiser's moments, statistics, a batch's inputs and what is read back.
    pub persistent: u64,
    /// Buffers that the host maps, to upload batches and to read back.
    pub staging: u64,
    /// Buffers and textures that the plans' activations share.
    pub activations: u64,
    /// Numbers that the plans' dispatches come with.
    pub uniforms: u64,
}

impl Footprint {
    /// Of `network` with these plans prepared, in this order, and with room for them in the phases to come.
    ///
    /// # Errors
    /// [`Unfit`] where the network's goal cannot be met.
    pub fn new(network: &Network, plans: &[(Mode, u32)]) -> Result<Self, Unfit> {
        let mut pool = Pool::default();
        let later = reserve(network, plans, &mut pool)?;
        place(network, plans, &mut pool)?;
        let own = Self::of(network, &pool);
        Ok(Self { uniforms: own.uniforms.max(later), ..own })
    }

    /// Of `network` with its plans' activations in `pool`.
    pub(super) fn of(network: &Network, pool: &Pool) -> Self {
        Self { activations: pool.total_bytes(), uniforms: pool.uniform_bytes, ..Self::fixed(network) }
    }

    /// What no plan has a say in.
    pub fn fixed(network: &Network) -> Self {
        let kept = network.tensors.infos().iter().filter(|info| info.role != Role::Activation);
        let persistent = kept.map(|info| info.bytes).sum();
        Self { persistent, staging: Staging::new(network).bytes(), activations: 0, uniforms: 0 }
    }

    /// Bytes, in whole MiB, that `network` with these plans can do with when one MiB less is too little.
    ///
    /// # Errors
    /// [`Unfit`] where a tensor is too large for the adapter however it is done.
    pub fn least(network: &Network, plans: &[(Mode, u32)]) -> Result<u64, Unfit> {
        let frugal = Self::new(&network.within(Limit::Arithmetic(f64::INFINITY)), plans)?;
        let enough = |mebibytes: u64| Self::new(&network.within(frugal.limit_of(mebibytes << 20)), plans).is_ok();
        let mut most = frugal.total().div_ceil(1 << 20);
        // A plan given all of that takes what it can use of it, and may leave too little to those behind it.
        while !enough(most) {
            most += most.div_ceil(64);
        }
        while enough(most - 1) {
            most -= 1;
        }
        Ok(most << 20)
    }

    /// The limit that leaves this network `total` bytes.
    pub fn limit_of(&self, total: u64) -> Limit {
        Limit::Bytes(total.saturating_sub(self.persistent + self.staging))
    }

    /// All bytes.
    pub fn total(&self) -> u64 {
        self.persistent + self.staging + self.activations + self.uniforms
    }
}
