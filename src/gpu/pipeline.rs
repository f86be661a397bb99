//! Compiled pipelines, each made once: keyed by shader, entry point, constants and the access of its bindings.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::dispatch::Slot;
use super::{Access, Dispatch};

/// A pipeline with the layout its bind groups need.
#[derive(Debug)]
pub struct Compiled {
    pub pipeline: wgpu::ComputePipeline,
    pub layout: wgpu::BindGroupLayout,
}

type Key = (String, Vec<Access>);

/// All pipelines of one device.
#[derive(Debug, Default)]
pub struct PipelineCache {
    compiled: Mutex<HashMap<Key, Arc<Compiled>>>,
}

impl PipelineCache {
    /// The pipeline of `dispatch`, compiled now if it is the first of its kind.
    pub fn get(&self, device: &wgpu::Device, dispatch: &Dispatch) -> Arc<Compiled> {
        let accesses: Vec<Access> = dispatch.bindings.iter().map(|b| b.access).collect();
        let key = (dispatch.pipeline.label(), accesses);
        let mut compiled = self.compiled.lock().unwrap_or_else(PoisonError::into_inner);
        compiled.entry(key).or_insert_with_key(|key| Arc::new(compile(device, dispatch, &key.0))).clone()
    }
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
        Slot::Mirror => entry(binding, TEXELS),
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
