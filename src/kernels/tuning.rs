//! How products are computed on an adapter: which family of shaders, and with what.

use super::COMMON;
use super::precision::Precision;
use crate::gpu::{Gpu, Shader, has_avx512};

const TILE: &str = include_str!("../../shaders/tile.wgsl");
const DIRECT: &str = include_str!("../../shaders/lanes_direct.wgsl");
const SUBGROUP: &str = include_str!("../../shaders/lanes_subgroup.wgsl");
const WORKGROUP: &str = include_str!("../../shaders/lanes_workgroup.wgsl");
const COOPERATIVE: &str = include_str!("../../shaders/lanes_cooperative.wgsl");
const BLOCKS: &str = include_str!("../../shaders/blocks.wgsl");
const ELEMENT_F32: &str = include_str!("../../shaders/element_f32.wgsl");
const ELEMENT_F16: &str = include_str!("../../shaders/element_f16.wgsl");
const MATRICES_8: &str = include_str!("../../shaders/matrices8.wgsl");
const MATRICES_16: &str = include_str!("../../shaders/matrices16.wgsl");

/// How the rows of a register tile reach the invocations; see the shaders' headings for what each wins and where.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Family {
    /// Every invocation loads its own rows: runs anywhere.
    Direct,
    /// The eight lanes of a subgroup share what they load.
    Subgroup8,
    /// A workgroup shares what it loads, in its own memory.
    Workgroup,
    /// The same, in `f16`.
    WorkgroupHalf,
    /// The same, and subgroups of eight lanes multiply 8x8 matrices of it.
    Cooperative8,
    /// The same, and subgroups of 32 lanes multiply 16x16 matrices of it.
    Cooperative16,
}

/// How products are computed on an adapter: a plain value, so that equal tunings give equal bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Tuning {
    /// The family of all products.
    pub family: Family,
    /// Workgroups that keep the adapter busy; sums over few outputs are split until there are as many.
    pub workgroups: u32,
    /// Whether kernels read their inputs from [mirrors](crate::gpu::Mirror), as a software driver likes it. The same bits
    /// come out.
    pub mirrored: bool,
    /// Whether an invocation of the direct family makes two vec4 columns of wide products. That saves loads, and takes a
    /// second pipeline of every kind of product.
    pub wide: bool,
    /// Whether a subgroup of eight lanes makes 64 rows of a product at once and not 32: fewer loads, and a loop of
    /// three times the length.
    pub tall: bool,
    /// How convolutions of 3x3 taps are computed.
    pub filtering: Filtering,
}

/// How convolutions of 3x3 taps are computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Filtering {
    /// Tap by tap.
    Direct,
    /// [Winograd's way](super::winograd) with tiles of 2x2 outputs: less arithmetic, more memory.
    Winograd2,
    /// The same with tiles of 4x4 outputs: still less arithmetic, and rounding errors ten times as large.
    Winograd4,
    /// That one where it [should be faster](super::winograd::Winograd::of) on the software driver, else tap by tap.
    Balanced,
}

/// The environment variable that names the tuning to take, whatever fits the adapter.
pub const FORCE: &str = "PREDSIM_FORCE_VARIANT";

/// A tuning that is asked for and cannot be had.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TuningError {
    /// There is none of this name.
    #[error("{FORCE}={0}: there is no such variant; there are {names}", names = names())]
    Unknown(String),
    /// The adapter lacks what it needs.
    #[error("{FORCE}={name}: this adapter cannot run it, for want of {lacks}")]
    Unfit {
        /// The variant.
        name: String,
        /// What it would need.
        lacks: &'static str,
    },
    /// It computes in another precision than is asked for.
    #[error("{FORCE}={name} computes in {has}, but --precision is {wanted}; there are {names}", names = names_in(*wanted))]
    Imprecise {
        /// The variant.
        name: String,
        /// Its precision.
        has: Precision,
        /// What is asked for.
        wanted: Precision,
    },
    /// There are no halves.
    #[error("--precision is f16, which this adapter cannot compute in; f32 works everywhere")]
    NoHalf,
}

