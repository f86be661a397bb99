//! Tensors that are only ever used in parts, cut into pieces of their own.
//!
//! A piece that has been read for the last time makes room for others, and pieces lie wherever there is room, where the
//! whole would need it in one stretch.

use std::collections::{HashMap, HashSet};

use crate::gpu::{BINDING_ALIGNMENT, Binding, Slice, Stage, TensorId};

use super::tensors::{Role, TensorTable};

/// Into how many pieces, the more the better.
const PIECES: [u64; 3] = [8, 4, 2];

/// Cuts every activation that `stages` use in parts, where no part goes across a cut.
pub fn cut(stages: &mut [Stage], tensors: &mut TensorTable) {
    let mut cuts: HashMap<TensorId, (u64, Vec<Slice>)> = HashMap::new();
    for (tensor, uses) in uses(stages, tensors) {
        let info = tensors.info(tensor).clone();
        let fits = |count: &u64| {
            let piece = info.bytes / count;
            let within = |slice: &Slice| slice.offset / piece == (slice.offset + slice.bytes - 1) / piece;
            info.bytes.is_multiple_of(count * BINDING_ALIGNMENT) && uses.iter().all(within)
        };
        let Some(count) = PIECES.into_iter().find(fits) else { continue };
        let bytes = info.bytes / count;
        let piece = |number| tensors.add(format!("{} {}/{count}", info.name, number + 1), Role::Activation, bytes);
        cuts.insert(tensor, (bytes, (0..count).map(piece).collect()));
    }
    for Binding { slice, .. } in bindings(stages) {
        if let Some((bytes, pieces)) = cuts.get(&slice.tensor) {
            let piece = pieces[(slice.offset / bytes) as usize];
            *slice = Slice { tensor: piece.tensor, offset: slice.offset % bytes, bytes: slice.bytes };
        }
    }
}

fn bindings(stages: &mut [Stage]) -> impl Iterator<Item = &mut Binding> {
    stages.iter_mut().flat_map(|stage| &mut stage.dispatches).flat_map(|dispatch| &mut dispatch.bindings)
}

/// What is used of each activation, in the order of their numbers. What is the same from part to part, and gives its place
/// to the next, is in pieces already.
fn uses(stages: &mut [Stage], tensors: &TensorTable) -> Vec<(TensorId, HashSet<Slice>)> {
    let mut uses: HashMap<TensorId, HashSet<Slice>> = HashMap::new();
    for Binding { slice, .. } in bindings(stages) {
        let info = tensors.info(slice.tensor);
        if info.role == Role::Activation && info.like.is_none() && slice.bytes > 0 {
            uses.entry(slice.tensor).or_default().insert(*slice);
        }
    }
    for like in tensors.infos().iter().filter_map(|info| info.like) {
        uses.remove(&like);
    }
    let mut uses: Vec<_> = uses.into_iter().collect();
    uses.sort_unstable_by_key(|(tensor, _)| *tensor);
    uses
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gpu::{Dispatch, Pipeline, Shader};

    /// A stage of one dispatch for each list of slices, which it reads.
    fn stage(uses: &[&[Slice]]) -> Stage {
        const NOTHING: Shader = Shader::with_inputs("nothing", &[], &[]);
        let empty = || Dispatch::new("", Pipeline::new(NOTHING, "nothing", Vec::new()), &[0u32; 4], [1; 3]);
        let dispatch = |slices: &&[Slice]| slices.iter().fold(empty(), |dispatch, &slice| dispatch.reads(slice));
        Stage::new("stage", uses.iter().map(dispatch).collect())
    }

    #[test]
    fn parts_become_pieces_and_what_is_used_whole_stays() {
        let mut tensors = TensorTable::default();
        let [parted, whole] = ["parted", "whole"].map(|name| tensors.add(name, Role::Activation, 4096));
        let half = |number: u64| Slice { offset: 2048 * number, bytes: 2048, ..parted };
        let quarter = Slice { offset: 3072, bytes: 1024, ..parted };
        let mut stages = [stage(&[&[half(0), whole], &[half(1), whole], &[quarter]])];
        cut(&mut stages, &mut tensors);
        let used: Vec<Vec<Slice>> =
            stages[0].dispatches.iter().map(|d| d.bindings.iter().map(|binding| binding.slice).collect()).collect();
        let piece = |number: u32, offset, bytes| Slice { tensor: TensorId(2 + number), offset, bytes };
        assert_eq!(used, [vec![piece(0, 0, 2048), whole], vec![piece(1, 0, 2048), whole], vec![piece(1, 1024, 1024)]]);
        assert_eq!(tensors.info(TensorId(2)).bytes, 2048);
    }
}
