//! Single operations: matrix products, and 3x3 convolutions of 32 samples with their gradients.

use burn::tensor::module::conv2d;
use burn::tensor::ops::ConvOptions;
use burn::tensor::{Device, Distribution, Tensor};

use crate::timing::{self, Times};

/// Samples of the convolutions.
const BATCH: usize = 32;

/// Which gradient of a convolution.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gradient {
    /// With respect to its input.
    Input,
    /// With respect to its weights.
    Weight,
}

/// Times the product of two square matrices.
pub fn time_gemm(side: usize, seconds: f64, device: &Device) -> Times {
    let [a, b] = [0, 1].map(|_| random([side, side], device));
    timing::time(device, seconds, || a.clone().matmul(b.clone()))
}

/// Times a convolution of `[channels in, channels out, side]`, with its bias.
pub fn time_convolution([cin, cout, side]: [usize; 3], seconds: f64, device: &Device) -> Times {
    let x = random([BATCH, cin, side, side], device);
    let w = random([cout, cin, 3, 3], device);
    let bias: Tensor<1> = random([cout], device);
    timing::time(device, seconds, || conv2d(x.clone(), w.clone(), Some(bias.clone()), options()))
}

/// Times one gradient of such a convolution.
///
/// Burn's tensors have no call for it; it is what `backward` computes when only the one tensor wants a gradient. The graph is
/// made anew for each run, by a forward pass that is finished before the clock starts.
pub fn time_gradient([cin, cout, side]: [usize; 3], gradient: Gradient, seconds: f64, device: &Device) -> Times {
    let device = device.clone().autodiff();
    let tracked = |tensor: Tensor<4>, of| if gradient == of { tensor.require_grad() } else { tensor };
    let x = tracked(random([BATCH, cin, side, side], &device), Gradient::Input);
    let w = tracked(random([cout, cin, 3, 3], &device), Gradient::Weight);
    let wanted = if gradient == Gradient::Input { x.clone() } else { w.clone() };
    let forward = || {
        let y = conv2d(x.clone(), w.clone(), None, options());
        device.sync().expect("the device does its work");
        y
    };
    timing::time_after(&device, seconds, forward, |y| wanted.grad(&y.backward()).expect("it is tracked"))
}

fn options() -> ConvOptions<2> {
    ConvOptions::new([1, 1], [1, 1], [1, 1], 1)
}

fn random<const D: usize>(shape: [usize; D], device: &Device) -> Tensor<D> {
    Tensor::random(shape, Distribution::Uniform(-0.5, 0.5), device)
}