fn names() -> String {
    Tuning::NAMED.map(|(name, _)| name).join(", ")
}

fn names_in(precision: Precision) -> String {
    let names: Vec<&str> = Tuning::all_in(precision).map(|(name, _)| name).collect();
    names.join(", ")
}

impl Tuning {
    /// Every way to compute products, by name.
    pub const NAMED: [(&'static str, Self); 15] = [
        ("direct", Self::portable()),
        ("direct-narrow", Self { wide: false, ..Self::portable() }),
        ("direct-mirrored", Self { mirrored: true, ..Self::portable() }),
        ("subgroup8", Self { mirrored: false, filtering: Filtering::Direct, ..Self::subgroup8() }),
        ("subgroup8-mirrored", Self { filtering: Filtering::Direct, ..Self::subgroup8() }),
        ("subgroup8-balanced", Self::subgroup8()),
        ("subgroup8-tall", Self { tall: true, ..Self::subgroup8() }),
        ("workgroup", Self { family: Family::Workgroup, ..Self::portable() }),
        ("direct-winograd2", Self { filtering: Filtering::Winograd2, ..Self::portable() }),
        ("subgroup8-winograd2", Self { filtering: Filtering::Winograd2, ..Self::subgroup8() }),
        ("subgroup8-winograd4", Self { filtering: Filtering::Winograd4, ..Self::subgroup8() }),
        (
            "workgroup-winograd4",
            Self { family: Family::Workgroup, filtering: Filtering::Winograd4, ..Self::portable() },
        ),
        ("workgroup-f16", Self::portable_half()),
        ("cooperative8-f16", Self { family: Family::Cooperative8, ..Self::portable() }),
        ("cooperative16-f16", Self { family: Family::Cooperative16, ..Self::portable() }),
    ];

    /// Those that compute in `precision`.
    pub fn all_in(precision: Precision) -> impl Iterator<Item = (&'static str, Self)> {
        Self::NAMED.into_iter().filter(move |(_, tuning)| tuning.precision() == precision)
    }

    /// For any adapter, the browser's included.
    pub const fn portable() -> Self {
        Self {
            family: Family::Direct,
            workgroups: 256,
            mirrored: false,
            wide: true,
            tall: false,
            filtering: Filtering::Direct,
        }
    }

    /// For any adapter that has `f16`.
    pub const fn portable_half() -> Self {
        Self { family: Family::WorkgroupHalf, ..Self::portable() }
    }

    /// For the software driver, whose subgroups have eight lanes.
    pub const fn subgroup8() -> Self {
        Self {
            family: Family::Subgroup8,
            workgroups: 4,
            mirrored: true,
            wide: false,
            tall: false,
            filtering: Filtering::Balanced,
        }
    }

    /// What fits `gpu` in `f32`: subgroups of eight and mirrors on a software driver that has them, with tall tiles
    /// where they were seen to win, else the portable one. A software driver compiles on the processor that is to run
    /// the kernels too, and pays more for the pipelines of wide products than it gains by them.
    pub fn for_gpu(gpu: &Gpu) -> Self {
        let software = gpu.info.device_type == wgpu::DeviceType::Cpu;
        if gpu.prefers_mirrors() {
            Self { tall: has_avx512(), ..Self::subgroup8() }
        } else {
            Self { wide: !software, ..Self::portable() }
        }
    }

    /// What fits `gpu` in `f16`: the largest matrices that it multiplies as such, else halves in workgroup memory.
    fn half_for_gpu(gpu: &Gpu) -> Option<Self> {
        let best = [Family::Cooperative16, Family::Cooperative8, Family::WorkgroupHalf];
        let family = best.into_iter().find(|family| family.lacks(gpu).is_none())?;
        Some(Self { family, ..Self::portable() })
    }

    /// The one that the environment [names](FORCE), else what fits `gpu` in `precision`.
    ///
    /// # Errors
    /// [`TuningError`] for a name that stands for nothing, for nothing that `gpu` can run, or for another precision;
    /// and for a precision that `gpu` does not have.
    pub fn chosen(gpu: &Gpu, precision: Precision) -> Result<Self, TuningError> {
        match std::env::var_os(FORCE).map(|name| name.to_string_lossy().into_owned()) {
            Some(name) => {
                let tuning = Self::named(&name, gpu)?;
                let has = tuning.precision();
                if has == precision { Ok(tuning) } else { Err(TuningError::Imprecise { name, has, wanted: precision }) }
            }
            None if precision == Precision::F16 => Self::half_for_gpu(gpu).ok_or(TuningError::NoHalf),
            None => Ok(Self::for_gpu(gpu)),
        }
    }

    /// The one of that name.
    ///
    /// # Errors
    /// As [`Self::chosen`].
    pub fn named(name: &str, gpu: &Gpu) -> Result<Self, TuningError> {
        let (_, tuning) = Self::NAMED
            .into_iter()
            .find(|(known, _)| *known == name)
            .ok_or_else(|| TuningError::Unknown(name.to_owned()))?;
        match tuning.family.lacks(gpu) {
            None => Ok(tuning),
            Some(lacks) => Err(TuningError::Unfit { name: name.to_owned(), lacks }),
        }
    }

    /// What it rounds operands to.
    pub fn precision(&self) -> Precision {
        self.family.precision()
    }

    /// The same in `f32`, for what must not be rounded.
    pub fn single(self) -> Self {
        match self.precision() {
            Precision::F32 => self,
            Precision::F16 => Self { family: Family::Workgroup, ..self },
        }
    }
}

/// The WGSL of a product: what its operands are, and its loop for each kind of tile.
#[derive(Debug, Clone, Copy)]
pub(super) struct Kernel {
    /// Where rows, columns and results lie.
    pub operands: &'static str,
    /// The loop of the families that load into registers.
    pub registers: &'static str,
    /// The blocks that the workgroup family loads.
    pub workgroup: &'static str,
    /// What the workgroup families do behind a tile.
    pub close: &'static str,
}

impl Kernel {
    /// Nothing more behind a tile.
    pub const NO_MOMENTS: &'static str = include_str!("../../shaders/no_moments.wgsl");
    /// The moments of a tile's columns.
    pub const MOMENTS: &'static str = include_str!("../../shaders/moments.wgsl");
}

/// A product's shader in each family, in the order of [`Family::ALL`].
pub(super) type Shaders = [Shader; Family::ALL.len()];

/// The [`Shaders`] of the product `$name`, a [`Kernel`] over A and B.
macro_rules! product_shaders {
    ($name:literal, $kernel:expr) => {
        product_shaders!($name, $kernel;
            Direct "direct", Subgroup8 "subgroup", Workgroup "workgroup",
            WorkgroupHalf "workgroup_f16", Cooperative8 "cooperative8", Cooperative16 "cooperative16")
    };
    ($name:literal, $kernel:expr; $($family:ident $suffix:literal),*) => {
        [$(Shader {
            name: concat!($name, ".", $suffix),
            inputs: OPERANDS,
            parts: &Family::$family.parts($kernel),
            extensions: Family::$family.extensions(),
        }),*]
    };
}
pub(super) use product_shaders;

impl Family {
    /// All of them, in their order.
    pub const ALL: [Self; 6] =
        [Self::Direct, Self::Subgroup8, Self::Workgroup, Self::WorkgroupHalf, Self::Cooperative8, Self::Cooperative16];

