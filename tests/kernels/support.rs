//! One device for all kernel tests, tensors between canaries, random values, and comparison with a reference.

use std::sync::LazyLock;

use predsim::gpu::{Dispatch, Gpu, GpuError, Lab, Mirroring, Slice, TensorId, Wanted, block_on};
use predsim::kernels::precision::Precision;
use predsim::kernels::tuning::{Family, Tuning};

static GPU: LazyLock<Gpu> =
    LazyLock::new(|| pollster::block_on(Gpu::open(&Wanted::Best)).expect("the kernel tests need a GPU adapter"));

/// The device that all tests share.
pub fn gpu() -> &'static Gpu {
    &GPU
}

/// Waits for a future of that device and unwraps its result.
pub fn wait<T>(future: impl Future<Output = Result<T, GpuError>>) -> T {
    block_on(gpu(), future).expect("the device works")
}

/// Every way to compute products in `f32` that this adapter has: each family and height of its tiles,
/// with sums as whole as they may be and
/// with sums split as much as they can be.
pub fn tunings() -> Vec<Tuning> {
    tunings_in(Precision::F32)
}

/// The same in `precision`.
pub fn tunings_in(precision: Precision) -> Vec<Tuning> {
    let families = Family::ALL.into_iter();
    let families = families.filter(|family| family.precision() == precision && family.lacks(gpu()).is_none());
    let heights = |family| if family == Family::Subgroup8 { &[false, true][..] } else { &[false] };
    let shapes = families.flat_map(|family| heights(family).iter().map(move |&tall| (family, tall)));
    let split = |(family, tall)| [1, 4096].map(|workgroups| Tuning { family, workgroups, tall, ..Tuning::portable() });
    shapes.flat_map(split).collect()
}

/// A word of what lies around the tensor of that number: 4.3e37, for which there is no sum too large to spoil, and no valid
/// label or count. Signs alternate, so that no maximum and no relu lets all of them through; and each tensor has a value of
/// its own, so that what was read behind an input shows behind an output. It is not NaN, which a kernel that works in place
/// would leave as it is.
fn canary(number: u32, word: u32) -> u32 {
    0x7e00_0000 | (word % 2) << 31 | number
}

/// Bytes of canaries in front of a tensor; offsets of bindings are multiples of this.
const FRONT: u64 = 256;

/// And behind it.
const BEHIND: u64 = 1024;

/// A lab whose tensors lie between canaries, each in a buffer of its own: what a kernel reads beyond a tensor
/// spoils its results, what it writes there is found after every run.
///
/// Kernels run without the driver's bounds checks, so keeping their bounds is their own duty. Yet a driver may check all
/// the same: the software driver drops what lies outside of a binding. Hence the canaries behind a tensor belong to its
/// binding, where nothing but the kernel keeps it from writing.
pub struct FencedLab {
    /// The same tensors twice on a device that prefers mirrors: one lab's kernels read those, the other's do not.
    labs: Vec<Lab<'static>>,
    /// Bytes of each tensor without its canaries, by its number.
    content: Vec<u64>,
}

impl FencedLab {
    pub fn new() -> Self {
        let mut labs = vec![Lab::new(gpu())];
        if gpu().prefers_mirrors() {
            labs.push(Lab::new(gpu()));
            labs[0].set_mirroring(Mirroring::All);
            labs[1].set_mirroring(Mirroring::Off);
        }
        Self { labs, content: Vec::new() }
    }

    /// A tensor holding `values`, filled up with zeros to whole words.
    pub fn tensor<T: bytemuck::Pod>(&mut self, values: &[T]) -> Slice {
        let mut content = bytemuck::cast_slice::<T, u8>(values).to_vec();
        content.resize(content.len().next_multiple_of(4), 0);
        let number = self.content.len() as u32;
        let canaries = |bytes: u64| (0..bytes as u32 / 4).flat_map(|word| canary(number, word).to_ne_bytes()).collect();
        let fenced = [canaries(FRONT), content.clone(), canaries(BEHIND)].concat();
        let slices: Vec<Slice> = self.labs.iter_mut().map(|lab| lab.tensor(&fenced).expect("a tensor")).collect();
        let whole = slices[0];
        self.content.push(content.len() as u64);
        Slice { offset: FRONT, bytes: whole.bytes - FRONT, ..whole }
    }

