//! The open device: its queue, its pipelines, its first error, and counters of what was created and submitted.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::pipeline::{Compiled, PipelineCache};
use super::{Dispatch, GpuError, Wanted, choose};

/// An open device. Cheap to share by reference; everything else in `gpu` borrows it.
#[derive(Debug)]
pub struct Gpu {
    /// wgpu's device.
    pub device: wgpu::Device,
    /// Its only queue.
    pub queue: wgpu::Queue,
    /// Name, kind and driver of the adapter.
    pub info: wgpu::AdapterInfo,
    /// The adapter's own limits, all of them requested.
    pub limits: wgpu::Limits,
    /// Features that were opened.
    pub features: wgpu::Features,
    matrices: Vec<wgpu::CooperativeMatrixProperties>,
    pipelines: PipelineCache,
    failure: Arc<Mutex<Option<GpuError>>>,
    buffers_created: AtomicU64,
    bytes_created: AtomicU64,
    submitted: AtomicU64,
}

/// Opened where the adapter has them; what needs one of them asks for it.
const OPTIONAL_FEATURES: wgpu::Features = wgpu::Features::TIMESTAMP_QUERY
    .union(wgpu::Features::SUBGROUP)
    .union(wgpu::Features::SHADER_F16)
    .union(wgpu::Features::EXPERIMENTAL_COOPERATIVE_MATRIX);

/// Whether the processor, which is what a software driver runs on, has AVX-512.
pub fn has_avx512() -> bool {
    #[cfg(target_arch = "x86_64")]
    return std::arch::is_x86_feature_detected!("avx512f");
    #[cfg(not(target_arch = "x86_64"))]
    false
}

impl Gpu {
    /// Opens the adapter that `wanted` names, with all of its own limits.
    ///
    /// # Errors
    /// [`GpuError::NoAdapter`] or [`GpuError::NoDevice`].
    pub async fn open(wanted: &Wanted) -> Result<Self, GpuError> {
        let adapter = choose(wanted).await?;
        let (info, limits) = (adapter.get_info(), adapter.limits());
        let features = adapter.features() & OPTIONAL_FEATURES;
        // SAFETY: of the experimental features, cooperative matrices alone are opened. One kernel uses them, with the
        // shapes that the adapter lists, and its tests run it between canaries where an adapter has them.
        let experimental_features = unsafe { wgpu::ExperimentalFeatures::enabled() };
        let (device, queue) = adapter
            .request_device(&wgpu::DeviceDescriptor {
                label: Some("predsim"),
                required_features: features,
                required_limits: limits.clone(),
                experimental_features,
                memory_hints: wgpu::MemoryHints::MemoryUsage,
                ..Default::default()
            })
            .await
            .map_err(|error| GpuError::NoDevice { adapter: info.name.clone(), reason: error.to_string() })?;
        let failure = Arc::new(Mutex::new(None));
        let first = failure.clone();
        device.on_uncaptured_error(Arc::new(move |error: wgpu::Error| keep_first(&first, error.into())));
        let first = failure.clone();
        device.set_device_lost_callback(move |reason, message| {
            if reason != wgpu::DeviceLostReason::Destroyed {
                keep_first(&first, GpuError::Lost(message));
            }
        });
        Ok(Self {
            device,
            queue,
            info,
            limits,
            features,
            matrices: adapter.cooperative_matrix_properties(),
            pipelines: PipelineCache::default(),
            failure,
            buffers_created: AtomicU64::new(0),
            bytes_created: AtomicU64::new(0),
            submitted: AtomicU64::new(0),
        })
    }

    /// Whether kernels should read their inputs from [mirrors](super::Mirror): on a software driver with subgroups of eight
    /// lanes, which is what those were measured on.
    pub fn prefers_mirrors(&self) -> bool {
        self.info.device_type == wgpu::DeviceType::Cpu && self.has_subgroups_of(8)
    }

    /// Whether subgroups can be used and always have that many lanes.
    pub fn has_subgroups_of(&self, lanes: u32) -> bool {
        let sizes = [self.info.subgroup_min_size, self.info.subgroup_max_size];
        sizes == [lanes; 2] && self.features.contains(wgpu::Features::SUBGROUP)
    }

    /// Whether subgroups always have that many lanes and multiply `f16` matrices of `side` by `side`, adding up in `f32`.
    pub fn cooperative_matrices(&self, side: u32, lanes: u32) -> bool {
        use wgpu::CooperativeScalarType::{F16, F32};
        let fits = |m: &wgpu::CooperativeMatrixProperties| {
            [m.m_size, m.n_size, m.k_size] == [side; 3] && (m.ab_type, m.cr_type) == (F16, F32)
        };
        let opened = wgpu::Features::SHADER_F16 | wgpu::Features::EXPERIMENTAL_COOPERATIVE_MATRIX;
        self.features.contains(opened) && self.has_subgroups_of(lanes) && self.matrices.iter().any(fits)
    }

