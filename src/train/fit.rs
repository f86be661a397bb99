//! Fits a step into memory: chooses for every stage in how many parts the batch comes, what is kept and what is made again,
//! so that it does the least arithmetic within what is asked for.
//!
//! Whatever takes a few operations an element, normalisations, activations and pooling, is made again wherever it is needed.
//! Of what is costly, the outputs of convolutions and the gradients of their inputs, every choice is tried, with parts of
//! the batch, of half of it, and so on.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use crate::gpu::{Access, Dispatch, Stage, TensorId};

use super::build::Steps;
use super::flow::Flow;
use super::parts::{Assembly, Extent, Obstacle, Runs, runs};
use super::tensors::{Role, TensorTable};

/// What a step's memory has to keep to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Goal {
    /// What is asked for.
    pub limit: Limit,
    /// What the adapter can do.
    pub bounds: Bounds,
}

/// What an adapter can do with buffers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Most bytes of an activation that one binding may have.
    pub max_binding: u64,
    /// Most bytes of a buffer.
    pub max_buffer: u64,
    /// Bindings begin at multiples of this many bytes.
    pub alignment: u64,
}

impl Bounds {
    /// An adapter's bounds. Its [limits](wgpu::Limits) may be WebGPU's defaults.
    pub fn of(limits: &wgpu::Limits) -> Self {
        Self {
            max_binding: limits.max_storage_buffer_binding_size,
            max_buffer: limits.max_buffer_size,
            alignment: limits.min_storage_buffer_offset_alignment.into(),
        }
    }
}

impl Default for Bounds {
    /// None but the alignment that WebGPU guarantees.
    fn default() -> Self {
        Self { max_binding: u64::MAX, max_buffer: u64::MAX, alignment: 256 }
    }
}

/// How much memory a step may take, or how much more arithmetic it may do to take less.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Limit {
    /// As much memory as the least arithmetic takes.
    Fastest,
    /// Activations of at most that many bytes.
    Bytes(u64),
    /// The fewest bytes that arithmetic of at most that many times the least can do with.
    Arithmetic(f64),
}

impl Default for Goal {
    fn default() -> Self {
        Self { limit: Limit::Fastest, bounds: Bounds::default() }
    }
}

/// Most costly versions of a stage that are tried both ways.
const MOST_COSTLY: usize = 6;

/// A way to do a stage.
#[derive(Debug, Clone)]
struct Way {
    /// Versions that are kept, among those that need not be; by their number within the stage.
    kept: Vec<usize>,
    chunk: u32,
    peak: u64,
    flops: u64,
}

/// A step that has been fitted: its stages, and its tensors with those of its parts.
pub type Fitted = (Vec<Stage>, TensorTable);

/// The stages of `steps` in full: each work for the whole batch, in order.
pub fn unparted(steps: Vec<Steps>, tensors: TensorTable) -> Fitted {
    let whole = |steps: Steps| {
        let dispatches = steps.works.into_iter().flat_map(|work| work.whole).collect();
        Stage::new(steps.name, dispatches)
    };
    (steps.into_iter().map(whole).collect(), tensors)
}

/// Whether every activation of `stages` can be bound.
pub fn bindable((stages, tensors): &Fitted, max_binding: u64) -> bool {
    let bindings = stages.iter().flat_map(|stage| &stage.dispatches).flat_map(|dispatch| &dispatch.bindings);
    let mut activations = bindings.filter(|binding| tensors.info(binding.slice.tensor).role == Role::Activation);
    activations.all(|binding| binding.slice.bytes <= max_binding)
}

/// Ways to do a step, of which [`Fitting::within`] takes the one that suits.
pub struct Fitting {
    flow: Flow,
    tensors: RefCell<TensorTable>,
    batch: u32,
    bounds: Bounds,
    /// What is kept whatever is chosen.
    base: Vec<bool>,
    /// What another stage than the one that makes it reads, when it makes again what it needs.
    borrowed: Vec<bool>,
    ways: Vec<Rc<Vec<Way>>>,
    /// Bytes that a stage does not touch but has to leave alone.
    through: Vec<u64>,
}

