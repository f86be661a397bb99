//! Fits a step into memory: chooses for every stage in how many parts the batch comes, what is kept and what is made again,
//! so that it does the least arithmetic within what is asked for.
//!
//! A stage may come with other works that do the same and need less to be there at a time; these are weighed, too.
//!
//! Whatever takes a few operations an element, normalisations, activations and pooling, is made again wherever it is needed.
//! Of what is costly, the outputs of convolutions and the gradients of their inputs, every choice is tried, with parts of
//! the batch, of half of it, and so on.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use crate::gpu::{Dispatch, Stage, TensorId};

use super::build::Steps;
use super::choices::{Choice, Choices, Structure};
use super::flow::Flow;
use super::goal::Bounds;
use super::parts::{Assembly, Extent, Runs, Split, runs};
use super::pieces;
use super::tensors::{Role, TensorTable};

/// Shares of a batch of which one is done in one way, the rest in another.
const SHARES: u32 = 8;

/// From how many on stages of one kind may be any number.
const SEVERAL: usize = 3;

/// A way to do a stage.
#[derive(Debug, Clone)]
struct Way {
    /// Whether other works stand in for its own.
    instead: bool,
    /// Versions that are kept, among those that need not be, by their number within the stage: of the first samples, and of
    /// the rest.
    kept: [Vec<usize>; 2],
    /// How many samples are the first.
    first: u32,
    chunk: u32,
    peak: u64,
    flops: u64,
}

/// A step that has been fitted.
#[derive(Debug, Clone)]
pub struct Fitted {
    /// In order.
    pub stages: Vec<Stage>,
    /// The step's tensors, with those of its parts.
    pub tensors: TensorTable,
    /// Samples in a part of the batch, for each stage.
    pub chunks: Vec<u32>,
}

impl Fitted {
    /// Floating-point operations.
    pub fn flops(&self) -> u64 {
        self.stages.iter().flat_map(|stage| &stage.dispatches).map(|dispatch| dispatch.flops).sum()
    }

    /// Whether every activation can be bound.
    pub fn bindable(&self, max_binding: u64) -> bool {
        let bindings = self.stages.iter().flat_map(|stage| &stage.dispatches).flat_map(|dispatch| &dispatch.bindings);
        let mut activations =
            bindings.filter(|binding| self.tensors.info(binding.slice.tensor).role == Role::Activation);
        activations.all(|binding| binding.slice.bytes <= max_binding)
    }
}

/// A step of `batch` samples in full: each work for the whole batch, in order.
pub fn unparted(steps: Vec<Steps>, tensors: TensorTable, batch: u32) -> Fitted {
    let whole = |steps: Steps| {
        let dispatches = steps.works.into_iter().flat_map(|work| work.whole).collect();
        Stage::new(steps.name, dispatches)
    };
    let stages: Vec<Stage> = steps.into_iter().map(whole).collect();
    let chunks = vec![batch; stages.len()];
    Fitted { stages, tensors, chunks }
}

/// Ways to do a step, of which [`Fitting::within`] takes the one that suits.
pub struct Fitting {
    steps: Vec<Steps>,
    /// With what each stage does at first choice, and, where that is something else, in its stead.
    structures: Vec<Structure>,
    tensors: RefCell<TensorTable>,
    batch: u32,
    bounds: Bounds,
    joined: bool,
    ways: Vec<Rc<Vec<Way>>>,
    /// Bytes that a stage does not touch but has to leave alone.
    through: Vec<u64>,
}

impl Fitting {
    /// For a step of `batch` samples; `joined` says that gradients flow between its stages.
    pub fn new(steps: Vec<Steps>, tensors: TensorTable, batch: u32, bounds: Bounds, joined: bool) -> Option<Self> {
        let mut structures = vec![Structure::new(steps.clone(), &tensors, joined)?];
        if steps.iter().any(|steps| steps.instead.is_some()) {
            structures.push(Structure::new(chosen(&steps, |_| true), &tensors, joined)?);
        }
        let through = through(&structures[0].flow, &structures[0].base);
        let tensors = RefCell::new(tensors);
        let mut fitting = Self { steps, structures, tensors, batch, bounds, joined, ways: Vec::new(), through };
        let mut known: HashMap<String, Rc<Vec<Way>>> = HashMap::new();
        for stage in 0..fitting.steps.len() {
            let likeness = fitting.structures.iter().map(|structure| structure.likeness(stage)).collect();
            let ways = known.entry(likeness).or_insert_with(|| Rc::new(fitting.ways_of(stage))).clone();
            if ways.is_empty() {
                return None;
            }
            fitting.ways.push(ways);
        }
        Some(fitting)
    }

