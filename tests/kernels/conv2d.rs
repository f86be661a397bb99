//! Convolutions and their gradients, by every way that the adapter has to compute them.

use predsim::kernels::conv2d::Conv2d;
use predsim::kernels::precision::Precision;
use predsim::kernels::tuning::Tuning;
use proptest::prelude::*;

use crate::support::{FencedLab, Sum, TINY, assert_sums, random, round_to_f16, tunings, tunings_in};

/// Visits every product that the convolution is made of, by the places of its parts: `y[o] += x[i] * w[k]`.
fn each_product(conv: &Conv2d, mut visit: impl FnMut(usize, usize, usize)) {
    let [n, h, w, cin, cout] = [conv.batch, conv.height, conv.width, conv.cin, conv.cout].map(|v| v as usize);
    let [kernel, stride, pad] = [conv.kernel, conv.stride, conv.pad].map(|v| v as usize);
    let (out_h, out_w) = ((h + 2 * pad - kernel) / stride + 1, (w + 2 * pad - kernel) / stride + 1);
    for (sample, out_y, out_x) in grid([n, out_h, out_w]) {
        for (tap_y, tap_x, channel) in grid([kernel, kernel, cin]) {
            // In the padded picture.
            let (y, x) = (out_y * stride + tap_y, out_x * stride + tap_x);
            if (pad..pad + h).contains(&y) && (pad..pad + w).contains(&x) {
                let i = ((sample * h + y - pad) * w + x - pad) * cin + channel;
                for out_channel in 0..cout {
                    let o = ((sample * out_h + out_y) * out_w + out_x) * cout + out_channel;
                    visit(i, ((tap_y * kernel + tap_x) * cin + channel) * cout + out_channel, o);
                }
            }
        }
    }
}

fn grid([a, b, c]: [usize; 3]) -> impl Iterator<Item = (usize, usize, usize)> {
    (0..a * b * c).map(move |i| (i / c / b, i / c % b, i % c))
}

/// A convolution's tensors, and what the kernels have to make of them.
pub struct Case {
    pub conv: Conv2d,
    pub x: Vec<f32>,
    pub w: Vec<f32>,
    pub bias: Option<Vec<f32>>,
    pub dy: Vec<f32>,
    pub y: Vec<Sum>,
    pub dx: Vec<Sum>,
    pub dw: Vec<Sum>,
}

impl Case {
    pub fn random(conv: Conv2d, bias: bool, seed: u64) -> Self {
        let inputs = conv.batch * conv.height * conv.width * conv.cin;
        let outputs = conv.batch * conv.out_height() * conv.out_width() * conv.cout;
        let weights = conv.kernel * conv.kernel * conv.cin * conv.cout;
        let tensor = |salt: u64, len: u32| random(seed ^ salt, len as usize);
        let bias = bias.then(|| tensor(3, conv.cout));
        Self::new(conv, [tensor(0, inputs), tensor(1, weights), tensor(2, outputs)], bias)
    }

    fn new(conv: Conv2d, [x, w, dy]: [Vec<f32>; 3], bias: Option<Vec<f32>>) -> Self {
        let zeros = |like: &[f32]| vec![Sum::default(); like.len()];
        let (mut y, mut dx, mut dw) = (zeros(&dy), zeros(&x), zeros(&w));
        for (o, sum) in y.iter_mut().enumerate() {
            sum.add(bias.as_ref().map_or(0.0, |bias| f64::from(bias[o % bias.len()])));
        }
        each_product(&conv, |i, k, o| {
            y[o].add(f64::from(x[i]) * f64::from(w[k]));
            dx[i].add(f64::from(dy[o]) * f64::from(w[k]));
            dw[k].add(f64::from(x[i]) * f64::from(dy[o]));
        });
        Self { conv, x, w, bias, dy, y, dx, dw }
    }

    fn check(&self, tolerance: f64) {
        self.check_by(tunings(), tolerance);
    }

    fn check_by(&self, tunings: Vec<Tuning>, tolerance: f64) {
        for tuning in tunings {
            let conv = Conv2d { tuning, ..self.conv };
            let mut lab = FencedLab::new();
            let [x, w, dy] = [&self.x, &self.w, &self.dy].map(|values| lab.tensor(values));
            let [y, dx, dw] = [&self.y, &self.dx, &self.dw].map(|values| lab.poisoned(4 * values.len() as u64));
            let bias = self.bias.as_ref().map(|bias| lab.tensor(bias));
            let workspace = (conv.workspace_bytes() > 0).then(|| lab.poisoned(conv.workspace_bytes()));
            lab.run(conv.forward("forward", x, w, bias, y));
            lab.run(conv.backward_input("gradient of input", dy, w, dx));
            lab.run(conv.backward_weight("gradient of weights", [x, dy], dw, workspace));
            for (what, got, want) in [("y", y, &self.y), ("dx", dx, &self.dx), ("dw", dw, &self.dw)] {
                assert_sums(&format!("{what} of {conv:?}"), &lab.read::<f32>(got), want, tolerance);
            }
        }
    }
}