    /// What `gpu` would need to run it, and has not.
    pub fn lacks(self, gpu: &Gpu) -> Option<&'static str> {
        let (has, what) = match self {
            Self::Direct | Self::Workgroup => return None,
            Self::Subgroup8 => (gpu.has_subgroups_of(8), "subgroups that always have 8 lanes"),
            Self::WorkgroupHalf => (gpu.features.contains(wgpu::Features::SHADER_F16), "f16"),
            Self::Cooperative8 => (
                gpu.cooperative_matrices(8, 8),
                "cooperative 8x8 matrices of f16 in subgroups that always have 8 lanes",
            ),
            Self::Cooperative16 => (
                gpu.cooperative_matrices(16, 32),
                "cooperative 16x16 matrices of f16 in subgroups that always have 32 lanes",
            ),
        };
        (!has).then_some(what)
    }

    /// What it rounds operands to.
    pub fn precision(self) -> Precision {
        match self {
            Self::Direct | Self::Subgroup8 | Self::Workgroup => Precision::F32,
            Self::WorkgroupHalf | Self::Cooperative8 | Self::Cooperative16 => Precision::F16,
        }
    }

    /// The shared modules in front of a product's own files, and those.
    pub(super) const fn parts(self, own: Kernel) -> [&'static str; 9] {
        let [matrices, element, blocks, lanes, walk, close] = match self {
            Self::Direct => ["", "", "", DIRECT, own.registers, ""],
            Self::Subgroup8 => ["", "", "", SUBGROUP, own.registers, ""],
            Self::Workgroup => ["", ELEMENT_F32, BLOCKS, WORKGROUP, own.workgroup, own.close],
            Self::WorkgroupHalf => ["", ELEMENT_F16, BLOCKS, WORKGROUP, own.workgroup, own.close],
            Self::Cooperative8 => [MATRICES_8, ELEMENT_F16, BLOCKS, COOPERATIVE, own.workgroup, own.close],
            Self::Cooperative16 => [MATRICES_16, ELEMENT_F16, BLOCKS, COOPERATIVE, own.workgroup, own.close],
        };
        [COMMON, TILE, matrices, element, blocks, lanes, own.operands, walk, close]
    }

