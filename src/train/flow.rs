//! How data flows between the pieces of work of a step, and what follows from it: which of them can be done together for one
//! run of samples after the other, and which have to wait until all samples are through.
//!
//! A tensor that is written again is another *version* of it. Within a stage every piece of work has a *rank*: pieces of an
//! odd rank go by samples, all of one rank together for one part of the batch after the other; those of an even rank take
//! the batch as a whole. What needs a sum over the batch has a higher rank than what is summed.

use std::collections::HashMap;
use std::ops::Range;

use crate::gpu::{Slice, TensorId};

use super::build::Steps;
use super::tensors::{Role, TensorTable};
use super::work::{Touch, Work};

/// A moment of a step: stage and rank.
pub type Phase = (usize, u32);

/// A tensor between two writes.
#[derive(Debug, Clone)]
pub struct Version {
    /// All of it.
    pub slice: Slice,
    /// The work that makes it.
    pub writer: usize,
    /// The version that is made of it, in its place.
    pub becomes: Option<usize>,
    /// The works that read it, in order.
    pub readers: Vec<usize>,
    /// Whether it is made and read by samples alone.
    pub by_sample: bool,
}

/// How a piece of work uses a tensor.
#[derive(Debug, Clone, Copy)]
pub struct Use {
    /// Which, and how.
    pub touch: Touch,
    /// The version that it reads; none of tensors that outlive the step.
    pub reads: Option<usize>,
    /// The version that it makes.
    pub writes: Option<usize>,
}

/// A step as a graph.
#[derive(Debug)]
pub struct Flow {
    /// All works of all stages, in order.
    pub works: Vec<Work>,
    /// What each of them uses.
    pub uses: Vec<Vec<Use>>,
    /// When each of them is done.
    pub phases: Vec<Phase>,
    /// All versions of all activations.
    pub versions: Vec<Version>,
    /// Works of each stage.
    pub stages: Vec<Range<usize>>,
    /// Names of the stages.
    pub names: Vec<String>,
    /// Works that write each tensor, with what they write of it.
    writers: HashMap<TensorId, Vec<(usize, Slice)>>,
    /// First and last work that use each activation.
    spans: HashMap<TensorId, [usize; 2]>,
}

impl Flow {
    /// The graph of `steps`.
    pub fn new(steps: Vec<Steps>, tensors: &TensorTable) -> Self {
        let (mut works, mut stages, mut names) = (Vec::new(), Vec::new(), Vec::new());
        for stage in steps {
            let first = works.len();
            works.extend(stage.works);
            stages.push(first..works.len());
            names.push(stage.name);
        }
        let mut phases = vec![(0, 0); works.len()];
        for (index, stage) in stages.iter().enumerate() {
            let ranks = ranks(&works[stage.clone()]);
            stage.clone().zip(ranks).for_each(|(work, rank)| phases[work] = (index, rank));
        }
        let mut writers: HashMap<TensorId, Vec<(usize, Slice)>> = HashMap::new();
        for (index, work) in works.iter().enumerate() {
            for touch in work.touches.iter().filter(|touch| touch.writes) {
                writers.entry(touch.slice.tensor).or_default().push((index, touch.slice));
            }
        }
        let (uses, versions) = versions(&works, tensors);
        let mut spans = HashMap::new();
        for version in &versions {
            let span = spans.entry(version.slice.tensor).or_insert([version.writer; 2]);
            let last = version.readers.iter().copied().fold(version.writer, usize::max);
            *span = [span[0].min(version.writer), span[1].max(last)];
        }
        Self { works, uses, phases, versions, stages, names, writers, spans }
    }

    /// Whether an activation is there before `stage`, and whether it is needed behind it.
    pub fn outlives(&self, stage: usize, tensor: TensorId) -> [bool; 2] {
        let works = &self.stages[stage];
        self.spans.get(&tensor).map_or([false; 2], |[first, last]| [*first < works.start, *last >= works.end])
    }

    /// Highest rank of a stage.
    pub fn last_rank(&self, stage: usize) -> u32 {
        self.stages[stage].clone().map(|work| self.phases[work].1).max().unwrap_or(0)
    }

    /// The works of a phase, in order.
    pub fn works_of(&self, phase: Phase) -> impl Iterator<Item = usize> {
        self.stages[phase.0].clone().filter(move |&work| self.phases[work] == phase)
    }

