//! Which activation follows a layer, for the kernels that apply it or undo it while they do something else.

/// `shaders/activation.wgsl`: needs the constant `ACTIVATION`, an [`Activation`]'s code.
pub(crate) const ACTIVATION: &str = include_str!("../../shaders/activation.wgsl");

/// An elementwise activation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Activation {
    /// The identity.
    None,
    /// `max(z, 0)`, with derivative 0 at 0.
    Relu,
    /// `z` where positive, else `0.01 z`, with derivative 0.01 at 0.
    LeakyRelu,
}

impl Activation {
    /// Every activation.
    pub const ALL: [Self; 3] = [Self::None, Self::Relu, Self::LeakyRelu];

    /// The value of the shaders' constant `ACTIVATION`.
    pub(crate) fn code(self) -> u32 {
        match self {
            Self::None => 0,
            Self::Relu => 1,
            Self::LeakyRelu => 2,
        }
    }
}
