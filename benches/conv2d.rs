//! A convolution of 3x3 from 128 to 256 channels on 28x28 pixels, batch 32, and its gradients, against naive ones.

#[path = "support/naive.rs"]
#[allow(dead_code, reason = "each benchmark of products uses its own yardstick")]
mod naive;
#[allow(dead_code, reason = "each benchmark uses a part of what they share")]
mod support;

use criterion::{Criterion, criterion_group, criterion_main};
use naive::{Rivals, naive_conv2d};
use predsim::gpu::Lab;
use predsim::kernels::conv2d::Conv2d;
use predsim::kernels::tuning::Tuning;

fn conv2d(criterion: &mut Criterion) {
    let gpu = support::open();
    let tuning = Tuning::for_gpu(&gpu);
    println!("{tuning:?}\n");
    let (batch, side, cin, cout) = (32, 28, 128, 256);
    let conv =
        Conv2d { batch, height: side, width: side, cin, cout, kernel: 3, stride: 1, pad: 1, part_of: None, tuning };
    let mut lab = Lab::new(&gpu);
    let mut tensor = |elements: u32| lab.tensor(&support::values(4 * u64::from(elements))).expect("a tensor");
    let pixels = batch * side * side;
    let (x, w, dy) = (tensor(pixels * cin), tensor(9 * cin * cout), tensor(pixels * cout));
    let results = [pixels * cout, pixels * cin, 9 * cin * cout].map(|elements| [tensor(elements), tensor(elements)]);
    let [y, dx, dw] = results;
    let workspace = conv.workspace_bytes();
    let workspace = (workspace > 0).then(|| lab.poisoned(workspace).expect("a tensor"));
    let modes = [
        ("forward", "forward", [x, w], y, conv.forward("forward", x, w, None, y[0])),
        ("dX", "backward_input", [dy, w], dx, conv.backward_input("dX", dy, w, dx[0])),
        ("dW", "backward_weight", [x, dy], dw, conv.backward_weight("dW", [x, dy], dw[0], workspace)),
    ];
    for (mode, entry, operands, [own, other], ours) in modes {
        let rivals = Rivals {
            name: format!("conv2d 3x3 {cin}->{cout} {side}x{side} batch {batch} {mode}"),
            ours: (ours, own),
            naive: (naive_conv2d(&conv, entry, operands, other), other),
        };
        rivals.compare(criterion, &gpu, &lab);
    }
}

criterion_group!(benches, conv2d);
criterion_main!(benches);
