//! How products are computed on an adapter: which family of shaders, and with what.

use super::COMMON;
use crate::gpu::Gpu;

const TILE: &str = include_str!("../../shaders/tile.wgsl");
const DIRECT: &str = include_str!("../../shaders/lanes_direct.wgsl");
const SUBGROUP: &str = include_str!("../../shaders/lanes_subgroup.wgsl");
const WORKGROUP: &str = include_str!("../../shaders/lanes_workgroup.wgsl");

/// How the rows of a register tile reach the invocations; see the shaders' headings for what each wins and where.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Family {
    /// Every invocation loads its own rows: runs anywhere.
    Direct,
    /// The eight lanes of a subgroup share what they load.
    Subgroup8,
    /// A workgroup shares what it loads, in its own memory.
    Workgroup,
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
    #[error("{FORCE}={0}: this adapter cannot run it, for want of subgroups that always have 8 lanes")]
    Unfit(String),
}

fn names() -> String {
    Tuning::NAMED.map(|(name, _)| name).join(", ")
}

impl Tuning {
    /// Every way to compute products, by name.
    pub const NAMED: [(&'static str, Self); 10] = [
        ("direct", Self::portable()),
        ("direct-narrow", Self { wide: false, ..Self::portable() }),
        ("direct-mirrored", Self { mirrored: true, ..Self::portable() }),
        ("subgroup8", Self { mirrored: false, ..Self::subgroup8() }),
        ("subgroup8-mirrored", Self::subgroup8()),
        ("workgroup", Self { family: Family::Workgroup, ..Self::portable() }),
        ("direct-winograd2", Self { filtering: Filtering::Winograd2, ..Self::portable() }),
        ("subgroup8-winograd2", Self { filtering: Filtering::Winograd2, ..Self::subgroup8() }),
        ("subgroup8-winograd4", Self { filtering: Filtering::Winograd4, ..Self::subgroup8() }),
        (
            "workgroup-winograd4",
            Self { family: Family::Workgroup, filtering: Filtering::Winograd4, ..Self::portable() },
        ),
    ];

    /// For any adapter, the browser's included.
    pub const fn portable() -> Self {
        Self { family: Family::Direct, workgroups: 256, mirrored: false, wide: true, filtering: Filtering::Direct }
    }

    /// For the software driver, whose subgroups have eight lanes.
    pub const fn subgroup8() -> Self {
        Self { family: Family::Subgroup8, workgroups: 4, mirrored: true, wide: false, filtering: Filtering::Direct }
    }

    /// What fits `gpu`: subgroups of eight and mirrors on a software driver that has them, else the portable one. A
    /// software driver compiles on the processor that is to run the kernels too, and pays more for the pipelines of wide
    /// products than it gains by them.
    pub fn for_gpu(gpu: &Gpu) -> Self {
        let software = gpu.info.device_type == wgpu::DeviceType::Cpu;
        if gpu.prefers_mirrors() { Self::subgroup8() } else { Self { wide: !software, ..Self::portable() } }
    }

    /// The one that the environment [names](FORCE), else what fits `gpu`.
    ///
    /// # Errors
    /// [`TuningError`] for a name that stands for nothing, or for nothing that `gpu` can run.
    pub fn chosen(gpu: &Gpu) -> Result<Self, TuningError> {
        match std::env::var(FORCE) {
            Ok(name) => Self::named(&name, gpu),
            Err(_) => Ok(Self::for_gpu(gpu)),
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
        if tuning.family.runs_on(gpu) { Ok(tuning) } else { Err(TuningError::Unfit(name.to_owned())) }
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
}

impl Family {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Direct, Self::Subgroup8, Self::Workgroup];

    /// Whether `gpu` can run it.
    pub fn runs_on(self, gpu: &Gpu) -> bool {
        match self {
            Self::Direct | Self::Workgroup => true,
            Self::Subgroup8 => gpu.has_subgroups_of(8),
        }
    }

    /// The shared modules in front of a product's own files, and those.
    pub(super) const fn parts(self, own: Kernel) -> [&'static str; 5] {
        match self {
            Self::Direct => [COMMON, TILE, DIRECT, own.operands, own.registers],
            Self::Subgroup8 => [COMMON, TILE, SUBGROUP, own.operands, own.registers],
            Self::Workgroup => [COMMON, TILE, WORKGROUP, own.operands, own.workgroup],
        }
    }

    /// The widths of a tile, as constants of its pipelines: vec4 columns of an invocation; the subgroup family has one, and
    /// spreads columns over the lanes; the workgroup family has two, and sides of 8 or 16 invocations.
    pub(super) const fn widths(self) -> &'static [&'static [(&'static str, u32)]] {
        match self {
            Self::Direct => &[&[("COLUMNS", 1)], &[("COLUMNS", 2)]],
            Self::Subgroup8 => {
                &[&[("COLUMNS", 1), ("SPREAD", 1)], &[("COLUMNS", 1), ("SPREAD", 2)], &[("COLUMNS", 1), ("SPREAD", 4)]]
            }
            Self::Workgroup => &[&[("COLUMNS", 2), ("SIDE", 8)], &[("COLUMNS", 2), ("SIDE", 16)]],
        }
    }
}
