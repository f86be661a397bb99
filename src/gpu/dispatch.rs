//! A dispatch as a value: which shader, which tensors, which numbers, how many workgroups.
//!
//! Kernels return these, plans hold them, [`super::Program`] makes them real. They are built without a device, so that
//! a whole training step can be planned, printed and tested anywhere.

use bytemuck::Pod;

use super::input::{Input, declarations, mirror_binding};
use super::mirror::{Form, Matrix};

/// WGSL text in pieces that are joined in order, the last of them the kernel's own file.
#[derive(Debug, Clone, Copy)]
pub struct Shader {
    /// Name of the file in `shaders/`, without its ending.
    pub name: &'static str,
    /// What it reads through functions; their declarations come before the parts.
    pub inputs: &'static [Input],
    /// Shared modules first.
    pub parts: &'static [&'static str],
    /// The extensions of WGSL that it needs; an adapter must have them.
    pub extensions: &'static [&'static str],
}

impl Shader {
    /// A shader that declares all its bindings itself.
    pub const fn new(name: &'static str, parts: &'static [&'static str]) -> Self {
        Self { name, inputs: &[], parts, extensions: &[] }
    }

    /// A shader with inputs.
    pub const fn with_inputs(name: &'static str, inputs: &'static [Input], parts: &'static [&'static str]) -> Self {
        Self { name, inputs, parts, extensions: &[] }
    }
}

/// Numbers that a variant fixes at pipeline creation; in WGSL each is a module-scope `const NAME: u32`.
pub type Constants = Vec<(&'static str, u32)>;

/// Which compute pipeline a dispatch runs: a shader's entry point with its constants.
#[derive(Debug, Clone)]
pub struct Pipeline {
    /// The text.
    pub shader: Shader,
    /// The entry point's name.
    pub entry: &'static str,
    /// The variant.
    pub constants: Constants,
    /// Whether its inputs are [mirrors](super::Mirror).
    pub texels: bool,
    /// Bindings of those of its inputs whose mirrors lie in [panels](Form::Panels).
    pub panels: Vec<u32>,
    /// Those of its inputs that are sums.
    pub sums: Vec<InputSum>,
}

/// An input that is read as the sum of as many tensors of one size, one behind the other in one binding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InputSum {
    /// The input's binding.
    pub input: u32,
    /// The binding of what it is the sum of; the same where the input isn't written.
    pub at: u32,
    /// How many.
    pub count: u32,
}

impl Pipeline {
    /// A pipeline whose inputs are storage buffers. The driver leaves out bounds checks, loop bounding and division checks:
    /// every kernel guards its own bounds, which its tests with odd shapes prove.
    pub fn new(shader: Shader, entry: &'static str, constants: Constants) -> Self {
        Self { shader, entry, constants, texels: false, panels: Vec::new(), sums: Vec::new() }
    }

    /// The same with one more of its inputs a sum.
    #[must_use]
    pub fn with_sum(mut self, sum: InputSum) -> Self {
        self.sums.push(sum);
        self
    }

    /// Complete WGSL of this variant: extensions, constants, inputs, shared modules, the kernel.
    pub fn source(&self) -> String {
        let mut text = String::new();
        for extension in self.shader.extensions {
            text.push_str(&format!("enable {extension};\n"));
        }
        for (name, value) in &self.constants {
            text.push_str(&format!("const {name}: u32 = {value}u;\n"));
        }
        text.push_str(&declarations(self.shader.inputs, self.texels, &self.panels, &self.sums));
        for part in self.shader.parts {
            text.push_str(part);
            text.push('\n');
        }
        text
    }

    /// Name of the variant for labels and file names: shader, entry point, constants, inputs that are sums.
    pub fn label(&self) -> String {
        let mut text = format!("{}.{}", self.shader.name, self.entry);
        for (name, value) in &self.constants {
            text.push_str(&format!(".{}{value}", name.to_lowercase()));
        }
        for InputSum { input, count, .. } in &self.sums {
            text.push_str(&format!(".sum{input}of{count}"));
        }
        if self.texels {
            text.push_str(".texels");
        }
        for binding in &self.panels {
            text.push_str(&format!(".panels{binding}"));
        }
        text
    }
}