    /// Whether work `index`, done again in `phase`, would make the same again.
    pub fn repeatable(&self, index: usize, phase: Phase) -> bool {
        let work = &self.works[index];
        let changed = |touch: &Touch| {
            let writers = self.writers.get(&touch.slice.tensor).map_or(&[][..], Vec::as_slice);
            writers.iter().any(|&(writer, slice)| {
                let since = self.phases[writer] > self.phases[index] && self.phases[writer] < phase;
                since && slice.overlaps(&touch.slice)
            })
        };
        work.repeatable() && !work.touches.iter().any(|touch| !touch.by_sample && changed(touch))
    }

    /// Whether a kept version has become another kept one before `phase`.
    pub fn overwritten(&self, version: usize, phase: Phase, kept: &[bool]) -> bool {
        let next = self.versions[version].becomes;
        next.is_some_and(|next| kept[next] && self.phases[self.versions[next].writer] < phase)
    }

    /// Whether a version is used in another stage than the one that makes it.
    pub fn crosses(&self, version: usize) -> bool {
        let Version { writer, readers, .. } = &self.versions[version];
        readers.iter().any(|&reader| self.phases[reader].0 != self.phases[*writer].0)
    }

    /// The stage that makes a version.
    pub fn stage_of(&self, version: usize) -> usize {
        self.phases[self.versions[version].writer].0
    }

    /// Whether making a version again costs more than a few operations an element.
    pub fn costly(&self, version: usize) -> bool {
        const FEW: u64 = 16;
        let Version { slice, writer, .. } = &self.versions[version];
        self.works[*writer].flops() > FEW * slice.bytes / 4
    }
}

/// The ranks of a stage's works: each as low as what it depends on allows; but what nothing else in the stage needs comes
/// last, so that its result need not be there earlier, unless something it reads would be overwritten by then.
fn ranks(works: &[Work]) -> Vec<u32> {
    let mut ranks: Vec<u32> = works.iter().map(|work| u32::from(work.splits)).collect();
    let mut needed = vec![false; works.len()];
    let mut overwriters: Vec<Vec<usize>> = vec![Vec::new(); works.len()];
    let mut touched: HashMap<TensorId, Vec<(usize, Touch)>> = HashMap::new();
    for (index, work) in works.iter().enumerate() {
        for touch in &work.touches {
            let earlier = touched.entry(touch.slice.tensor).or_default();
            for &(other, before) in earlier.iter().filter(|(other, _)| *other != index) {
                if !(touch.writes || before.writes) || !touch.slice.overlaps(&before.slice) {
                    continue;
                }
                if before.writes {
                    needed[other] = true;
                } else {
                    overwriters[other].push(index);
                }
                let together = touch.by_sample && before.by_sample && touch.slice == before.slice;
                let gap = match (works[other].splits, work.splits) {
                    (true, true) if together => 0,
                    (true, true) => 2,
                    (false, false) => 0,
                    _ => 1,
                };
                ranks[index] = ranks[index].max(ranks[other] + gap);
            }
            earlier.push((index, *touch));
        }
    }
    let last = works.iter().zip(&ranks).filter(|(work, _)| work.splits).map(|(_, &rank)| rank).max().unwrap_or(1);
    for (index, work) in works.iter().enumerate() {
        let in_time = overwriters[index].iter().all(|&writer| !works[writer].splits && ranks[writer] > last);
        if !needed[index] && work.repeatable() && in_time {
            ranks[index] = last;
        }
    }
    ranks
}

fn versions(works: &[Work], tensors: &TensorTable) -> (Vec<Vec<Use>>, Vec<Version>) {
    let mut versions: Vec<Version> = Vec::new();
    let mut newest: HashMap<TensorId, usize> = HashMap::new();
    let mut uses = Vec::with_capacity(works.len());
    for (index, work) in works.iter().enumerate() {
        let mut of_work = Vec::with_capacity(work.touches.len());
        for &touch in &work.touches {
            let tensor = touch.slice.tensor;
            if tensors.info(tensor).role != Role::Activation {
                of_work.push(Use { touch, reads: None, writes: None });
                continue;
            }
            let before = newest.get(&tensor).copied();
            let reads = before.filter(|_| touch.reads);
            if let Some(read) = reads {
                let version = &mut versions[read];
                version.readers.push(index);
                version.by_sample &= touch.by_sample && touch.slice == version.slice;
            }
            let writes = touch.writes.then_some(versions.len());
            if let Some(written) = writes {
                if let Some(read) = reads {
                    versions[read].becomes = writes;
                }
                let Touch { slice, by_sample, .. } = touch;
                versions.push(Version { slice, writer: index, becomes: None, readers: Vec::new(), by_sample });
                newest.insert(tensor, written);
            }
            of_work.push(Use { touch, reads, writes });
        }
        uses.push(of_work);
    }
    (uses, versions)
}
