//! Where activations live: a few buffers that they share.
//!
//! Two tensors may lie in the same bytes when their lives do not meet. They may lie side by side in one buffer unless some
//! dispatch reads one and writes the other: WebGPU forbids a buffer that is read and written in the same dispatch. Mirrors
//! (textures that tensors are copied into on some adapters, see [`crate::gpu::Mirror`]) are shared whole.

use std::collections::{HashMap, HashSet};
use std::ops::RangeInclusive;

use crate::gpu::{BINDING_ALIGNMENT, Dispatch, MirrorSpan, Sheet, TensorId};

use super::tensors::{Role, TensorTable};

/// Where a tensor begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Which of the pool's buffers.
    pub buffer: usize,
    /// First byte there, a multiple of [`BINDING_ALIGNMENT`].
    pub offset: u64,
}

/// First to last dispatch that binds a tensor.
type Life = RangeInclusive<usize>;

/// A tensor, or what takes one place after the other for part after part of a batch.
#[derive(Debug, Clone)]
struct Tenant {
    id: TensorId,
    bytes: u64,
    /// In order, none of which meet.
    lives: Vec<Life>,
    /// Those that it must not share a buffer with.
    apart: HashSet<TensorId>,
}

/// Buffers shared by activations, and textures shared by mirrors.
#[derive(Debug, Clone, Default)]
pub struct Pool {
    /// Size of each buffer in bytes.
    pub bytes: Vec<u64>,
    /// Size of each texture.
    pub sheets: Vec<Sheet>,
    /// Bytes of all plans' uniforms: the numbers that their dispatches come with.
    pub uniform_bytes: u64,
}

impl Pool {
    /// A place for every activation that `dispatches` use, in buffers of at most `most` bytes where single tensors allow
    /// it. The pool gets new buffers where nothing fits. A plan that has been placed before gets the same places again, and
    /// one of the same shape for a smaller batch fits in them.
    pub fn place<'d>(
        &mut self,
        dispatches: impl Iterator<Item = &'d Dispatch>,
        tensors: &TensorTable,
        most: u64,
    ) -> HashMap<TensorId, Place> {
        let tenants = tenants(dispatches, tensors);
        let attempts = [Tie::Split, Tie::Join].map(|tie| {
            let layout = Layout::new(&tenants, tie, most);
            let homes = self.homes(&layout);
            let grown: u64 =
                layout.sizes.iter().zip(&homes).filter(|(_, home)| home.is_none()).map(|(size, _)| size).sum();
            (grown, layout, homes)
        });
        let (_, layout, homes) =
            attempts.into_iter().min_by_key(|(grown, ..)| *grown).expect("there are several attempts");
        let buffers: Vec<usize> = layout
            .sizes
            .iter()
            .zip(homes)
            .map(|(&size, home)| {
                home.unwrap_or_else(|| {
                    self.bytes.push(size);
                    self.bytes.len() - 1
                })
            })
            .collect();
        let mut places = HashMap::new();
        for (tenant, place) in tenants.iter().zip(&layout.places) {
            places.insert(tenant.id, Place { buffer: buffers[place.buffer], ..*place });
        }
        for (index, info) in tensors.infos().iter().enumerate() {
            if let Some(place) = info.like.and_then(|like| places.get(&like).copied()) {
                places.insert(TensorId(index as u32), place);
            }
        }
        places
    }

    /// For each buffer of a layout one of the pool's that is large enough: the largest for the largest.
    fn homes(&self, layout: &Layout) -> Vec<Option<usize>> {
        let descending = |sizes: &[u64]| {
            let mut order: Vec<usize> = (0..sizes.len()).collect();
            order.sort_by_key(|&index| (std::cmp::Reverse(sizes[index]), index));
            order
        };
        let mut own = descending(&self.bytes).into_iter().peekable();
        let mut homes = vec![None; layout.sizes.len()];
        for wanted in descending(&layout.sizes) {
            homes[wanted] = own.next_if(|&buffer| self.bytes[buffer] >= layout.sizes[wanted]);
        }
        homes
    }

    /// Assigns a texture to each mirror, in their order.
    pub fn assign_mirrors(&mut self, spans: &[MirrorSpan]) -> Vec<usize> {
        let mut order: Vec<usize> = (0..spans.len()).collect();
        order.sort_by_key(|&index| (std::cmp::Reverse(spans[index].sheet().bytes()), index));
        let mut lives: Vec<Vec<&Life>> = vec![Vec::new(); self.sheets.len()];
        let mut assignment = vec![0; spans.len()];
        for index in order {
            let (sheet, lifetime) = (spans[index].sheet(), &spans[index].lifetime);
            let free = |texture: &usize| lives[*texture].iter().all(|other| disjoint(other, lifetime));
            let fitting = (0..lives.len()).filter(|&texture| self.sheets[texture].holds(sheet)).find(free);
            let texture = fitting.unwrap_or_else(|| {
                self.sheets.push(sheet);
                lives.push(Vec::new());
                lives.len() - 1
            });
            lives[texture].push(lifetime);
            assignment[index] = texture;
        }
        assignment
    }

    /// Bytes of all its buffers and textures.
    pub fn total_bytes(&self) -> u64 {
        self.bytes.iter().sum::<u64>() + self.sheets.iter().map(|sheet| sheet.bytes()).sum::<u64>()
    }
}

