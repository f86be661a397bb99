//! Dispatches made real: pipelines compiled, uniforms uploaded, bind groups built, ready to be encoded again and
//! again without creating anything.

use std::sync::Arc;

use super::pipeline::Compiled;
use super::{Dispatch, Gpu, GpuError, Readback, TensorId};

/// Dispatches that share one command buffer: a block's whole step.
#[derive(Debug, Clone)]
pub struct Stage {
    /// The block's name, for labels.
    pub name: String,
    /// In order.
    pub dispatches: Vec<Dispatch>,
}

/// Where a tensor lies.
#[derive(Debug, Clone)]
pub struct BufferSpan {
    /// The buffer.
    pub buffer: wgpu::Buffer,
    /// First byte of the tensor in it.
    pub offset: u64,
}

/// GPU time of one dispatch.
#[derive(Debug, Clone)]
pub struct StageTime {
    /// Stage's name.
    pub stage: String,
    /// Dispatch's label.
    pub label: &'static str,
    /// The kernel's pipeline label.
    pub kernel: String,
    /// Nanoseconds between the timestamps around it.
    pub nanoseconds: f64,
    /// Floating-point operations it did.
    pub flops: u64,
}

struct Call {
    compiled: Arc<Compiled>,
    bind_group: wgpu::BindGroup,
    workgroups: [u32; 3],
}

/// Stages that can be encoded.
pub struct Program {
    stages: Vec<(Stage, Vec<Call>)>,
}

impl std::fmt::Debug for Program {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<&str> = self.stages.iter().map(|(stage, _)| stage.name.as_str()).collect();
        f.debug_struct("Program").field("stages", &names).finish()
    }
}

impl Program {
    /// Compiles `stages`; `place` says where each tensor lies.
    ///
    /// # Errors
    /// What the device reports: a binding over its limit, no memory, an invalid shader.
    pub fn new(gpu: &Gpu, stages: Vec<Stage>, place: impl Fn(TensorId) -> BufferSpan) -> Result<Self, GpuError> {
        let align = u64::from(gpu.limits.min_uniform_buffer_offset_alignment);
        let mut uniforms = Vec::new();
        let mut offsets = Vec::new();
        for dispatch in stages.iter().flat_map(|stage| &stage.dispatches) {
            uniforms.resize((uniforms.len() as u64).next_multiple_of(align) as usize, 0);
            offsets.push(uniforms.len() as u64);
            uniforms.extend_from_slice(&dispatch.params);
        }
        let usage = wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST;
        let arena = gpu.buffer("uniforms", (uniforms.len() as u64).max(16), usage)?;
        gpu.queue.write_buffer(&arena, 0, &uniforms);
        let mut offsets = offsets.into_iter();
        let mut compiled = Vec::with_capacity(stages.len());
        for stage in stages {
            let mut calls = Vec::with_capacity(stage.dispatches.len());
            for dispatch in &stage.dispatches {
                let offset = offsets.next().expect("one offset a dispatch");
                calls.push(call(gpu, dispatch, &arena, offset, &place)?);
            }
            compiled.push((stage, calls));
        }
        gpu.check()?;
        Ok(Self { stages: compiled })
    }

    /// How many stages there are.
    pub fn len(&self) -> usize {
        self.stages.len()
    }

    /// Whether there is nothing to run.
    pub fn is_empty(&self) -> bool {
        self.stages.is_empty()
    }

    /// Records stage `index` as one labelled pass.
    pub fn encode(&self, index: usize, encoder: &mut wgpu::CommandEncoder) {
        let (stage, calls) = &self.stages[index];
        let mut pass = encoder
            .begin_compute_pass(&wgpu::ComputePassDescriptor { label: Some(&stage.name), timestamp_writes: None });
        for call in calls {
            call.record(&mut pass);
        }
    }

