//! A step done part by part: which tensors are kept whole, which are made again for each part of the batch where they are
//! needed, and the dispatches that follow.
//!
//! What is kept may be more for the first samples of a batch than for the rest of them, so that a stage can be given any
//! amount of memory. What is kept lies in a tensor of its own. Everything else lives, for one part of the batch and one
//! phase, in a tensor of that part's size; a later phase that needs it makes it again from what is kept.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use crate::gpu::{Dispatch, Slice, TensorId};
use crate::kernels::elementwise::Elementwise;

use super::flow::{Flow, Phase};
use super::goal::Bounds;
use super::tensors::{Role, TensorTable};
use super::work::{Part, Room};

/// Why a step cannot be done in some way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Obstacle {
    /// This version would have to be kept.
    Keep(usize),
    /// A kept version would be overwritten before its last reader.
    Overwritten,
    /// Parts of that many samples do not lie where bindings may begin, or are too large for one.
    Size,
}

/// The works done in each phase of a stage, those that are done again among them.
#[derive(Debug)]
pub struct Runs {
    /// By rank.
    pub by_rank: Vec<Vec<usize>>,
}

impl Runs {
    /// Floating-point operations, by those `of` each work, of works on the whole batch, or with `odd` 1 of works on its
    /// parts.
    pub fn flops(&self, of: &HashMap<usize, u64>, odd: usize) -> u64 {
        self.by_rank.iter().skip(odd).step_by(2).flatten().map(|work| of[work]).sum()
    }
}

/// The works of each phase of `stage`, where `kept` says of each version whether it is kept.
///
/// # Errors
/// A version that is needed again and cannot be made again.
pub fn runs(flow: &Flow, stage: usize, kept: &[bool]) -> Result<Runs, Obstacle> {
    let phase_works = |rank: u32| {
        let phase = (stage, rank);
        let mut works: Vec<usize> = flow.works_of(phase).collect();
        let mut next = 0;
        while next < works.len() {
            let needed = flow.uses[works[next]].iter().filter_map(|used| used.reads);
            let needed: Vec<usize> =
                needed.filter(|version| !works.contains(&flow.versions[*version].writer)).collect();
            for version in needed {
                if kept[version] {
                    if flow.overwritten(version, phase, kept) {
                        return Err(Obstacle::Overwritten);
                    }
                    continue;
                }
                let writer = flow.versions[version].writer;
                if !flow.versions[version].by_sample || !flow.repeatable(writer, phase) {
                    return Err(Obstacle::Keep(version));
                }
                if !works.contains(&writer) {
                    works.push(writer);
                }
            }
            next += 1;
        }
        works.sort_unstable();
        Ok(works)
    };
    let by_rank = (0..=flow.last_rank(stage)).map(phase_works).collect::<Result<_, _>>()?;
    Ok(Runs { by_rank })
}

/// Which parts to make dispatches for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// All of them.
    Batch,
    /// The first of each phase, which is as large as any: enough to see what lives at the same time.
    Sample,
}

/// Which versions are kept, and the works that follow: of the first samples of a batch, and of the rest.
#[derive(Debug, Clone, Copy)]
pub struct Split<'s, T> {
    /// Of the first samples.
    pub first: &'s T,
    /// Of the rest.
    pub rest: &'s T,
    /// How many are the first.
    pub samples: u32,
}

/// What is kept of some samples.
struct Keeping<'f> {
    kept: &'f [bool],
    /// The last phase that reads each kept version.
    last_read: HashMap<usize, Phase>,
}

impl<'f> Keeping<'f> {
    /// For stages whose works are done as in `runs`, of each of the stages by its number. What a stage outside of them reads
    /// is never overwritten.
    fn new<'r>(flow: &Flow, kept: &'f [bool], runs: impl Iterator<Item = (usize, &'r Runs)>) -> Self {
        let mut last_read: HashMap<usize, Phase> = HashMap::new();
        for (stage, runs) in runs {
            for (rank, works) in (0..).zip(&runs.by_rank) {
                let reads = works.iter().flat_map(|&work| &flow.uses[work]).filter_map(|used| used.reads);
                for version in reads.filter(|&version| kept[version]) {
                    let readers = flow.versions[version].readers.iter().map(|&reader| flow.phases[reader]);
                    let last = last_read.entry(version).or_insert_with(|| readers.max().unwrap_or_default());
                    *last = (stage, rank).max(*last);
                }
            }
        }
        Self { kept, last_read }
    }
}