    /// The first error the device reported since it was opened.
    ///
    /// # Errors
    /// That error; wgpu reports asynchronously, so this is asked after every submission and every wait.
    pub fn check(&self) -> Result<(), GpuError> {
        match &*self.failure.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(error) => Err(error.clone()),
            None => Ok(()),
        }
    }

    /// Forgets that there was no room, when what there was no room for is gone and less is tried.
    pub fn forget_no_room(&self) {
        let mut failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
        if matches!(*failure, Some(GpuError::OutOfMemory(_))) {
            *failure = None;
        }
    }

    /// A buffer of `bytes` bytes, zeroed by WebGPU.
    ///
    /// # Errors
    /// [`GpuError::TooLarge`] where the adapter cannot hold it in one buffer.
    pub fn buffer(&self, label: &str, bytes: u64, usage: wgpu::BufferUsages) -> Result<wgpu::Buffer, GpuError> {
        let storage = usage.contains(wgpu::BufferUsages::STORAGE);
        let limit = if storage { self.limits.max_storage_buffer_binding_size } else { u64::MAX };
        if bytes > limit {
            return Err(GpuError::TooLarge { what: label.to_owned(), bytes, limit });
        }
        self.arena(label, bytes, usage)
    }

    /// A buffer of which only stretches are bound, so that it may have more bytes than a binding.
    ///
    /// # Errors
    /// [`GpuError::TooLarge`] where the adapter has no such large buffers.
    pub fn arena(&self, label: &str, bytes: u64, usage: wgpu::BufferUsages) -> Result<wgpu::Buffer, GpuError> {
        let limit = self.limits.max_buffer_size;
        if bytes > limit {
            return Err(GpuError::TooLarge { what: label.to_owned(), bytes, limit });
        }
        self.buffers_created.fetch_add(1, Ordering::Relaxed);
        self.bytes_created.fetch_add(bytes, Ordering::Relaxed);
        Ok(self.device.create_buffer(&wgpu::BufferDescriptor {
            label: Some(label),
            size: bytes,
            usage,
            mapped_at_creation: false,
        }))
    }

    pub(super) fn texture(&self, descriptor: &wgpu::TextureDescriptor<'_>) -> wgpu::Texture {
        let texture = self.device.create_texture(descriptor);
        let texels = u64::from(texture.width()) * u64::from(texture.height());
        let texel_bytes = u64::from(texture.format().block_copy_size(None).unwrap_or(0));
        self.buffers_created.fetch_add(1, Ordering::Relaxed);
        self.bytes_created.fetch_add(texels * texel_bytes, Ordering::Relaxed);
        texture
    }

    /// Sends one command buffer off.
    ///
    /// # Errors
    /// What the device has reported so far.
    pub fn submit(&self, commands: wgpu::CommandBuffer) -> Result<(), GpuError> {
        self.submitted.fetch_add(1, Ordering::Relaxed);
        self.queue.submit([commands]);
        self.check()
    }

    /// Writes `bytes` to the beginning of `buffer`. On the desktop it waits until that is done, so that the copies which
    /// wgpu makes on the way do not pile up.
    ///
    /// # Errors
    /// What the device has reported so far.
    pub fn write(&self, buffer: &wgpu::Buffer, bytes: &[u8]) -> Result<(), GpuError> {
        self.queue.write_buffer(buffer, 0, bytes);
        self.queue.submit([]);
        // An error here is a lost device, which is what the check finds.
        let _ = self.device.poll(wgpu::PollType::wait_indefinitely());
        self.check()
    }

    /// How many buffers, mirrors counted with them, were created so far.
    pub fn buffers_created(&self) -> u64 {
        self.buffers_created.load(Ordering::Relaxed)
    }

    /// How many bytes those have together.
    pub fn bytes_created(&self) -> u64 {
        self.bytes_created.load(Ordering::Relaxed)
    }

    /// How many command buffers were submitted through [`Gpu::submit`] so far.
    pub fn command_buffers_submitted(&self) -> u64 {
        self.submitted.load(Ordering::Relaxed)
    }

    /// From now on `watch` is told how many of how many pipelines of a program are compiled: before the first and behind
    /// each, from any thread. The first one that is set stays.
    pub fn watch_compilation(&self, watch: impl Fn(usize, usize) + Send + Sync + 'static) {
        self.pipelines.watch(watch);
    }

    /// The pipeline of each of `dispatches`, compiled now where it is the first of its kind.
    pub(super) fn pipelines_of<'d>(&self, dispatches: impl Iterator<Item = &'d Dispatch>) -> Vec<Arc<Compiled>> {
        self.pipelines.all_of(&self.device, dispatches)
    }
}

fn keep_first(place: &Mutex<Option<GpuError>>, error: GpuError) {
    place.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
}

/// Drives a future that waits for this GPU, on the calling thread: the command line's way to block.
///
/// wgpu calls back from `Device::poll` only, so the device is polled between two looks at the future.
#[cfg(not(target_arch = "wasm32"))]
pub fn block_on<T>(gpu: &Gpu, future: impl Future<Output = T>) -> T {
    use std::task::{Context, Poll, Waker};
    let mut future = std::pin::pin!(future);
    let mut context = Context::from_waker(Waker::noop());
    loop {
        if let Poll::Ready(value) = future.as_mut().poll(&mut context) {
            return value;
        }
        // An error here is a lost device, which the future learns from its own failed mapping.
        let _ = gpu.device.poll(wgpu::PollType::Poll);
        std::thread::sleep(std::time::Duration::from_micros(50));
    }
}
