//! Sums: a convolution's bias gradient, the norm of a large gradient, the totals of a step of 128 samples.

#[path = "support/rows.rs"]
mod rows;
#[allow(dead_code, reason = "each benchmark uses a part of what they share")]
mod support;

use criterion::{Criterion, criterion_group, criterion_main};
use predsim::gpu::{Lab, Slice};
use predsim::kernels::StepParams;
use predsim::kernels::reduce::{
    Measured, TOTAL_WORDS, column_sum, column_sum_workspace_bytes, metrics, sum_of_squares,
};
use rows::measure;

fn reduce(criterion: &mut Criterion) {
    let gpu = support::open();
    let (rows, channels) = (16_384, 256);
    let len = rows * channels;
    let mut lab = Lab::new(&gpu);
    let mut tensor = |elements: u32| lab.tensor(&vec![0.5f32; elements as usize]).expect("a tensor");
    let (x, out, squares) = (tensor(len), tensor(channels), tensor(256));
    let workspace = tensor((column_sum_workspace_bytes(rows, channels) / 4) as u32);
    let (measures, totals) = (tensor(640), tensor(TOTAL_WORDS as u32));
    let step = lab.tensor(&[StepParams::default()]).expect("a tensor");
    let bytes = 4 * u64::from(len);
    measure(criterion, &gpu, &lab, "column sum", bytes, &column_sum(rows, channels, x, out, workspace));
    measure(criterion, &gpu, &lab, "sum of squares", bytes, &[sum_of_squares(len, x, squares)]);
    let run = |first: u64, len: u64| Some(Slice { offset: 4 * first, bytes: 4 * len, ..measures });
    let block = Measured { pred: run(0, 256), sim: run(256, 128), squares: run(384, 256), ..Measured::default() };
    measure(criterion, &gpu, &lab, "metrics", 2608, &metrics(128, &[block], measures, step, totals));
}

criterion_group!(benches, reduce);
criterion_main!(benches);
