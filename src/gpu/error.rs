//! What can go wrong on the GPU, as one typed error.

use crate::text::one_line;

/// An error of the adapter, the device or its driver. The command line maps them to exit code 3, but a defect
/// of our own to 1.
#[derive(Debug, Clone, thiserror::Error)]
pub enum GpuError {
    /// No adapter at all, or none that matches the request.
    #[error("no usable GPU adapter: {0}")]
    NoAdapter(String),
    /// The adapter exists but would not open a device.
    #[error("adapter {adapter} refused to open a device: {reason}")]
    NoDevice {
        /// The adapter's name.
        adapter: String,
        /// The driver's words.
        reason: String,
    },
    /// An allocation failed.
    #[error("the GPU ran out of memory: {0}; try a smaller --batch-size or network")]
    OutOfMemory(String),
    /// wgpu refused a call: a defect of this program, reported rather than hidden.
    #[error("the GPU rejected a command (a defect in predsim): {0}")]
    Validation(String),
    /// The driver reset or removed the device.
    #[error("the GPU device was lost: {0}")]
    Lost(String),
    /// A tensor does not fit into one binding of this adapter.
    #[error("{what} needs {bytes} bytes, but the adapter binds at most {limit}; try a smaller --batch-size or network")]
    TooLarge {
        /// Which tensor.
        what: String,
        /// Its size in bytes.
        bytes: u64,
        /// `max_storage_buffer_binding_size` or `max_buffer_size`.
        limit: u64,
    },
}

// wgpu explains errors over several indented lines.
impl From<wgpu::Error> for GpuError {
    fn from(error: wgpu::Error) -> Self {
        match error {
            wgpu::Error::OutOfMemory { source } => Self::OutOfMemory(one_line(&source.to_string())),
            wgpu::Error::Validation { description, .. } => Self::Validation(one_line(&description)),
            wgpu::Error::Internal { description, .. } => Self::Lost(one_line(&description)),
        }
    }
}