/// Makes the dispatches of stages.
pub struct Assembly<'f> {
    flow: &'f Flow,
    /// Of the first samples of each stage, and of the rest.
    keeping: [Keeping<'f>; 2],
    batch: u32,
    bounds: Bounds,
    /// Tensors of the step and of its parts.
    tensors: &'f mut TensorTable,
    /// The tensors that the parts of a phase have had so far, by work and name: what is for a later part what they are for
    /// an earlier one takes their place.
    earlier: HashMap<(Phase, usize, String), TensorId>,
}

/// Room for what a piece of work needs in one part of a phase.
struct PartRoom<'a> {
    tensors: &'a mut TensorTable,
    earlier: &'a mut HashMap<(Phase, usize, String), TensorId>,
    phase: Phase,
    work: usize,
}

impl Room for PartRoom<'_> {
    fn room(&mut self, name: String, bytes: u64) -> Slice {
        match self.earlier.entry((self.phase, self.work, name)) {
            Entry::Occupied(earlier) => self.tensors.add_like(*earlier.get(), bytes),
            Entry::Vacant(first) => {
                let slice = self.tensors.add(first.key().2.clone(), Role::Activation, bytes);
                first.insert(slice.tensor);
                slice
            }
        }
    }
}

/// A part of the batch in a phase.
#[derive(Clone, Copy)]
struct At {
    phase: Phase,
    first: u32,
    samples: u32,
    chunk: u32,
    /// Whether it is not of a stage's first samples.
    rest: bool,
}

