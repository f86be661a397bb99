//! The architectures by name.
//!
//! A name is one of a list, or a family's with numbers in it: `wresnet28-10`, `plain:8`. What a name stands for is a
//! [`Family`] with its table; the networks themselves are grown from it elsewhere.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::names::{UnknownName, lookup};

use super::error::ModelError;
use super::families::{Family, M};

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
    /// Residual units of two 3x3 convolutions (He et al. 2016).
    Resnet18,
    /// The same, deeper.
    Resnet34,
    /// Residual units of 1x1, 3x3 and 1x1 convolutions: bottlenecks.
    Resnet50,
    /// The same, deeper.
    Resnet101,
    /// The same, deeper still.
    Resnet152,
    /// Pre-activated residual units, wide and few (Zagoruyko & Komodakis 2016): `wresnetD-K`, adapted `wresnetD-Ka`.
    WideResnet {
        /// Layers, 6 n + 4 for n units in each of three stages.
        depth: u32,
        /// Factor on the widths 16, 32, 64 of the stages.
        widen: u32,
        /// The published program's variant for local losses: a wide first convolution, max pooling at the end.
        adapted: bool,
    },
    /// Ours, for studies of depth: `plain:N`, N equal 3x3 convolutions of width 128 on maps of the picture's size, then
    /// an average pooling to at most 4x4 pixels and the output layer, without fully connected blocks.
    Plain {
        /// N.
        blocks: u32,
    },
}

const NAMES: [(&str, Architecture); 17] = [
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
    ("resnet18", Architecture::Resnet18),
    ("resnet34", Architecture::Resnet34),
    ("resnet50", Architecture::Resnet50),
    ("resnet101", Architecture::Resnet101),
    ("resnet152", Architecture::Resnet152),
];

/// Depth and widening factor of the published wide ones; each also exists adapted.
const WIDE: [(u32, u32); 5] = [(10, 8), (16, 4), (16, 8), (28, 10), (40, 10)];

/// The most layers or blocks that a name may ask for.
const DEEPEST: u32 = 1 << 12;
/// The largest widening factor.
const WIDEST: u32 = 1 << 12;

impl Architecture {
    /// Every architecture that has a name of its own: the published ones, and vgg4.
    pub fn all() -> impl Iterator<Item = Self> {
        let wide = WIDE
            .into_iter()
            .flat_map(|(depth, widen)| [false, true].map(|adapted| Self::WideResnet { depth, widen, adapted }));
        NAMES.iter().map(|&(_, architecture)| architecture).chain(wide)
    }

    /// What it is built from.
    #[rustfmt::skip]
    pub const fn family(self) -> Family {
        match self {
            Self::Mlp => Family::Mlp,
            Self::Vgg4 => Family::Vgg(&[32, M, 64, M, 256, M, 512, M]),
            Self::Vgg6a => Family::Vgg(&[128, M, 256, M, 512, M, 512]),
            Self::Vgg6b => Family::Vgg(&[128, M, 256, M, 512, M, 512, M]),
            Self::Vgg8 => Family::Vgg(&[64, M, 128, M, 256, M, 512, M, 512, M]),
            Self::Vgg8a => Family::Vgg(&[128, 256, M, 256, 512, M, 512, M, 512]),
            Self::Vgg8b => Family::Vgg(&[128, 256, M, 256, 512, M, 512, M, 512, M]),
            Self::Vgg11 => Family::Vgg(&[64, M, 128, M, 256, 256, M, 512, 512, M, 512, 512, M]),
            Self::Vgg11b => Family::Vgg(&[128, 128, 128, 256, M, 256, 512, M, 512, 512, M, 512, M]),
            Self::Vgg13 => Family::Vgg(&[64, 64, M, 128, 128, M, 256, 256, M, 512, 512, M, 512, 512, M]),
            Self::Vgg16 => Family::Vgg(&[64, 64, M, 128, 128, M, 256, 256, 256, M, 512, 512, 512, M,
                                         512, 512, 512, M]),
            Self::Vgg19 => Family::Vgg(&[64, 64, M, 128, 128, M, 256, 256, 256, 256, M, 512, 512, 512, 512, M,
                                         512, 512, 512, 512, M]),
            Self::Resnet18 => Family::Resnet { bottleneck: false, units: [2, 2, 2, 2] },
            Self::Resnet34 => Family::Resnet { bottleneck: false, units: [3, 4, 6, 3] },
            Self::Resnet50 => Family::Resnet { bottleneck: true, units: [3, 4, 6, 3] },
            Self::Resnet101 => Family::Resnet { bottleneck: true, units: [3, 4, 23, 3] },
            Self::Resnet152 => Family::Resnet { bottleneck: true, units: [3, 8, 36, 3] },
            Self::WideResnet { depth, widen, adapted } => {
                Family::WideResnet { units: (depth as usize - 4) / 6, widen: widen as usize, adapted }
            }
            Self::Plain { blocks } => Family::Plain { blocks: blocks as usize },
        }
    }

