//! Matrix products (`shaders/gemm.wgsl`).

use bytemuck::{Pod, Zeroable};

use super::COMMON;
use super::tuning::{Family, Kernel, Shaders, Tuning, product_shaders};
use crate::gpu::{Constants, Dispatch, Input, Matrix, Pipeline, Shader, Slice, grid};

const GEMM: Kernel = Kernel {
    operands: include_str!("../../shaders/gemm.wgsl"),
    registers: include_str!("../../shaders/gemm_registers.wgsl"),
    workgroup: include_str!("../../shaders/gemm_workgroup.wgsl"),
    close: Kernel::NO_MOMENTS,
};
const SUM_PARTS: Shader = Shader::with_inputs(
    "sum_parts",
    &[Input::new(1, "parts")],
    &[COMMON, include_str!("../../shaders/sum_parts.wgsl")],
);

/// The binding of the right operand.
const B: u32 = 2;

const OPERANDS: &[Input] = &[Input::new(1, "a"), Input::matrix(B, "b")];

/// How a product's outputs are cut into workgroups, and its sum into parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tiling {
    family: Family,
    /// Which of the family's widths.
    width: usize,
    pub column_tiles: u32,
    pub row_tiles: u32,
    /// Rows of a tile.
    pub tile_rows: u32,
    /// Invocations that share rows and have columns of their own; the side of a workgroup of that family.
    pub across: u32,
    /// Parts of the sum, and the length of one, a multiple of 8.
    pub parts: u32,
    pub chunk: u32,
}

/// The longest sum that is taken in one go, as far as there may be so many parts: its rounding error grows with its length.
const LONGEST_SUM: u32 = 8192;

/// The shortest part worth a second pass.
const SHORTEST_PART: u32 = 256;

/// The most bytes of parts.
const MOST_PARTS_BYTES: u64 = 64 << 20;

impl Tiling {
    /// For `rows` by `n4` vec4 columns of sums over `k`.
    pub fn new(tuning: Tuning, rows: u32, n4: u32, k: u32) -> Self {
        Self::with_sums(tuning, [rows, n4], k, LONGEST_SUM)
    }

    /// The same, with no part longer than `longest` while there is room for as many.
    pub fn with_sums(tuning: Tuning, [rows, n4]: [u32; 2], k: u32, longest: u32) -> Self {
        let family = tuning.family;
        let (width, columns, across) = match family {
            Family::Direct if tuning.wide && n4 > 8 => (1, 16, 8),
            Family::Direct => {
                let across = n4.next_power_of_two().min(8);
                (0, across, across)
            }
            Family::Subgroup8 => match n4 {
                1 => (0, 1, 1),
                2 => (1, 2, 2),
                _ => (2 + usize::from(tuning.tall), 4, 4),
            },
            // Large tiles where there are enough of them.
            Family::Workgroup | Family::WorkgroupHalf if n4.div_ceil(32) * rows.div_ceil(128) >= tuning.workgroups => {
                (1, 32, 16)
            }
            Family::Workgroup | Family::WorkgroupHalf => (0, 16, 8),
            Family::Cooperative8 | Family::Cooperative16 => (0, 32, 16),
        };
        let tile_rows = match family {
            Family::Direct => 64 / across * 8,
            Family::Subgroup8 if columns == 4 && !tuning.tall => 32,
            Family::Subgroup8 => 64,
            Family::Workgroup | Family::WorkgroupHalf | Family::Cooperative8 | Family::Cooperative16 => 8 * across,
        };
        let (column_tiles, row_tiles) = (n4.div_ceil(columns), rows.div_ceil(tile_rows));
        let wanted = tuning.workgroups.div_ceil(column_tiles * row_tiles).min(k / SHORTEST_PART);
        let bytes = 16 * u64::from(rows) * u64::from(n4);
        let most = (MOST_PARTS_BYTES / bytes.max(1)).clamp(1, 64) as u32;
        let parts = wanted.max(k.div_ceil(longest)).clamp(1, most);
        let chunk = k.div_ceil(parts).next_multiple_of(8).max(8);
        let parts = k.div_ceil(chunk).max(1);
        Self { family, width, column_tiles, row_tiles, tile_rows, across, parts, chunk }
    }

    /// The same tiles for another number of rows.
    pub fn of_rows(self, rows: u32) -> Self {
        Self { row_tiles: rows.div_ceil(self.tile_rows), ..self }
    }

