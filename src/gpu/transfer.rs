//! Bytes in and out without stalling: a ring of mapped staging buffers for uploads, a mapped buffer for readback.
//!
//! Both are allocated once. A ring slot is mapped again as soon as it was submitted, so waiting for a free slot is
//! what bounds how many steps the host may run ahead of the GPU.

use std::pin::pin;
use std::task::{Context, Poll, Waker};

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

/// What a mapping's answer means; an error that the device has reported meanwhile comes first.
fn arrived(gpu: &Gpu, answer: Option<Result<(), wgpu::BufferAsyncError>>) -> Result<(), GpuError> {
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
        arrived(gpu, mapping.receive().await)?;
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

/// A stretch of a buffer.
#[derive(Debug, Clone, Copy)]
pub struct Part<'b> {
    /// Of which buffer.
    pub source: &'b wgpu::Buffer,
    /// First byte, a multiple of 4.
    pub offset: u64,
    /// Length, a multiple of 4.
    pub bytes: u64,
}

fn encoder(gpu: &Gpu) -> wgpu::CommandEncoder {
    gpu.device.create_command_encoder(&wgpu::CommandEncoderDescriptor { label: Some("readback") })
}

/// A staging buffer for reading back up to a fixed number of bytes, any number of times.
#[derive(Debug)]
pub struct Readback {
    staging: wgpu::Buffer,
    pending: Option<(Mapping, u64)>,
}

impl Readback {
    /// Room for `bytes` bytes.
    ///
    /// # Errors
    /// If the buffer cannot be created.
    pub fn new(gpu: &Gpu, bytes: u64) -> Result<Self, GpuError> {
        let usage = wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST;
        Ok(Self { staging: gpu.buffer("readback", bytes.next_multiple_of(8), usage)?, pending: None })
    }

    /// Copies `bytes` bytes of `source` from `offset` and waits for them.
    ///
    /// # Errors
    /// What the device reports meanwhile.
    pub async fn read(
        &mut self,
        gpu: &Gpu,
        source: &wgpu::Buffer,
        offset: u64,
        bytes: u64,
    ) -> Result<Vec<u8>, GpuError> {
        Ok(self.read_parts(gpu, &[Part { source, offset, bytes }]).await?.swap_remove(0))
    }

    /// Copies all `parts`, which together fit the staging buffer, and waits for them once.
    ///
    /// # Errors
    /// What the device reports meanwhile.
    pub async fn read_parts(&mut self, gpu: &Gpu, parts: &[Part<'_>]) -> Result<Vec<Vec<u8>>, GpuError> {
        if self.pending.is_some() {
            self.finish(gpu).await?;
        }
        self.begin_parts(gpu, encoder(gpu), parts)?;
        let all = self.finish(gpu).await?;
        let mut rest = all.as_slice();
        let split = parts.iter().map(|part| {
            let (own, behind) = rest.split_at((part.bytes as usize).min(rest.len()));
            rest = behind;
            own.to_vec()
        });
        Ok(split.collect())
    }

    /// Asks for all `parts`, which together fit the staging buffer, as they are behind all that was submitted so far and
    /// what `prepare` records, and does not wait. Does nothing while an earlier request is under way.
    ///
    /// # Errors
    /// What the device reports.
    pub fn begin(
        &mut self,
        gpu: &Gpu,
        prepare: impl FnOnce(&mut wgpu::CommandEncoder),
        parts: &[Part<'_>],
    ) -> Result<(), GpuError> {
        if self.pending.is_some() {
            return Ok(());
        }
        let mut encoder = encoder(gpu);
        prepare(&mut encoder);
        self.begin_parts(gpu, encoder, parts)
    }

    fn begin_parts(
        &mut self,
        gpu: &Gpu,
        mut encoder: wgpu::CommandEncoder,
        parts: &[Part<'_>],
    ) -> Result<(), GpuError> {
        let mut end = 0;
        for part in parts {
            encoder.copy_buffer_to_buffer(part.source, part.offset, &self.staging, end, part.bytes);
            end += part.bytes;
        }
        gpu.submit(encoder.finish())?;
        self.pending = Some((map(&self.staging, wgpu::MapMode::Read), end));
        Ok(())
    }

    /// What was asked for, if it has arrived; never waits.
    ///
    /// # Errors
    /// What the device reports.
    pub fn try_finish(&mut self, gpu: &Gpu) -> Result<Option<Vec<u8>>, GpuError> {
        let Some((mapping, bytes)) = &self.pending else { return Ok(None) };
        let bytes = *bytes;
        let mut context = Context::from_waker(Waker::noop());
        let answer = match pin!(mapping.receive()).poll(&mut context) {
            Poll::Pending => return gpu.check().map(|()| None),
            Poll::Ready(answer) => answer,
        };
        self.pending = None;
        arrived(gpu, answer)?;
        self.take(bytes).map(Some)
    }

    async fn finish(&mut self, gpu: &Gpu) -> Result<Vec<u8>, GpuError> {
        let Some((mapping, bytes)) = self.pending.take() else { return Ok(Vec::new()) };
        arrived(gpu, mapping.receive().await)?;
        self.take(bytes)
    }

    fn take(&self, bytes: u64) -> Result<Vec<u8>, GpuError> {
        let content = self.staging.slice(..bytes).get_mapped_range().map_err(range_error)?.to_vec();
        self.staging.unmap();
        Ok(content)
    }
}
