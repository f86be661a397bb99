//! Batch normalisation of few rows, as matrices of a dense layer have them, in one dispatch each way
//! (`shaders/batchnorm_few.wgsl`, `shaders/batchnorm_few_backward.wgsl`). Formulas and layouts are those of
//! [`super::batchnorm`] and [`super::batchnorm_backward`].
//!
//! A column's rows stay in one workgroup. Backward may take in a linear classifier on `h = act(bn(y))`: the gradient that
//! its scores send back is made where it is needed, and its own gradients are sums over the same rows.

use bytemuck::{Pod, Zeroable};

use super::activation::ACTIVATION;
use super::batchnorm::{BatchNorm, EPSILON, Normalised};
use super::gemm::Parts;
use super::{Activation, COMMON};
use crate::gpu::{Dispatch, Input, InputSum, Pipeline, Shader, Slice};

/// Most rows that a workgroup takes.
pub const MAX_ROWS: u32 = 1024;
/// Longest row of scores, with padding, that a backward pass takes in.
pub const MAX_SCORES: u32 = 12;
/// vec4s of a row that a workgroup takes.
const STRIP: u32 = 8;

/// The binding of the dense gradient.
const GRADIENT: u32 = 3;

const FORWARD: Shader = Shader::with_inputs(
    "batchnorm_few",
    &[Input::new(1, "x")],
    &[COMMON, ACTIVATION, include_str!("../../shaders/batchnorm_few.wgsl")],
);
const BACKWARD: Shader = Shader::with_inputs(
    "batchnorm_few_backward",
    &[Input::new(1, "y"), Input::new(2, "other"), Input::updated(GRADIENT, "gradient")],
    &[COMMON, ACTIVATION, include_str!("../../shaders/batchnorm_few_backward.wgsl")],
);

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct ForwardParams {
    rows: u32,
    groups: u32,
    epsilon: f32,
    momentum: f32,
}

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct BackwardParams {
    rows: u32,
    groups: u32,
    weights: u32,
    bias: u32,
}

/// The dense gradient of `h`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dense {
    /// There is none.
    Nothing,
    /// It lies where that of `y` is to lie.
    There,
    /// It is to be added up from these, which have no bias.
    Parts(Parts),
}

/// What sends a gradient to `h`, besides a dense one in the place of that of `y`.
#[derive(Debug, Clone, Copy)]
pub enum Sender {
    /// Nothing.
    Nobody,
    /// Another gradient of `h` itself, `[rows, channels]`.
    Second(Slice),
    /// A linear classifier's scores.
    Classifier(Classifier),
}

/// The gradient of a linear classifier's scores, and where its parameters lie.
#[derive(Debug, Clone, Copy)]
pub struct Classifier {
    /// `[rows, scores]`, zero in pad lanes.
    pub gradient: Slice,
    /// Row length of the scores with padding, at most [`MAX_SCORES`].
    pub scores: u32,
    /// Bytes from gamma to the weights, `[channels, scores]`, in the values as in the gradients.
    pub weights: u64,
    /// Bytes from gamma to the bias, `[scores]`.
    pub bias: u64,
}

fn forward_pipeline(entry: &'static str, activation: Activation, bias: bool) -> Pipeline {
    Pipeline::new(FORWARD, entry, vec![("ACTIVATION", activation.code()), ("BIAS", bias.into())])
}

fn backward_pipeline(activation: Activation, dense: bool, second: bool, scores: u32) -> Pipeline {
    let constants =
        vec![("ACTIVATION", activation.code()), ("DENSE", dense.into()), ("SECOND", second.into()), ("SCORES", scores)];
    Pipeline::new(BACKWARD, "backward", constants)
}

