//! The transposed convolution with a bias, against a scatter in `f64`.

use predsim::kernels::conv2d::Conv2d;
use predsim::kernels::tuning::Tuning;
use proptest::prelude::*;

use crate::support::{FencedLab, assert_close, gpu, random};

/// `x [N, H, W, cin]`: every element of y scattered over the window that it came from.
fn reference(conv: &Conv2d, y: &[f32], weight: &[f32], bias: &[f32]) -> Vec<f64> {
    let [n, h, w, cin, cout] = [conv.batch, conv.height, conv.width, conv.cin, conv.cout].map(|v| v as usize);
    let [kernel, stride, pad] = [conv.kernel, conv.stride, conv.pad].map(|v| v as usize);
    let (oh, ow) = (conv.out_height() as usize, conv.out_width() as usize);
    let mut x: Vec<f64> = (0..n * h * w * cin).map(|i| f64::from(bias[i % cin])).collect();
    for at in 0..n * oh * ow {
        let (sample, oy, ox) = (at / (oh * ow), at / ow % oh, at % ow);
        for tap in 0..kernel * kernel {
            let (top, left) = (oy * stride + tap / kernel, ox * stride + tap % kernel);
            if top < pad || left < pad || top - pad >= h || left - pad >= w {
                continue;
            }
            let pixel = (sample * h + top - pad) * w + left - pad;
            for i in 0..cin {
                let products =
                    (0..cout).map(|o| f64::from(y[at * cout + o]) * f64::from(weight[(tap * cin + i) * cout + o]));
                x[pixel * cin + i] += products.sum::<f64>();
            }
        }
    }
    x
}

fn check(conv: &Conv2d, seed: u64) {
    let [n, cin, cout] = [conv.batch, conv.cin, conv.cout].map(|v| v as usize);
    let y = random(seed, n * (conv.out_height() * conv.out_width()) as usize * cout);
    let weight = random(seed ^ 1, (conv.kernel * conv.kernel) as usize * cin * cout);
    let bias = random(seed ^ 2, cin);
    let mut lab = FencedLab::new();
    let [from, by, plus] = [&y, &weight, &bias].map(|values| lab.tensor(values));
    let x = lab.poisoned(4 * (n * (conv.height * conv.width) as usize * cin) as u64);
    lab.run(conv.transposed("test", from, by, plus, x));
    assert_close(&format!("{conv:?}"), &lab.read::<f32>(x), &reference(conv, &y, &weight, &bias), 1e-5);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn transposed_convolutions_match(
        (batch, height, width) in (1u32..4, 1u32..11, 1u32..11),
        (cin, cout) in (1u32..12, 1u32..12),
        (kernel, stride) in (prop_oneof![Just(1u32), Just(3), Just(7)], 1u32..3),
        subgroups in any::<bool>(),
        seed in any::<u64>(),
    ) {
        let fitting = Tuning::for_gpu(gpu());
        let tuning = if subgroups { fitting } else { Tuning::portable() };
        let (cin, cout, pad) = (4 * cin, 4 * cout, kernel / 2);
        check(&Conv2d { batch, height, width, cin, cout, kernel, stride, pad, part_of: None, tuning }, seed);
    }
}