/// A tensor of a plan, by number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TensorId(pub u32);

/// Storage bindings begin at multiples of this many bytes, on every adapter.
pub const BINDING_ALIGNMENT: u64 = 256;

/// A stretch of a tensor. What is bound begins at a multiple of [`BINDING_ALIGNMENT`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Slice {
    /// Of which tensor.
    pub tensor: TensorId,
    /// First byte.
    pub offset: u64,
    /// Length in bytes, a multiple of 4.
    pub bytes: u64,
}

impl Slice {
    /// Whether the two have a byte in common.
    pub fn overlaps(&self, other: &Self) -> bool {
        self.tensor == other.tensor
            && self.offset < other.offset + other.bytes
            && other.offset < self.offset + self.bytes
    }
}

/// How a kernel uses a binding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Access {
    /// `var<storage, read>`
    Read,
    /// `var<storage, read_write>`
    Write,
    /// An [`Input`]: read as a storage buffer, or as a [`Mirror`](super::Mirror).
    Load,
    /// An input that is updated in place.
    Update,
}

impl Access {
    /// Whether the tensor is changed.
    pub fn writes(self) -> bool {
        matches!(self, Self::Write | Self::Update)
    }

    /// Whether the tensor may be read as a mirror.
    pub fn is_input(self) -> bool {
        matches!(self, Self::Load | Self::Update)
    }
}

/// What is bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Slot {
    /// The tensor's buffer.
    Buffer { read_only: bool },
    /// Its mirror.
    Mirror { form: Form },
}

/// A tensor bound to a kernel.
#[derive(Debug, Clone, Copy)]
pub struct Binding {
    /// Where the bytes are.
    pub slice: Slice,
    /// What the kernel does with them.
    pub access: Access,
    /// The matrix that a kernel reads by row and column.
    pub matrix: Option<Matrix>,
}

impl Binding {
    /// How its mirror lies.
    pub(super) fn form(&self) -> Form {
        Form::of(self.matrix)
    }
}

/// One call of a kernel. Binding 0 of group 0 is the uniform with `params`; the tensors follow from 1.
#[derive(Debug, Clone)]
pub struct Dispatch {
    /// What it does in its block, for tables, traces and profiles: `conv forward`.
    pub label: &'static str,
    /// The kernel.
    pub pipeline: Pipeline,
    /// Tensors at bindings 1, 2, ….
    pub bindings: Vec<Binding>,
    /// Bytes of the uniform, a multiple of 16.
    pub params: Vec<u8>,
    /// Workgroups in x, y, z.
    pub workgroups: [u32; 3],
    /// Floating-point operations it does, for plans and benchmarks (multiply and add count as two).
    pub flops: u64,
    /// Whether it reads each of its inputs once, see [`Mirroring`](super::Mirroring).
    pub once: bool,
}

impl Dispatch {
    /// A dispatch of `pipeline` with `params` as its uniform.
    pub fn new<P: Pod>(label: &'static str, pipeline: Pipeline, params: &P, workgroups: [u32; 3]) -> Self {
        let mut bytes = bytemuck::bytes_of(params).to_vec();
        bytes.resize(bytes.len().next_multiple_of(16), 0);
        Self { label, pipeline, bindings: Vec::new(), params: bytes, workgroups, flops: 0, once: false }
    }

    /// Binds the next tensor for reading.
    #[must_use]
    pub fn reads(self, slice: Slice) -> Self {
        self.binds(slice, Access::Read)
    }

    /// Binds the next tensor for writing, and reading.
    #[must_use]
    pub fn writes(self, slice: Slice) -> Self {
        self.binds(slice, Access::Write)
    }

    /// Binds the next tensor as an [`Input`].
    #[must_use]
    pub fn loads(self, slice: Slice) -> Self {
        self.binds(slice, Access::Load)
    }

