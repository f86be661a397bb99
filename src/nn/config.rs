//! The settings that decide a network's structure, with the published program's names, defaults and meaning.
//!
//! What only training needs (rates, epochs, optimiser) is not here: two runs with equal `ModelConfig`s have
//! interchangeable checkpoints.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::choices::{LossSup, LossUnsup, Nonlin};
use super::error::ModelError;
use super::zoo::Architecture;

/// Largest width, side or count that a setting may have; keeps every product of two within `u64`.
const MAX_EXTENT: usize = 1 << 20;
/// Most hidden fully connected blocks.
const MAX_LAYERS: usize = 1 << 12;
/// Most convolutions in an auxiliary classifier, the pooled linear layer counted as one.
const MAX_AUX_DEPTH: usize = 64;

/// Everything that a network's structure depends on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ModelConfig {
    /// The architecture.
    pub model: Architecture,
    /// Hidden fully connected blocks: all of an mlp, those behind the convolutions of a vgg. The others have none.
    pub num_layers: usize,
    /// Features of a hidden fully connected block.
    pub num_hidden: usize,
    /// Features that the average pooling in front of a convolutional `pred` head aims at, or of the similarities in `bio`.
    pub dim_in_decoder: usize,
    /// Factor on the widths of the convolutions, rounded down.
    pub feat_mult: f64,
    /// Which supervised losses the blocks are trained on.
    pub loss_sup: LossSup,
    /// Which unsupervised loss they are trained on besides.
    pub loss_unsup: LossUnsup,
    /// Activation function.
    pub nonlin: Nonlin,
    /// Similarities are taken of flattened maps instead of the maps' standard deviations over space.
    pub no_similarity_std: bool,
    /// One global cross-entropy by backpropagation; the blocks have no heads.
    pub backprop: bool,
    /// Leaves batch normalisation out (but not that of a ResNet's shortcuts, nor the last one of a wide ResNet).
    pub no_batch_norm: bool,
    /// Normalisation and activation before the convolutions of resnet18 and 34; deeper ones only lose those behind
    /// their first convolution, as in the published program. Wide ResNets are like that anyway.
    pub pre_act: bool,
    /// Biologically plausible variant: feedback alignment in the `pred` heads, targets projected at random to
    /// `target_proj_size` numbers, similarities of the activations themselves instead of a trained `sim` head.
    pub bio: bool,
    /// Length of the projected targets of `bio`.
    pub target_proj_size: usize,
    /// Probability that dropout clears an element (dense) or a map (convolution) of a block's output.
    pub dropout: f64,
    /// Weight of the similarity loss in `predsim`; the cross-entropies have 1 - beta.
    pub beta: f64,
    /// Depth of the convolutional blocks' local classifiers: `aux_depth - 1` hidden 3x3 convolutions come before the
    /// pooling (Belilovsky, Eickenberg & Oyallon 2019, where it is k).
    pub aux_depth: usize,
    /// Groups the blocks into that many modules, as equal as can be: gradients flow inside a module and stop at its
    /// borders, and only its last block has heads. `None`: every block by itself.
    pub local_modules: Option<usize>,
    /// Shape of the pictures.
    pub input: InputShape,
    /// Classes to tell apart.
    pub num_classes: usize,
}

impl ModelConfig {
    /// The published defaults for pictures of shape `input` in `num_classes` classes.
    pub fn new(model: Architecture, input: InputShape, num_classes: usize) -> Self {
        Self {
            model,
            num_layers: 1,
            num_hidden: 1024,
            dim_in_decoder: 4096,
            feat_mult: 1.0,
            loss_sup: LossSup::PredSim,
            loss_unsup: LossUnsup::None,
            nonlin: Nonlin::Relu,
            no_similarity_std: false,
            backprop: false,
            no_batch_norm: false,
            pre_act: false,
            bio: false,
            target_proj_size: 128,
            dropout: 0.0,
            beta: 0.99,
            aux_depth: 1,
            local_modules: None,
            input,
            num_classes,
        }
    }

