//! Dispatches made real: pipelines compiled, uniforms uploaded, bind groups built, ready to be encoded again and
//! again without creating anything.

use std::collections::HashMap;
use std::sync::Arc;

use super::dispatch::Slot;
use super::mirror::Form;
use super::pipeline::Compiled;
use super::{Dispatch, Gpu, GpuError, Mirror, Readback, Refresh, Slice, StageClock, TensorId};

/// Commands that share one command buffer: a block's whole step.
#[derive(Debug, Clone)]
pub struct Stage {
    /// The block's name, for labels.
    pub name: String,
    /// In order.
    pub dispatches: Vec<Dispatch>,
    /// The copies between them, in order; [`schedule`](super::schedule) finds them.
    pub refreshes: Vec<Refresh>,
}

impl Stage {
    /// Dispatches alone.
    pub fn new(name: impl Into<String>, dispatches: Vec<Dispatch>) -> Self {
        Self { name: name.into(), dispatches, refreshes: Vec::new() }
    }
}

/// Uniform bindings begin at multiples of this many bytes, on every adapter.
const UNIFORM_ALIGNMENT: usize = 256;

/// Bytes of the uniforms of `stages`: the numbers that their dispatches come with.
pub fn uniform_bytes(stages: &[Stage]) -> u64 {
    let dispatches = stages.iter().flat_map(|stage| &stage.dispatches);
    dispatches.map(|dispatch| dispatch.params.len().next_multiple_of(UNIFORM_ALIGNMENT) as u64).sum::<u64>().max(16)
}

/// Where a tensor lies.
#[derive(Debug, Clone)]
pub struct BufferSpan {
    /// The buffer.
    pub buffer: wgpu::Buffer,
    /// First byte of the tensor in it.
    pub offset: u64,
}

/// Label of the copies into textures among [`StageTime`]s.
pub const MIRROR: &str = "mirror";

/// GPU time of one dispatch.
#[derive(Debug, Clone)]
pub struct StageTime {
    /// Stage's name.
    pub stage: String,
    /// Dispatch's label; [`MIRROR`] for a copy into a texture.
    pub label: &'static str,
    /// The kernel's pipeline label; `copy` for a copy.
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

/// A refresh made real.
struct Copy {
    before: usize,
    source: BufferSpan,
    bytes: u64,
    form: Form,
    mirror: Mirror,
}

struct Compilation {
    stage: Stage,
    calls: Vec<Call>,
    copies: Vec<Copy>,
}

/// Stages that can be encoded.
pub struct Program {
    stages: Vec<Compilation>,
}

impl std::fmt::Debug for Program {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<&str> = self.stages.iter().map(|compiled| compiled.stage.name.as_str()).collect();
        f.debug_struct("Program").field("stages", &names).finish()
    }
}

