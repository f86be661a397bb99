//! Bytes in and out without stalling: a ring of mapped staging buffers for uploads, a mapped buffer for readback.
//!
//! Both are allocated once. A ring slot is mapped again as soon as it was submitted, so waiting for a free slot is
//! what bounds how many steps the host may run ahead of the GPU.

use futures_intrusive::channel::shared::{OneshotReceiver, oneshot_channel};

use super::{Gpu, GpuError};

type Mapping = OneshotReceiver<Result<(), wgpu::BufferAsyncError>>;

/// Asks for `buffer` to be mapped once the GPU is done with it.
fn map(buffer: &wgpu::Buffer, mode: wgpu::MapMode) -> Mapping {
    let (sender, receiver) = oneshot_channel();
    buffer.slice(..).map_async(mode, move |result| {
        // The receiver is gone only if its owner was dropped: nobody waits any more.
        let _ = sender.send(result);
    });
    receiver
}

async fn mapped(gpu: &Gpu, mapping: &Mapping) -> Result<(), GpuError> {
    let answer = mapping.receive().await;
    gpu.check()?;
    match answer {
        Some(Ok(())) => Ok(()),
        _ => Err(GpuError::Lost("a staging buffer could not be mapped".into())),
    }
}

fn range_error(error: wgpu::MapRangeError) -> GpuError {
    GpuError::Validation(error.to_string())
}

/// Staging buffers that take turns.
#[derive(Debug)]
pub struct UploadRing {
    slots: Vec<(wgpu::Buffer, Mapping)>,
    next: usize,
}

/// A slot that is mapped and may be filled.
#[derive(Debug)]
pub struct UploadSlot {
    index: usize,
    buffer: wgpu::Buffer,
}

impl UploadRing {
    /// `depth` slots of `bytes` bytes.
    ///
    /// # Errors
    /// If the buffers cannot be created.
    pub fn new(gpu: &Gpu, depth: usize, bytes: u64) -> Result<Self, GpuError> {
        let usage = wgpu::BufferUsages::MAP_WRITE | wgpu::BufferUsages::COPY_SRC;
        let slots = (0..depth)
            .map(|_| {
                let buffer = gpu.buffer("upload", bytes.next_multiple_of(8), usage)?;
                let mapping = map(&buffer, wgpu::MapMode::Write);
                Ok((buffer, mapping))
            })
            .collect::<Result<_, GpuError>>()?;
        Ok(Self { slots, next: 0 })
    }

    /// The next slot, as soon as the GPU has read what was in it.
    ///
    /// # Errors
    /// What the device reports meanwhile.
    pub async fn acquire(&mut self, gpu: &Gpu) -> Result<UploadSlot, GpuError> {
        let index = self.next;
        self.next = (index + 1) % self.slots.len();
        let (buffer, mapping) = &self.slots[index];
        mapped(gpu, mapping).await?;
        Ok(UploadSlot { index, buffer: buffer.clone() })
    }

    /// Gives a slot back after the commands that copy out of it were submitted.
    pub fn recycle(&mut self, slot: UploadSlot) {
        self.slots[slot.index].1 = map(&slot.buffer, wgpu::MapMode::Write);
    }
}

impl UploadSlot {
    /// Writes `bytes` at `offset` (a multiple of 8; the length is rounded up to 4 with zeros).
    ///
    /// # Errors
    /// If the range lies outside the slot.
    pub fn write(&self, offset: u64, bytes: &[u8]) -> Result<(), GpuError> {
        let whole = bytes.len() / 4 * 4;
        let end = offset + bytes.len().next_multiple_of(4) as u64;
        let mut view = self.buffer.slice(offset..end).get_mapped_range_mut().map_err(range_error)?;
        view.slice(..whole).copy_from_slice(&bytes[..whole]);
        if whole < bytes.len() {
            let mut last = [0; 4];
            last[..bytes.len() - whole].copy_from_slice(&bytes[whole..]);
            view.slice(whole..whole + 4).copy_from_slice(&last);
        }
        Ok(())
    }

    /// Ends writing and returns the buffer to copy out of.
    pub fn finish(&self) -> &wgpu::Buffer {
        self.buffer.unmap();
        &self.buffer
    }
}

/// A staging buffer for reading back up to a fixed number of bytes, any number of times.
#[derive(Debug)]
pub struct Readback {
    staging: wgpu::Buffer,
}

impl Readback {
    /// Room for `bytes` bytes.
    ///
    /// # Errors
    /// If the buffer cannot be created.
    pub fn new(gpu: &Gpu, bytes: u64) -> Result<Self, GpuError> {
        let usage = wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST;
        Ok(Self { staging: gpu.buffer("readback", bytes.next_multiple_of(8), usage)? })
    }

    /// Copies `bytes` bytes of `source` from `offset` and waits for them.
    ///
    /// # Errors
    /// What the device reports meanwhile.
    pub async fn read(&self, gpu: &Gpu, source: &wgpu::Buffer, offset: u64, bytes: u64) -> Result<Vec<u8>, GpuError> {
        let mut encoder =
            gpu.device.create_command_encoder(&wgpu::CommandEncoderDescriptor { label: Some("readback") });
        encoder.copy_buffer_to_buffer(source, offset, &self.staging, 0, bytes);
        gpu.submit(encoder.finish())?;
        mapped(gpu, &map(&self.staging, wgpu::MapMode::Read)).await?;
        let content = self.staging.slice(..bytes).get_mapped_range().map_err(range_error)?.to_vec();
        self.staging.unmap();
        Ok(content)
    }
}
