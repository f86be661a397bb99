//! Inputs that a shader reads as `name(i)`, its vec4 number i, whether a storage buffer or a mirror of it is bound.
//!
//! A kernel that can have both lists two shaders that differ in this part; what mirrors win, and where, says
//! [`crate::gpu::Mirror`]'s module.

/// `shaders/texels.wgsl`, which a part made by [`from_texels`] needs.
pub(crate) const TEXELS: &str = include_str!("../../shaders/texels.wgsl");

/// WGSL that declares inputs (binding and name of each) as storage buffers.
macro_rules! from_buffers {
    ($($binding:literal $name:literal),+) => {
        concat!($(
            "@group(0) @binding(", $binding, ") var<storage, read> ", $name, "_values: array<vec4<f32>>;\n",
            "fn ", $name, "(i: u32) -> vec4<f32> {\n    return ", $name, "_values[i];\n}\n",
        )+)
    };
}

/// The same as mirrors.
macro_rules! from_texels {
    ($($binding:literal $name:literal),+) => {
        concat!($(
            "@group(0) @binding(", $binding, ") var ", $name, "_values: texture_storage_2d<rgba32float, read>;\n",
            "fn ", $name, "(i: u32) -> vec4<f32> {\n    return textureLoad(", $name, "_values, texel(i));\n}\n",
        )+)
    };
}

pub(crate) use {from_buffers, from_texels};