impl Program {
    /// Compiles `stages`; `place` says where each tensor lies, `mirrors` are the textures that the refreshes number.
    ///
    /// # Errors
    /// What the device reports: a binding over its limit, no memory, an invalid shader.
    pub fn new(
        gpu: &Gpu,
        stages: Vec<Stage>,
        place: impl Fn(TensorId) -> BufferSpan,
        mirrors: &[Mirror],
    ) -> Result<Self, GpuError> {
        let mut uniforms = vec![0; uniform_bytes(&stages) as usize];
        let mut offsets = Vec::new();
        let mut end = 0;
        for dispatch in stages.iter().flat_map(|stage| &stage.dispatches) {
            offsets.push(end as u64);
            uniforms[end..end + dispatch.params.len()].copy_from_slice(&dispatch.params);
            end += dispatch.params.len().next_multiple_of(UNIFORM_ALIGNMENT);
        }
        let usage = wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST;
        let arena = gpu.buffer("uniforms", uniforms.len() as u64, usage)?;
        gpu.queue.write_buffer(&arena, 0, &uniforms);
        let pipelines = gpu.pipelines_of(stages.iter().flat_map(|stage| &stage.dispatches));
        let mut prepared = pipelines.into_iter().zip(offsets);
        let mut compiled = Vec::with_capacity(stages.len());
        let mut places = Places { place, mirrors, current: HashMap::new() };
        for stage in stages {
            let mut calls = Vec::with_capacity(stage.dispatches.len());
            let mut copies = Vec::with_capacity(stage.refreshes.len());
            for (number, dispatch) in stage.dispatches.iter().enumerate() {
                let refreshes = stage.refreshes.iter().filter(|refresh| refresh.before == number);
                copies.extend(refreshes.map(|refresh| places.refresh(refresh)));
                let (pipeline, offset) = prepared.next().expect("one pipeline and one offset a dispatch");
                calls.push(call(gpu, dispatch, pipeline, &arena, offset, &places)?);
            }
            compiled.push(Compilation { stage, calls, copies });
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

    /// Records stage `index` as labelled passes, one for all dispatches between two copies; `clock` takes its time.
    pub fn encode(&self, index: usize, encoder: &mut wgpu::CommandEncoder, clock: Option<&StageClock>) {
        let Compilation { stage, calls, copies } = &self.stages[index];
        let mut copies = copies.iter().peekable();
        let mut first = 0;
        while first < calls.len() {
            while let Some(copy) = copies.next_if(|copy| copy.before == first) {
                copy.record(encoder);
            }
            let end = copies.peek().map_or(calls.len(), |copy| copy.before);
            let timestamp_writes = clock.and_then(|clock| clock.writes(index, first == 0, end == calls.len()));
            let mut pass =
                encoder.begin_compute_pass(&wgpu::ComputePassDescriptor { label: Some(&stage.name), timestamp_writes });
            calls[first..end].iter().for_each(|call| call.record(&mut pass));
            first = end;
        }
    }

    /// Runs stage `index` with a timestamp before and after each of its dispatches and copies. Needs the timestamp
    /// feature.
    ///
    /// # Errors
    /// What the device reports.
    pub async fn profile(&self, gpu: &Gpu, index: usize) -> Result<Vec<StageTime>, GpuError> {
        let Compilation { stage, calls, copies } = &self.stages[index];
        let queries = Queries::new(gpu, 2 * (calls.len() + copies.len()) as u32);
        let bytes = queries.bytes();
        let resolved =
            gpu.buffer("timestamps", bytes, wgpu::BufferUsages::QUERY_RESOLVE | wgpu::BufferUsages::COPY_SRC)?;
        let mut encoder =
            gpu.device.create_command_encoder(&wgpu::CommandEncoderDescriptor { label: Some(&stage.name) });
        let mut times = Vec::with_capacity(calls.len() + copies.len());
        let mut copies = copies.iter().peekable();
        for (number, (call, dispatch)) in calls.iter().zip(&stage.dispatches).enumerate() {
            while let Some(copy) = copies.next_if(|copy| copy.before == number) {
                // A copy is no pass: two empty ones around it take the time.
                let begin = 2 * times.len() as u32;
                timed_pass(&mut encoder, &queries, Some(begin), None);
                copy.record(&mut encoder);
                timed_pass(&mut encoder, &queries, None, Some(begin + 1));
                times.push(StageTime::new(&stage.name, MIRROR, "copy".into(), 0));
            }
            let begin = 2 * times.len() as u32;
            call.record(&mut timed_pass(&mut encoder, &queries, Some(begin), Some(begin + 1)));
            times.push(StageTime::new(&stage.name, dispatch.label, dispatch.pipeline.label(), dispatch.flops));
        }
        queries.resolve(&mut encoder, &resolved);
        gpu.submit(encoder.finish())?;
        let ticks = Readback::new(gpu, bytes)?.read(gpu, &resolved, 0, bytes).await?;
        let ticks: Vec<u64> = ticks.chunks_exact(8).map(bytemuck::pod_read_unaligned).collect();
        let period = f64::from(gpu.queue.get_timestamp_period());
        for (time, pair) in times.iter_mut().zip(ticks.chunks_exact(2)) {
            time.nanoseconds = pair[1].saturating_sub(pair[0]) as f64 * period;
        }
        Ok(times)
    }
}

impl StageTime {
    fn new(stage: &str, label: &'static str, kernel: String, flops: u64) -> Self {
        Self { stage: stage.to_owned(), label, kernel, nanoseconds: 0.0, flops }
    }
}

/// Timestamps, in as many query sets as they need.
struct Queries {
    sets: Vec<wgpu::QuerySet>,
    count: u32,
}

impl Queries {
    fn new(gpu: &Gpu, count: u32) -> Self {
        let set = |first| {
            gpu.device.create_query_set(&wgpu::QuerySetDescriptor {
                label: Some("timestamps"),
                ty: wgpu::QueryType::Timestamp,
                count: wgpu::QUERY_SET_MAX_QUERIES.min(count - first),
            })
        };
        Self { sets: (0..count).step_by(wgpu::QUERY_SET_MAX_QUERIES as usize).map(set).collect(), count }
    }

    fn bytes(&self) -> u64 {
        u64::from(self.count) * u64::from(wgpu::QUERY_SIZE)
    }

    fn resolve(&self, encoder: &mut wgpu::CommandEncoder, resolved: &wgpu::Buffer) {
        for (number, set) in (0..).zip(&self.sets) {
            let offset = number * u64::from(wgpu::QUERY_SET_MAX_QUERIES * wgpu::QUERY_SIZE);
            encoder.resolve_query_set(set, 0..set.count(), resolved, offset);
        }
    }
}

/// A pass that writes one timestamp or two, neighbours of an even number: a set holds both.
fn timed_pass<'e>(
    encoder: &'e mut wgpu::CommandEncoder,
    queries: &Queries,
    begin: Option<u32>,
    end: Option<u32>,
) -> wgpu::ComputePass<'e> {
    let first = begin.or(end).expect("a timed pass takes a time");
    let set = first / wgpu::QUERY_SET_MAX_QUERIES;
    let in_set = |query: u32| query - set * wgpu::QUERY_SET_MAX_QUERIES;
    encoder.begin_compute_pass(&wgpu::ComputePassDescriptor {
        label: Some("timed"),
        timestamp_writes: Some(wgpu::ComputePassTimestampWrites {
            query_set: &queries.sets[set as usize],
            beginning_of_pass_write_index: begin.map(in_set),
            end_of_pass_write_index: end.map(in_set),
        }),
    })
}

