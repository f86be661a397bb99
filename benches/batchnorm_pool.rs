//! Batch norm, relu and 2x2 maxima of `[16, 32, 32, 256]` in one pass, beside single kernels.

#[path = "support/rows.rs"]
mod rows;
#[allow(dead_code, reason = "each benchmark uses a part of what they share")]
mod support;

use criterion::{Criterion, criterion_group, criterion_main};
use predsim::gpu::Lab;
use predsim::kernels::batchnorm::{BatchNorm, Normalised};
use predsim::kernels::batchnorm_backward::Upstream;
use predsim::kernels::batchnorm_pool::Pooled;
use predsim::kernels::pool::MaxPool;
use predsim::kernels::{Activation, RowChunk};
use rows::measure;

fn batchnorm_pool(criterion: &mut Criterion) {
    let gpu = support::open();
    let (batch, height, width, channels) = (16, 32, 32, 256);
    let pool = MaxPool { batch, height, width, channels };
    let (rows, windows) = (batch * height * width, pool.windows());
    let norm = BatchNorm { rows, channels };
    let bytes = 4 * u64::from(rows) * u64::from(channels);
    let mut lab = Lab::new(&gpu);
    let mut tensor = |bytes: u64| lab.tensor(&vec![0.5f32; (bytes / 4) as usize]).expect("a tensor");
    let vectors = 8 * u64::from(channels);
    let (x, h, dx, maxima) = (tensor(bytes), tensor(bytes), tensor(bytes), tensor(bytes / 4));
    let (saved, affine, daffine) = (tensor(vectors), tensor(vectors), tensor(vectors));
    let workspace = tensor(norm.workspace_bytes().max(windows.workspace_bytes()));
    let activation = Activation::Relu;
    let one = Pooled { x, norm: Some([saved, affine]), activation };
    let single = Normalised { y: x, saved, affine, activation };

    let mut measure = |what: &str, least, dispatches: &[_]| {
        measure(criterion, &gpu, &lab, &format!("batchnorm and max pool {what}"), least, dispatches);
    };
    let forward = [norm.apply(single, h), pool.forward(h, maxima)];
    measure("forward, single kernels", bytes + bytes / 4, &forward);
    measure("forward", bytes + bytes / 4, &[pool.activated(one, None, maxima)]);
    measure("forward, the map kept", 2 * bytes + bytes / 4, &[pool.activated(one, Some(h), maxima)]);
    let upstream = Upstream { gradient: dx, dense: true, pooled: None };
    let mut backward = vec![pool.backward(h, maxima, dx)];
    backward.extend(norm.backward(single, upstream, daffine, workspace));
    measure("backward, single kernels", 3 * bytes + bytes / 2, &backward);
    let backward = [
        pool.activated_sums(windows, RowChunk::whole(windows.rows), one, maxima, workspace),
        windows.backward_finish(windows.rows, workspace, daffine),
        pool.activated_input(one, maxima, Some(daffine), rows, dx),
    ];
    measure("backward", 3 * bytes + bytes / 2, &backward);
}

criterion_group!(benches, batchnorm_pool);
criterion_main!(benches);