/// Whether a tensor joins others or gets a new buffer, where either takes as many bytes more.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Tie {
    Join,
    Split,
}

/// Buffers and the tensors in them.
struct Layout {
    sizes: Vec<u64>,
    /// Of each tenant.
    places: Vec<Place>,
}

impl Layout {
    /// Places the largest tenants first, each where the buffers grow least by it.
    fn new(tenants: &[Tenant], tie: Tie, most: u64) -> Self {
        let mut order: Vec<usize> = (0..tenants.len()).collect();
        order.sort_by_key(|&index| (std::cmp::Reverse(tenants[index].bytes), index));
        let mut sizes: Vec<u64> = Vec::new();
        let mut residents: Vec<Vec<usize>> = Vec::new();
        let mut places = vec![Place { buffer: 0, offset: 0 }; tenants.len()];
        for index in order {
            let tenant = &tenants[index];
            let mut best: Option<(u64, Place)> = None;
            for buffer in 0..sizes.len() {
                if residents[buffer].iter().any(|&other| tenant.apart.contains(&tenants[other].id)) {
                    continue;
                }
                let meeting = residents[buffer].iter().filter(|&&other| meet(&tenants[other].lives, &tenant.lives));
                let taken = meeting.map(|&other| (places[other].offset, places[other].offset + tenants[other].bytes));
                let offset = gap(taken.collect(), tenant.bytes);
                let end = offset + tenant.bytes;
                let growth = end.saturating_sub(sizes[buffer]);
                if (growth == 0 || end <= most) && best.is_none_or(|(least, _)| growth < least) {
                    best = Some((growth, Place { buffer, offset }));
                }
                if growth == 0 {
                    break;
                }
            }
            let joins = |growth: u64| growth < tenant.bytes || (growth == tenant.bytes && tie == Tie::Join);
            let (growth, place) = best.filter(|&(growth, _)| joins(growth)).unwrap_or_else(|| {
                sizes.push(0);
                residents.push(Vec::new());
                (tenant.bytes, Place { buffer: sizes.len() - 1, offset: 0 })
            });
            sizes[place.buffer] += growth;
            residents[place.buffer].push(index);
            places[index] = place;
        }
        Self { sizes, places }
    }
}

/// First byte of the lowest gap of `bytes` between stretches that are taken.
fn gap(mut taken: Vec<(u64, u64)>, bytes: u64) -> u64 {
    taken.sort_unstable();
    let mut at = 0;
    for (first, end) in taken {
        if first >= at + bytes {
            break;
        }
        at = at.max(end.next_multiple_of(BINDING_ALIGNMENT));
    }
    at
}

fn tenants<'d>(dispatches: impl Iterator<Item = &'d Dispatch>, tensors: &TensorTable) -> Vec<Tenant> {
    let mut tenants: Vec<Tenant> = Vec::new();
    let mut numbers: HashMap<TensorId, usize> = HashMap::new();
    let mut lives: HashMap<TensorId, Life> = HashMap::new();
    for (time, dispatch) in dispatches.enumerate() {
        let activations = || dispatch.bindings.iter().filter(|b| tensors.info(b.slice.tensor).role == Role::Activation);
        for binding in activations() {
            let tensor = binding.slice.tensor;
            let info = tensors.info(tensor);
            lives.entry(tensor).and_modify(|life| *life = *life.start()..=time).or_insert(time..=time);
            let id = info.like.unwrap_or(tensor);
            let number = *numbers.entry(id).or_insert_with(|| {
                tenants.push(Tenant { id, bytes: 0, lives: Vec::new(), apart: HashSet::new() });
                tenants.len() - 1
            });
            let tenant = &mut tenants[number];
            tenant.bytes = tenant.bytes.max(info.bytes.next_multiple_of(BINDING_ALIGNMENT));
            let others = activations().filter(|other| other.access.writes() != binding.access.writes());
            tenant
                .apart
                .extend(others.map(|other| tensors.info(other.slice.tensor).like.unwrap_or(other.slice.tensor)));
        }
    }
    for (tensor, life) in lives {
        tenants[numbers[&tensors.info(tensor).like.unwrap_or(tensor)]].lives.push(life);
    }
    tenants.iter_mut().for_each(|tenant| tenant.lives.sort_by_key(|life| *life.start()));
    tenants
}

