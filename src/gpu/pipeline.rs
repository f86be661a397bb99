//! Compiled pipelines, each made once: keyed by shader, entry point, constants and the access of its bindings.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

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
        compiled.entry(key).or_insert_with_key(|key| Arc::new(compile(device, dispatch, key))).clone()
    }
}

fn compile(device: &wgpu::Device, dispatch: &Dispatch, (label, accesses): &Key) -> Compiled {
    let descriptor = wgpu::ShaderModuleDescriptor {
        label: Some(label),
        source: wgpu::ShaderSource::Wgsl(dispatch.pipeline.source().into()),
    };
    let module = if dispatch.pipeline.guarded {
        // SAFETY: a pipeline is marked `guarded` only where its WGSL keeps every index within its bindings, bounds every
        // loop by a uniform and divides by nothing that can be zero; the kernel tests run each with odd shapes.
        unsafe { device.create_shader_module_trusted(descriptor, wgpu::ShaderRuntimeChecks::unchecked()) }
    } else {
        device.create_shader_module(descriptor)
    };
    let mut entries = vec![entry(0)];
    for (index, access) in accesses.iter().enumerate() {
        entries.push(wgpu::BindGroupLayoutEntry { ty: binding_type(*access), ..entry(index as u32 + 1) });
    }
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

/// A uniform's entry.
fn entry(binding: u32) -> wgpu::BindGroupLayoutEntry {
    let ty = buffer_type(wgpu::BufferBindingType::Uniform);
    wgpu::BindGroupLayoutEntry { binding, visibility: wgpu::ShaderStages::COMPUTE, ty, count: None }
}

fn binding_type(access: Access) -> wgpu::BindingType {
    match access {
        Access::Read => buffer_type(wgpu::BufferBindingType::Storage { read_only: true }),
        Access::Write => buffer_type(wgpu::BufferBindingType::Storage { read_only: false }),
        Access::Texels => wgpu::BindingType::StorageTexture {
            access: wgpu::StorageTextureAccess::ReadOnly,
            format: wgpu::TextureFormat::Rgba32Float,
            view_dimension: wgpu::TextureViewDimension::D2,
        },
    }
}

fn buffer_type(ty: wgpu::BufferBindingType) -> wgpu::BindingType {
    wgpu::BindingType::Buffer { ty, has_dynamic_offset: false, min_binding_size: None }
}