/// Any convolution; a picture that would be smaller than the kernel is grown to its size.
fn convs() -> impl Strategy<Value = Conv2d> {
    let picture = (1u32..4, 1u32..12, 1u32..12);
    let kernel = (proptest::sample::select(vec![1u32, 3, 7]), 1u32..3, 0u32..4);
    // One side narrow, the other of any width, or the reference takes long.
    let channels = prop_oneof![(1u32..3, 1u32..20), (1u32..20, 1u32..3)];
    (picture, kernel, channels).prop_map(|((batch, height, width), (kernel, stride, pad), (cin, cout))| {
        let smallest = kernel.saturating_sub(2 * pad).max(1);
        let (height, width) = (height.max(smallest), width.max(smallest));
        Conv2d {
            batch,
            height,
            width,
            cin: 4 * cin,
            cout: 4 * cout,
            kernel,
            stride,
            pad,
            part_of: None,
            tuning: Tuning::portable(),
        }
    })
}

const PLAIN: Conv2d = Conv2d {
    batch: 1,
    height: 3,
    width: 3,
    cin: 4,
    cout: 4,
    kernel: 3,
    stride: 1,
    pad: 1,
    part_of: None,
    tuning: Tuning::portable(),
};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn convolutions_match(conv in convs(), bias in any::<bool>(), seed in any::<u64>()) {
        Case::random(conv, bias, seed).check(1e-6);
    }

    /// The reference itself: <y, dy> = <x, dx> = <w, dw>, as its gradients are the adjoints of a bilinear map.
    #[test]
    fn the_references_gradients_are_adjoint(conv in convs(), seed in any::<u64>()) {
        let case = Case::random(conv, false, seed);
        let dot = |a: &[Sum], b: &[f32]| a.iter().zip(b).map(|(a, &b)| a.value * f64::from(b)).sum::<f64>();
        let products = [dot(&case.y, &case.dy), dot(&case.dx, &case.x), dot(&case.dw, &case.w)];
        for product in products {
            prop_assert!((product - products[0]).abs() < 1e-9 * (1.0 + products[0].abs()), "{:?}", products);
        }
    }
}

/// The reference itself, by hand: 1 to 9 in one channel, under a kernel that takes the pixel above, twice the one on the
/// right and three times the one below on the left.
#[test]
fn the_reference_is_a_cross_correlation() {
    let lane = |values: &[f32]| values.iter().flat_map(|&v| [v, 0.0, 0.0, 0.0]).collect::<Vec<f32>>();
    let x = lane(&[1., 2., 3., 4., 5., 6., 7., 8., 9.]);
    // Rows of input channels, of which only the first is not zero.
    let w: Vec<f32> = [0., 1., 0., 0., 0., 2., 3., 0., 0.].iter().flat_map(|&tap| lane(&[tap, 0., 0., 0.])).collect();
    let values = |case: &Case| case.y.iter().step_by(4).map(|sum| sum.value).collect::<Vec<f64>>();
    let case = Case::new(PLAIN, [x.clone(), w.clone(), vec![0.0; 36]], None);
    assert_eq!(values(&case), [4., 18., 15., 11., 35., 27., 20., 23., 6.]);
    let strided = Conv2d { stride: 2, ..PLAIN };
    assert_eq!(values(&Case::new(strided, [x.clone(), w.clone(), vec![0.0; 16]], None)), [4., 15., 20., 6.]);
    let bare = Conv2d { pad: 0, ..PLAIN };
    assert_eq!(values(&Case::new(bare, [x, w, vec![0.0; 4]], Some(vec![0.5; 4]))), [35.5]);
}

/// Layers of the size that networks have: more pixels than are summed in one go, all lanes of a subgroup at work.
#[test]
fn many_pixels_match() {
    let layers = [(9, 3, 1, 1, 4, 36), (9, 3, 2, 1, 8, 4), (2, 1, 1, 0, 68, 24), (2, 7, 2, 3, 4, 20)];
    for (batch, kernel, stride, pad, cin, cout) in layers {
        let conv = Conv2d { batch, height: 33, width: 31, kernel, stride, pad, cin, cout, ..PLAIN };
        Case::random(conv, true, u64::from(cin)).check(1e-6);
    }
}

/// Where rounding changes nothing, convolutions in `f16` are as good as any: x, w, and dy once it is scaled.
#[test]
fn convolutions_of_halves_match() {
    let layers = [(5, 3, 1, 1, 4, 36), (1, 3, 2, 1, 68, 8), (1, 1, 1, 0, 36, 132), (1, 7, 2, 3, 4, 8)];
    for (batch, kernel, stride, pad, cin, cout) in layers {
        let conv = Conv2d { batch, height: 13, width: 11, kernel, stride, pad, cin, cout, ..PLAIN };
        let Case { mut x, mut w, mut dy, bias, .. } = Case::random(conv, true, u64::from(cin));
        [&mut x, &mut w, &mut dy].into_iter().for_each(|values| round_to_f16(values));
        dy.iter_mut().for_each(|v| *v *= TINY);
        Case::new(conv, [x, w, dy], bias).check_by(tunings_in(Precision::F16), 1e-6);
    }
}

#[test]
fn a_kernel_as_large_as_the_padded_picture_gives_one_pixel() {
    let conv = Conv2d { height: 1, width: 3, kernel: 7, pad: 3, stride: 2, cout: 36, ..PLAIN };
    assert_eq!((conv.out_height(), conv.out_width()), (1, 2));
    Case::random(conv, true, 8).check(1e-6);
    let conv = Conv2d { height: 5, width: 5, kernel: 7, batch: 3, ..conv };
    Case::random(Conv2d { pad: 1, ..conv }, false, 9).check(1e-6);
}
