//! What is timed.

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::gpu::{Access, Dispatch, GpuError, Lab, Slice, TensorId};
use crate::kernels::conv2d::Conv2d;
use crate::kernels::gemm::{Gemm, Op};
use crate::kernels::tuning::Tuning;
use crate::train::map::{CONV, Map};
use crate::train::{Mode, Network, Plan, Pool, Unfit};

/// Sides of the square matrix products.
const GEMM_SIDES: [u32; 4] = [512, 1024, 2048, 4096];
/// Convolutions of VGG8B on 28x28 pictures: channels in, channels out, side.
const CONVOLUTIONS: [[u32; 3]; 2] = [[128, 256, 28], [256, 512, 14]];
/// Samples of the headline convolutions.
const CONVOLUTION_BATCH: u32 = 32;

/// Dispatches to time, on tensors that are made for them.
#[derive(Debug, Clone)]
pub struct Case {
    /// What it is.
    pub name: String,
    /// Bytes that have to be read and written at the least: every tensor once, and twice
    /// where it is updated.
    pub bytes: u64,
    /// Floating-point operations of a run. Of a convolution those of the direct way, whichever way it is computed in.
    pub flops: u64,
    dispatches: Vec<Dispatch>,
}

impl Case {
    /// `dispatches`, whose tensors may have any numbers.
    pub fn new(name: impl Into<String>, dispatches: Vec<Dispatch>) -> Self {
        let mut extents: BTreeMap<(TensorId, bool), u64> = BTreeMap::new();
        for binding in dispatches.iter().flat_map(|dispatch| &dispatch.bindings) {
            let writes = binding.access.writes();
            let reads = !writes || binding.access == Access::Update;
            let ways = [reads.then_some(false), writes.then_some(true)];
            for way in ways.into_iter().flatten() {
                let bytes = extents.entry((binding.slice.tensor, way)).or_default();
                *bytes = (*bytes).max(binding.slice.bytes);
            }
        }
        let flops = dispatches.iter().map(|dispatch| dispatch.flops).sum();
        Self { name: name.into(), bytes: extents.values().sum(), flops, dispatches }
    }

    /// The same dispatches on tensors of `lab`, which hold small numbers.
    ///
    /// # Errors
    /// If a tensor cannot be made.
    pub fn on(&self, lab: &mut Lab<'_>) -> Result<Vec<Dispatch>, GpuError> {
        let mut extents: BTreeMap<TensorId, u64> = BTreeMap::new();
        for Slice { tensor, offset, bytes } in self.slices() {
            let extent = extents.entry(tensor).or_default();
            *extent = (*extent).max(offset + bytes);
        }
        let mut made = BTreeMap::new();
        for (id, bytes) in extents {
            made.insert(id, lab.tensor(&numbers((bytes / 4) as usize))?.tensor);
        }
        let mut dispatches = self.dispatches.clone();
        for binding in dispatches.iter_mut().flat_map(|dispatch| &mut dispatch.bindings) {
            binding.slice.tensor = made[&binding.slice.tensor];
        }
        Ok(dispatches)
    }

    /// Whether it is a product of matrices or a convolution, of which there are several variants.
    pub fn has_variants(&self) -> bool {
        let mut names = self.dispatches.iter().map(|dispatch| dispatch.pipeline.shader.name);
        names.any(|name| ["gemm.", "conv2d.", "winograd"].iter().any(|own| name.starts_with(own)))
    }

    fn slices(&self) -> impl Iterator<Item = Slice> {
        self.dispatches.iter().flat_map(|dispatch| &dispatch.bindings).map(|binding| binding.slice)
    }
}

/// Numbers in [-0.5, 0.5) without a short period.
fn numbers(len: usize) -> Vec<f32> {
    (0..len as u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 8) as f32 / (1u32 << 24) as f32 - 0.5).collect()
}

/// A tensor of a case, whole.
fn tensor(id: u32, elements: u64) -> Slice {
    Slice { tensor: TensorId(id), offset: 0, bytes: 4 * elements }
}

fn workspace(bytes: u64) -> Option<Slice> {
    (bytes > 0).then(|| tensor(9, bytes / 4))
}