    /// A tensor of `bytes` bytes filled with NaN, so that an element that no kernel wrote shows.
    pub fn poisoned(&mut self, bytes: u64) -> Slice {
        self.tensor(&vec![f32::NAN; bytes as usize / 4])
    }

    /// Runs `dispatches` in order; panics if one of them wrote outside of its tensors, or if reading inputs from mirrors
    /// makes other bits.
    #[track_caller]
    pub fn run(&self, dispatches: Vec<Dispatch>) {
        let labels: Vec<&str> = dispatches.iter().map(|dispatch| dispatch.label).collect();
        self.labs.iter().for_each(|lab| lab.run(dispatches.clone()).expect("the device works"));
        for (number, &bytes) in (0..).zip(&self.content) {
            let whole = Slice { tensor: TensorId(number), offset: 0, bytes: FRONT + bytes + BEHIND };
            let words: Vec<Vec<u32>> = self.labs.iter().map(|lab| wait(lab.read(whole))).collect();
            assert!(
                words.iter().all(|other| *other == words[0]),
                "{labels:?}: mirrors make other bits in tensor {number}"
            );
            let (front, rest) = words[0].split_at(FRONT as usize / 4);
            for (place, canaries) in [("before", front), ("behind", &rest[bytes as usize / 4..])] {
                let touched = (0..).zip(canaries).find(|&(index, &word)| word != canary(number, index));
                assert_eq!(touched, None, "{labels:?} wrote {place} tensor {number}");
            }
        }
    }

    /// The content of a tensor.
    pub fn read<T: bytemuck::Pod>(&self, tensor: Slice) -> Vec<T> {
        match self.content[tensor.tensor.0 as usize] {
            0 => Vec::new(),
            bytes => wait(self.labs[0].read(Slice { bytes, ..tensor })),
        }
    }
}

/// Reproducible values in [-1, 1), exactly representable in f32.
pub fn random(seed: u64, len: usize) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ 0xD1B5_4A32_D192_ED03;
    (0..len)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
        })
        .collect()
}

/// Rounds values in [-1, 1] so that `f16` holds them and their halves exactly.
pub fn round_to_f16(values: &mut [f32]) {
    values.iter_mut().for_each(|v| *v = (*v * 512.0).round() / 512.0);
}

/// A factor that takes such values to where `f16` holds hardly any of them, unless they are scaled by 64 at least.
pub const TINY: f32 = 1.0 / (1 << 21) as f32;

pub fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().map(|&v| f64::from(v)).collect()
}

/// Panics unless every element of `got` is within `tolerance` times the reference's largest magnitude.
#[track_caller]
pub fn assert_close(what: &str, got: &[f32], want: &[f64], tolerance: f64) {
    let scale = want.iter().fold(1e-30, |m: f64, v| m.max(v.abs()));
    let want: Vec<Sum> = want.iter().map(|&value| Sum { value, size: scale }).collect();
    assert_sums(what, got, &want, tolerance);
}

/// A reference's value with the size of what it was added up from, which its rounding error is a share of: a sum may
/// cancel to nearly nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Sum {
    pub value: f64,
    pub size: f64,
}

impl Sum {
    pub fn add(&mut self, term: f64) {
        self.value += term;
        self.size += term.abs();
    }
}

/// Panics unless every element of `got` is within `tolerance` times the size of the reference's terms.
#[track_caller]
pub fn assert_sums(what: &str, got: &[f32], want: &[Sum], tolerance: f64) {
    assert_eq!(got.len(), want.len(), "{what}: length");
    for (index, (&got, want)) in got.iter().zip(want).enumerate() {
        let off = (f64::from(got) - want.value).abs();
        let share = off / want.size;
        assert!(
            off <= tolerance * want.size,
            "{what}[{index}]: got {got}, want {}, off by {share:.1e} of its terms",
            want.value
        );
    }
}
