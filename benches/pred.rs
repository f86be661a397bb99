//! Softmax cross-entropy at batch 128: of 10 classes, as mnist and cifar10 have them, and of 1000; and the heads of a dense
//! block of 1024 features in one dispatch.

#[path = "support/rows.rs"]
mod rows;
#[allow(dead_code, reason = "each benchmark uses a part of what they share")]
mod support;

use criterion::{Criterion, criterion_group, criterion_main};
use predsim::gpu::Lab;
use predsim::kernels::heads::{ClassifierBuffers, ClassifierHead, Features};
use predsim::kernels::pred::SoftmaxCrossEntropy;
use predsim::kernels::similarity::{Mode, Similarity};
use predsim::kernels::tuning::Tuning;
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

fn heads(criterion: &mut Criterion) {
    let gpu = support::open();
    let head = ClassifierHead { batch: 128, features: 1024, classes: 10, padded: 12 };
    let similarity = Similarity {
        batch: 128,
        spatial: 1,
        channels: 1024,
        real_channels: 1024,
        mode: Mode::Flat,
        tuning: Tuning::portable(),
    };
    let loss = SoftmaxCrossEntropy { batch: 128, classes: 10, padded: 12 };
    let mut lab = Lab::new(&gpu);
    let labels = lab.tensor(&(0..128).map(|i| i % 10).collect::<Vec<u32>>()).expect("a tensor");
    let mut tensor = |bytes: u64| lab.tensor(&support::values(bytes)).expect("a tensor");
    let (weights, activation) = (4 * 1024 * 12, 4 * 128 * 1024);
    let (a, parameters) = (tensor(activation), tensor(weights + 48));
    let (rows, gradient) = (tensor(loss.rows_bytes()), tensor(loss.logits_bytes()));
    let [z, u, stats] = [activation, similarity.u_bytes(), similarity.stats_bytes()].map(&mut tensor);
    let of = ClassifierBuffers { a, parameters, bias: weights, labels, rows, gradient };
    let pred = head.dispatch(&of, 1.0);
    measure(criterion, &gpu, &lab, "pred head [128, 1024]", activation + weights, &[pred]);
    let both = head.with_features(&of, 1.0, &similarity, Features::Whole(z), [u, stats]);
    measure(criterion, &gpu, &lab, "pred and sim heads [128, 1024]", 3 * activation + weights, &[both]);
}

criterion_group!(benches, pred, heads);
criterion_main!(benches);