    /// A product's dispatch up to its operands, bindings 1 and 2: its pipeline has the `constants` and those of the tile.
    pub fn dispatch<P: Pod>(
        &self,
        label: &'static str,
        shaders: &Shaders,
        mut constants: Constants,
        params: &P,
        [a, b]: [Slice; 2],
    ) -> Dispatch {
        constants.extend(self.family.widths()[self.width]);
        let pipeline = pipeline(shaders[self.family as usize], constants);
        Dispatch::new(label, pipeline, params, self.workgroups()).loads(a).loads(b)
    }

    fn workgroups(&self) -> [u32; 3] {
        let [x, y, _] = grid(self.column_tiles * self.row_tiles);
        [x, y, self.parts]
    }
}

/// What a split product leaves: matrices of one size, one behind the other, to be added up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parts {
    /// Where they lie, and nothing else.
    pub slice: Slice,
    /// How many they are.
    pub count: u32,
    /// vec4s of a row.
    pub n4: u32,
    /// What belongs on every row of the sum, `[4 n4]`.
    pub bias: Option<Slice>,
}

impl Parts {
    /// Adds them up in `out`.
    pub fn sum(&self, label: &'static str, out: Slice) -> Dispatch {
        #[repr(C)]
        #[derive(Clone, Copy, Pod, Zeroable)]
        struct Params {
            len: u32,
            parts: u32,
            n4: u32,
            bias: u32,
        }
        let len = (self.slice.bytes / 16) as u32 / self.count;
        let params = Params { len, parts: self.count, n4: self.n4, bias: u32::from(self.bias.is_some()) };
        Dispatch::new(label, sum_parts_pipeline(), &params, grid(len.div_ceil(64)))
            .loads(self.slice)
            .reads(self.bias.unwrap_or(self.slice))
            .writes(out)
    }
}

fn sum_parts_pipeline() -> Pipeline {
    Pipeline::new(SUM_PARTS, "sum_parts", Vec::new())
}

/// How the operands lie. C is always `[m, n]`, row-major.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Op {
    /// `A [m, k]`, `B [k, n]`
    Nn,
    /// `A [m, k]`, `B [n, k]`
    Nt,
    /// `A [k, m]`, `B [k, n]`
    Tn,
}

/// One product. Every contiguous dimension is a multiple of 4; m in [`Op::Nn`] and [`Op::Nt`], and k in [`Op::Tn`], may
/// be any number from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gemm {
    /// Rows of C.
    pub m: u32,
    /// Columns of C.
    pub n: u32,
    /// Terms of each sum.
    pub k: u32,
    /// How A and B lie.
    pub op: Op,
    /// Which of the operands is a gradient, which f16 holds only when it is scaled.
    pub gradient: Option<Gradient>,
    /// How it is computed.
    pub tuning: Tuning,
}

/// An operand that is the gradient of a loss that is a mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gradient {
    /// A, over as many samples as it has rows.
    A,
    /// B, over as many samples as the sum has terms.
    B,
}

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    m: u32,
    n4: u32,
    k: u32,
    chunk: u32,
    column_tiles: u32,
    across: u32,
    scales: [f32; 2],
}

impl Gemm {
    fn tiling(&self) -> Tiling {
        Tiling::new(self.tuning, self.m, self.n / 4, self.k)
    }

    /// What A and B are multiplied by before they are rounded.
    fn scales(&self) -> [f32; 2] {
        let scale = |rows| self.tuning.precision().gradient_scale(rows);
        match self.gradient {
            None => [1.0; 2],
            Some(Gradient::A) => [scale(self.m), 1.0],
            Some(Gradient::B) => [1.0, scale(self.k)],
        }
    }

    /// Bytes of the workspace; 0 where none is needed.
    pub fn workspace_bytes(&self) -> u64 {
        match self.tiling().parts {
            1 => 0,
            parts => 4 * u64::from(parts) * u64::from(self.m) * u64::from(self.n),
        }
    }

    /// `C = A B (+ bias)`; `bias [n]`, `workspace` of [`Self::workspace_bytes`].
    ///
    /// # Panics
    /// Without the workspace it needs: a defect of the caller.
    pub fn dispatches(
        &self,
        label: &'static str,
        operands: [Slice; 2],
        bias: Option<Slice>,
        c: Slice,
        workspace: Option<Slice>,
    ) -> Vec<Dispatch> {
        let tiling = self.tiling();
        if tiling.parts == 1 {
            let constants = constants(self.op, bias.is_some());
            return vec![self.with_matrix(self.product(label, &tiling, constants, operands, bias, c))];
        }
        let (product, parts) =
            self.split(label, &tiling, operands, bias, workspace.expect("a split product needs a workspace"));
        vec![product, parts.sum(label, c)]
    }

