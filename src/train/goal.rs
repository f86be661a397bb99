//! What a step's memory has to keep to.

/// What a step's memory has to keep to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Goal {
    /// What is asked for.
    pub limit: Limit,
    /// What the adapter can do.
    pub bounds: Bounds,
}

/// What an adapter can do with buffers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Most bytes of an activation that one binding may have.
    pub max_binding: u64,
    /// Most bytes of a buffer.
    pub max_buffer: u64,
    /// Bindings begin at multiples of this many bytes.
    pub alignment: u64,
}

impl Bounds {
    /// An adapter's bounds. Its [limits](wgpu::Limits) may be WebGPU's defaults.
    pub fn of(limits: &wgpu::Limits) -> Self {
        Self {
            max_binding: limits.max_storage_buffer_binding_size,
            max_buffer: limits.max_buffer_size,
            alignment: limits.min_storage_buffer_offset_alignment.into(),
        }
    }
}

impl Default for Bounds {
    /// None but the alignment that WebGPU guarantees.
    fn default() -> Self {
        Self { max_binding: u64::MAX, max_buffer: u64::MAX, alignment: 256 }
    }
}

/// How much memory a step may take, or how much more arithmetic it may do to take less.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Limit {
    /// As much memory as the least arithmetic takes.
    Fastest,
    /// Activations of at most that many bytes.
    Bytes(u64),
    /// The fewest bytes that arithmetic of at most that many times the least can do with.
    Arithmetic(f64),
}

impl Default for Goal {
    fn default() -> Self {
        Self { limit: Limit::Fastest, bounds: Bounds::default() }
    }
}