impl Copy {
    fn record(&self, encoder: &mut wgpu::CommandEncoder) {
        self.mirror.copy(encoder, &self.source.buffer, self.source.offset, self.bytes, self.form);
    }
}

/// Where everything lies that a dispatch can bind.
struct Places<'m, P> {
    place: P,
    mirrors: &'m [Mirror],
    /// The mirror that holds a slice at this point of the program.
    current: HashMap<(Slice, Form), usize>,
}

impl<P: Fn(TensorId) -> BufferSpan> Places<'_, P> {
    fn span(&self, slice: Slice) -> BufferSpan {
        let BufferSpan { buffer, offset } = (self.place)(slice.tensor);
        BufferSpan { buffer, offset: offset + slice.offset }
    }

    fn refresh(&mut self, refresh: &Refresh) -> Copy {
        let Refresh { before, slice, form, texture } = *refresh;
        self.current.insert((slice, form), texture);
        Copy { before, source: self.span(slice), bytes: slice.bytes, form, mirror: self.mirrors[texture].clone() }
    }

    fn mirror(&self, slice: Slice, form: Form) -> wgpu::BindingResource<'_> {
        let texture = self.current.get(&(slice, form)).expect("a mirror is scheduled before it is read");
        wgpu::BindingResource::TextureView(&self.mirrors[*texture].view)
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
    compiled: Arc<Compiled>,
    uniforms: &wgpu::Buffer,
    uniform_offset: u64,
    places: &Places<'_, impl Fn(TensorId) -> BufferSpan>,
) -> Result<Call, GpuError> {
    let limit = gpu.limits.max_storage_buffer_binding_size;
    if let Some(binding) = dispatch.bindings.iter().find(|binding| binding.slice.bytes > limit) {
        let what = format!("a tensor of \"{}\"", dispatch.label);
        return Err(GpuError::TooLarge { what, bytes: binding.slice.bytes, limit });
    }
    let slots = dispatch.slots();
    let spans: Vec<BufferSpan> = slots.iter().map(|&(_, _, slice)| places.span(slice)).collect();
    let mut entries = vec![buffer_entry(0, uniforms, uniform_offset, dispatch.params.len() as u64)];
    entries.extend(slots.iter().zip(&spans).map(|(&(binding, slot, slice), span)| match slot {
        Slot::Buffer { .. } => buffer_entry(binding, &span.buffer, span.offset, slice.bytes),
        Slot::Mirror { form } => wgpu::BindGroupEntry { binding, resource: places.mirror(slice, form) },
    }));
    let bind_group = gpu.device.create_bind_group(&wgpu::BindGroupDescriptor {
        label: Some(dispatch.label),
        layout: &compiled.layout,
        entries: &entries,
    });
    Ok(Call { compiled, bind_group, workgroups: dispatch.workgroups })
}

fn buffer_entry(binding: u32, buffer: &wgpu::Buffer, offset: u64, bytes: u64) -> wgpu::BindGroupEntry<'_> {
    wgpu::BindGroupEntry {
        binding,
        resource: wgpu::BindingResource::Buffer(wgpu::BufferBinding {
            buffer,
            offset,
            size: std::num::NonZeroU64::new(bytes),
        }),
    }
}