    /// `wresnetD-K`, `wresnetD-Ka` or `plain:N` with numbers that a network can be built from.
    fn numbered(text: &str) -> Option<Self> {
        let number = |digits: &str| {
            let plain = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) && !digits.starts_with('0');
            plain.then(|| digits.parse().ok()).flatten()
        };
        if let Some(blocks) = text.strip_prefix("plain:") {
            let blocks = number(blocks).filter(|&n| n <= DEEPEST)?;
            return Some(Self::Plain { blocks });
        }
        let size = text.strip_prefix("wresnet")?;
        let (size, adapted) = size.strip_suffix('a').map_or((size, false), |size| (size, true));
        let (depth, widen) = size.split_once('-')?;
        let depth = number(depth).filter(|n| (10..=DEEPEST).contains(n) && n % 6 == 4)?;
        let widen = number(widen).filter(|&n| n <= WIDEST)?;
        Some(Self::WideResnet { depth, widen, adapted })
    }
}

impl fmt::Display for Architecture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::WideResnet { depth, widen, adapted } => {
                f.pad(&format!("wresnet{depth}-{widen}{}", if adapted { "a" } else { "" }))
            }
            Self::Plain { blocks } => f.pad(&format!("plain:{blocks}")),
            named => f.pad(NAMES.iter().find(|(_, a)| *a == named).map_or("", |(n, _)| n)),
        }
    }
}

impl FromStr for Architecture {
    type Err = ModelError;

    fn from_str(text: &str) -> Result<Self, ModelError> {
        lookup("model", text, &NAMES).or_else(|unknown| {
            Self::numbered(text).ok_or_else(|| {
                let known = format!(
                    "{}, wresnetD-K and wresnetD-Ka (layers D = 10, 16, 22, ..., widened K times), plain:N (N blocks)",
                    unknown.known
                );
                UnknownName { known, ..unknown }.into()
            })
        })
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
        assert_eq!(
            names.join(" "),
            "mlp vgg4 vgg6a vgg6b vgg8 vgg8a vgg8b vgg11 vgg11b vgg13 vgg16 vgg19 resnet18 resnet34 resnet50 \
             resnet101 resnet152 wresnet10-8 wresnet10-8a wresnet16-4 wresnet16-4a wresnet16-8 wresnet16-8a \
             wresnet28-10 wresnet28-10a wresnet40-10 wresnet40-10a"
        );
        let unlisted = ["wresnet10-1", "wresnet22-3a", "plain:40"].map(|name| name.parse().unwrap());
        for a in Architecture::all().chain(unlisted) {
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
            "unknown model 'vgg9'; known: mlp, vgg4, vgg6a, vgg6b, vgg8, vgg8a, vgg8b, vgg11, vgg11b, vgg13, vgg16, \
             vgg19, resnet18, resnet34, resnet50, resnet101, resnet152, wresnetD-K and wresnetD-Ka (layers D = 10, 16, \
             22, ..., widened K times), plain:N (N blocks)"
        );
        assert!(serde_json::from_str::<Architecture>("\"vgg9\"").is_err());
    }

    #[test]
    fn numbers_that_make_no_network_are_refused() {
        for name in [
            "wresnet",
            "wresnet28",
            "wresnet28-",
            "wresnet27-10",
            "wresnet4-1",
            "wresnet28-0",
            "wresnet28-10aa",
            "wresnet+28-10",
            "wresnet028-10",
            "wresnet28-10b",
            "wresnet99999999999-1",
            "plain",
            "plain:",
            "plain:0",
            "plain:-1",
            "plain:1000000",
            "resnet20",
        ] {
            assert!(name.parse::<Architecture>().is_err(), "{name}");
        }
    }

    #[test]
    fn families_have_the_weight_layers_of_their_names() {
        // The number in a vgg's name counts the convolutions, one hidden layer and the output; the published vgg11, 13,
        // 16 and 19 count the two hidden layers of the VGG paper. Residual networks count the output layer, not the
        // convolutions on their shortcuts.
        let weight_layers = |a: Architecture| match a.family() {
            Family::Mlp => 0,
            Family::Vgg(plan) => plan.iter().filter(|&&w| w != M).count(),
            Family::Resnet { bottleneck, units } => 2 + units.iter().sum::<usize>() * if bottleneck { 3 } else { 2 },
            Family::WideResnet { units, .. } => 2 + 6 * units,
            Family::Plain { blocks } => blocks,
        };
        let counts: Vec<usize> = Architecture::all().map(weight_layers).collect();
        // A wide network's three convolutions on shortcuts are counted: 6 n + 4 are two more than its blocks and output.
        assert_eq!(counts[..17], [0, 4, 4, 4, 5, 6, 6, 8, 9, 10, 13, 16, 18, 34, 50, 101, 152]);
        assert_eq!(counts[17..], [8, 8, 14, 14, 14, 14, 26, 26, 38, 38]);
    }
}