    /// Whether the blocks have a `pred` head.
    pub fn has_pred(&self) -> bool {
        !self.backprop && self.loss_sup != LossSup::Sim
    }

    /// Whether the blocks are trained on the supervised similarity loss.
    pub fn has_sim(&self) -> bool {
        !self.backprop && self.loss_sup != LossSup::Pred
    }

    /// Checks every range; sizes that only show once the network is laid out are checked there.
    pub(super) fn validate(&self) -> Result<(), ModelError> {
        let extent = |setting, value: usize, low: usize| {
            within(setting, value, low <= value && value <= MAX_EXTENT, || format!("from {low} to {MAX_EXTENT}"))
        };
        extent("the pictures' height", self.input.height, 1)?;
        extent("the pictures' width", self.input.width, 1)?;
        extent("the pictures' number of channels", self.input.channels, 1)?;
        extent("the number of classes", self.num_classes, 2)?;
        extent("--num-hidden", self.num_hidden, 1)?;
        if self.bio {
            extent("--target-proj-size", self.target_proj_size, 1)?;
        }
        let family = self.model.family();
        if family.has_dense_part() {
            let fewest = usize::from(self.model == Architecture::Mlp);
            let layers = fewest..=MAX_LAYERS;
            within("--num-layers", self.num_layers, layers.contains(&self.num_layers), || {
                format!("from {fewest} to {MAX_LAYERS} for {}", self.model)
            })?;
        }
        within("--dim-in-decoder", self.dim_in_decoder, self.dim_in_decoder > 0, || "at least 1".into())?;
        let unit = 0.0..1.0;
        within("--dropout", self.dropout, unit.contains(&self.dropout), || "at least 0 and below 1".into())?;
        within("--beta", self.beta, (0.0..=1.0).contains(&self.beta), || "from 0 to 1".into())?;
        self.validate_aux_depth()?;
        if let (true, Some(modules)) = (self.backprop, self.local_modules) {
            within("--local-modules", modules, false, || "left out with --backprop, which has no local losses".into())?;
        }
        let widths = family.widths();
        let fits = self.feat_mult.is_finite()
            && self.feat_mult > 0.0
            && widths.is_none_or(|(narrow, wide)| {
                scaled(narrow, self.feat_mult) > 0 && scaled(wide, self.feat_mult) <= MAX_EXTENT
            });
        within("--feat-mult", self.feat_mult, fits, || match widths {
            None => "above 0".into(),
            Some((narrow, wide)) => {
                let (low, high) = (1.0 / narrow as f64, MAX_EXTENT / wide);
                format!("from {low} to {high} for {}, so that no convolution is empty or huge", self.model)
            }
        })
    }

    /// Hidden convolutions make sense only in the classifier of a convolutional block that is trained by backpropagation
    /// within the block.
    fn validate_aux_depth(&self) -> Result<(), ModelError> {
        let depth = self.aux_depth;
        within("--aux-depth", depth, (1..=MAX_AUX_DEPTH).contains(&depth), || format!("from 1 to {MAX_AUX_DEPTH}"))?;
        let only_one =
            |what: &str, without: bool| within("--aux-depth", depth, depth == 1 || !without, || format!("1 {what}"));
        only_one("with --backprop, which has no local classifiers", self.backprop)?;
        only_one("with --loss-sup sim, which has no local classifiers", self.loss_sup == LossSup::Sim)?;
        only_one("with --bio, whose classifiers pass no gradient through a layer", self.bio)?;
        only_one("for mlp, which has no convolutions", self.model == Architecture::Mlp)
    }
}

/// A width times `feat_mult`, rounded down as the published program does.
pub(super) fn scaled(width: usize, feat_mult: f64) -> usize {
    (width as f64 * feat_mult) as usize
}

