//! Tensors mirrored into textures, for adapters that load texels faster than they load from storage buffers.
//!
//! The software driver (lavapipe) turns a load from a storage buffer into a loop over the eight lanes of a subgroup, each
//! with its bounds check and its own insertion into the result, which without AVX-512 goes through memory. A load from
//! a storage texture is straight code: eight loads of 16 bytes and a transposition in registers. Measured on two
//! threads of an AMD Zen 3 without AVX-512, Mesa 22.3: storage buffers 1.2 GB/s, texels 20 GB/s; copying a tensor costs 8 GB/s once.
//!
//! A kernel that reads its [inputs](super::Input) from mirrors finds vec4 `i` of the slice at the texel that
//! `shaders/texels.wgsl` names. [`schedule`] decides where the copies are made: before the first dispatch that reads the
//! slice, and again where something has written it since. At the start of a step nothing is up to date, because the host
//! may have written, and because the textures are shared.

use std::ops::RangeInclusive;

use super::{Binding, Dispatch, Gpu, GpuError, Slice, Stage};

/// vec4s of the slice in a row of its texture, as `shaders/texels.wgsl` knows.
const WIDTH: u32 = 1024;

/// Texels at the end of a row that hold nothing. Rows of matrices are often a power of two long: without the gap the
/// lines of a column would fall into one set of every cache (gemm 1024^3: 40 instead of 48 GFLOP/s).
const GAP: u32 = 4;

/// Rows of the tallest texture that every WebGPU adapter has.
const MAX_ROWS: u32 = 8192;

const TEXEL_BYTES: u32 = 16;

/// Whether a slice of that many bytes can be mirrored; larger ones have to be read as buffers.
fn fits_mirror(bytes: u64) -> bool {
    rows(bytes) <= u64::from(MAX_ROWS)
}

fn rows(bytes: u64) -> u64 {
    bytes.div_ceil(u64::from(WIDTH * TEXEL_BYTES))
}

/// Bytes of the texture that mirrors a slice of that many bytes.
pub fn mirror_bytes(bytes: u64) -> u64 {
    rows(bytes) * u64::from((WIDTH + GAP) * TEXEL_BYTES)
}

/// A copy of a slice into a texture, made before a dispatch of its stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refresh {
    /// Number of that dispatch.
    pub before: usize,
    /// What is copied.
    pub slice: Slice,
    /// Number of the texture.
    pub texture: usize,
}

/// A mirror's life: from its copy to the last dispatch that reads it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MirrorSpan {
    /// What is mirrored.
    pub slice: Slice,
    /// First and last dispatch that reads it, counted over all stages.
    pub lifetime: RangeInclusive<usize>,
}

/// Lets the dispatches of `stages` read their inputs from mirrors, where `mirrored` and where all of them fit. Puts the
/// refreshes that this needs into the stages, each with a texture of its own, and returns the textures' lives, by number.
/// Textures whose lives do not meet may be one.
pub fn schedule(stages: &mut [Stage], mirrored: bool) -> Vec<MirrorSpan> {
    let mut spans: Vec<MirrorSpan> = Vec::new();
    let mut fresh: Vec<usize> = Vec::new();
    let mut time = 0;
    for stage in stages {
        stage.refreshes.clear();
        for (before, dispatch) in stage.dispatches.iter_mut().enumerate() {
            dispatch.pipeline.texels = mirrored && can_mirror(dispatch);
            let texels = dispatch.pipeline.texels;
            for binding in dispatch.bindings.iter().filter(|binding| texels && binding.access.is_input()) {
                if let Some(&texture) = fresh.iter().find(|&&texture| spans[texture].slice == binding.slice) {
                    spans[texture].lifetime = *spans[texture].lifetime.start()..=time;
                    continue;
                }
                let texture = spans.len();
                spans.push(MirrorSpan { slice: binding.slice, lifetime: time..=time });
                stage.refreshes.push(Refresh { before, slice: binding.slice, texture });
                fresh.push(texture);
            }
            for written in dispatch.bindings.iter().filter(|binding| binding.access.writes()) {
                fresh.retain(|&texture| !spans[texture].slice.overlaps(&written.slice));
            }
            time += 1;
        }
    }
    spans
}