impl Fitting {
    /// For a step of `batch` samples; `joined` says that gradients flow between its stages, so that what these hand on can
    /// be made again in another one.
    pub fn new(steps: Vec<Steps>, tensors: TensorTable, batch: u32, bounds: Bounds, joined: bool) -> Option<Self> {
        let flow = Flow::new(steps, &tensors);
        let mut base: Vec<bool> = (0..flow.versions.len())
            .map(|version| {
                let by_sample = flow.versions[version].by_sample;
                !by_sample || flow.costly(version) || (!joined && flow.crosses(version))
            })
            .collect();
        for stage in 0..flow.stages.len() {
            settle(&flow, stage, &mut base)?;
        }
        let through = through(&flow, &base);
        let borrowed = borrowed(&flow, &base);
        let tensors = RefCell::new(tensors);
        let mut fitting = Self { flow, tensors, batch, bounds, base, borrowed, ways: Vec::new(), through };
        let mut known: HashMap<String, Rc<Vec<Way>>> = HashMap::new();
        for stage in 0..fitting.flow.stages.len() {
            let likeness = fitting.likeness(stage);
            let ways = known.entry(likeness).or_insert_with(|| Rc::new(fitting.ways_of(stage))).clone();
            if ways.is_empty() {
                return None;
            }
            fitting.ways.push(ways);
        }
        Some(fitting)
    }

    /// The way of each stage that does the least arithmetic with at most `bytes` live at a time, in as large parts as these
    /// allow.
    fn within(&self, bytes: u64) -> Option<Vec<&Way>> {
        let stages = self.ways.iter().zip(&self.through);
        // A stage's ways go from the least arithmetic and the largest parts to the fewest bytes.
        stages.map(|(ways, through)| ways.iter().find(|way| way.peak + through <= bytes)).collect()
    }

    /// Every number of bytes at which the choice changes and that is enough, from few to many.
    fn levels(&self) -> Vec<u64> {
        let stages = self.ways.iter().zip(&self.through);
        let peaks = stages.flat_map(|(ways, through)| ways.iter().map(move |way| way.peak + through));
        let mut levels: Vec<u64> = peaks.collect();
        levels.sort_unstable();
        levels.dedup();
        let least = levels.partition_point(|&bytes| self.within(bytes).is_none());
        levels.split_off(least)
    }

    /// The step in the fewest bytes that `times` the arithmetic `flops` can do with.
    pub fn by_arithmetic(&self, flops: u64, times: f64) -> Option<Fitted> {
        let most = flops as f64 * times;
        let levels = self.levels();
        let of =
            |bytes: u64| self.within(bytes).map_or(f64::INFINITY, |ways| ways.iter().map(|way| way.flops as f64).sum());
        let least = levels.partition_point(|&bytes| of(bytes) > most);
        self.assemble(&self.within(*levels.get(least)?)?)
    }

    /// The step with the least arithmetic.
    pub fn largest(&self) -> Option<Fitted> {
        self.assemble(&self.within(u64::MAX)?)
    }

    /// The step in the fewest bytes.
    pub fn smallest(&self) -> Option<Fitted> {
        self.assemble(&self.within(*self.levels().first()?)?)
    }

    /// The step with the least arithmetic of which `fits` holds, if it holds of all smaller ones.
    pub fn largest_that(&self, fits: impl Fn(&Fitted) -> bool) -> Option<Fitted> {
        let levels = self.levels();
        let at = |bytes: u64| self.assemble(&self.within(bytes)?).filter(&fits);
        let fitting = levels.partition_point(|&bytes| at(bytes).is_some());
        at(levels[fitting.checked_sub(1)?])
    }

