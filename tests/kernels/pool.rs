//! Average pooling with padding, maximum pooling and its gradient.

use predsim::kernels::pool::{MaxPool, PoolGeometry};
use proptest::prelude::*;

use crate::support::{FencedLab, assert_close, random, wide};

fn average(pool: &PoolGeometry, x: &[f64]) -> Vec<f64> {
    let [n, h, w, c] = [pool.batch, pool.height, pool.width, pool.channels].map(|v| v as usize);
    let [kh, kw, pad_h, pad_w] = [pool.kh, pool.kw, pool.pad_h, pool.pad_w].map(|v| v as usize);
    let (ph, pw) = ((h + 2 * pad_h - kh) / kh + 1, (w + 2 * pad_w - kw) / kw + 1);
    let padded = |s: usize, y: usize, x_: usize, k: usize| {
        let inside = y >= pad_h && y - pad_h < h && x_ >= pad_w && x_ - pad_w < w;
        if inside { x[((s * h + y - pad_h) * w + x_ - pad_w) * c + k] } else { 0.0 }
    };
    let mut out = vec![0.0; n * ph * pw * c];
    for (i, out) in out.iter_mut().enumerate() {
        let (k, left, top, s) = (i % c, i / c % pw * kw, i / c / pw % ph * kh, i / c / pw / ph);
        for y in top..top + kh {
            for x_ in left..left + kw {
                *out += padded(s, y, x_, k) / (kh * kw) as f64;
            }
        }
    }
    out
}

/// Maxima, and for each the position it was found at: the first in row order.
pub fn maximum(pool: &MaxPool, x: &[f32]) -> (Vec<f32>, Vec<usize>) {
    let [h, w, c] = [pool.height, pool.width, pool.channels].map(|v| v as usize);
    let (oh, ow) = (h / 2, w / 2);
    (0..pool.batch as usize * oh * ow * c)
        .map(|i| {
            let (k, ox, oy, s) = (i % c, i / c % ow, i / c / ow % oh, i / c / ow / oh);
            let at = |dy: usize, dx: usize| ((s * h + 2 * oy + dy) * w + 2 * ox + dx) * c + k;
            let mut best = at(0, 0);
            for candidate in [at(0, 1), at(1, 0), at(1, 1)] {
                if x[candidate] > x[best] {
                    best = candidate;
                }
            }
            (x[best], best)
        })
        .unzip()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn average_matches(
        (batch, height, width, groups) in (1u32..5, 1u32..14, 1u32..14, 1u32..8),
        (kh, kw, pad_h, pad_w) in (1u32..9, 1u32..9, 0u32..4, 0u32..4),
        seed in any::<u64>(),
    ) {
        let (pad_h, pad_w) = (pad_h.min(kh / 2), pad_w.min(kw / 2));
        let pool = PoolGeometry { batch, height, width, channels: 4 * groups, kh, kw, pad_h, pad_w };
        prop_assume!(height + 2 * pad_h >= kh && width + 2 * pad_w >= kw);
        let x = random(seed, (batch * height * width * 4 * groups) as usize);
        let want = average(&pool, &wide(&x));
        prop_assert_eq!(want.len() as u32, batch * pool.out_height() * pool.out_width() * 4 * groups);
        let mut lab = FencedLab::new();
        let (x, out) = (lab.tensor(&x), lab.poisoned(4 * want.len() as u64));
        lab.run(vec![pool.average(x, out)]);
        assert_close("average", &lab.read::<f32>(out), &want, 1e-6);
    }

    #[test]
    fn the_gradient_of_an_average_is_spread_over_its_window(
        (batch, height, width, groups) in (1u32..4, 1u32..14, 1u32..14, 1u32..5),
        (kh, kw, pad_h, pad_w) in (1u32..9, 1u32..9, 0u32..4, 0u32..4),
        seed in any::<u64>(),
    ) {
        let (pad_h, pad_w) = (pad_h.min(kh / 2), pad_w.min(kw / 2));
        let pool = PoolGeometry { batch, height, width, channels: 4 * groups, kh, kw, pad_h, pad_w };
        let pixels = (batch * height * width) as usize * 4 * groups as usize;
        let windows = (batch * pool.out_height() * pool.out_width() * 4 * groups) as usize;
        prop_assume!(windows > 0);
        let dout = random(seed, windows);
        let mut lab = FencedLab::new();
        let (gradient, dx) = (lab.tensor(&dout), lab.poisoned(4 * pixels as u64));
        lab.run(vec![pool.average_backward(gradient, dx)]);
        // Averaging is linear: the gradient is what makes dout . average(x) = dx . x for every x.
        let dx = wide(&lab.read::<f32>(dx));
        let x = wide(&random(seed ^ 1, pixels));
        let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        let (there, back) = (dot(&wide(&dout), &average(&pool, &x)), dot(&dx, &x));
        prop_assert!((there - back).abs() < 1e-5 * (pixels as f64).sqrt(), "{} against {}", there, back);
        // And each value is a window's share, or nothing.
        let shares: Vec<f64> = dout.iter().map(|&d| f64::from(d) / f64::from(kh * kw)).collect();
        let known = |v: &f64| *v == 0.0 || shares.iter().any(|s| (s - v).abs() < 1e-6);
        prop_assert!(dx.iter().all(known));
    }

    #[test]
    fn maximum_and_its_gradient_match(
        (batch, height, width, groups) in (1u32..5, 1u32..14, 1u32..14, 1u32..8),
        levels in prop_oneof![Just(3.0f32), Just(1e6)],
        seed in any::<u64>(),
    ) {
        let pool = MaxPool { batch, height, width, channels: 4 * groups };
        // Few levels make ties frequent.
        let x: Vec<f32> = random(seed, (batch * height * width * 4 * groups) as usize)
            .iter()
            .map(|v| (v * levels).round() / levels)
            .collect();
        let (maxima, positions) = maximum(&pool, &x);
        let dout = random(seed ^ 1, maxima.len());
        let mut want = vec![0.0; x.len()];
        positions.iter().zip(&dout).for_each(|(&at, &d)| want[at] = d);
        let mut lab = FencedLab::new();
        let dx = lab.poisoned(4 * x.len() as u64);
        let x = lab.tensor(&x);
        // A map one pixel high or wide has no window: both are empty then.
        let dout = lab.tensor(&dout);
        let out = lab.poisoned(4 * maxima.len() as u64);
        lab.run(vec![pool.forward(x, out), pool.backward(x, dout, dx)]);
        prop_assert_eq!(lab.read::<f32>(out), maxima);
        prop_assert_eq!(lab.read::<f32>(dx), want);
    }
}

#[test]
fn a_window_larger_than_the_map_gives_nothing() {
    let pool = PoolGeometry { batch: 1, height: 3, width: 3, channels: 4, kh: 5, kw: 0, pad_h: 0, pad_w: 0 };
    assert_eq!((pool.out_height(), pool.out_width()), (0, 0));
    let mut lab = FencedLab::new();
    let (x, out) = (lab.tensor(&[1.0f32; 36]), lab.tensor(&[7.0f32; 4]));
    lab.run(vec![pool.average(x, out)]);
    assert_eq!(lab.read::<f32>(out), [7.0; 4]);
}
