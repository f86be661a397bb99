//! Crop, flip and normalisation of 128 pictures: grey ones of 28x28 as rows, colour ones of 32x32 as maps.

#[path = "support/rows.rs"]
mod rows;
#[allow(dead_code, reason = "each benchmark uses a part of what they share")]
mod support;

use criterion::{Criterion, criterion_group, criterion_main};
use predsim::gpu::Lab;
use predsim::kernels::augment::{Augment, CropFlip};
use rows::measure;

fn augment(criterion: &mut Criterion) {
    let gpu = support::open();
    for (name, side, channels, rows) in [("rows", 28, 1, true), ("maps", 32, 3, false)] {
        let (batch, mean, std) = (128, [0.5; 3], [0.25; 3]);
        let augment = Augment { batch, height: side, width: side, channels, rows, mean, std };
        let crop = |i: i32| CropFlip { dy: i % 9 - 4, dx: i / 9 % 9 - 4, flip: (i % 2) as u32, pad: 0 };
        let mut lab = Lab::new(&gpu);
        let pixels = lab.tensor(&vec![128u8; augment.pixels_bytes() as usize]).expect("a tensor");
        let crops = lab.tensor(&(0..batch as i32).map(crop).collect::<Vec<_>>()).expect("a tensor");
        let out = lab.poisoned(augment.out_bytes()).expect("a tensor");
        let bytes = augment.pixels_bytes() + augment.out_bytes();
        let name = format!("augment {name} [128, {side}, {side}, {channels}]");
        measure(criterion, &gpu, &lab, &name, bytes, &[augment.dispatch(pixels, crops, out)]);
    }
}

criterion_group!(benches, augment);
criterion_main!(benches);
