//! Pooling of `[16, 32, 32, 256]`: 8x8 averages for a head, 2x2 maxima between blocks.

#[path = "support/rows.rs"]
mod rows;
#[allow(dead_code, reason = "each benchmark uses a part of what they share")]
mod support;

use criterion::{Criterion, criterion_group, criterion_main};
use predsim::gpu::Lab;
use predsim::kernels::pool::{MaxPool, PoolGeometry};
use rows::measure;

fn pool(criterion: &mut Criterion) {
    let gpu = support::open();
    let (batch, height, width, channels) = (16, 32, 32, 256);
    let average = PoolGeometry { batch, height, width, channels, kh: 8, kw: 8, pad_h: 0, pad_w: 0 };
    let maximum = MaxPool { batch, height, width, channels };
    let bytes = 4 * u64::from(batch * height * width * channels);
    let mut lab = Lab::new(&gpu);
    let mut tensor = |bytes: u64| lab.tensor(&vec![0.5f32; (bytes / 4) as usize]).expect("a tensor");
    let (x, dx, out) = (tensor(bytes), tensor(bytes), tensor(bytes / 4));
    measure(criterion, &gpu, &lab, "average pool 8x8", bytes, &[average.average(x, out)]);
    measure(criterion, &gpu, &lab, "max pool", bytes + bytes / 4, &[maximum.forward(x, out)]);
    measure(criterion, &gpu, &lab, "max pool backward", 2 * bytes + bytes / 4, &[maximum.backward(x, out, dx)]);
}

criterion_group!(benches, pool);
criterion_main!(benches);
