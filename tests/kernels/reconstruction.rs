//! The reconstruction loss and its gradient.

use predsim::kernels::Activation;
use predsim::kernels::reconstruction::Reconstruction;
use proptest::prelude::*;

use crate::batchnorm::{act, activation};
use crate::support::{FencedLab, assert_close, random};

fn loss(activation: Activation, z: &[f64], x: &[f64], real: f64) -> f64 {
    z.iter().zip(x).map(|(&z, x)| (act(activation, z) - x).powi(2)).sum::<f64>() / real
}

fn check(activation: Activation, vectors: usize, weight: f64, seed: u64) {
    // Values a quarter apart keep clear of the activation's kink, where rounding would decide.
    let coarse = |seed, len| random(seed, len).iter().map(|v| (4.0 * v).floor() / 4.0 + 0.125).collect::<Vec<f32>>();
    let len = 4 * vectors;
    let (mut x, mut z) = (coarse(seed, len), coarse(seed ^ 1, len));
    // The last of every four is a pad lane.
    x.iter_mut().chain(&mut z).skip(3).step_by(4).for_each(|v| *v = 0.0);
    let real = 3 * vectors as u64;
    let of = Reconstruction { len: len as u64, real, activation };
    let mut lab = FencedLab::new();
    let [input, output] = [&x, &z].map(|values| lab.tensor(values));
    let partials = lab.poisoned(of.partials_bytes());
    lab.run(vec![of.dispatch(input, output, partials, weight)]);
    let wide = |values: &[f32]| values.iter().map(|&v| f64::from(v)).collect::<Vec<f64>>();
    let (x, z) = (wide(&x), wide(&z));
    let sum: f64 = lab.read::<f32>(partials).iter().map(|&v| f64::from(v)).sum();
    let want = loss(activation, &z, &x, real as f64);
    assert!((sum - want).abs() <= 1e-6 * want, "{of:?}: loss {sum}, want {want}");
    let slope = |i: usize| {
        let one = |z: f64| weight * loss(activation, &[z], &x[i..=i], real as f64);
        (one(z[i] + 1e-5) - one(z[i] - 1e-5)) / 2e-5
    };
    let got = lab.read::<f32>(output);
    let (lanes, pads): (Vec<usize>, Vec<usize>) = (0..len).partition(|i| i % 4 != 3);
    let pick = |of: &[usize]| of.iter().map(|&i| got[i]).collect::<Vec<f32>>();
    assert_close(&format!("dz of {of:?}"), &pick(&lanes), &lanes.iter().map(|&i| slope(i)).collect::<Vec<_>>(), 1e-5);
    assert!(pick(&pads).iter().all(|&v| v == 0.0), "pad lanes");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn loss_and_gradient_match(
        activation in activation(), vectors in 1usize..2000, weight in 0.1f64..2.0, seed in any::<u64>(),
    ) {
        check(activation, vectors, weight, seed);
    }
}

#[test]
fn a_large_map_is_summed_in_few_parts() {
    check(Activation::Relu, 300_001, 1.0, 5);
    let of = |len| Reconstruction { len, real: len, activation: Activation::Relu };
    assert_eq!((of(4).partials(), of(1 << 30).partials()), (1, 256));
}
