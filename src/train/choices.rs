//! What of a step may be kept or made again, and what has to be kept.

use std::collections::HashMap;

use crate::gpu::{Access, TensorId};

use super::build::Steps;
use super::flow::Flow;
use super::parts::{Obstacle, Runs, runs};
use super::tensors::TensorTable;
use super::work::Part;

/// Most costly versions of a stage that are tried both ways.
const MOST_COSTLY: usize = 6;

/// How a step's works depend on each other, and what has to be kept because of it.
pub(super) struct Structure {
    pub flow: Flow,
    /// What is kept whatever is chosen.
    pub base: Vec<bool>,
    /// What another stage than the one that makes it reads, when it makes again what it needs.
    borrowed: Vec<bool>,
}

impl Structure {
    /// Of `steps`; `joined` says that gradients flow between its stages, so that what these hand on can be made again in
    /// another one.
    pub fn new(steps: Vec<Steps>, tensors: &TensorTable, joined: bool) -> Option<Self> {
        let flow = Flow::new(steps, tensors);
        let mut base: Vec<bool> = (0..flow.versions.len())
            .map(|version| {
                let by_sample = flow.versions[version].by_sample;
                !by_sample || flow.costly(version) || (!joined && flow.crosses(version))
            })
            .collect();
        for stage in 0..flow.stages.len() {
            settle(&flow, stage, &mut base)?;
        }
        let borrowed = borrowed(&flow, &base);
        Some(Self { flow, base, borrowed })
    }

    /// Versions of a stage that may be kept or not.
    fn optional(&self, stage: usize) -> Vec<usize> {
        let flow = &self.flow;
        let made_here = |version: &usize| flow.stage_of(*version) == stage;
        let free =
            |version: &usize| flow.versions[*version].by_sample && flow.costly(*version) && !self.borrowed[*version];
        let end = (stage, flow.last_rank(stage));
        let repeatable = |version: &usize| flow.repeatable(flow.versions[*version].writer, end);
        let mut all: Vec<usize> = (0..flow.versions.len()).filter(made_here).filter(free).filter(repeatable).collect();
        all.truncate(MOST_COSTLY);
        all
    }

    /// Marks in `kept` which of a stage's optional versions are.
    pub fn choose(&self, stage: usize, chosen: &[usize], kept: &mut [bool]) -> Option<()> {
        for (number, version) in self.optional(stage).into_iter().enumerate() {
            kept[version] = chosen.contains(&number);
        }
        settle(&self.flow, stage, kept)
    }

    /// What two stages have in common that can be done in the same ways: the same works, those of other stages that are done
    /// again among them.
    pub fn likeness(&self, stage: usize) -> String {
        use std::fmt::Write;
        let mut text = String::new();
        let Ok(runs) = runs(&self.flow, stage, &self.base) else { return self.flow.names[stage].clone() };
        for work in runs.by_rank.into_iter().flatten() {
            for dispatch in &self.flow.works[work].whole {
                let _ = write!(text, "{}:", dispatch.label);
                for binding in &dispatch.bindings {
                    let _ = write!(text, "{}{},", binding.slice.bytes, u8::from(binding.access == Access::Update));
                }
            }
            for used in self.flow.uses[work].iter().filter(|used| used.writes.is_some() || used.reads.is_some()) {
                let of = |version: usize| [self.flow.crosses(version), self.base[version]].map(u8::from);
                let _ = write!(text, "{:?}{:?};", used.reads.map(of), used.writes.map(of));
            }
        }
        text
    }
}

/// What may be kept in a stage.
pub(super) struct Choices<'s> {
    pub structure: &'s Structure,
    pub stage: usize,
    pub all: Vec<Choice>,
    /// Floating-point operations of each work of the step that one of them does: where it splits, of all its parts.
    pub flops: HashMap<usize, u64>,
}

/// One possibility.
pub(super) struct Choice {
    /// The versions that are kept, by their number within the stage.
    pub chosen: Vec<usize>,
    /// All versions that are kept because of it.
    pub kept: Vec<bool>,
    pub runs: Runs,
}

impl<'s> Choices<'s> {
    pub fn new(structure: &'s Structure, stage: usize) -> Self {
        let optional = structure.optional(stage).len();
        let choice = |bits: u32| {
            let chosen: Vec<usize> = (0..optional).filter(|number| bits & 1 << number != 0).collect();
            let mut kept = structure.base.clone();
            structure.choose(stage, &chosen, &mut kept)?;
            let runs = runs(&structure.flow, stage, &kept).ok()?;
            Some(Choice { chosen, kept, runs })
        };
        let all: Vec<Choice> = (0..1u32 << optional).filter_map(choice).collect();
        let done = all.iter().flat_map(|choice| choice.runs.by_rank.iter().flatten());
        let flops = done.map(|&work| (work, structure.flow.works[work].flops())).collect();
        Self { structure, stage, all, flops }
    }

    /// Counts what works do that come in parts of `chunk` samples of `batch`. It may be more than for all at once:
    /// convolutions of few samples are not filtered where their weights' transforms would cost too much.
    pub fn count_parts_of(&mut self, chunk: u32, batch: u32, tensors: &mut TensorTable) {
        let before = tensors.infos().len();
        let works = &self.structure.flow.works;
        for (&work, flops) in self.flops.iter_mut().filter(|(work, _)| works[**work].splits) {
            let mut of = |samples: u32| -> u64 {
                let part = Part::new(0, [samples, chunk], tensors, &[]);
                works[work].of(part).iter().map(|dispatch| dispatch.flops).sum()
            };
            *flops = u64::from(batch / chunk) * of(chunk);
            if !batch.is_multiple_of(chunk) {
                *flops += of(batch % chunk);
            }
        }
        tensors.truncate(before);
    }

    /// Of tensors that one choice keeps and the other does not, the share of the batch that is kept.
    pub fn shares(&self, pair: [&Choice; 2], share: f64) -> HashMap<TensorId, f64> {
        let mut shares = HashMap::new();
        let flow = &self.structure.flow;
        for (index, version) in flow.versions.iter().enumerate() {
            if flow.stage_of(index) != self.stage || pair.iter().all(|choice| !choice.kept[index]) {
                continue;
            }
            let of = |number: usize, share: f64| if pair[number].kept[index] { share } else { 0.0 };
            let kept: &mut f64 = shares.entry(version.slice.tensor).or_insert(0.0);
            *kept = kept.max(of(0, share) + of(1, 1.0 - share));
        }
        shares
    }
}

/// Adds to `kept` what a stage needs again and cannot make again.
fn settle(flow: &Flow, stage: usize, kept: &mut [bool]) -> Option<()> {
    loop {
        match runs(flow, stage, kept) {
            Ok(_) => return Some(()),
            Err(Obstacle::Keep(version)) if !kept[version] => kept[version] = true,
            Err(_) => return None,
        }
    }
}

/// Of each version, whether a stage reads it that does not make it.
fn borrowed(flow: &Flow, kept: &[bool]) -> Vec<bool> {
    let mut borrowed = vec![false; flow.versions.len()];
    for stage in 0..flow.stages.len() {
        let works = runs(flow, stage, kept).map(|runs| runs.by_rank.concat()).unwrap_or_default();
        for version in works.iter().flat_map(|&work| &flow.uses[work]).filter_map(|used| used.reads) {
            borrowed[version] |= flow.stage_of(version) != stage;
        }
    }
    borrowed
}