    /// Binds the next tensor as an [`Input`] that is updated in place.
    #[must_use]
    pub fn updates(self, slice: Slice) -> Self {
        self.binds(slice, Access::Update)
    }

    /// Binds the next tensor for reading: nothing but `count` parts, one behind the other, that add up to the [`Input`] at
    /// binding `input`. An input that is updated is itself bound by [`Self::writes`] then.
    #[must_use]
    pub fn sums(mut self, input: u32, slice: Slice, count: u32) -> Self {
        let at = self.bindings.len() as u32 + 1;
        self.pipeline = self.pipeline.with_sum(InputSum { input, at, count });
        self.reads(slice)
    }

    /// The same where the [`Input`] at `binding` begins with that matrix, which is all that the kernel reads of it.
    #[must_use]
    pub fn with_matrix(mut self, binding: u32, matrix: Matrix) -> Self {
        self.bindings[binding as usize - 1].matrix = Some(matrix);
        self
    }

    fn binds(mut self, slice: Slice, access: Access) -> Self {
        self.bindings.push(Binding { slice, access, matrix: None });
        self
    }

    /// What its pipeline's layout and its bind group hold behind the uniform: the number of each binding, what lies there,
    /// and of which tensor. A mirror takes its buffer's place, or stands behind it where the buffer is written.
    pub(super) fn slots(&self) -> Vec<(u32, Slot, Slice)> {
        let mut slots = Vec::with_capacity(self.bindings.len());
        for (number, binding) in (1..).zip(&self.bindings) {
            let &Binding { slice, access, .. } = binding;
            let mirrored = self.pipeline.texels && access.is_input();
            if access.writes() || !mirrored {
                slots.push((number, Slot::Buffer { read_only: !access.writes() }, slice));
            }
            if mirrored {
                slots.push((mirror_binding(number, access.writes()), Slot::Mirror { form: binding.form() }, slice));
            }
        }
        slots
    }

    /// What its pipeline reads as mirrors, and how they lie.
    pub(super) fn mirrors(&self) -> Vec<(Slice, Form)> {
        let mirror = |(_, slot, slice)| match slot {
            Slot::Mirror { form } => Some((slice, form)),
            Slot::Buffer { .. } => None,
        };
        self.slots().into_iter().filter_map(mirror).collect()
    }

    /// The bindings whose mirrors lie in panels.
    pub(super) fn inputs_in_panels(&self) -> Vec<u32> {
        let in_panels = |&(_, slot, _): &(u32, Slot, Slice)| matches!(slot, Slot::Mirror { form: Form::Panels(_) });
        self.slots().iter().filter(|slot| in_panels(slot)).map(|&(binding, ..)| binding).collect()
    }

    /// Notes that it reads each of its inputs once.
    #[must_use]
    pub fn reading_once(mut self) -> Self {
        self.once = true;
        self
    }

    /// Notes how much arithmetic it does.
    #[must_use]
    pub fn flops(mut self, flops: u64) -> Self {
        self.flops = flops;
        self
    }
}

/// WebGPU's smallest guaranteed number of workgroups in one dimension.
const MAX_WORKGROUPS: u32 = 65_535;

/// Spreads `count` workgroups over x and y where x alone would pass WebGPU's limit. The kernel finds its linear
/// number as `wid.y * groups.x + wid.x` (`linear_group` in `shaders/common.wgsl`) and ignores numbers past its work.
pub fn grid(count: u32) -> [u32; 3] {
    if count <= MAX_WORKGROUPS {
        return [count.max(1), 1, 1];
    }
    let rows = count.div_ceil(MAX_WORKGROUPS);
    [count.div_ceil(rows), rows, 1]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grid_covers_every_group_within_the_limit() {
        for count in [0, 1, 7, 65_535, 65_536, 131_071, 10_000_019] {
            let [x, y, z] = grid(count);
            assert!(x <= MAX_WORKGROUPS && y <= MAX_WORKGROUPS && z == 1);
            assert!(u64::from(x) * u64::from(y) >= u64::from(count));
        }
    }
}
