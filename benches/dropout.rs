//! Dropout of `[16, 32, 32, 256]`, element by element and by whole maps.

#[path = "support/rows.rs"]
mod rows;
#[allow(dead_code, reason = "each benchmark uses a part of what they share")]
mod support;

use criterion::{Criterion, criterion_group, criterion_main};
use predsim::gpu::Lab;
use predsim::kernels::StepParams;
use predsim::kernels::dropout::Dropout;
use rows::measure;

fn dropout(criterion: &mut Criterion) {
    let gpu = support::open();
    let mut lab = Lab::new(&gpu);
    let len = 16 * 32 * 32 * 256;
    let x = lab.tensor(&vec![0.5f32; len]).expect("a tensor");
    let step = lab.tensor(&[StepParams::default()]).expect("a tensor");
    for (name, whole_maps) in [("dropout elements", false), ("dropout maps", true)] {
        let dropout = Dropout { batch: 16, spatial: 1024, channels: 256, rate: 0.0, stream: 0, whole_maps };
        measure(criterion, &gpu, &lab, name, 8 * len as u64, &[dropout.forward(step, x)]);
    }
}

criterion_group!(benches, dropout);
criterion_main!(benches);
