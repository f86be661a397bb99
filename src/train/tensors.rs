//! The tensors of a plan, and which buffer each of them lives in.
//!
//! A tensor's lifetime runs from the first to the last dispatch that binds it. Two tensors may share a buffer when their
//! lifetimes do not meet. They get whole buffers, never parts of one, because WebGPU forbids a buffer that is read and
//! written in the same dispatch. Mirrors (textures that tensors are copied into on some adapters, see
//! [`crate::gpu::Mirror`]) are shared in the same way.

use std::ops::RangeInclusive;

use serde::Serialize;

use crate::gpu::{Dispatch, MirrorSpan, Slice, TensorId, mirror_bytes};

/// What a tensor is for, which decides how long it lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Trained tensors of one block.
    Weights,
    /// Their gradients.
    Gradients,
    /// The optimiser's memory.
    Optimizer,
    /// Running statistics.
    Statistics,
    /// What the host uploads each step: pictures, labels, rates.
    Input,
    /// What the host reads back: loss totals, logits.
    Output,
    /// Lives within a step and shares its buffer with others.
    Activation,
}

/// A tensor by name and size.
#[derive(Debug, Clone, Serialize)]
pub struct TensorInfo {
    /// `conv1.y` and the like.
    pub name: String,
    /// Size.
    pub bytes: u64,
    /// What it is for.
    pub role: Role,
}

/// All tensors of a network or of a plan; the index is the [`TensorId`].
#[derive(Debug, Clone, Default)]
pub struct TensorTable {
    infos: Vec<TensorInfo>,
}

impl TensorTable {
    /// Adds a tensor and returns the whole of it.
    pub fn add(&mut self, name: impl Into<String>, role: Role, bytes: u64) -> Slice {
        let tensor = TensorId(self.infos.len() as u32);
        self.infos.push(TensorInfo { name: name.into(), bytes, role });
        Slice { tensor, offset: 0, bytes }
    }

    /// All of them.
    pub fn infos(&self) -> &[TensorInfo] {
        &self.infos
    }

    /// One of them.
    pub fn info(&self, id: TensorId) -> &TensorInfo {
        &self.infos[id.0 as usize]
    }
}

/// First and last dispatch that binds each tensor; `None` for one that nothing binds.
pub fn lifetimes<'a>(
    tensors: usize,
    dispatches: impl Iterator<Item = &'a Dispatch>,
) -> Vec<Option<RangeInclusive<usize>>> {
    let mut lifetimes: Vec<Option<RangeInclusive<usize>>> = vec![None; tensors];
    for (time, dispatch) in dispatches.enumerate() {
        for binding in &dispatch.bindings {
            let lifetime = &mut lifetimes[binding.slice.tensor.0 as usize];
            let first = lifetime.as_ref().map_or(time, |l| *l.start());
            *lifetime = Some(first..=time);
        }
    }
    lifetimes
}

/// Buffers shared by tensors whose lifetimes do not meet, and textures shared by mirrors.
#[derive(Debug, Clone, Default)]
pub struct Pool {
    /// Size of each buffer in bytes.
    pub bytes: Vec<u64>,
    /// Bytes of the largest slice that each texture can mirror.
    pub mirrored: Vec<u64>,
}

impl Pool {
    /// Assigns a buffer to each tensor of `wanted` (id, bytes, lifetime), growing the pool where nothing fits. A plan that
    /// has been assigned before gets the same buffers again, and one of the same shape for a smaller batch fits in them.
    pub fn assign(&mut self, wanted: &[(TensorId, u64, RangeInclusive<usize>)]) -> Vec<(TensorId, usize)> {
        colour(&mut self.bytes, wanted)
    }

    /// Assigns a texture to each mirror, in their order.
    pub fn assign_mirrors(&mut self, spans: &[MirrorSpan]) -> Vec<usize> {
        let of = |(number, span): (usize, &MirrorSpan)| (number, span.slice.bytes, span.lifetime.clone());
        let wanted: Vec<_> = spans.iter().enumerate().map(of).collect();
        let mut assignment = colour(&mut self.mirrored, &wanted);
        assignment.sort_unstable();
        assignment.into_iter().map(|(_, texture)| texture).collect()
    }

    /// Bytes of all its buffers and textures.
    pub fn total_bytes(&self) -> u64 {
        self.bytes.iter().sum::<u64>() + self.mirrored.iter().map(|&bytes| mirror_bytes(bytes)).sum::<u64>()
    }
}

/// Largest first, each into the first place that is free and large enough: interval colouring by first fit decreasing,
/// which on the chains that networks are comes out at the peak of live bytes or close to it.
fn colour<T: Copy>(sizes: &mut Vec<u64>, wanted: &[(T, u64, RangeInclusive<usize>)]) -> Vec<(T, usize)> {
    let mut order: Vec<usize> = (0..wanted.len()).collect();
    order.sort_by_key(|&index| (std::cmp::Reverse(wanted[index].1), index));
    let mut tenants: Vec<Vec<RangeInclusive<usize>>> = vec![Vec::new(); sizes.len()];
    let mut assignment = Vec::with_capacity(wanted.len());
    for index in order {
        let (id, bytes, lifetime) = &wanted[index];
        let free = |place: &usize| tenants[*place].iter().all(|other| disjoint(other, lifetime));
        let fitting = (0..sizes.len()).filter(|&place| sizes[place] >= *bytes).find(free);
        let place = fitting.unwrap_or_else(|| {
            sizes.push(*bytes);
            tenants.push(Vec::new());
            sizes.len() - 1
        });
        tenants[place].push(lifetime.clone());
        assignment.push((*id, place));
    }
    assignment
}

fn disjoint(a: &RangeInclusive<usize>, b: &RangeInclusive<usize>) -> bool {
    a.end() < b.start() || b.end() < a.start()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_chain_needs_two_buffers() {
        let wanted: Vec<_> = (0..10).map(|i| (TensorId(i), 64, i as usize..=i as usize + 1)).collect();
        let mut pool = Pool::default();
        pool.assign(&wanted);
        assert_eq!(pool.bytes, [64, 64]);
    }

    proptest! {
        #[test]
        fn no_two_live_tensors_share_a_buffer(spans in prop::collection::vec((0usize..40, 0usize..12, 1u64..2000), 1..60)) {
            let wanted: Vec<_> =
                spans.iter().enumerate().map(|(i, &(s, l, b))| (TensorId(i as u32), b, s..=s + l)).collect();
            let mut pool = Pool::default();
            let assignment = pool.assign(&wanted);
            prop_assert_eq!(assignment.len(), wanted.len());
            let size = pool.bytes.len();
            prop_assert_eq!(pool.assign(&wanted), assignment.clone());
            prop_assert_eq!(pool.bytes.len(), size);
            for (i, &(a, buffer)) in assignment.iter().enumerate() {
                let (_, bytes, life) = &wanted[a.0 as usize];
                prop_assert!(pool.bytes[buffer] >= *bytes);
                for &(b, other) in &assignment[..i] {
                    prop_assert!(buffer != other || disjoint(life, &wanted[b.0 as usize].2));
                }
            }
        }
    }
}
