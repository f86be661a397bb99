//! Tensors mirrored into textures, for adapters that load texels faster than they load from storage buffers.
//!
//! The software driver (lavapipe) turns a load from a storage buffer into a loop over the eight lanes of a subgroup, each
//! with its bounds check and its own insertion into the result, which without AVX-512 goes through memory. A load from
//! a storage texture is straight code: eight loads of 16 bytes and a transposition in registers. Measured on two
//! threads of an AMD Zen 3 without AVX-512, Mesa 22.3: storage buffers 1.2 GB/s, texels 20 GB/s; copying a tensor costs
//! 8 GB/s once.
//!
//! A kernel that reads its [inputs](super::Input) from mirrors finds vec4 `i` of the slice at the texel that
//! `shaders/texels.wgsl` names. Where it goes down the columns of a [matrix](Dispatch::with_matrix), the mirror lies in
//! [panels](Form::Panels), so that what follows lies near. [`schedule`] decides where the copies are made: before the first
//! dispatch that reads the slice, and again where something has written it since. At the start of a step nothing is up to
//! date, because the host may have written, and because the textures are shared.

use std::collections::HashSet;
use std::ops::RangeInclusive;

use super::{Dispatch, Gpu, GpuError, Slice, Stage, has_avx512};

/// vec4s of the slice in a row of its texture, as `shaders/texels.wgsl` knows.
const WIDTH: u32 = 1024;

/// Texels at the end of a row that hold nothing. Rows of matrices are often a power of two long: without the gap the
/// lines of a column would fall into one set of every cache (gemm 1024^3: 40 instead of 48 GFLOP/s).
const GAP: u32 = 4;

/// Rows of the tallest texture that every WebGPU adapter has.
const MAX_ROWS: u32 = 8192;

const TEXEL_BYTES: u32 = 16;

/// Columns of a panel, as `shaders/panels.wgsl` knows. Every panel is a copy of its own, and copies cost something each.
const PANEL: u32 = 32;

/// Fewest rows of a matrix that is worth panels: a column of fewer stays in the caches wherever it lies.
const FEWEST_PANEL_ROWS: u32 = 256;

/// How a slice lies in its texture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Form {
    /// Its vec4s in order, 1024 in a row.
    Lines,
    /// A matrix, 32 of its columns in a panel, and a panel below the other. A row of the matrix may be a page of
    /// memory: down a column no processor fetches ahead across pages, but down a panel it does (gemm 1024^3: 0.92 of
    /// the time).
    Panels(Matrix),
}

/// A slice as a matrix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Matrix {
    /// Its rows.
    pub rows: u32,
    /// vec4s in a row.
    pub columns: u32,
}

impl Matrix {
    fn row_bytes(self) -> u32 {
        self.columns * TEXEL_BYTES
    }

    fn panels(self) -> u32 {
        self.columns.div_ceil(PANEL)
    }

    /// Whether panels of it can be made, and are of use.
    fn suits_panels(self) -> bool {
        self.columns > PANEL
            && self.row_bytes().is_multiple_of(wgpu::COPY_BYTES_PER_ROW_ALIGNMENT)
            && self.rows >= FEWEST_PANEL_ROWS
            && Form::Panels(self).sheet(0).fits()
    }
}

impl Form {
    /// The form of the mirror of what a kernel may read as a `matrix`.
    pub(super) fn of(matrix: Option<Matrix>) -> Self {
        matrix.filter(|matrix| matrix.suits_panels()).map_or(Self::Lines, Self::Panels)
    }

    /// The texture that a mirror of `bytes` bytes needs.
    pub(crate) fn sheet(self, bytes: u64) -> Sheet {
        match self {
            Self::Lines => Sheet { width: WIDTH + GAP, rows: bytes.div_ceil(u64::from(WIDTH * TEXEL_BYTES)) },
            Self::Panels(matrix) => {
                Sheet { width: PANEL + GAP, rows: u64::from(matrix.rows) * u64::from(matrix.panels()) }
            }
        }
    }
}

/// The size of a texture for mirrors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sheet {
    /// Texels in a row, the gap included.
    pub width: u32,
    /// Rows.
    pub rows: u64,
}

impl Sheet {
    /// Its bytes.
    pub fn bytes(self) -> u64 {
        self.rows * u64::from(self.width * TEXEL_BYTES)
    }

    /// Whether a texture can be so tall.
    fn fits(self) -> bool {
        self.rows <= u64::from(MAX_ROWS)
    }

    /// Whether what needs `other` finds room on it.
    pub fn holds(self, other: Self) -> bool {
        self.width == other.width && self.rows >= other.rows
    }
}