    /// Runs stage `index` with a timestamp before and after each of its dispatches. Needs the timestamp feature.
    ///
    /// # Errors
    /// What the device reports.
    pub async fn profile(&self, gpu: &Gpu, index: usize) -> Result<Vec<StageTime>, GpuError> {
        let (stage, calls) = &self.stages[index];
        let count = 2 * calls.len() as u32;
        let queries = gpu.device.create_query_set(&wgpu::QuerySetDescriptor {
            label: Some("timestamps"),
            ty: wgpu::QueryType::Timestamp,
            count,
        });
        let bytes = u64::from(count) * 8;
        let resolved =
            gpu.buffer("timestamps", bytes, wgpu::BufferUsages::QUERY_RESOLVE | wgpu::BufferUsages::COPY_SRC)?;
        let mut encoder =
            gpu.device.create_command_encoder(&wgpu::CommandEncoderDescriptor { label: Some(&stage.name) });
        for (number, (call, dispatch)) in calls.iter().zip(&stage.dispatches).enumerate() {
            let begin = 2 * number as u32;
            let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor {
                label: Some(dispatch.label),
                timestamp_writes: Some(wgpu::ComputePassTimestampWrites {
                    query_set: &queries,
                    beginning_of_pass_write_index: Some(begin),
                    end_of_pass_write_index: Some(begin + 1),
                }),
            });
            call.record(&mut pass);
        }
        encoder.resolve_query_set(&queries, 0..count, &resolved, 0);
        gpu.submit(encoder.finish())?;
        let ticks = Readback::new(gpu, bytes)?.read(gpu, &resolved, 0, bytes).await?;
        let ticks: Vec<u64> = ticks.chunks_exact(8).map(bytemuck::pod_read_unaligned).collect();
        let period = f64::from(gpu.queue.get_timestamp_period());
        let times = stage.dispatches.iter().zip(ticks.chunks_exact(2)).map(|(dispatch, pair)| StageTime {
            stage: stage.name.clone(),
            label: dispatch.label,
            kernel: dispatch.pipeline.label(),
            nanoseconds: pair[1].saturating_sub(pair[0]) as f64 * period,
            flops: dispatch.flops,
        });
        Ok(times.collect())
    }
}

impl Call {
    fn record(&self, pass: &mut wgpu::ComputePass<'_>) {
        pass.set_pipeline(&self.compiled.pipeline);
        pass.set_bind_group(0, &self.bind_group, &[]);
        let [x, y, z] = self.workgroups;
        pass.dispatch_workgroups(x, y, z);
    }
}

fn call(
    gpu: &Gpu,
    dispatch: &Dispatch,
    uniforms: &wgpu::Buffer,
    uniform_offset: u64,
    place: &impl Fn(TensorId) -> BufferSpan,
) -> Result<Call, GpuError> {
    let compiled = gpu.pipeline(dispatch);
    let spans: Vec<BufferSpan> = dispatch.bindings.iter().map(|b| place(b.slice.tensor)).collect();
    let mut entries = vec![entry(0, uniforms, uniform_offset, dispatch.params.len() as u64)];
    for (index, (binding, span)) in dispatch.bindings.iter().zip(&spans).enumerate() {
        let limit = gpu.limits.max_storage_buffer_binding_size;
        if binding.slice.bytes > limit {
            let what = format!("a tensor of \"{}\"", dispatch.label);
            return Err(GpuError::TooLarge { what, bytes: binding.slice.bytes, limit });
        }
        entries.push(entry(index as u32 + 1, &span.buffer, span.offset + binding.slice.offset, binding.slice.bytes));
    }
    let bind_group = gpu.device.create_bind_group(&wgpu::BindGroupDescriptor {
        label: Some(dispatch.label),
        layout: &compiled.layout,
        entries: &entries,
    });
    Ok(Call { compiled, bind_group, workgroups: dispatch.workgroups })
}

fn entry(binding: u32, buffer: &wgpu::Buffer, offset: u64, bytes: u64) -> wgpu::BindGroupEntry<'_> {
    wgpu::BindGroupEntry {
        binding,
        resource: wgpu::BindingResource::Buffer(wgpu::BufferBinding {
            buffer,
            offset,
            size: std::num::NonZeroU64::new(bytes),
        }),
    }
}
