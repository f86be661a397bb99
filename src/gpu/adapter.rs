//! Which adapters there are, and which one to train on.

use serde::Serialize;

use super::GpuError;

/// What the user asked for with `--adapter`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Wanted {
    /// The best there is: discrete before integrated before software.
    #[default]
    Best,
    /// The n-th of [`list`].
    Index(usize),
    /// The first whose name contains this text, whatever the case.
    Name(String),
}

impl std::str::FromStr for Wanted {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(match text.parse() {
            Ok(index) => Self::Index(index),
            Err(_) => Self::Name(text.to_owned()),
        })
    }
}

/// One adapter as `predsim devices` shows it.
#[derive(Debug, Clone, Serialize)]
pub struct AdapterReport {
    /// Position in the list, accepted by `--adapter`.
    pub index: usize,
    /// Marketing name.
    pub name: String,
    /// `vulkan`, `metal`, `dx12` or `webgpu`.
    pub backend: String,
    /// `discrete`, `integrated`, `virtual`, `software` or `other`.
    pub kind: String,
    /// Driver and its version.
    pub driver: String,
    /// Largest storage binding in bytes.
    pub max_binding_bytes: u64,
    /// Largest buffer in bytes.
    pub max_buffer_bytes: u64,
    /// Workgroup memory in bytes.
    pub workgroup_memory_bytes: u32,
    /// Invocations in one workgroup.
    pub max_workgroup_invocations: u32,
    /// Storage buffers in one pipeline stage.
    pub storage_buffers: u32,
    /// Smallest and largest subgroup.
    pub subgroup_size: [u32; 2],
    /// The features that matter to us.
    pub features: Vec<&'static str>,
}

/// Lower is better.
fn rank(kind: wgpu::DeviceType) -> u8 {
    match kind {
        wgpu::DeviceType::DiscreteGpu => 0,
        wgpu::DeviceType::IntegratedGpu => 1,
        wgpu::DeviceType::VirtualGpu => 2,
        wgpu::DeviceType::Other => 3,
        wgpu::DeviceType::Cpu => 4,
    }
}

fn kind_name(kind: wgpu::DeviceType) -> &'static str {
    match kind {
        wgpu::DeviceType::DiscreteGpu => "discrete",
        wgpu::DeviceType::IntegratedGpu => "integrated",
        wgpu::DeviceType::VirtualGpu => "virtual",
        wgpu::DeviceType::Cpu => "software",
        wgpu::DeviceType::Other => "other",
    }
}

/// All adapters, best first; the order is the numbering of `--adapter INDEX`.
pub async fn list() -> Vec<wgpu::Adapter> {
    let mut descriptor = wgpu::InstanceDescriptor::new_without_display_handle();
    descriptor.backends = wgpu::Backends::PRIMARY;
    let instance = wgpu::Instance::new(descriptor);
    let mut adapters = instance.enumerate_adapters(wgpu::Backends::PRIMARY).await;
    if adapters.is_empty() {
        // A browser enumerates nothing; it only answers a request.
        adapters.extend(instance.request_adapter(&wgpu::RequestAdapterOptions::default()).await.ok());
    }
    adapters.sort_by_key(|adapter| rank(adapter.get_info().device_type));
    adapters
}

/// The adapter that `wanted` names.
///
/// # Errors
/// [`GpuError::NoAdapter`] says what there is instead.
pub async fn choose(wanted: &Wanted) -> Result<wgpu::Adapter, GpuError> {
    let adapters = list().await;
    if adapters.is_empty() {
        return Err(GpuError::NoAdapter(
            "no Vulkan, Metal, DirectX 12 or WebGPU driver was found; on Debian or Ubuntu \
             `apt-get install mesa-vulkan-drivers libvulkan1` installs a software one"
                .into(),
        ));
    }
    let names: Vec<String> = adapters.iter().map(|a| a.get_info().name).collect();
    let index = match wanted {
        Wanted::Best => Some(0),
        Wanted::Index(index) => (*index < names.len()).then_some(*index),
        Wanted::Name(part) => {
            let part = part.to_lowercase();
            names.iter().position(|name| name.to_lowercase().contains(&part))
        }
    };
    let Some(index) = index else {
        let listed: Vec<String> = names.iter().enumerate().map(|(i, n)| format!("{i}: {n}")).collect();
        let asked = match wanted {
            Wanted::Index(index) => format!("index {index}"),
            Wanted::Name(part) => format!("a name with \"{part}\""),
            Wanted::Best => unreachable!("the list is not empty"),
        };
        return Err(GpuError::NoAdapter(format!("--adapter asks for {asked}, but there are {}", listed.join(", "))));
    };
    Ok(adapters.into_iter().nth(index).expect("index was checked"))
}

impl AdapterReport {
    /// Reads an adapter's properties.
    pub fn of(index: usize, adapter: &wgpu::Adapter) -> Self {
        let (info, limits, features) = (adapter.get_info(), adapter.limits(), adapter.features());
        let known = [
            (wgpu::Features::SUBGROUP, "subgroups"),
            (wgpu::Features::SHADER_F16, "f16"),
            (wgpu::Features::TIMESTAMP_QUERY, "timestamps"),
            (wgpu::Features::EXPERIMENTAL_COOPERATIVE_MATRIX, "cooperative-matrix"),
        ];
        Self {
            index,
            name: info.name,
            backend: info.backend.to_string(),
            kind: kind_name(info.device_type).to_owned(),
            driver: format!("{} {}", info.driver, info.driver_info).trim().to_owned(),
            max_binding_bytes: limits.max_storage_buffer_binding_size,
            max_buffer_bytes: limits.max_buffer_size,
            workgroup_memory_bytes: limits.max_compute_workgroup_storage_size,
            max_workgroup_invocations: limits.max_compute_invocations_per_workgroup,
            storage_buffers: limits.max_storage_buffers_per_shader_stage,
            subgroup_size: [info.subgroup_min_size, info.subgroup_max_size],
            features: known.iter().filter(|(f, _)| features.contains(*f)).map(|(_, n)| *n).collect(),
        }
    }
}