impl<'f> Assembly<'f> {
    /// For stages that keep what `kept` says, and do the works of `runs`, each with the number of its stage.
    pub fn new<'r>(
        flow: &'f Flow,
        kept: [&'f [bool]; 2],
        batch: u32,
        bounds: Bounds,
        tensors: &'f mut TensorTable,
        runs: impl Iterator<Item = (usize, [&'r Runs; 2])> + Clone,
    ) -> Self {
        let keeping =
            [0, 1].map(|of| Keeping::new(flow, kept[of], runs.clone().map(|(stage, runs)| (stage, runs[of]))));
        Self { flow, keeping, batch, bounds, tensors, earlier: HashMap::new() }
    }

    /// The dispatches of `stage` in parts of `chunk` samples, of which `runs.samples` is a multiple.
    ///
    /// # Errors
    /// What stands in the way.
    pub fn stage(
        &mut self,
        stage: usize,
        runs: Split<'_, Runs>,
        chunk: u32,
        extent: Extent,
    ) -> Result<Vec<Dispatch>, Obstacle> {
        let mut all = Vec::new();
        let phases = (0..).zip(runs.first.by_rank.iter().zip(&runs.rest.by_rank));
        for (rank, (works, works_of_rest)) in phases {
            let parted = rank % 2 == 1;
            let firsts: Vec<u32> = match (parted, extent) {
                (true, Extent::Batch) => (0..self.batch).step_by(chunk as usize).collect(),
                (true, Extent::Sample) if runs.samples < self.batch => vec![0, runs.samples],
                _ => vec![0],
            };
            for first in firsts {
                let samples = if parted { chunk.min(self.batch - first) } else { self.batch };
                let rest = first >= runs.samples;
                let works = if rest { works_of_rest } else { works };
                self.part(At { phase: (stage, rank), first, samples, chunk, rest }, works, &mut all)?;
            }
        }
        let too_large = |dispatch: &Dispatch| {
            let activations = dispatch.bindings.iter().filter(|binding| self.is_activation(binding.slice.tensor));
            activations.into_iter().any(|binding| binding.slice.bytes > self.bounds.max_binding)
        };
        if all.iter().any(too_large) { Err(Obstacle::Size) } else { Ok(all) }
    }

    fn keeping(&self, at: At) -> &Keeping<'f> {
        &self.keeping[usize::from(at.rest)]
    }

    fn is_activation(&self, tensor: TensorId) -> bool {
        self.tensors.info(tensor).role == Role::Activation
    }

    /// All works of a phase for one part of the batch.
    fn part(&mut self, at: At, works: &[usize], all: &mut Vec<Dispatch>) -> Result<(), Obstacle> {
        let flow = self.flow;
        let mut made: HashMap<usize, Slice> = HashMap::new();
        for &work in works {
            let mut places = Vec::new();
            for used in flow.uses[work].iter().filter(|used| used.touch.by_sample) {
                let place = match (used.reads, used.writes) {
                    (None, None) => self.cut(used.touch.slice, at)?,
                    (Some(read), None) => self.find(read, &made, at)?,
                    (None, Some(written)) => self.room(written, work, works, at)?,
                    (Some(read), Some(written)) => {
                        let from = self.find(read, &made, at)?;
                        let to = self.successor([read, written], from, work, works, at)?;
                        if to != from {
                            all.push(Elementwise { len: to.bytes / 4 }.copy(from, to));
                        }
                        to
                    }
                };
                if let Some(written) = used.writes {
                    made.insert(written, place);
                }
                places.push((used.touch.slice, place));
            }
            let Self { tensors, earlier, .. } = self;
            let mut room = PartRoom { tensors, earlier, phase: at.phase, work };
            let again = flow.phases[work] != at.phase;
            let part = Part::new(at.first, [at.samples, at.chunk], &mut room, &places).again(again);
            all.extend(flow.works[work].of(part));
        }
        Ok(())
    }

    /// The part's samples in a tensor of the whole batch.
    fn cut(&self, whole: Slice, at: At) -> Result<Slice, Obstacle> {
        let sample = whole.bytes / u64::from(self.batch);
        let offset = u64::from(at.first) * sample;
        let unequal = sample * u64::from(self.batch) != whole.bytes || !sample.is_multiple_of(4);
        let parted = at.samples < self.batch;
        if parted && (unequal || !(u64::from(at.chunk) * sample).is_multiple_of(self.bounds.alignment)) {
            return Err(Obstacle::Size);
        }
        let bytes = if parted { u64::from(at.samples) * sample } else { whole.bytes };
        Ok(Slice { offset: whole.offset + offset, bytes, ..whole })
    }

    /// Where a version is to be found.
    fn find(&self, version: usize, made: &HashMap<usize, Slice>, at: At) -> Result<Slice, Obstacle> {
        match made.get(&version) {
            Some(&place) => Ok(place),
            None => self.cut(self.flow.versions[version].slice, at),
        }
    }

    /// Room for a version that is made from others: where the version that it will become in this phase is kept, if one is.
    fn room(&mut self, version: usize, work: usize, works: &[usize], at: At) -> Result<Slice, Obstacle> {
        let mut last = Some(version);
        while let Some(version) = last {
            if self.keeping(at).kept[version] {
                return self.cut(self.flow.versions[version].slice, at);
            }
            let here = |next: &usize| works.contains(&self.flow.versions[*next].writer);
            last = self.flow.versions[version].becomes.filter(here);
        }
        let whole = self.flow.versions[version].slice;
        let bytes = whole.bytes / u64::from(self.batch) * u64::from(at.samples);
        let name = format!("part of {}", self.tensors.info(whole.tensor).name);
        let Self { tensors, earlier, .. } = self;
        Ok(PartRoom { tensors, earlier, phase: at.phase, work }.room(name, bytes))
    }

    /// Where version `written` is made of version `read`, which lies at `from`: there, unless that is still needed.
    fn successor(
        &mut self,
        [read, written]: [usize; 2],
        from: Slice,
        work: usize,
        works: &[usize],
        at: At,
    ) -> Result<Slice, Obstacle> {
        let Keeping { kept, last_read } = self.keeping(at);
        let needed = kept[read] && last_read.get(&read).is_some_and(|&last| last > at.phase);
        match (kept[written], needed) {
            (true, true) => Err(Obstacle::Overwritten),
            (true, false) => self.cut(self.flow.versions[written].slice, at),
            (false, true) => self.room(written, work, works, at),
            (false, false) => Ok(from),
        }
    }
}