    fn assemble(&self, ways: &[&Way]) -> Option<Fitted> {
        let mut kept = self.base.clone();
        for (stage, way) in ways.iter().enumerate() {
            self.choose(stage, &way.kept, &mut kept)?;
        }
        let all: Vec<Runs> = (0..ways.len()).map(|stage| runs(&self.flow, stage, &kept).ok()).collect::<Option<_>>()?;
        let numbered = all.iter().enumerate();
        let mut tensors = self.tensors.borrow().clone();
        let mut assembly = Assembly::new(&self.flow, &kept, self.batch, self.bounds, &mut tensors, numbered);
        let mut stages = Vec::with_capacity(ways.len());
        for (stage, (way, runs)) in ways.iter().zip(&all).enumerate() {
            let dispatches = assembly.stage(stage, runs, way.chunk, Extent::Batch).ok()?;
            stages.push(Stage::new(&self.flow.names[stage], dispatches));
        }
        Some((stages, tensors))
    }

    /// Versions of a stage that may be kept or not.
    fn optional(&self, stage: usize) -> Vec<usize> {
        let flow = &self.flow;
        let made_here = |version: &usize| flow.phases[flow.versions[*version].writer].0 == stage;
        let free =
            |version: &usize| flow.versions[*version].by_sample && flow.costly(*version) && !self.borrowed[*version];
        let needed_later = |version: &usize| {
            let phase = flow.phases[flow.versions[*version].writer];
            flow.repeatable(flow.versions[*version].writer, (stage, flow.last_rank(stage))) && phase.0 == stage
        };
        let mut all: Vec<usize> =
            (0..flow.versions.len()).filter(made_here).filter(free).filter(needed_later).collect();
        all.truncate(MOST_COSTLY);
        all
    }

    /// Marks in `kept` which of a stage's optional versions are.
    fn choose(&self, stage: usize, chosen: &[usize], kept: &mut [bool]) -> Option<()> {
        for (number, version) in self.optional(stage).into_iter().enumerate() {
            kept[version] = chosen.contains(&number);
        }
        settle(&self.flow, stage, kept)
    }

    /// The ways to do a stage of which no other takes less memory and less arithmetic.
    fn ways_of(&self, stage: usize) -> Vec<Way> {
        let optional = self.optional(stage);
        let mut ways: Vec<Way> = Vec::new();
        for choice in 0..1u32 << optional.len() {
            let chosen: Vec<usize> = (0..optional.len()).filter(|number| choice & 1 << number != 0).collect();
            let mut kept = self.base.clone();
            if self.choose(stage, &chosen, &mut kept).is_none() {
                continue;
            }
            let Ok(runs) = runs(&self.flow, stage, &kept) else { continue };
            let flops = runs.flops(&self.flow);
            let mut chunk = self.batch;
            loop {
                if let Ok(peak) = self.peak(stage, &runs, &kept, chunk) {
                    ways.push(Way { kept: chosen.clone(), chunk, peak, flops });
                }
                if chunk == 1 {
                    break;
                }
                chunk = chunk.div_ceil(2);
            }
        }
        ways.sort_by_key(|way| (way.flops, std::cmp::Reverse(way.chunk), way.peak));
        let mut least = u64::MAX;
        ways.retain(|way| {
            let better = way.peak < least;
            least = least.min(way.peak);
            better
        });
        ways
    }

    /// The most bytes of what a stage touches that live at a time.
    fn peak(&self, stage: usize, runs: &Runs, kept: &[bool], chunk: u32) -> Result<u64, Obstacle> {
        let alone = std::iter::once((stage, runs));
        let mut tensors = self.tensors.borrow_mut();
        let before = tensors.infos().len();
        let mut assembly = Assembly::new(&self.flow, kept, self.batch, self.bounds, &mut tensors, alone);
        let dispatches = assembly.stage(stage, runs, chunk, Extent::Sample);
        let peak = dispatches.map(|dispatches| peak(&dispatches, &tensors, |tensor| self.flow.outlives(stage, tensor)));
        tensors.truncate(before);
        peak
    }

    /// What two stages have in common that can be done in the same ways: the same works, those of other stages that are done
    /// again among them.
    fn likeness(&self, stage: usize) -> String {
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
            borrowed[version] |= flow.phases[flow.versions[version].writer].0 != stage;
        }
    }
    borrowed
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
/// the first and behind the last.
fn peak(dispatches: &[Dispatch], tensors: &TensorTable, outlives: impl Fn(TensorId) -> [bool; 2]) -> u64 {
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
        let bytes = tensors.info(tensor).bytes as i64;
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