/// Every pipeline that the dispatches below can ask for.
pub fn variants() -> Vec<Pipeline> {
    let mut all = Vec::new();
    for activation in Activation::ALL {
        all.push(forward_pipeline("forward", activation, false));
        let x = InputSum { input: 1, at: 1, count: 3 };
        all.extend([false, true].map(|bias| forward_pipeline("forward_of_parts", activation, bias).with_sum(x)));
        for dense in [false, true] {
            all.push(backward_pipeline(activation, dense, true, 0));
            all.extend((0..=MAX_SCORES / 4).map(|scores| backward_pipeline(activation, dense, false, scores)));
        }
        let gradient = InputSum { input: GRADIENT, at: 7, count: 3 };
        let of_parts = |scores| backward_pipeline(activation, true, false, scores).with_sum(gradient);
        all.extend((0..=MAX_SCORES / 4).map(of_parts));
    }
    all
}

impl BatchNorm {
    /// Whether the rows are few enough for [`Self::few_forward`] and [`Self::few_backward`].
    pub fn is_few(&self) -> bool {
        self.rows <= MAX_ROWS
    }

    fn strips(&self) -> [u32; 3] {
        [(self.channels / 4).div_ceil(STRIP), 1, 1]
    }

    /// Training: [`Self::statistics_by`] of `of.y`, which writes `of.saved` and moves `running`, and [`Self::apply`].
    pub fn few_forward(&self, momentum: f32, of: Normalised, running: Slice, h: Slice) -> Dispatch {
        self.call_forward(forward_pipeline("forward", of.activation, false), momentum)
            .loads(of.y)
            .reads(of.affine)
            .writes(running)
            .writes(of.saved)
            .writes(h)
    }

    /// The same where `of.y` is still to be added up from `parts`, and is written.
    pub fn few_forward_of_parts(
        &self,
        momentum: f32,
        parts: &Parts,
        of: Normalised,
        running: Slice,
        h: Slice,
    ) -> Dispatch {
        self.call_forward(forward_pipeline("forward_of_parts", of.activation, parts.bias.is_some()), momentum)
            .sums(1, parts.slice, parts.count)
            .reads(of.affine)
            .writes(running)
            .writes(of.saved)
            .writes(h)
            .writes(of.y)
            .reads(parts.bias.unwrap_or(of.affine))
    }

    fn call_forward(&self, pipeline: Pipeline, momentum: f32) -> Dispatch {
        let params = ForwardParams { rows: self.rows, groups: self.channels / 4, epsilon: EPSILON, momentum };
        Dispatch::new("batchnorm", pipeline, &params, self.strips()).flops(9 * self.elements())
    }

    /// [`Self::backward`]: the gradient of `of.y` takes the place of the `dense` one of `h`, if there is one, in `gradient`.
    /// Of [`Dense::Parts`] it is written there.
    ///
    /// `values` begins with gamma and beta (in the place of `of.affine`), `derived` with their gradients, which are written;
    /// with a classifier both go on to the end of its bias, and its gradients are written too.
    pub fn few_backward(
        &self,
        of: Normalised,
        [gradient, values, derived]: [Slice; 3],
        dense: Dense,
        sender: Sender,
    ) -> Dispatch {
        let (other, second, scores, [weights, bias]) = match sender {
            Sender::Nobody => (of.y, false, 0, [0; 2]),
            Sender::Second(second) => (second, true, 0, [0; 2]),
            Sender::Classifier(Classifier { gradient, scores, weights, bias }) => {
                (gradient, false, scores / 4, [weights, bias].map(|bytes| (bytes / 16) as u32))
            }
        };
        let params = BackwardParams { rows: self.rows, groups: self.channels / 4, weights, bias };
        let pipeline = backward_pipeline(of.activation, dense != Dense::Nothing, second, scores);
        let label = if scores > 0 { "batchnorm and pred backward" } else { "batchnorm backward" };
        let dispatch = Dispatch::new(label, pipeline, &params, self.strips())
            .flops((16 + 24 * u64::from(scores)) * self.elements())
            .loads(of.y)
            .loads(other);
        let dispatch = match dense {
            Dense::Parts(_) => dispatch.writes(gradient),
            Dense::Nothing | Dense::There => dispatch.updates(gradient),
        };
        let dispatch = dispatch.reads(of.saved).reads(values).writes(derived);
        match dense {
            Dense::Parts(parts) => dispatch.sums(GRADIENT, parts.slice, parts.count),
            Dense::Nothing | Dense::There => dispatch,
        }
    }
}