/// Matrix products and convolutions at the shapes that engines are compared at.
pub fn headline(tuning: Tuning) -> Vec<Case> {
    let mut cases: Vec<Case> = GEMM_SIDES.into_iter().map(|side| gemm(side, tuning)).collect();
    for [cin, cout, side] in CONVOLUTIONS {
        let conv = Conv2d {
            batch: CONVOLUTION_BATCH,
            height: side,
            width: side,
            cin,
            cout,
            kernel: 3,
            stride: 1,
            pad: 1,
            part_of: None,
            tuning,
        };
        cases.extend(convolution(&conv));
    }
    cases
}

fn gemm(side: u32, tuning: Tuning) -> Case {
    let gemm = Gemm { m: side, n: side, k: side, op: Op::Nn, gradient: None, tuning };
    let elements = u64::from(side) * u64::from(side);
    let [a, b, c] = [0, 1, 2].map(|id| tensor(id, elements));
    let dispatches = gemm.dispatches("gemm", [a, b], None, c, workspace(gemm.workspace_bytes()));
    Case::new(format!("gemm {side}x{side}x{side}"), dispatches)
}

fn convolution(conv: &Conv2d) -> [Case; 3] {
    let pixels = u64::from(conv.batch) * u64::from(conv.height) * u64::from(conv.width);
    let x = tensor(0, pixels * u64::from(conv.cin));
    let y = tensor(1, pixels * u64::from(conv.cout));
    let w = tensor(2, 9 * u64::from(conv.cin) * u64::from(conv.cout));
    let bias = tensor(3, u64::from(conv.cout));
    let name = |what: &str| {
        let Conv2d { batch, height, cin, cout, .. } = conv;
        format!("conv {what} 3x3 {cin}->{cout} at {height}x{height}, batch {batch}")
    };
    let map = Map::Conv(*conv);
    let case = |what, dispatches| {
        let flops = 2 * pixels * 9 * u64::from(conv.cin) * u64::from(conv.cout);
        Case { flops, ..Case::new(name(what), dispatches) }
    };
    let mut last = 3;
    let mut room = |_, bytes| {
        last += 1;
        tensor(last, bytes / 4)
    };
    [
        case("forward", map.forward(CONV, x, w, Some(bias), y, &mut room)),
        case("dX", map.backward_input(CONV, y, w, x, &mut room)),
        case("dW", map.backward_weight(CONV, x, y, w, &mut room)),
    ]
}

/// Each different kernel call of a training step of `batch` samples, all dispatches of it, named after the block that
/// it comes from first. The calls of plans that differ in their tuning alone have the same names.
///
/// # Errors
/// [`Unfit`] where a step of the network cannot be done within its goal.
pub fn of_network(title: &str, network: &Network, batch: u32) -> Result<Vec<Case>, Unfit> {
    let plan = Plan::new(network, Mode::Train, batch, &mut Pool::default())?;
    let mut seen = HashSet::new();
    let mut named: HashMap<String, usize> = HashMap::new();
    let mut cases = Vec::new();
    for stage in &plan.stages {
        for call in stage.dispatches.chunk_by(|one, next| one.label == next.label) {
            if seen.insert(call.iter().map(identity).collect::<Vec<_>>()) {
                let name = format!("{title} {} {}", stage.name, call[0].label);
                let count = named.entry(name.clone()).or_default();
                *count += 1;
                let name = if *count > 1 { format!("{name} ({count})") } else { name };
                cases.push(Case::new(name, call.to_vec()));
            }
        }
    }
    Ok(cases)
}

/// What a dispatch does, wherever its tensors are.
fn identity(dispatch: &Dispatch) -> (String, Vec<u8>, Vec<u64>) {
    let sizes = dispatch.bindings.iter().map(|binding| binding.slice.bytes).collect();
    (dispatch.pipeline.label(), dispatch.params.clone(), sizes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_work_is_counted() {
        let cases = headline(Tuning::portable());
        let names: HashSet<&str> = cases.iter().map(|case| case.name.as_str()).collect();
        assert_eq!(names.len(), cases.len());
        let flops = |name: &str| {
            let case = cases.iter().find(|case| case.name == name).unwrap_or_else(|| panic!("no {name}"));
            case.flops
        };
        assert_eq!(flops("gemm 1024x1024x1024"), 2 << 30);
        let products = 2 * 32 * 28 * 28 * 9 * 128 * 256;
        for what in ["forward", "dX", "dW"] {
            assert_eq!(flops(&format!("conv {what} 3x3 128->256 at 28x28, batch 32")), products);
        }
        assert!(cases[0].bytes >= 3 * 4 * 512 * 512);
    }
}
