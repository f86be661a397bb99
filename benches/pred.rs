//! Softmax cross-entropy at batch 128: of 10 classes, as mnist and cifar10 have them, and of 1000.

#[path = "support/rows.rs"]
mod rows;
#[allow(dead_code, reason = "each benchmark uses a part of what they share")]
mod support;

use criterion::{Criterion, criterion_group, criterion_main};
use predsim::gpu::Lab;
use predsim::kernels::pred::SoftmaxCrossEntropy;
use rows::measure;

fn pred(criterion: &mut Criterion) {
    let gpu = support::open();
    for classes in [10u32, 1000] {
        let loss = SoftmaxCrossEntropy { batch: 128, classes, padded: classes.next_multiple_of(4) };
        let mut lab = Lab::new(&gpu);
        let labels = lab.tensor(&(0..128).map(|i| i % classes).collect::<Vec<u32>>()).expect("a tensor");
        let mut tensor = |bytes: u64| lab.tensor(&support::values(bytes)).expect("a tensor");
        let (logits, dlogits, rows) =
            (tensor(loss.logits_bytes()), tensor(loss.logits_bytes()), tensor(loss.rows_bytes()));
        let (once, name) = (loss.logits_bytes(), |what: &str| format!("{what} [128, {classes}]"));
        let train = loss.dispatch(logits, labels, 1.0, dlogits, rows);
        measure(criterion, &gpu, &lab, &name("cross-entropy and gradient"), 2 * once, &[train]);
        measure(criterion, &gpu, &lab, &name("cross-entropy"), once, &[loss.evaluate(logits, labels, rows)]);
        measure(criterion, &gpu, &lab, &name("softmax"), 2 * once, &[loss.probabilities(logits, dlogits)]);
    }
}

criterion_group!(benches, pred);
criterion_main!(benches);
