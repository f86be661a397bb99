//! Pieces of a step, each of which can be done for all samples at once or, where its arithmetic allows it, for a run of them
//! at a time. What a piece reads and writes is not declared beside it but seen in the dispatches that it makes.

use std::fmt;
use std::rc::Rc;

use crate::gpu::{Access, Dispatch, Slice};
use crate::kernels::RowChunk;
use crate::kernels::elementwise::Elementwise;

use super::tensors::{Role, TensorTable};

/// Where activations get room.
pub trait Room {
    /// Room for an activation of that name and size.
    fn room(&mut self, name: String, bytes: u64) -> Slice;
}

impl Room for TensorTable {
    fn room(&mut self, name: String, bytes: u64) -> Slice {
        self.add(name, Role::Activation, bytes)
    }
}

/// Samples that a piece of work is done for, and where their parts of tensors lie.
pub struct Part<'p> {
    /// Number of the first sample.
    pub first: u32,
    /// How many samples.
    pub samples: u32,
    /// Samples of a full part; only the last part may have fewer.
    pub chunk: u32,
    room: &'p mut dyn Room,
    places: &'p [(Slice, Slice)],
    again: bool,
    asked: Vec<Slice>,
    scratch: Vec<Slice>,
    once: Vec<Slice>,
}

impl<'p> Part<'p> {
    /// All samples, every tensor where it is.
    pub fn whole(batch: u32, room: &'p mut dyn Room) -> Self {
        Self::new(0, [batch; 2], room, &[])
    }

    /// `samples` samples from number `first`, of a batch that is taken in parts of `chunk`. `places` says where the part of
    /// a tensor lies.
    pub fn new(first: u32, [samples, chunk]: [u32; 2], room: &'p mut dyn Room, places: &'p [(Slice, Slice)]) -> Self {
        let [asked, scratch, once] = [const { Vec::new() }; 3];
        Self { first, samples, chunk, room, places, again: false, asked, scratch, once }
    }

    /// The same, where the work is done again for the sake of what it makes by samples.
    pub fn again(self, again: bool) -> Self {
        Self { again, ..self }
    }

    /// This part's samples of `tensor`, whose first dimension is the batch.
    pub fn of(&mut self, tensor: Slice) -> Slice {
        if !self.asked.contains(&tensor) {
            self.asked.push(tensor);
        }
        self.places.iter().find(|(whole, _)| *whole == tensor).map_or(tensor, |&(_, place)| place)
    }

    /// Room that only this piece of work uses.
    pub fn scratch(&mut self, name: &str, what: &str, bytes: u64) -> Slice {
        let slice = self.room.room(format!("{name}.{what}"), bytes.max(16));
        self.scratch.push(slice);
        slice
    }

    /// `tensor`, which the work writes something of all samples to besides, the first time that it is done; nothing later.
    pub fn once(&mut self, tensor: Slice) -> Option<Slice> {
        self.once.push(tensor);
        (!self.again).then_some(tensor)
    }

    /// The rows of this part in a matrix of `per_sample` rows a sample.
    pub fn rows(&self, per_sample: u32) -> RowChunk {
        RowChunk { size: self.chunk * per_sample, index: self.first.checked_div(self.chunk).unwrap_or(0) }
    }

    /// A sum over the batch: `make` writes this part's share, which joins that of the parts before it in `total`.
    pub fn sum(
        &mut self,
        name: &str,
        total: Slice,
        make: impl FnOnce(&mut Self, Slice) -> Vec<Dispatch>,
    ) -> Vec<Dispatch> {
        if self.first == 0 {
            return make(self, total);
        }
        let share = self.scratch(name, "part of a sum", total.bytes);
        let mut all = make(self, share);
        all.push(Elementwise { len: total.bytes / 4 }.accumulate(share, total));
        all
    }
}

/// Makes the dispatches of a piece of work for some samples.
type Make = Rc<dyn Fn(&mut Part<'_>) -> Vec<Dispatch>>;

/// A tensor that a piece of work uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Touch {
    /// All of what it uses.
    pub slice: Slice,
    /// Whether it asks for the part of the samples at hand only.
    pub by_sample: bool,
    /// Whether what was there before is read.
    pub reads: bool,
    /// Whether it is written.
    pub writes: bool,
    /// Whether only the first time that the work is done.
    pub once: bool,
}

/// A piece of a step.
#[derive(Clone)]
pub struct Work {
    make: Make,
    /// Whether it can be done for a run of samples at a time.
    pub splits: bool,
    /// Its dispatches for the whole batch.
    pub whole: Vec<Dispatch>,
    /// What they use, scratch apart.
    pub touches: Vec<Touch>,
}

impl Work {
    /// Work for the whole batch alone, which no part of it can change.
    pub fn fixed(dispatches: Vec<Dispatch>) -> Self {
        let touches = touches(&dispatches, &[], &[], &[]);
        let repeated = dispatches.clone();
        Self { make: Rc::new(move |_| repeated.clone()), splits: false, whole: dispatches, touches }
    }

    /// Work that `make` does for a [`Part`]. One that does not split is always asked for all samples, but may depend on the
    /// size of the parts in which others have been done.
    pub fn new(
        batch: u32,
        tensors: &mut TensorTable,
        splits: bool,
        make: impl Fn(&mut Part<'_>) -> Vec<Dispatch> + 'static,
    ) -> Self {
        let mut part = Part::whole(batch, tensors);
        let whole = make(&mut part);
        let asked = if splits { part.asked } else { Vec::new() };
        let touches = touches(&whole, &asked, &part.scratch, &part.once);
        Self { make: Rc::new(make), splits, whole, touches }
    }

    /// Its dispatches for a part.
    pub fn of(&self, mut part: Part<'_>) -> Vec<Dispatch> {
        (self.make)(&mut part)
    }

    /// Floating-point operations for the whole batch.
    pub fn flops(&self) -> u64 {
        self.whole.iter().map(|dispatch| dispatch.flops).sum()
    }

    /// Whether, done again, it leaves nothing behind but by samples, so that nothing else changes.
    pub fn repeatable(&self) -> bool {
        self.splits && self.touches.iter().all(|touch| touch.by_sample || touch.once || !touch.writes)
    }
}

impl fmt::Debug for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let labels: Vec<_> = self.whole.iter().map(|dispatch| dispatch.label).collect();
        f.debug_struct("Work").field("splits", &self.splits).field("labels", &labels).finish()
    }
}

fn touches(dispatches: &[Dispatch], asked: &[Slice], scratch: &[Slice], once: &[Slice]) -> Vec<Touch> {
    let mut touches: Vec<Touch> = Vec::new();
    for binding in dispatches.iter().flat_map(|dispatch| &dispatch.bindings) {
        if scratch.iter().any(|slice| slice.tensor == binding.slice.tensor) {
            continue;
        }
        let by_sample = asked.contains(&binding.slice);
        // A kernel may read what it is bound to for writing, but one that writes by samples writes all of them.
        let overwrites = binding.access == Access::Write && by_sample;
        let writes = binding.access.writes();
        match touches.iter_mut().find(|touch| touch.slice == binding.slice) {
            Some(touch) => touch.writes |= writes,
            None => {
                let (slice, once) = (binding.slice, once.contains(&binding.slice));
                touches.push(Touch { slice, by_sample, reads: !overwrites, writes, once });
            }
        }
    }
    touches
}