/// Whether two sequences of lives, each in order, meet anywhere.
fn meet(a: &[Life], b: &[Life]) -> bool {
    let (mut i, mut j) = (0, 0);
    while i < a.len() && j < b.len() {
        if !disjoint(&a[i], &b[j]) {
            return true;
        }
        if a[i].end() < b[j].end() { i += 1 } else { j += 1 }
    }
    false
}

fn disjoint(a: &Life, b: &Life) -> bool {
    a.end() < b.start() || b.end() < a.start()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::gpu::{Pipeline, Shader};

    /// A dispatch that reads some tensors and writes others.
    fn dispatch(tensors: &TensorTable, reads: &[u32], writes: &[u32]) -> Dispatch {
        const NOTHING: Shader = Shader::with_inputs("nothing", &[], &[]);
        let all =
            |id: u32| crate::gpu::Slice { tensor: TensorId(id), offset: 0, bytes: tensors.info(TensorId(id)).bytes };
        let empty = Dispatch::new("", Pipeline::new(NOTHING, "nothing", Vec::new()), &[0u32; 4], [1; 3]);
        let read = reads.iter().fold(empty, |dispatch, &id| dispatch.reads(all(id)));
        writes.iter().fold(read, |dispatch, &id| dispatch.writes(all(id)))
    }

    fn table(bytes: &[u64]) -> TensorTable {
        let mut tensors = TensorTable::default();
        for &bytes in bytes {
            tensors.add("", Role::Activation, bytes);
        }
        tensors
    }

    #[test]
    fn a_chain_needs_two_buffers() {
        let tensors = table(&[512; 10]);
        let chain: Vec<Dispatch> = (0..9).map(|i| dispatch(&tensors, &[i], &[i + 1])).collect();
        let mut pool = Pool::default();
        pool.place(chain.iter(), &tensors, u64::MAX);
        assert_eq!(pool.bytes, [512, 512]);
    }

    #[test]
    fn small_tensors_lie_beside_each_other_where_a_large_one_lay() {
        let tensors = table(&[1024, 256, 512, 512]);
        let steps =
            [dispatch(&tensors, &[0], &[1]), dispatch(&tensors, &[1], &[2, 3]), dispatch(&tensors, &[2, 3], &[1])];
        let mut pool = Pool::default();
        let places = pool.place(steps.iter(), &tensors, u64::MAX);
        assert_eq!(pool.bytes, [1024, 256]);
        assert_eq!([2, 3].map(|id| places[&TensorId(id)].offset), [0, 512]);
    }

    #[test]
    fn a_later_part_takes_the_place_of_an_earlier_one() {
        let mut tensors = table(&[1024, 512]);
        tensors.add_like(TensorId(1), 256);
        let steps = [dispatch(&tensors, &[0], &[1]), dispatch(&tensors, &[1], &[]), dispatch(&tensors, &[0], &[2])];
        let mut pool = Pool::default();
        let places = pool.place(steps.iter(), &tensors, u64::MAX);
        assert_eq!(places[&TensorId(2)], places[&TensorId(1)]);
        assert_eq!(pool.total_bytes(), 1024 + 512);
    }

    proptest! {
        #[test]
        fn what_lives_together_lies_apart(
            bytes in prop::collection::vec(1u64..4000, 2..30),
            uses in prop::collection::vec((0usize..30, 0usize..30, 0usize..30), 1..60),
        ) {
            let tensors = table(&bytes);
            let id = |n: usize| (n % bytes.len()) as u32;
            let steps: Vec<Dispatch> = uses
                .iter()
                .filter(|(a, b, c)| id(*a) != id(*c) && id(*b) != id(*c))
                .map(|&(a, b, c)| dispatch(&tensors, &[id(a), id(b)], &[id(c)]))
                .collect();
            let mut pool = Pool::default();
            let places = pool.place(steps.iter(), &tensors, u64::MAX);
            let again = pool.clone().place(steps.iter(), &tensors, u64::MAX);
            prop_assert_eq!(&again, &places);
            let lives = super::super::tensors::lifetimes(bytes.len(), steps.iter());
            let end = |id: &TensorId| places[id].offset + tensors.info(*id).bytes;
            for (a, at) in &places {
                prop_assert!(end(a) <= pool.bytes[at.buffer]);
                prop_assert_eq!(at.offset % BINDING_ALIGNMENT, 0);
                for (b, other) in places.iter().filter(|(b, other)| *b != a && other.buffer == at.buffer) {
                    let [one, two] = [a, b].map(|id| lives[id.0 as usize].clone().expect("it is used"));
                    let beside = end(a) <= other.offset || end(b) <= at.offset;
                    prop_assert!(beside || disjoint(&one, &two));
                }
            }
            for step in &steps {
                let of = |written: bool| step.bindings.iter().filter(move |b| b.access.writes() == written);
                for (read, write) in of(false).flat_map(|read| of(true).map(move |write| (read, write))) {
                    prop_assert!(places[&read.slice.tensor].buffer != places[&write.slice.tensor].buffer);
                }
            }
        }
    }
}