    /// Whether a workgroup has a tile's columns together, and can leave their moments.
    pub(super) const fn leaves_moments(self) -> bool {
        !matches!(self, Self::Direct | Self::Subgroup8)
    }

    /// The extensions of WGSL that it needs.
    pub(super) const fn extensions(self) -> &'static [&'static str] {
        match self {
            Self::Direct | Self::Subgroup8 | Self::Workgroup => &[],
            Self::WorkgroupHalf => &["f16"],
            Self::Cooperative8 | Self::Cooperative16 => &["f16", "wgpu_cooperative_matrix"],
        }
    }

    /// The widths of a tile, as constants of its pipelines: vec4 columns of an invocation; the subgroup family has one,
    /// spreads columns over the lanes and makes tiles of two heights; the workgroup families have two, and sides of 8
    /// or 16 invocations; those with matrices write one at a time.
    pub(super) const fn widths(self) -> &'static [&'static [(&'static str, u32)]] {
        match self {
            Self::Direct => &[&[("COLUMNS", 1)], &[("COLUMNS", 2)]],
            Self::Subgroup8 => &[
                &[("COLUMNS", 1), ("SPREAD", 1), ("TALL", 0)],
                &[("COLUMNS", 1), ("SPREAD", 2), ("TALL", 0)],
                &[("COLUMNS", 1), ("SPREAD", 4), ("TALL", 0)],
                &[("COLUMNS", 1), ("SPREAD", 4), ("TALL", 1)],
            ],
            Self::Workgroup | Self::WorkgroupHalf => &[&[("COLUMNS", 2), ("SIDE", 8)], &[("COLUMNS", 2), ("SIDE", 16)]],
            Self::Cooperative8 | Self::Cooperative16 => &[&[("COLUMNS", 1), ("SIDE", 16)]],
        }
    }
}