    /// The way of each stage that does the least arithmetic with at most `bytes` live at a time, in as large parts as these
    /// allow; for a stage that cannot do with so few, the one in the fewest bytes.
    fn within(&self, bytes: u64) -> Vec<&Way> {
        // A stage's ways go from the least arithmetic and the largest parts to the fewest bytes.
        let of = |(ways, through): (&'_ Rc<Vec<Way>>, &u64)| {
            ways.iter().position(|way| way.peak + through <= bytes).unwrap_or(ways.len() - 1)
        };
        let chosen = self.ways.iter().zip(&self.through).map(of);
        self.ways.iter().zip(chosen.collect::<Vec<_>>()).map(|(ways, number)| &ways[number]).collect()
    }

    /// Every number of bytes at which the choice changes, from few to many.
    fn levels(&self) -> Vec<u64> {
        let stages = self.ways.iter().zip(&self.through);
        let peaks = stages.flat_map(|(ways, through)| ways.iter().map(move |way| way.peak + through));
        let mut levels: Vec<u64> = peaks.collect();
        levels.sort_unstable();
        levels.dedup();
        levels
    }

    /// Which of `levels` is the first that is enough for every stage.
    fn enough(&self, levels: &[u64]) -> usize {
        let fewest = |(ways, through): (&Rc<Vec<Way>>, &u64)| ways.last().map_or(0, |way| way.peak) + through;
        let least = self.ways.iter().zip(&self.through).map(fewest).max().unwrap_or(0);
        levels.partition_point(|&bytes| bytes < least)
    }

    /// The step in the fewest bytes, of which `bytes_of` tells, that `times` the arithmetic `flops` can do with.
    ///
    /// A stage of which there are several keeps to that by itself, so that a network takes the same memory when more of the
    /// same stages make it deeper.
    pub fn by_arithmetic(&self, flops: u64, times: f64, bytes_of: impl Fn(&Fitted) -> u64) -> Option<Fitted> {
        let within = |ways: &[&Way], least: f64| ways.iter().map(|way| way.flops as f64).sum::<f64>() <= times * least;
        let alike = |ways: &Rc<Vec<Way>>| self.ways.iter().filter(|other| Rc::ptr_eq(ways, other)).count();
        let several: Vec<bool> = self.ways.iter().map(|ways| alike(ways) >= SEVERAL).collect();
        let singly = |ways: &[&Way]| {
            let mut stages = ways.iter().zip(&self.ways).zip(&several).filter(|(_, several)| **several);
            stages.all(|((way, all), _)| within(&[way], all[0].flops as f64))
        };
        let affordable = |ways: &[&Way]| within(ways, flops as f64) && singly(ways);
        let levels = self.levels();
        let least = levels.partition_point(|&bytes| !affordable(&self.within(bytes)));
        // Fewer bytes than the largest stage can do with make the others smaller, which mostly pack better then.
        let candidates = [least, least.max(self.enough(&levels))];
        let fitted = candidates.iter().filter_map(|&index| self.assemble(&self.within(*levels.get(index)?)));
        fitted.min_by_key(|fitted| bytes_of(fitted))
    }

    /// The step with the least arithmetic.
    pub fn largest(&self) -> Option<Fitted> {
        self.assemble(&self.within(u64::MAX))
    }

    /// The step with the least arithmetic of which `fits` holds, as it mostly does of all smaller ones.
    pub fn largest_that(&self, fits: impl Fn(&Fitted) -> bool) -> Option<Fitted> {
        let levels = self.levels();
        let at = |bytes: u64| self.assemble(&self.within(bytes)).filter(&fits);
        let fitting = levels.partition_point(|&bytes| at(bytes).is_some());
        // Smaller tensors do not always pack better, so the search may miss what fits just so.
        at(fitting.checked_sub(1).map_or(0, |index| levels[index]))
    }

