//! The settings that decide a network's structure, with the published program's names, defaults and meaning.
//!
//! What only training needs (rates, epochs, optimiser) is not here: two runs with equal `ModelConfig`s have
//! interchangeable checkpoints.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::choices::{LossSup, Nonlin};
use super::error::ModelError;
use super::zoo::{Architecture, M};

/// Largest width, side or count that a setting may have; keeps every product of two within `u64`.
const MAX_EXTENT: usize = 1 << 20;
/// Most hidden fully connected blocks.
const MAX_LAYERS: usize = 1 << 12;

/// Everything that a network's structure depends on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ModelConfig {
    /// The architecture.
    pub model: Architecture,
    /// Hidden fully connected blocks: all of an mlp, those behind the convolutions of a vgg.
    pub num_layers: usize,
    /// Features of a hidden fully connected block.
    pub num_hidden: usize,
    /// Features that the average pooling in front of a convolutional `pred` head aims at.
    pub dim_in_decoder: usize,
    /// Factor on the widths of the convolutions, rounded down.
    pub feat_mult: f64,
    /// Which supervised losses the blocks are trained on.
    pub loss_sup: LossSup,
    /// Activation function.
    pub nonlin: Nonlin,
    /// Similarities are taken of flattened maps instead of the maps' standard deviations over space.
    pub no_similarity_std: bool,
    /// One global cross-entropy by backpropagation; the blocks have no heads.
    pub backprop: bool,
    /// Leaves batch normalisation out.
    pub no_batch_norm: bool,
    /// Probability that dropout clears an element (dense) or a map (convolution) of a block's output.
    pub dropout: f64,
    /// Weight of the similarity loss in `predsim`; the cross-entropies have 1 - beta.
    pub beta: f64,
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
            nonlin: Nonlin::Relu,
            no_similarity_std: false,
            backprop: false,
            no_batch_norm: false,
            dropout: 0.0,
            beta: 0.99,
            input,
            num_classes,
        }
    }

    /// Whether the blocks have a `pred` head.
    pub fn has_pred(&self) -> bool {
        !self.backprop && self.loss_sup != LossSup::Sim
    }

    /// Whether the blocks have a `sim` head.
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
        let fewest = usize::from(self.model == Architecture::Mlp);
        let layers = fewest..=MAX_LAYERS;
        within("--num-layers", self.num_layers, layers.contains(&self.num_layers), || {
            format!("from {fewest} to {MAX_LAYERS} for {}", self.model)
        })?;
        within("--dim-in-decoder", self.dim_in_decoder, self.dim_in_decoder > 0, || "at least 1".into())?;
        let unit = 0.0..1.0;
        within("--dropout", self.dropout, unit.contains(&self.dropout), || "at least 0 and below 1".into())?;
        within("--beta", self.beta, (0.0..=1.0).contains(&self.beta), || "from 0 to 1".into())?;
        let widths = || self.model.conv_plan().iter().copied().filter(|&w| w != M);
        let fits = self.feat_mult.is_finite()
            && self.feat_mult > 0.0
            && widths().all(|w| (1..=MAX_EXTENT).contains(&scaled(w, self.feat_mult)));
        within("--feat-mult", self.feat_mult, fits, || match widths().min().zip(widths().max()) {
            None => "above 0".into(),
            Some((narrow, wide)) => {
                let (low, high) = (1.0 / narrow as f64, MAX_EXTENT / wide);
                format!("from {low} to {high} for {}, so that no convolution is empty or huge", self.model)
            }
        })
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
