//! Inputs: what a kernel reads as `name(i)`, vec4 number i of a tensor, wherever the driver reads it from.
//!
//! A storage buffer is what every adapter has. Where loads from storage buffers are slow, the same kernel is compiled to
//! read [mirrors](super::Mirror) instead; [`schedule`](super::schedule) decides for each dispatch. And what a split product
//! left in parts, the kernel that reads it adds up, in the parts' order, so that no pass of its own has to. WGSL has no
//! generic bindings, so the declarations are written here, in front of the kernel's text.

use super::dispatch::InputSum;

/// Where the mirror of the input at `binding` is bound: in its buffer's place, or behind all buffers where that is
/// bound too, because it is [updated](Input::updated).
pub(super) fn mirror_binding(binding: u32, updated: bool) -> u32 {
    if updated { binding + 16 } else { binding }
}

/// Finds vec4 i of a mirrored slice in its texture.
const TEXEL: &str = include_str!("../../shaders/texels.wgsl");
/// Finds vec4 (row, column) of a matrix whose mirror lies in panels.
const PANEL: &str = include_str!("../../shaders/panels.wgsl");

/// An input of a shader.
#[derive(Debug, Clone, Copy)]
pub struct Input {
    binding: u32,
    name: &'static str,
    updated: bool,
    matrix: bool,
}

impl Input {
    /// Read as `name(i)`.
    pub const fn new(binding: u32, name: &'static str) -> Self {
        Self { binding, name, updated: false, matrix: false }
    }

    /// Read as `name(i)` and then written as `name_buffer[i]`, in this order.
    pub const fn updated(binding: u32, name: &'static str) -> Self {
        Self { binding, name, updated: true, matrix: false }
    }

    /// Read as `name(i)`, or, where it is [bound as a matrix](super::Dispatch::with_matrix), as
    /// `name_at(row, column, shape)`: that is its vec4 there, and `shape` the rows of the matrix and the vec4s of a
    /// row.
    pub const fn matrix(binding: u32, name: &'static str) -> Self {
        Self { binding, name, updated: false, matrix: true }
    }
}

/// WGSL that declares `inputs`, of which some are `sums`, and the mirrors of some lie in `panels`.
pub(super) fn declarations(inputs: &[Input], texels: bool, panels: &[u32], sums: &[InputSum]) -> String {
    let mut text = String::new();
    if texels {
        text.push_str(TEXEL);
    }
    if !panels.is_empty() {
        text.push_str(PANEL);
    }
    for &Input { binding, name, updated, matrix } in inputs {
        let sum = sums.iter().find(|sum| sum.input == binding);
        if updated || (!texels && sum.is_none()) {
            let access = if updated { "read_write" } else { "read" };
            text.push_str(&format!(
                "@group(0) @binding({binding}) var<storage, {access}> {name}_buffer: array<vec4<f32>>;\n"
            ));
        }
        let value = if let Some(&InputSum { at, count, .. }) = sum {
            text.push_str(&format!("@group(0) @binding({at}) var<storage, read> {name}_parts: array<vec4<f32>>;\n"));
            let part = |number| format!("{name}_parts[i + {number}u * (arrayLength(&{name}_parts) / {count}u)]");
            (0..count).map(part).collect::<Vec<_>>().join("\n        + ")
        } else if texels {
            let binding = mirror_binding(binding, updated);
            text.push_str(&format!(
                "@group(0) @binding({binding}) var {name}_texels: texture_storage_2d<rgba32float, read>;\n"
            ));
            format!("textureLoad({name}_texels, texel(i))")
        } else {
            format!("{name}_buffer[i]")
        };
        text.push_str(&format!("fn {name}(i: u32) -> vec4<f32> {{\n    return {value};\n}}\n"));
        if matrix {
            let value = if panels.contains(&binding) {
                format!("textureLoad({name}_texels, panel_texel(row, column, shape))")
            } else {
                format!("{name}(row * shape.y + column)")
            };
            text.push_str(&format!(
                "fn {name}_at(row: u32, column: u32, shape: vec2<u32>) -> vec4<f32> {{\n    return {value};\n}}\n"
            ));
        }
    }
    text
}