fn can_mirror(dispatch: &Dispatch) -> bool {
    let mut inputs = dispatch.bindings.iter().filter(|binding| binding.access.is_input()).peekable();
    inputs.peek().is_some() && inputs.all(|Binding { slice, .. }| fits_mirror(slice.bytes))
}

/// A texture that slices are mirrored into.
#[derive(Debug, Clone)]
pub struct Mirror {
    texture: wgpu::Texture,
    pub(super) view: wgpu::TextureView,
}

impl Mirror {
    /// A mirror for slices of up to `slice_bytes` bytes.
    ///
    /// # Errors
    /// [`GpuError::TooLarge`] for a slice that does not fit.
    pub fn new(gpu: &Gpu, slice_bytes: u64) -> Result<Self, GpuError> {
        if !fits_mirror(slice_bytes) {
            let limit = u64::from(WIDTH * TEXEL_BYTES) * u64::from(MAX_ROWS);
            return Err(GpuError::TooLarge { what: "a mirrored tensor".into(), bytes: slice_bytes, limit });
        }
        let texture = gpu.texture(&wgpu::TextureDescriptor {
            label: Some("mirror"),
            size: extent(WIDTH + GAP, rows(slice_bytes) as u32),
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

    /// Its bytes, read off the texture itself.
    pub fn bytes(&self) -> u64 {
        u64::from(self.texture.width()) * u64::from(self.texture.height()) * u64::from(TEXEL_BYTES)
    }

    /// Copies `bytes` bytes of `buffer` from `offset`: the whole rows, then what is left over.
    pub(super) fn copy(&self, encoder: &mut wgpu::CommandEncoder, buffer: &wgpu::Buffer, offset: u64, bytes: u64) {
        let row = u64::from(WIDTH * TEXEL_BYTES);
        let whole = bytes / row;
        let rest = (bytes % row).div_ceil(u64::from(TEXEL_BYTES));
        for (first, width, height) in [(0, WIDTH, whole as u32), (whole as u32, rest as u32, 1)] {
            if width == 0 || height == 0 {
                continue;
            }
            let layout = wgpu::TexelCopyBufferLayout {
                offset: offset + u64::from(first) * row,
                bytes_per_row: Some(row as u32),
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
        let spans = schedule(&mut stages, true);
        let lives: Vec<_> = spans.iter().map(|span| (span.slice, span.lifetime.clone())).collect();
        assert_eq!(lives, [(x, 0..=2), (high, 1..=4), (x, 4..=4)]);
        let refreshed = |stage: &Stage| stage.refreshes.iter().map(|r| (r.before, r.texture)).collect::<Vec<_>>();
        assert_eq!(refreshed(&stages[0]), [(0, 0), (1, 1)]);
        assert_eq!(refreshed(&stages[1]), [(2, 2)], "what was written elsewhere in the tensor stays up to date");
    }

    #[test]
    fn what_does_not_fit_or_is_not_wanted_stays_in_its_buffer() {
        let (large, small) = (slice(0, 0, (128 << 20) + 16), slice(1, 0, 64));
        for (dispatch, mirrored) in [
            (dispatch().loads(large).loads(small), true),
            (dispatch().loads(small), false),
            (dispatch().reads(small), true),
        ] {
            let mut stages = vec![Stage::new("a", vec![dispatch])];
            assert_eq!(schedule(&mut stages, mirrored), []);
            assert!(!stages[0].dispatches[0].pipeline.texels);
        }
    }

    #[test]
    fn sizes_are_whole_rows_up_to_the_limit() {
        assert_eq!([0, 16, 16_384, 16_385].map(rows), [0, 1, 1, 2]);
        assert_eq!(mirror_bytes(16), 1028 * 16);
        assert!(fits_mirror(128 << 20));
        assert!(!fits_mirror((128 << 20) + 1));
    }
}