    /// The same without the last step, for a reader that [adds the parts up](Dispatch::sums) as it goes; nothing where the
    /// product isn't split, and nothing where readers want [mirrors](crate::gpu::Mirror).
    pub fn in_parts(
        &self,
        label: &'static str,
        operands: [Slice; 2],
        bias: Option<Slice>,
        workspace: impl FnOnce(u64) -> Slice,
    ) -> Option<(Dispatch, Parts)> {
        let tiling = self.tiling();
        let wanted = tiling.parts > 1 && !self.tuning.mirrored;
        wanted.then(|| self.split(label, &tiling, operands, bias, workspace(self.workspace_bytes())))
    }

    fn split(
        &self,
        label: &'static str,
        tiling: &Tiling,
        operands: [Slice; 2],
        bias: Option<Slice>,
        workspace: Slice,
    ) -> (Dispatch, Parts) {
        // It may be one that several products use in turn.
        let slice = Slice { bytes: self.workspace_bytes(), ..workspace };
        let product = self.with_matrix(self.product(label, tiling, constants(self.op, false), operands, None, slice));
        (product, Parts { slice, count: tiling.parts, n4: self.n / 4, bias })
    }

    /// `product`, of one B, which it reads by row and column where B lies along its columns.
    fn with_matrix(&self, product: Dispatch) -> Dispatch {
        match self.op {
            Op::Nt => product,
            Op::Nn | Op::Tn => product.with_matrix(B, Matrix { rows: self.k, columns: self.n / 4 }),
        }
    }

    /// As many products at once, their matrices one behind the other, and not split. For [`Op::Nn`] and [`Op::Tn`]; the
    /// latter can be added to what is in C.
    pub(super) fn each_of(
        &self,
        count: u32,
        label: &'static str,
        operands: [Slice; 2],
        c: Slice,
        adding: bool,
    ) -> Dispatch {
        let tiling = Tiling { parts: count, chunk: self.k, ..Tiling::new(self.tuning, self.m, self.n / 4, 0) };
        let product = self.product(label, &tiling, batched(self.op, adding), operands, None, c);
        let flops = u64::from(count) * product.flops;
        product.flops(flops)
    }

    fn product(
        &self,
        label: &'static str,
        tiling: &Tiling,
        constants: Constants,
        operands: [Slice; 2],
        bias: Option<Slice>,
        out: Slice,
    ) -> Dispatch {
        let &Tiling { chunk, column_tiles, across, .. } = tiling;
        let params =
            Params { m: self.m, n4: self.n / 4, k: self.k, chunk, column_tiles, across, scales: self.scales() };
        tiling
            .dispatch(label, &SHADERS, constants, &params, operands)
            .reads(bias.unwrap_or(operands[1]))
            .writes(out)
            .flops(2 * u64::from(self.m) * u64::from(self.n) * u64::from(self.k))
    }
}

const SHADERS: Shaders = product_shaders!("gemm", GEMM);

fn constants(op: Op, bias: bool) -> Constants {
    vec![("OP", op as u32), ("BIAS", u32::from(bias)), ("BATCHED", 0), ("ADDING", 0)]
}

fn batched(op: Op, adding: bool) -> Constants {
    vec![("OP", op as u32), ("BIAS", 0), ("BATCHED", 1), ("ADDING", u32::from(adding))]
}

fn pipeline(shader: Shader, constants: Constants) -> Pipeline {
    Pipeline::new(shader, "product", constants)
}

/// The pipelines of a product's `shaders` with each of the constants, in every width of `families`.
pub(super) fn family_variants(
    shaders: &Shaders,
    families: impl IntoIterator<Item = Family>,
    constants: &[Constants],
) -> Vec<Pipeline> {
    let mut all = Vec::new();
    for family in families {
        for width in family.widths() {
            all.extend(constants.iter().map(|own| pipeline(shaders[family as usize], [own, *width].concat())));
        }
    }
    all
}

/// Every pipeline that the dispatches above can ask for.
pub fn variants() -> Vec<Pipeline> {
    let mut own = vec![batched(Op::Nn, false), batched(Op::Tn, false), batched(Op::Tn, true)];
    for op in [Op::Nn, Op::Nt, Op::Tn] {
        own.extend([false, true].map(|bias| constants(op, bias)));
    }
    let columns: Vec<Constants> =
        [Op::Nn, Op::Tn].into_iter().flat_map(|op| [false, true].map(|bias| constants(op, bias))).collect();
    let in_panels = |product: Pipeline| Pipeline { texels: true, panels: vec![B], ..product };
    let from_panels = family_variants(&SHADERS, Family::ALL, &columns).into_iter().map(in_panels).collect();
    [vec![sum_parts_pipeline()], family_variants(&SHADERS, Family::ALL, &own), from_panels].concat()
}