/// A copy of a slice into a texture, made before a dispatch of its stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refresh {
    /// Number of that dispatch.
    pub before: usize,
    /// What is copied.
    pub slice: Slice,
    /// How it lies there.
    pub form: Form,
    /// Number of the texture.
    pub texture: usize,
}

/// A mirror's life: from its copy to the last dispatch that reads it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MirrorSpan {
    /// What is mirrored.
    pub slice: Slice,
    /// How.
    pub form: Form,
    /// First and last dispatch that reads it, counted over all stages.
    pub lifetime: RangeInclusive<usize>,
}

impl MirrorSpan {
    /// The texture that it needs.
    pub fn sheet(&self) -> Sheet {
        self.form.sheet(self.slice.bytes)
    }
}

/// Which dispatches read their inputs from mirrors, in the order of the memory that this takes. The same bits come out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mirroring {
    /// None: buffers load as fast.
    Off,
    /// Those that read some of it more than once.
    Rereading,
    /// Those too that read [once](Dispatch::reading_once) what they read.
    All,
}

impl Mirroring {
    /// The fastest, where anything is to be `mirrored`, which only software drivers like. With AVX-512 these put what a
    /// lane loads into the vector within registers, and a copy to be read once costs more than it saves; without, it
    /// saves half of an update's time.
    pub fn fastest(mirrored: bool) -> Self {
        match (mirrored, has_avx512()) {
            (false, _) => Self::Off,
            (true, true) => Self::Rereading,
            (true, false) => Self::All,
        }
    }

    fn covers(self, dispatch: &Dispatch) -> bool {
        match self {
            Self::Off => false,
            Self::Rereading => !dispatch.once,
            Self::All => true,
        }
    }
}

/// Lets the dispatches of `stages` read their inputs from mirrors, those of `mirroring` and where all inputs fit. Puts the
/// refreshes that this needs into the stages, each with a texture of its own, and returns the textures' lives, by number.
/// Textures whose lives do not meet may be one.
pub fn schedule(stages: &mut [Stage], mirroring: Mirroring) -> Vec<MirrorSpan> {
    read_in_one_way(stages);
    let mut spans: Vec<MirrorSpan> = Vec::new();
    let mut fresh: Vec<usize> = Vec::new();
    let mut time = 0;
    for stage in stages {
        stage.refreshes.clear();
        for (before, dispatch) in stage.dispatches.iter_mut().enumerate() {
            dispatch.pipeline.texels = mirroring.covers(dispatch) && can_mirror(dispatch);
            for (slice, form) in dispatch.mirrors() {
                let same = |span: &MirrorSpan| (span.slice, span.form) == (slice, form);
                if let Some(&texture) = fresh.iter().find(|&&texture| same(&spans[texture])) {
                    spans[texture].lifetime = *spans[texture].lifetime.start()..=time;
                    continue;
                }
                let texture = spans.len();
                spans.push(MirrorSpan { slice, form, lifetime: time..=time });
                stage.refreshes.push(Refresh { before, slice, form, texture });
                fresh.push(texture);
            }
            dispatch.pipeline.panels = dispatch.inputs_in_panels();
            for written in dispatch.bindings.iter().filter(|binding| binding.access.writes()) {
                fresh.retain(|&texture| !spans[texture].slice.overlaps(&written.slice));
            }
            time += 1;
        }
    }
    spans
}

/// A matrix that some dispatch reads along its rows is no matrix to the others: a second copy costs more than panels save.
fn read_in_one_way(stages: &mut [Stage]) {
    let dispatches = stages.iter().flat_map(|stage| &stage.dispatches);
    let inputs = dispatches.flat_map(|dispatch| &dispatch.bindings).filter(|binding| binding.access.is_input());
    let in_order: HashSet<Slice> =
        inputs.filter(|binding| binding.matrix.is_none()).map(|binding| binding.slice).collect();
    let dispatches = stages.iter_mut().flat_map(|stage| &mut stage.dispatches);
    for binding in dispatches.flat_map(|dispatch| &mut dispatch.bindings) {
        binding.matrix = binding.matrix.filter(|_| !in_order.contains(&binding.slice));
    }
}

fn can_mirror(dispatch: &Dispatch) -> bool {
    let mut inputs = dispatch.bindings.iter().filter(|binding| binding.access.is_input()).peekable();
    inputs.peek().is_some() && inputs.all(|binding| binding.form().sheet(binding.slice.bytes).fits())
}

/// A texture that slices are mirrored into.
#[derive(Debug, Clone)]
pub struct Mirror {
    texture: wgpu::Texture,
    pub(super) view: wgpu::TextureView,
}

