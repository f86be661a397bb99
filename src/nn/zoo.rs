//! The architectures by name, and the VGG plans as tables.
//!
//! Plans are the published program's, in the notation of the VGG paper: the width of each convolution in
//! order, `M` where a 2x2 max pooling stands. The fully connected part behind them comes from
//! `num_layers` and `num_hidden`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::choices::lookup;
use super::error::ModelError;

/// In a plan: 2x2 max pooling with stride 2, behind the convolution before it.
pub const M: usize = 0;

/// A network architecture. Written and read as its published name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Architecture {
    /// Fully connected blocks only.
    Mlp,
    /// Ours, not in the published program: four convolutions for 28x28 pictures, made for the quickstart.
    Vgg4,
    /// Four convolutions, no max pooling behind the last.
    Vgg6a,
    /// Four convolutions.
    Vgg6b,
    /// Five convolutions.
    Vgg8,
    /// Six convolutions, no max pooling behind the last.
    Vgg8a,
    /// Six convolutions; the network of most of the paper's tables.
    Vgg8b,
    /// Eight convolutions, the VGG paper's A.
    Vgg11,
    /// Nine convolutions, wide from the start.
    Vgg11b,
    /// Ten convolutions, the VGG paper's B.
    Vgg13,
    /// Thirteen convolutions, the VGG paper's D.
    Vgg16,
    /// Sixteen convolutions, the VGG paper's E.
    Vgg19,
}

const NAMES: [(&str, Architecture); 12] = [
    ("mlp", Architecture::Mlp),
    ("vgg4", Architecture::Vgg4),
    ("vgg6a", Architecture::Vgg6a),
    ("vgg6b", Architecture::Vgg6b),
    ("vgg8", Architecture::Vgg8),
    ("vgg8a", Architecture::Vgg8a),
    ("vgg8b", Architecture::Vgg8b),
    ("vgg11", Architecture::Vgg11),
    ("vgg11b", Architecture::Vgg11b),
    ("vgg13", Architecture::Vgg13),
    ("vgg16", Architecture::Vgg16),
    ("vgg19", Architecture::Vgg19),
];

impl Architecture {
    /// Every architecture, in the order of their names in error messages.
    pub fn all() -> impl Iterator<Item = Self> {
        NAMES.iter().map(|&(_, architecture)| architecture)
    }

    /// Widths of the convolutions before `feat_mult`, with [`M`] for a max pooling; empty for the mlp.
    #[rustfmt::skip]
    pub const fn conv_plan(self) -> &'static [usize] {
        match self {
            Self::Mlp => &[],
            Self::Vgg4 => &[64, M, 128, M, 256, M, 256, M],
            Self::Vgg6a => &[128, M, 256, M, 512, M, 512],
            Self::Vgg6b => &[128, M, 256, M, 512, M, 512, M],
            Self::Vgg8 => &[64, M, 128, M, 256, M, 512, M, 512, M],
            Self::Vgg8a => &[128, 256, M, 256, 512, M, 512, M, 512],
            Self::Vgg8b => &[128, 256, M, 256, 512, M, 512, M, 512, M],
            Self::Vgg11 => &[64, M, 128, M, 256, 256, M, 512, 512, M, 512, 512, M],
            Self::Vgg11b => &[128, 128, 128, 256, M, 256, 512, M, 512, 512, M, 512, M],
            Self::Vgg13 => &[64, 64, M, 128, 128, M, 256, 256, M, 512, 512, M, 512, 512, M],
            Self::Vgg16 => &[64, 64, M, 128, 128, M, 256, 256, 256, M, 512, 512, 512, M, 512, 512, 512, M],
            Self::Vgg19 => &[64, 64, M, 128, 128, M, 256, 256, 256, 256, M, 512, 512, 512, 512, M,
                             512, 512, 512, 512, M],
        }
    }
}

impl fmt::Display for Architecture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = NAMES.iter().find(|(_, a)| a == self).map_or("", |(n, _)| n);
        f.pad(name)
    }
}

impl FromStr for Architecture {
    type Err = ModelError;

    fn from_str(text: &str) -> Result<Self, ModelError> {
        lookup("model", text, &NAMES)
    }
}

impl From<Architecture> for String {
    fn from(architecture: Architecture) -> Self {
        architecture.to_string()
    }
}

impl TryFrom<String> for Architecture {
    type Error = ModelError;

    fn try_from(text: String) -> Result<Self, ModelError> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip() {
        let names: Vec<String> = Architecture::all().map(|a| a.to_string()).collect();
        assert_eq!(names.join(" "), "mlp vgg4 vgg6a vgg6b vgg8 vgg8a vgg8b vgg11 vgg11b vgg13 vgg16 vgg19");
        for a in Architecture::all() {
            assert_eq!(a.to_string().parse(), Ok(a));
            let json = serde_json::to_string(&a).unwrap();
            assert_eq!(json, format!("\"{a}\""));
            assert_eq!(serde_json::from_str::<Architecture>(&json).unwrap(), a);
        }
    }

    #[test]
    fn an_unknown_name_lists_the_known_ones() {
        let error = "vgg9".parse::<Architecture>().unwrap_err().to_string();
        assert_eq!(
            error,
            "unknown model 'vgg9'; known: mlp, vgg4, vgg6a, vgg6b, vgg8, vgg8a, vgg8b, vgg11, vgg11b, vgg13, \
             vgg16, vgg19"
        );
        assert!(serde_json::from_str::<Architecture>("\"vgg9\"").is_err());
    }

    #[test]
    fn plans_have_the_weight_layers_of_their_names() {
        // The number in a name counts the convolutions, one hidden layer and the output; the published
        // vgg11, 13, 16 and 19 count the two hidden layers of the VGG paper.
        let convs = |a: Architecture| a.conv_plan().iter().filter(|&&w| w != M).count();
        let counts: Vec<usize> = Architecture::all().map(convs).collect();
        assert_eq!(counts, [0, 4, 4, 4, 5, 6, 6, 8, 9, 10, 13, 16]);
    }
}
