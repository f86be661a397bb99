//! Compiled pipelines, each made once: keyed by shader, entry point, constants, the access of its bindings, and
//! which of its inputs are sums or mirrors.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use super::dispatch::Slot;
use super::{Access, Dispatch};

/// A pipeline with the layout its bind groups need.
#[derive(Debug)]
pub struct Compiled {
    pub pipeline: wgpu::ComputePipeline,
    pub layout: wgpu::BindGroupLayout,
}

type Key = (String, Vec<Access>);

fn key(dispatch: &Dispatch) -> Key {
    (dispatch.pipeline.label(), dispatch.bindings.iter().map(|binding| binding.access).collect())
}

/// Who is told how many of how many pipelines are compiled, before the first and behind each, from any thread.
struct Watch(Box<dyn Fn(usize, usize) + Send + Sync>);

impl std::fmt::Debug for Watch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Watch")
    }
}

/// All pipelines of one device.
#[derive(Debug, Default)]
pub struct PipelineCache {
    compiled: Mutex<HashMap<Key, Arc<Compiled>>>,
    watch: OnceLock<Watch>,
}

impl PipelineCache {
    /// From now on `watch` is told how many of how many pipelines are compiled. There is one for the life of the cache: the
    /// first.
    pub fn watch(&self, watch: impl Fn(usize, usize) + Send + Sync + 'static) {
        let _ = self.watch.set(Watch(Box::new(watch)));
    }

    /// The pipeline of each of `dispatches`. Those that are not there yet are compiled now, on as many threads as there are
    /// processors.
    pub fn all_of<'d>(
        &self,
        device: &wgpu::Device,
        dispatches: impl Iterator<Item = &'d Dispatch>,
    ) -> Vec<Arc<Compiled>> {
        let wanted: Vec<(Key, &Dispatch)> = dispatches.map(|dispatch| (key(dispatch), dispatch)).collect();
        let mut seen: HashSet<Key> = self.lock().keys().cloned().collect();
        let missing: Vec<&(Key, &Dispatch)> = wanted.iter().filter(|(key, _)| seen.insert(key.clone())).collect();
        self.compile(device, &missing);
        let compiled = self.lock();
        wanted.iter().map(|(key, _)| compiled[key].clone()).collect()
    }

    fn compile(&self, device: &wgpu::Device, missing: &[&(Key, &Dispatch)]) {
        if missing.is_empty() {
            return;
        }
        let tell = |done| self.watch.get().into_iter().for_each(|watch| (watch.0)(done, missing.len()));
        tell(0);
        let (next, done) = (AtomicUsize::new(0), AtomicUsize::new(0));
        on_all_processors(missing.len(), || {
            while let Some((key, dispatch)) = missing.get(next.fetch_add(1, Ordering::Relaxed)) {
                let compiled = Arc::new(compile(device, dispatch, &key.0));
                self.lock().insert(key.clone(), compiled);
                tell(done.fetch_add(1, Ordering::Relaxed) + 1);
            }
        });
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Key, Arc<Compiled>>> {
        self.compiled.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Does `work` on a thread for every processor, but on no more than `pieces`.
#[cfg(not(target_arch = "wasm32"))]
fn on_all_processors(pieces: usize, work: impl Fn() + Sync) {
    let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    std::thread::scope(|scope| {
        (1..processors.min(pieces)).for_each(|_| drop(scope.spawn(&work)));
        work();
    });
}

/// In a browser there is one thread.
#[cfg(target_arch = "wasm32")]
fn on_all_processors(_pieces: usize, work: impl Fn()) {
    work();
}

fn compile(device: &wgpu::Device, dispatch: &Dispatch, label: &str) -> Compiled {
    let descriptor = wgpu::ShaderModuleDescriptor {
        label: Some(label),
        source: wgpu::ShaderSource::Wgsl(dispatch.pipeline.source().into()),
    };
    // SAFETY: every kernel keeps its indices within its bindings, bounds every loop by a uniform and divides by nothing that
    // can be zero; the kernel tests run each with odd shapes, between canaries.
    let module = unsafe { device.create_shader_module_trusted(descriptor, wgpu::ShaderRuntimeChecks::unchecked()) };
    let mut entries = vec![entry(0, buffer_type(wgpu::BufferBindingType::Uniform))];
    entries.extend(dispatch.slots().into_iter().map(|(binding, slot, _)| match slot {
        Slot::Buffer { read_only } => entry(binding, buffer_type(wgpu::BufferBindingType::Storage { read_only })),
        Slot::Mirror { .. } => entry(binding, TEXELS),
    }));
    let layout =
        device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor { label: Some(label), entries: &entries });
    let pipeline_layout = device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
        label: Some(label),
        bind_group_layouts: &[Some(&layout)],
        immediate_size: 0,
    });
    let pipeline = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
        label: Some(label),
        layout: Some(&pipeline_layout),
        module: &module,
        entry_point: Some(dispatch.pipeline.entry),
        // Our kernels write workgroup memory before they read it.
        compilation_options: wgpu::PipelineCompilationOptions {
            zero_initialize_workgroup_memory: false,
            ..Default::default()
        },
        cache: None,
    });
    Compiled { pipeline, layout }
}

const TEXELS: wgpu::BindingType = wgpu::BindingType::StorageTexture {
    access: wgpu::StorageTextureAccess::ReadOnly,
    format: wgpu::TextureFormat::Rgba32Float,
    view_dimension: wgpu::TextureViewDimension::D2,
};

fn buffer_type(ty: wgpu::BufferBindingType) -> wgpu::BindingType {
    wgpu::BindingType::Buffer { ty, has_dynamic_offset: false, min_binding_size: None }
}

fn entry(binding: u32, ty: wgpu::BindingType) -> wgpu::BindGroupLayoutEntry {
    wgpu::BindGroupLayoutEntry { binding, visibility: wgpu::ShaderStages::COMPUTE, ty, count: None }
}