    fn assemble(&self, ways: &[&Way]) -> Option<Fitted> {
        let mixed;
        let structure = if ways.iter().all(|way| !way.instead) {
            &self.structures[0]
        } else {
            let steps = chosen(&self.steps, |stage| ways[stage].instead);
            mixed = Structure::new(steps, &self.tensors.borrow(), self.joined)?;
            &mixed
        };
        let flow = &structure.flow;
        let mut kept = [structure.base.clone(), structure.base.clone()];
        for (stage, way) in ways.iter().enumerate() {
            for (kept, chosen) in kept.iter_mut().zip(&way.kept) {
                structure.choose(stage, chosen, kept)?;
            }
        }
        let all: Vec<[Runs; 2]> = (0..ways.len())
            .map(|stage| {
                let [first, rest] = kept.each_ref().map(|kept| runs(flow, stage, kept).ok());
                Some([first?, rest?])
            })
            .collect::<Option<_>>()?;
        let numbered = all.iter().map(|runs| runs.each_ref()).enumerate();
        let mut tensors = self.tensors.borrow().clone();
        let kept = kept.each_ref().map(Vec::as_slice);
        let mut assembly = Assembly::new(flow, kept, self.batch, self.bounds, &mut tensors, numbered);
        let mut stages = Vec::with_capacity(ways.len());
        for (stage, (way, [first, rest])) in ways.iter().zip(&all).enumerate() {
            let runs = Split { first, rest, samples: way.first };
            let dispatches = assembly.stage(stage, runs, way.chunk, Extent::Batch).ok()?;
            stages.push(Stage::new(&flow.names[stage], dispatches));
        }
        pieces::cut(&mut stages, &mut tensors);
        let chunks = ways.iter().map(|way| way.chunk).collect();
        Some(Fitted { stages, tensors, chunks })
    }

    /// The ways to do a stage of which no other takes less memory and less arithmetic.
    fn ways_of(&self, stage: usize) -> Vec<Way> {
        let mut ways: Vec<Way> = Vec::new();
        for (structure, instead) in self.structures.iter().zip([false, true]) {
            if instead && self.steps[stage].instead.is_none() {
                continue;
            }
            let mut choices = Choices::new(structure, stage);
            let mut chunk = self.batch;
            loop {
                choices.count_parts_of(chunk, self.batch, &mut self.tensors.borrow_mut());
                let mut even: Vec<Way> = choices
                    .all
                    .iter()
                    .filter_map(|choice| self.way(&choices, [choice, choice], self.batch, chunk))
                    .collect();
                frontier(&mut even);
                let mixed = self.mixed_ways(&choices, &even, chunk);
                ways.extend(even.into_iter().chain(mixed).map(|way| Way { instead, ..way }));
                if chunk == 1 {
                    break;
                }
                chunk = chunk.div_ceil(2);
            }
        }
        frontier(&mut ways);
        ways
    }

    /// Ways between two neighbours in `even`: one for the first samples, the other for the rest.
    fn mixed_ways(&self, choices: &Choices<'_>, even: &[Way], chunk: u32) -> Vec<Way> {
        if !self.batch.is_multiple_of(SHARES) {
            return Vec::new();
        }
        let firsts: Vec<u32> = (1..SHARES)
            .map(|share| share * self.batch / SHARES)
            .filter(|first| first.is_multiple_of(chunk) && self.batch.is_multiple_of(chunk))
            .collect();
        let choice = |way: &Way| choices.all.iter().find(|choice| choice.chosen == way.kept[0]);
        let pairs = even.windows(2).filter_map(|pair| Some([choice(&pair[0])?, choice(&pair[1])?]));
        pairs.flat_map(|pair| firsts.iter().filter_map(move |&first| self.way(choices, pair, first, chunk))).collect()
    }