impl Mirror {
    /// A mirror of that size.
    ///
    /// # Errors
    /// [`GpuError::TooLarge`] for one that is too tall.
    pub fn new(gpu: &Gpu, sheet: Sheet) -> Result<Self, GpuError> {
        if !sheet.fits() {
            let limit = Sheet { rows: u64::from(MAX_ROWS), ..sheet }.bytes();
            return Err(GpuError::TooLarge { what: "a mirrored tensor".into(), bytes: sheet.bytes(), limit });
        }
        let texture = gpu.texture(&wgpu::TextureDescriptor {
            label: Some("mirror"),
            size: extent(sheet.width, sheet.rows as u32),
            mip_level_count: 1,
            sample_count: 1,
            dimension: wgpu::TextureDimension::D2,
            format: wgpu::TextureFormat::Rgba32Float,
            usage: wgpu::TextureUsages::STORAGE_BINDING | wgpu::TextureUsages::COPY_DST,
            view_formats: &[],
        });
        let view = texture.create_view(&wgpu::TextureViewDescriptor::default());
        Ok(Self { texture, view })
    }

    /// Its size, read off the texture itself.
    pub fn sheet(&self) -> Sheet {
        Sheet { width: self.texture.width(), rows: u64::from(self.texture.height()) }
    }

    /// Copies `bytes` bytes of `buffer` from `offset` in that form.
    pub(super) fn copy(
        &self,
        encoder: &mut wgpu::CommandEncoder,
        buffer: &wgpu::Buffer,
        offset: u64,
        bytes: u64,
        form: Form,
    ) {
        for Patch { offset: start, pitch, width, height, first } in patches(bytes, form) {
            let layout = wgpu::TexelCopyBufferLayout {
                offset: offset + start,
                bytes_per_row: Some(pitch),
                rows_per_image: None,
            };
            let target = wgpu::TexelCopyTextureInfo {
                origin: wgpu::Origin3d { x: 0, y: first, z: 0 },
                ..self.texture.as_image_copy()
            };
            encoder.copy_buffer_to_texture(wgpu::TexelCopyBufferInfo { buffer, layout }, target, extent(width, height));
        }
    }
}

/// A rectangle to be copied: its first byte and the bytes between its rows in the buffer, its texels in a row and its rows,
/// and its first row in the texture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Patch {
    offset: u64,
    pitch: u32,
    width: u32,
    height: u32,
    first: u32,
}

/// What a slice of `bytes` bytes is copied in: whole lines, then what is left over; or panel by panel.
fn patches(bytes: u64, form: Form) -> Vec<Patch> {
    match form {
        Form::Lines => {
            let pitch = WIDTH * TEXEL_BYTES;
            let whole = (bytes / u64::from(pitch)) as u32;
            let rest = (bytes % u64::from(pitch)).div_ceil(u64::from(TEXEL_BYTES)) as u32;
            let lines = Patch { offset: 0, pitch, width: WIDTH, height: whole, first: 0 };
            let last =
                Patch { offset: u64::from(whole) * u64::from(pitch), width: rest, height: 1, first: whole, ..lines };
            [lines, last].into_iter().filter(|patch| patch.width > 0 && patch.height > 0).collect()
        }
        Form::Panels(matrix) => {
            let panel = |number| {
                let first_column = number * PANEL;
                Patch {
                    offset: u64::from(first_column * TEXEL_BYTES),
                    pitch: matrix.row_bytes(),
                    width: PANEL.min(matrix.columns - first_column),
                    height: matrix.rows,
                    first: number * matrix.rows,
                }
            };
            (0..matrix.panels()).map(panel).collect()
        }
    }
}

fn extent(width: u32, height: u32) -> wgpu::Extent3d {
    wgpu::Extent3d { width, height, depth_or_array_layers: 1 }
}

#[cfg(test)]
mod tests {
    use super::super::{Pipeline, Shader, TensorId};
    use super::*;

    fn slice(tensor: u32, offset: u64, bytes: u64) -> Slice {
        Slice { tensor: TensorId(tensor), offset, bytes }
    }

    fn dispatch() -> Dispatch {
        let pipeline = Pipeline::new(Shader::new("none", &[]), "none", Vec::new());
        Dispatch::new("test", pipeline, &[0u32; 4], [1, 1, 1])
    }

