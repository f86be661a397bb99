//! What the benchmarks of memory-bound kernels share: one measured function, its rate as bytes that must be moved.

use criterion::{Criterion, Throughput};
use predsim::gpu::{Dispatch, Gpu, Lab};

use crate::support::{gpu_time, quick};

/// Measures `dispatches`, which read and write `bytes` bytes at the least.
pub fn measure(criterion: &mut Criterion, gpu: &Gpu, lab: &Lab<'_>, name: &str, bytes: u64, dispatches: &[Dispatch]) {
    let mut group = quick(criterion, name);
    group.throughput(Throughput::Bytes(bytes));
    group.bench_function("gpu time", |bencher| {
        bencher.iter_custom(|iterations| gpu_time(gpu, lab, dispatches, iterations));
    });
    group.finish();
}