fn within(
    setting: &'static str,
    got: impl fmt::Display,
    fits: bool,
    need: impl Fn() -> String,
) -> Result<(), ModelError> {
    if fits {
        return Ok(());
    }
    Err(ModelError::Setting { setting, got: got.to_string(), need: need() })
}

/// Shape of the pictures that enter a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct InputShape {
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
    /// Colours.
    pub channels: usize,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mnist(model: Architecture) -> ModelConfig {
        ModelConfig::new(model, InputShape { height: 28, width: 28, channels: 1 }, 10)
    }

    #[test]
    fn round_trips_through_json() {
        let config = ModelConfig { nonlin: Nonlin::LeakyRelu, ..mnist(Architecture::Vgg8b) };
        let json = serde_json::to_string(&config).unwrap();
        assert!(json.contains(r#""model":"vgg8b""#) && json.contains(r#""loss_sup":"predsim""#), "{json}");
        assert_eq!(serde_json::from_str::<ModelConfig>(&json).unwrap(), config);
    }

    #[test]
    fn bad_settings_are_named_with_what_is_right() {
        let message = |change: fn(&mut ModelConfig)| {
            let mut config = mnist(Architecture::Mlp);
            change(&mut config);
            config.validate().unwrap_err().to_string()
        };
        assert_eq!(message(|c| c.dropout = 1.0), "--dropout is 1; it must be at least 0 and below 1");
        assert_eq!(message(|c| c.beta = f64::NAN), "--beta is NaN; it must be from 0 to 1");
        assert_eq!(message(|c| c.num_layers = 0), "--num-layers is 0; it must be from 1 to 4096 for mlp");
        assert_eq!(message(|c| c.num_hidden = 0), "--num-hidden is 0; it must be from 1 to 1048576");
        assert_eq!(message(|c| c.dim_in_decoder = 0), "--dim-in-decoder is 0; it must be at least 1");
        assert_eq!(message(|c| c.num_classes = 1), "the number of classes is 1; it must be from 2 to 1048576");
        assert!(message(|c| c.input.width = 0).starts_with("the pictures' width is 0;"));
        assert!(message(|c| c.feat_mult = f64::INFINITY).starts_with("--feat-mult is inf;"));
        assert_eq!(message(|c| c.aux_depth = 0), "--aux-depth is 0; it must be from 1 to 64");
        assert_eq!(message(|c| c.aux_depth = 2), "--aux-depth is 2; it must be 1 for mlp, which has no convolutions");
        let sim = message(|c| (c.aux_depth, c.loss_sup) = (2, LossSup::Sim));
        assert_eq!(sim, "--aux-depth is 2; it must be 1 with --loss-sup sim, which has no local classifiers");
        let bio = message(|c| (c.bio, c.target_proj_size) = (true, 0));
        assert_eq!(bio, "--target-proj-size is 0; it must be from 1 to 1048576");
        assert_eq!(
            message(|c| (c.backprop, c.local_modules) = (true, Some(1))),
            "--local-modules is 1; it must be left out with --backprop, which has no local losses"
        );
    }

    #[test]
    fn feat_mult_may_not_empty_a_convolution() {
        let config = ModelConfig { feat_mult: 0.007, ..mnist(Architecture::Vgg8b) };
        let error = config.validate().unwrap_err().to_string();
        assert!(error.starts_with("--feat-mult is 0.007; it must be from 0.0078125 to 2048 for vgg8b"), "{error}");
        let config = ModelConfig { feat_mult: 0.0078125, ..mnist(Architecture::Vgg8b) };
        assert_eq!(config.validate(), Ok(()));
        let config = ModelConfig { feat_mult: -1.0, ..mnist(Architecture::Vgg8b) };
        assert!(config.validate().is_err());
        let config = ModelConfig { num_layers: 0, ..mnist(Architecture::Vgg8b) };
        assert_eq!(config.validate(), Ok(()));
    }
}