    #[test]
    fn a_mirror_is_made_once_and_again_after_a_write() {
        let (x, other) = (slice(0, 0, 4096), slice(1, 0, 64));
        let [low, high] = [slice(0, 0, 1024), slice(0, 1024, 1024)];
        let mut stages = vec![
            Stage::new("a", vec![dispatch().loads(x).writes(other), dispatch().loads(x).loads(high)]),
            Stage::new("b", vec![dispatch().loads(x), dispatch().writes(low), dispatch().loads(x).loads(high)]),
        ];
        let spans = schedule(&mut stages, Mirroring::All);
        let lives: Vec<_> = spans.iter().map(|span| (span.slice, span.lifetime.clone())).collect();
        assert_eq!(lives, [(x, 0..=2), (high, 1..=4), (x, 4..=4)]);
        let refreshed = |stage: &Stage| stage.refreshes.iter().map(|r| (r.before, r.texture)).collect::<Vec<_>>();
        assert_eq!(refreshed(&stages[0]), [(0, 0), (1, 1)]);
        assert_eq!(refreshed(&stages[1]), [(2, 2)], "what was written elsewhere in the tensor stays up to date");
    }

    #[test]
    fn what_does_not_fit_or_is_not_wanted_stays_in_its_buffer() {
        let (large, small) = (slice(0, 0, (128 << 20) + 16), slice(1, 0, 64));
        for (dispatch, mirroring) in [
            (dispatch().loads(large).loads(small), Mirroring::All),
            (dispatch().loads(small), Mirroring::Off),
            (dispatch().reads(small), Mirroring::All),
            (dispatch().loads(small).reading_once(), Mirroring::Rereading),
        ] {
            let mut stages = vec![Stage::new("a", vec![dispatch])];
            assert_eq!(schedule(&mut stages, mirroring), []);
            assert!(!stages[0].dispatches[0].pipeline.texels);
        }
    }

    #[test]
    fn sizes_are_whole_rows_up_to_the_limit() {
        let rows = |bytes| Form::Lines.sheet(bytes).rows;
        assert_eq!([0, 16, 16_384, 16_385].map(rows), [0, 1, 1, 2]);
        assert_eq!(Form::Lines.sheet(16).bytes(), 1028 * 16);
        assert!(Form::Lines.sheet(128 << 20).fits());
        assert!(!Form::Lines.sheet((128 << 20) + 1).fits());
        let matrix = Matrix { rows: 300, columns: 80 };
        assert_eq!(Form::Panels(matrix).sheet(1 << 20), Sheet { width: 36, rows: 900 });
    }

    #[test]
    fn panels_are_for_matrices_that_they_suit() {
        let of = |rows, columns| Form::of(Some(Matrix { rows, columns }));
        assert_eq!(of(1024, 256), Form::Panels(Matrix { rows: 1024, columns: 256 }));
        assert_eq!(of(255, 256), Form::Lines, "few rows");
        assert_eq!(of(1025, 256), Form::Lines, "8200 rows of texels");
        assert_eq!(of(1024, 250), Form::Lines, "rows of 4000 bytes cannot be copied from");
        assert_eq!(of(1024, 32), Form::Lines, "a panel as it is");
        assert_eq!(Form::of(None), Form::Lines);
    }

    #[test]
    fn copies_cover_a_slice_once() {
        let lines = patches(16_384 * 2 + 48, Form::Lines);
        let sizes: Vec<_> = lines.iter().map(|patch| (patch.offset, patch.width, patch.height, patch.first)).collect();
        assert_eq!(sizes, [(0, 1024, 2, 0), (32_768, 3, 1, 2)]);
        let panels = patches(1 << 20, Form::Panels(Matrix { rows: 300, columns: 80 }));
        let sizes: Vec<_> = panels.iter().map(|patch| (patch.offset, patch.width, patch.height, patch.first)).collect();
        assert_eq!(sizes, [(0, 32, 300, 0), (512, 32, 300, 300), (1024, 16, 300, 600)]);
    }

    #[test]
    fn only_a_matrix_that_is_read_in_one_way_lies_in_panels() {
        let shape = Matrix { rows: 1024, columns: 256 };
        let matrices = [slice(0, 0, 1024 * 4096), slice(1, 0, 1024 * 4096)];
        let [first, second] = matrices.map(|matrix| dispatch().loads(matrix).with_matrix(1, shape));
        let mut stages = vec![Stage::new("a", vec![first, second, dispatch().loads(matrices[1])])];
        let spans = schedule(&mut stages, Mirroring::All);
        let forms: Vec<_> = spans.iter().map(|span| (span.slice, span.form)).collect();
        assert_eq!(forms, [(matrices[0], Form::Panels(shape)), (matrices[1], Form::Lines)]);
        let panels =
            |stages: &[Stage]| stages[0].dispatches.iter().map(|d| d.pipeline.panels.clone()).collect::<Vec<_>>();
        assert_eq!(panels(&stages), [vec![1], vec![], vec![]]);
        assert_eq!(schedule(&mut stages, Mirroring::Off), []);
        assert_eq!(panels(&stages), [[0u32; 0]; 3]);
    }
}