    /// The way that makes one choice for the first samples and another for the rest.
    fn way(&self, choices: &Choices<'_>, pair: [&Choice; 2], first: u32, chunk: u32) -> Option<Way> {
        let (flow, stage) = (&choices.structure.flow, choices.stage);
        let [runs, rest] = pair.map(|choice| &choice.runs);
        let split = Split { first: runs, rest, samples: first };
        let share = f64::from(first) / f64::from(self.batch);
        let mut tensors = self.tensors.borrow_mut();
        let before = tensors.infos().len();
        let kept = pair.map(|choice| choice.kept.as_slice());
        let alone = std::iter::once((stage, [runs, rest]));
        let mut assembly = Assembly::new(flow, kept, self.batch, self.bounds, &mut tensors, alone);
        let dispatches = assembly.stage(stage, split, chunk, Extent::Sample);
        let peak = dispatches.map(|dispatches| {
            let shares = choices.shares(pair, share);
            peak(
                &dispatches,
                &tensors,
                |tensor| flow.outlives(stage, tensor),
                |tensor| shares.get(&tensor).copied().unwrap_or(1.0),
            )
        });
        tensors.truncate(before);
        let flops = |runs: &Runs, odd| runs.flops(&choices.flops, odd) as f64;
        let flops = flops(runs, 0) + share * flops(runs, 1) + (1.0 - share) * flops(rest, 1);
        let kept = pair.map(|choice| choice.chosen.clone());
        Some(Way { instead: false, kept, first, chunk, peak: peak.ok()?, flops: flops as u64 })
    }
}

/// Leaves the ways of which no other takes less arithmetic and much the same memory or less, from the least arithmetic and
/// the largest parts to the fewest bytes. Smaller parts for hardly anything would only be slow.
fn frontier(ways: &mut Vec<Way>) {
    ways.sort_by_key(|way| (way.flops, std::cmp::Reverse(way.chunk), way.peak));
    let mut least = u64::MAX;
    ways.retain(|way| {
        let better = way.peak < least - least / 64;
        if better {
            least = way.peak;
        }
        better
    });
}

/// `steps` with what stands in for a stage's works where `instead` says so and something does.
fn chosen(steps: &[Steps], instead: impl Fn(usize) -> bool) -> Vec<Steps> {
    let choose = |(stage, steps): (usize, &Steps)| {
        let works = steps.instead.as_ref().filter(|_| instead(stage)).unwrap_or(&steps.works);
        Steps { name: steps.name.clone(), works: works.clone(), instead: None }
    };
    steps.iter().enumerate().map(choose).collect()
}

/// For each stage, bytes of kept tensors that stages before and behind it use and it does not.
fn through(flow: &Flow, kept: &[bool]) -> Vec<u64> {
    let mut through = vec![0; flow.stages.len()];
    let mut spans: HashMap<TensorId, (u64, Vec<usize>)> = HashMap::new();
    for (version, _) in flow.versions.iter().zip(kept).filter(|(_, kept)| **kept) {
        let stages = version.readers.iter().chain([&version.writer]).map(|&work| flow.phases[work].0);
        let span = spans.entry(version.slice.tensor).or_insert((version.slice.bytes, Vec::new()));
        span.1.extend(stages);
    }
    for (bytes, stages) in spans.into_values() {
        let (Some(&first), Some(&last)) = (stages.iter().min(), stages.iter().max()) else { continue };
        (first..last).filter(|stage| !stages.contains(stage)).for_each(|stage| through[stage] += bytes);
    }
    through
}

/// The most bytes of activations that live at one of `dispatches`; `outlives` says of a tensor whether it is there before
/// the first and behind the last, `share` how much of it there is.
fn peak(
    dispatches: &[Dispatch],
    tensors: &TensorTable,
    outlives: impl Fn(TensorId) -> [bool; 2],
    share: impl Fn(TensorId) -> f64,
) -> u64 {
    let mut lives: HashMap<TensorId, (usize, usize)> = HashMap::new();
    for (time, dispatch) in dispatches.iter().enumerate() {
        for binding in &dispatch.bindings {
            let tensor = binding.slice.tensor;
            if tensors.info(tensor).role == Role::Activation {
                lives.entry(tensor).or_insert((time, time)).1 = time;
            }
        }
    }
    let mut change = vec![0i64; dispatches.len() + 1];
    for (tensor, (first, last)) in lives {
        let [earlier, later] = outlives(tensor);
        let bytes = (tensors.info(tensor).bytes as f64 * share(tensor)) as i64;
        change[if earlier { 0 } else { first }] += bytes;
        change[if later { dispatches.len() } else { last + 1 }] -= bytes;
    }
    let mut live = 0;
    change
        .iter()
        .map(|change| {
            live += change;
            live
        })
        .max()
        .unwrap_or(0) as u64
}
