//! Updates of 2,097,152 parameters, two dense layers of 1024 units, by every rule.

#[path = "support/rows.rs"]
mod rows;
#[allow(dead_code, reason = "each benchmark uses a part of what they share")]
mod support;

use criterion::{Criterion, criterion_group, criterion_main};
use predsim::gpu::Lab;
use predsim::kernels::StepParams;
use predsim::kernels::optimizer::{Kind, Optimizer};
use rows::measure;

fn optimizer(criterion: &mut Criterion) {
    let gpu = support::open();
    let rules = [
        ("sgd", Kind::Sgd { momentum: 0.0 }),
        ("sgd with momentum", Kind::Sgd { momentum: 0.9 }),
        ("adam", Kind::Adam),
        ("amsgrad", Kind::AmsGrad),
    ];
    for (name, kind) in rules {
        let optimizer = Optimizer { len: 2 << 20, trunk: 2 << 20, kind, weight_decay: 1e-4 };
        let mut lab = Lab::new(&gpu);
        let step = lab.tensor(&[StepParams::new(1e-6, 1000, 999, 0)]).expect("a tensor");
        let mut tensor = || lab.tensor(&support::values(optimizer.bytes())).expect("a tensor");
        let (params, grads) = (tensor(), tensor());
        let state: Vec<_> =
            kind.state().iter().map(|_| lab.tensor(&vec![1.0f32; optimizer.len as usize]).expect("a tensor")).collect();
        let squares = lab.tensor(&vec![0.0f32; optimizer.partials() as usize]).expect("a tensor");
        let update = optimizer.dispatch(step, params, grads, &state, squares).expect("the arena is not empty");
        // The gradient is read; parameters and state are read and written.
        let bytes = optimizer.bytes() * (3 + 2 * state.len() as u64);
        measure(criterion, &gpu, &lab, &format!("update by {name}"), bytes, &[update]);
    }
}

criterion_group!(benches, optimizer);
criterion_main!(benches);
