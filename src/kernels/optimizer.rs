//! Parameter updates: one dispatch moves a whole arena of parameters, and squares its trunk's gradients, for their norm. The
//! formulas are in `shaders/optimizer.wgsl`; what depends on the step's number comes from the step buffer.

use bytemuck::{Pod, Zeroable};

use super::step::STEP;
use super::{COMMON, WORKGROUP_SUM};
use crate::gpu::{Dispatch, Input, Pipeline, Shader, Slice, grid};

/// The update rule.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Kind {
    /// Adam with 0.9, 0.999 and 1e-8.
    Adam,
    /// Adam with the running maximum of the second moment, taken before bias correction.
    AmsGrad,
    /// Gradient descent; with momentum 0 it keeps no state.
    Sgd {
        /// Share of the last step's velocity that stays.
        momentum: f32,
    },
}

impl Kind {
    /// Names of the tensors that the rule keeps between steps, each as large as the parameters and zero at first.
    pub fn state(self) -> &'static [&'static str] {
        match self {
            Self::Adam => &["m", "v"],
            Self::AmsGrad => &["m", "v", "vmax"],
            Self::Sgd { momentum: 0.0 } => &[],
            Self::Sgd { .. } => &["velocity"],
        }
    }

    fn entry(self) -> &'static str {
        match self {
            Self::Adam => "adam",
            Self::AmsGrad => "amsgrad",
            Self::Sgd { momentum: 0.0 } => "sgd",
            Self::Sgd { .. } => "momentum",
        }
    }
}

/// The update of an arena.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Optimizer {
    /// Floats of the arena, pad lanes included; a multiple of 4.
    pub len: u32,
    /// How many at its front belong to the trunk; a multiple of 4.
    pub trunk: u32,
    /// The rule.
    pub kind: Kind,
    /// L2 decay: this times the parameter joins the gradient.
    pub weight_decay: f32,
}

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    vectors: u32,
    weight_decay: f32,
    momentum: f32,
    trunk: u32,
}

const SHADER: Shader = Shader::with_inputs(
    "optimizer",
    &[
        Input::new(2, "gradients"),
        Input::updated(4, "values"),
        Input::updated(5, "first_moment"),
        Input::updated(6, "second_moment"),
        Input::updated(7, "largest_moment"),
    ],
    &[COMMON, STEP, WORKGROUP_SUM, include_str!("../../shaders/optimizer.wgsl")],
);
const THREADS: u32 = 64;
/// vec4s that an invocation updates.
const PER_THREAD: u32 = 8;
/// Floats that a workgroup updates, and whose gradients' squares make one partial sum.
pub const SPAN: u32 = 4 * THREADS * PER_THREAD;

fn pipeline(entry: &'static str) -> Pipeline {
    let constants = vec![("THREADS", THREADS), ("PER_THREAD", PER_THREAD)];
    Pipeline::new(SHADER, entry, constants)
}

/// Every pipeline that the dispatches below can ask for.
pub fn variants() -> Vec<Pipeline> {
    ["sgd", "momentum", "adam", "amsgrad"].map(pipeline).to_vec()
}

impl Optimizer {
    /// Bytes of the parameters, of the gradients, and of each tensor of the state.
    pub fn bytes(&self) -> u64 {
        4 * u64::from(self.len)
    }

    /// How many partial sums of squares it writes: one for [`SPAN`] floats.
    pub fn partials(&self) -> u32 {
        self.len.div_ceil(SPAN)
    }

    /// Moves `params` by `grads` with the numbers in `step` (a [`StepParams`](super::StepParams)); `state` are
    /// the tensors that [`Kind::state`] names, in its order. Writes [`Self::partials`] partial sums of the squares of the
    /// trunk's `grads` to `squares`. None for an empty arena.
    ///
    /// # Panics
    /// If `state` has another number of tensors than the rule: a defect of the caller.
    pub fn dispatch(
        &self,
        step: Slice,
        params: Slice,
        grads: Slice,
        state: &[Slice],
        squares: Slice,
    ) -> Option<Dispatch> {
        assert_eq!(state.len(), self.kind.state().len(), "tensors of the optimizer's state");
        let vectors = self.len / 4;
        if vectors == 0 {
            return None;
        }
        let momentum = if let Kind::Sgd { momentum } = self.kind { momentum } else { 0.0 };
        let uniform = Params { vectors, weight_decay: self.weight_decay, momentum, trunk: self.trunk / 4 };
        let groups = grid(self.partials());
        let dispatch = Dispatch::new("update", pipeline(self.kind.entry()), &uniform, groups)
            .reads(step)
            .loads(grads)
            .writes(squares)
            .updates(params)
            .flops(14 * u64::from(self.len))
            .reading_once();
        Some(state.iter().fold(dispatch, |dispatch, slice| dispatch.updates(*slice)))
    }
}
