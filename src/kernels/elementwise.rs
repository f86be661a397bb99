//! What happens to every element alike: sums of tensors in place, where shortcuts and gradients meet, and copies.

use bytemuck::{Pod, Zeroable};

use super::COMMON;
use super::sweep::WORKGROUP;
use crate::gpu::{Dispatch, Input, Pipeline, Shader, Slice, grid};

const INPUTS: &[Input] = &[Input::new(1, "x"), Input::updated(2, "y")];
const SHADER: Shader =
    Shader::with_inputs("elementwise", INPUTS, &[COMMON, include_str!("../../shaders/elementwise.wgsl")]);

/// vec4s that an invocation takes.
const SPAN: u32 = 4;

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    vectors: u32,
    spare: [u32; 3],
}

/// Tensors of `len` floats, a multiple of 4.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Elementwise {
    /// Floats of each tensor.
    pub len: u64,
}

impl Elementwise {
    /// `y += x`
    pub fn accumulate(&self, x: Slice, y: Slice) -> Dispatch {
        self.dispatch("accumulate", "accumulate").loads(x).updates(y).flops(self.len)
    }

    /// `y = x`
    pub fn copy(&self, x: Slice, y: Slice) -> Dispatch {
        self.dispatch("copy", "copy").loads(x).writes(y)
    }

    fn dispatch(&self, label: &'static str, entry: &'static str) -> Dispatch {
        let vectors = (self.len / 4) as u32;
        let params = Params { vectors, spare: [0; 3] };
        Dispatch::new(label, pipeline(entry), &params, grid(vectors.div_ceil(WORKGROUP * SPAN)))
    }
}

fn pipeline(entry: &'static str) -> Pipeline {
    Pipeline::new(SHADER, entry, vec![("SPAN", SPAN)])
}

/// Every pipeline of this file.
pub fn variants() -> Vec<Pipeline> {
    ["accumulate", "copy"].map(pipeline).into()
}
