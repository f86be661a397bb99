//! A laboratory bench for kernels: tensors from host data, dispatches run at once, results read back.
//!
//! Tests and benchmarks use it; training uses plans.

use std::cell::RefCell;

use super::{
    BufferSpan, Dispatch, Gpu, GpuError, Mirror, Mirroring, Program, Readback, Slice, Stage, StageTime, TensorId,
    schedule,
};

/// Tensors of one experiment on one device.
#[derive(Debug)]
pub struct Lab<'gpu> {
    gpu: &'gpu Gpu,
    buffers: Vec<wgpu::Buffer>,
    mirroring: Mirroring,
    mirrors: RefCell<Vec<Mirror>>,
}

impl<'gpu> Lab<'gpu> {
    /// An empty bench, whose kernels read their inputs as the device prefers it.
    pub fn new(gpu: &'gpu Gpu) -> Self {
        let mirroring = Mirroring::fastest(gpu.prefers_mirrors());
        Self { gpu, buffers: Vec::new(), mirroring, mirrors: RefCell::default() }
    }

    /// From now on the inputs of `mirroring` are mirrored, whatever the device prefers.
    pub fn set_mirroring(&mut self, mirroring: Mirroring) {
        self.mirroring = mirroring;
    }

    /// A tensor holding `values` (`f32`, `u32`, any plain type).
    ///
    /// # Errors
    /// If the buffer cannot be created.
    pub fn tensor<T: bytemuck::Pod>(&mut self, values: &[T]) -> Result<Slice, GpuError> {
        let mut bytes = bytemuck::cast_slice(values).to_vec();
        bytes.resize(bytes.len().next_multiple_of(4).max(4), 0);
        let slice = self.empty(bytes.len() as u64)?;
        self.gpu.queue.write_buffer(&self.buffers[slice.tensor.0 as usize], 0, &bytes);
        Ok(slice)
    }

    /// A tensor of `bytes` bytes filled with NaN, so that an element that no kernel wrote shows.
    ///
    /// # Errors
    /// If the buffer cannot be created.
    pub fn poisoned(&mut self, bytes: u64) -> Result<Slice, GpuError> {
        self.tensor(&vec![f32::NAN; (bytes / 4) as usize])
    }

    fn empty(&mut self, bytes: u64) -> Result<Slice, GpuError> {
        let usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_DST | wgpu::BufferUsages::COPY_SRC;
        let tensor = TensorId(self.buffers.len() as u32);
        self.buffers.push(self.gpu.arena("lab", bytes, usage)?);
        Ok(Slice { tensor, offset: 0, bytes })
    }

    /// `dispatches` in order, as one stage that can be run any number of times.
    ///
    /// # Errors
    /// What the device reports.
    pub fn program(&self, dispatches: Vec<Dispatch>) -> Result<Program, GpuError> {
        let mut stages = vec![Stage::new("lab", dispatches)];
        let mut mirrors = self.mirrors.borrow_mut();
        for (number, span) in schedule(&mut stages, self.mirroring).iter().enumerate() {
            match mirrors.get(number) {
                Some(mirror) if mirror.sheet().holds(span.sheet()) => {}
                Some(_) => mirrors[number] = Mirror::new(self.gpu, span.sheet())?,
                None => mirrors.push(Mirror::new(self.gpu, span.sheet())?),
            }
        }
        let place = |id: TensorId| BufferSpan { buffer: self.buffers[id.0 as usize].clone(), offset: 0 };
        Program::new(self.gpu, stages, place, &mirrors)
    }

    /// Runs `dispatches` in order in one command buffer.
    ///
    /// # Errors
    /// What the device reports.
    pub fn run(&self, dispatches: Vec<Dispatch>) -> Result<(), GpuError> {
        let program = self.program(dispatches)?;
        let mut encoder = self.gpu.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        program.encode(0, &mut encoder, None);
        self.gpu.submit(encoder.finish())
    }

    /// Runs `dispatches` `times` times and returns the GPU time of each run's dispatches.
    ///
    /// # Errors
    /// What the device reports.
    pub async fn profile(&self, dispatches: Vec<Dispatch>, times: usize) -> Result<Vec<Vec<StageTime>>, GpuError> {
        let program = self.program(dispatches)?;
        let mut runs = Vec::with_capacity(times);
        for _ in 0..times {
            runs.push(program.profile(self.gpu, 0).await?);
        }
        Ok(runs)
    }

    /// The content of a tensor.
    ///
    /// # Errors
    /// What the device reports.
    pub async fn read<T: bytemuck::Pod>(&self, slice: Slice) -> Result<Vec<T>, GpuError> {
        let mut readback = Readback::new(self.gpu, slice.bytes)?;
        let bytes = readback.read(self.gpu, &self.buffers[slice.tensor.0 as usize], slice.offset, slice.bytes).await?;
        Ok(bytes.chunks_exact(size_of::<T>()).map(bytemuck::pod_read_unaligned).collect())
    }
}
