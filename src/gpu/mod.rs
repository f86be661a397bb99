//! wgpu and nothing about learning: choosing an adapter, opening a device, compiling pipelines once,
//! recording dispatches into command buffers, moving bytes in and out, timing.
//!
//! What has to wait is an `async fn`. How a future is driven (blocking on a desktop, the event loop in a browser) is the
//! caller's business; see [`block_on`] for the former. Beside that, [`Gpu::write`] alone waits for the GPU, and not in a
//! browser.

mod adapter;
mod clock;
mod device;
mod dispatch;
mod error;
mod input;
mod lab;
mod mirror;
mod pipeline;
mod program;
mod transfer;

pub use adapter::{AdapterReport, Wanted, choose, list};
pub use clock::StageClock;
pub use device::{Gpu, has_avx512};
pub use dispatch::{
    Access, BINDING_ALIGNMENT, Binding, Constants, Dispatch, InputSum, Pipeline, Shader, Slice, TensorId, grid,
};
pub use error::GpuError;
pub use input::Input;
pub use lab::Lab;
pub use mirror::{Form, Matrix, Mirror, MirrorSpan, Mirroring, Refresh, Sheet, schedule};
pub use program::{BufferSpan, MIRROR, Program, Stage, StageTime, uniform_bytes};
pub use transfer::{Part, Readback, UploadRing, UploadSlot};

#[cfg(not(target_arch = "wasm32"))]
pub use device::block_on;
