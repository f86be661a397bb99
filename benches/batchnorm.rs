//! Batch norm on the output of VGG8B's second block at batch 16 (`[16, 32, 32, 256]`) and of a dense block at batch 128.

#[path = "support/rows.rs"]
mod rows;
#[allow(dead_code, reason = "each benchmark uses a part of what they share")]
mod support;

use criterion::{Criterion, criterion_group, criterion_main};
use predsim::gpu::Lab;
use predsim::kernels::Activation;
use predsim::kernels::batchnorm::{BatchNorm, MOMENTUM, Normalised};
use predsim::kernels::batchnorm_backward::Upstream;
use predsim::kernels::batchnorm_few::{Dense, Sender};
use predsim::kernels::pool::PoolGeometry;
use rows::measure;

fn batchnorm(criterion: &mut Criterion) {
    let gpu = support::open();
    for (side, batch, channels, kernel) in [(32, 16, 256, 8), (1, 128, 1024, 1)] {
        let pool =
            PoolGeometry { batch, height: side, width: side, channels, kh: kernel, kw: kernel, pad_h: 0, pad_w: 0 };
        let norm = BatchNorm { rows: batch * side * side, channels };
        let bytes = 4 * u64::from(norm.rows) * u64::from(channels);
        let mut lab = Lab::new(&gpu);
        let mut tensor = |bytes: u64| lab.tensor(&vec![0.5f32; (bytes / 4) as usize]).expect("a tensor");
        let vectors = 8 * u64::from(channels);
        let (y, h, gradient) = (tensor(bytes), tensor(bytes), tensor(bytes));
        let (saved, affine, running, daffine) = (tensor(vectors), tensor(vectors), tensor(vectors), tensor(vectors));
        let workspace = tensor(norm.workspace_bytes());
        let windows = batch * pool.out_height() * pool.out_width();
        let pooled = Some((tensor(4 * u64::from(windows * channels)), pool));
        let of = Normalised { y, saved, affine, activation: Activation::Relu };
        let upstream = Upstream { gradient, dense: true, pooled };
        let shape = format!("[{batch}, {side}, {side}, {channels}]");
        let name = |what: &str| format!("batchnorm {what} {shape}");
        let statistics = norm.statistics(y, workspace, running, saved);
        measure(criterion, &gpu, &lab, &name("statistics"), bytes, &statistics);
        measure(criterion, &gpu, &lab, &name("apply"), 2 * bytes, &[norm.apply(of, h)]);
        let dense = Upstream { pooled: None, ..upstream };
        let backward = norm.backward(of, dense, daffine, workspace);
        measure(criterion, &gpu, &lab, &name("backward, dense"), 5 * bytes, &backward);
        let backward = norm.backward(of, upstream, daffine, workspace);
        measure(criterion, &gpu, &lab, &name("backward, dense and pooled"), 5 * bytes, &backward);
        if norm.is_few() {
            let forward = norm.few_forward(MOMENTUM, of, running, h);
            measure(criterion, &gpu, &lab, &name("of few rows"), 4 * bytes, &[forward]);
            let backward = norm.few_backward(of, [gradient, affine, daffine], Dense::There, Sender::Nobody);
            measure(criterion, &gpu, &lab, &name("of few rows, backward"), 5 * bytes, &[backward]);
        }
    }
}

criterion_group!(benches, batchnorm);
criterion_main!(benches);
