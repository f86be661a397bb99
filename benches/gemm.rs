//! Matrix products against naive ones: a square one, and those of a dense block of 1024 units at batch 128.

#[path = "support/naive.rs"]
#[allow(dead_code, reason = "each benchmark of products uses its own yardstick")]
mod naive;
#[allow(dead_code, reason = "each benchmark uses a part of what they share")]
mod support;

use criterion::{Criterion, criterion_group, criterion_main};
use naive::{Rivals, naive_gemm};
use predsim::gpu::Lab;
use predsim::kernels::gemm::{Gemm, Op};
use predsim::kernels::tuning::Tuning;

fn gemm(criterion: &mut Criterion) {
    let gpu = support::open();
    let tuning = Tuning::for_gpu(&gpu);
    println!("{tuning:?}\n");
    let shapes = [
        ("", Op::Nn, 512, 512, 512),
        ("nt ", Op::Nt, 512, 512, 512),
        ("tn ", Op::Tn, 512, 512, 512),
        ("dense forward ", Op::Nt, 128, 1024, 1024),
        ("dense dX ", Op::Nn, 128, 1024, 1024),
        ("dense dW ", Op::Tn, 1024, 1024, 128),
    ];
    for (layout, op, m, n, k) in shapes {
        let gemm = Gemm { m, n, k, op, gradient: None, tuning };
        let mut lab = Lab::new(&gpu);
        let mut tensor = |rows: u32, columns: u32| {
            lab.tensor(&support::values(4 * u64::from(rows) * u64::from(columns))).expect("a tensor")
        };
        let operands = [tensor(m, k), tensor(k, n)];
        let (own, other) = (tensor(m, n), tensor(m, n));
        let workspace = gemm.workspace_bytes();
        let workspace = (workspace > 0).then(|| lab.poisoned(workspace).expect("a tensor"));
        let rivals = Rivals {
            name: format!("gemm {layout}{m}x{n}x{k}"),
            ours: (gemm.dispatches("gemm", operands, None, own, workspace), own),
            naive: (naive_gemm(&gemm, operands, other), other),
        };
        rivals.compare(criterion, &gpu, &lab);
    }
}

criterion_group!(benches, gemm);
criterion_main!(benches);
