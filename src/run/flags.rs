//! The settings of a run as its user writes them: flags of `predsim train`, or the same names in a recipe's `[train]` table.
//!
//! Every setting may be missing here. What is given on the command line goes over what the recipe gives, that over the
//! published defaults; [`super::settings`] makes the whole set out of it.

use std::path::PathBuf;

use clap::{Args, Command};
use serde::{Deserialize, Serialize};

use crate::data::ImageSize;
use crate::kernels::precision::Precision;
use crate::nn::{Architecture, LossSup, LossUnsup, Nonlin};
use crate::train::{Optim, Order};

use super::budget::Budget;
use super::tune::Tune;

/// Settings of `predsim train`; names, defaults and meaning of the published program's flags are kept.
#[derive(Debug, Clone, Default, PartialEq, Args, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct TrainFlags {
    /// Data set: mnist-mini is embedded, the others are read from --data; see `predsim data list` [default: cifar10]
    #[arg(long, value_name = "NAME", help_heading = "Data")]
    pub dataset: Option<String>,
    /// Folder of the data set's official files, gzipped or not; also looked for in DIR/NAME. Of imagenet and
    /// image-folder: of train and val (or test), each with one subfolder a class
    #[arg(long, value_name = "DIR", help_heading = "Data")]
    pub data: Option<PathBuf>,
    /// Size that pictures of imagenet and image-folder are brought to: 224, or 160x224 for 160 rows of 224 [default: that of
    /// the first picture; imagenet: 224]
    #[arg(long, value_name = "SIZE", help_heading = "Data")]
    pub image_size: Option<ImageSize>,
    /// Use only the first N training samples
    #[arg(long, value_name = "N", help_heading = "Data")]
    pub limit_train: Option<u32>,
    /// Use only the first N test samples
    #[arg(long, value_name = "N", help_heading = "Data")]
    pub limit_test: Option<u32>,
    /// Different classes that a training batch is to hold; 0 for batches at random [default: 0]
    #[arg(long, value_name = "N", help_heading = "Data")]
    pub classes_per_batch: Option<usize>,
    /// Last epoch in which --classes-per-batch holds; 0 for all of them [default: 0]
    #[arg(long, value_name = "N", help_heading = "Data")]
    pub classes_per_batch_until_epoch: Option<usize>,
    /// Cut square holes out of training pictures
    #[arg(long, value_name = "BOOL", help_heading = "Data")]
    pub cutout: Option<bool>,
    /// Holes that --cutout cuts out of a picture [default: 1]
    #[arg(long = "n_holes", value_name = "N", help_heading = "Data")]
    #[serde(rename = "n_holes")]
    pub n_holes: Option<u32>,
    /// Side of such a hole in pixels [default: 16]
    #[arg(long, value_name = "N", help_heading = "Data")]
    pub length: Option<u32>,

    /// Network: mlp, a vgg (6a, 6b, 8, 8a, 8b, 11, 11b, 13, 16, 19; vgg4 is ours), a resnet (18, 34, 50, 101, 152), a
    /// wresnet (10-8, 16-4, 16-8, 28-10, 40-10, or any DEPTH-WIDTH), or plain:N, N equal convolutions [default: vgg8b]
    #[arg(long, value_name = "NAME", help_heading = "Network")]
    pub model: Option<Architecture>,
    /// Hidden fully connected layers: of an mlp all, of a vgg those behind the convolutions [default: 1]
    #[arg(long, value_name = "N", help_heading = "Network")]
    pub num_layers: Option<usize>,
    /// Features of a hidden fully connected layer [default: 1024]
    #[arg(long, value_name = "N", help_heading = "Network")]
    pub num_hidden: Option<usize>,
    /// Most features that enter a convolution's local classifier, by average pooling [default: 4096]
    #[arg(long, value_name = "N", help_heading = "Network")]
    pub dim_in_decoder: Option<usize>,
    /// Factor on the number of channels of all convolutions [default: 1]
    #[arg(long, value_name = "X", help_heading = "Network", value_parser = finite)]
    pub feat_mult: Option<f64>,
    /// Activation: relu or leakyrelu [default: relu]
    #[arg(long, value_name = "NAME", help_heading = "Network")]
    pub nonlin: Option<Nonlin>,
    /// Leave batch normalisation out
    #[arg(long, value_name = "BOOL", help_heading = "Network")]
    pub no_batch_norm: Option<bool>,
    /// Normalise and activate before the convolutions of a residual network
    #[arg(long, value_name = "BOOL", help_heading = "Network")]
    pub pre_act: Option<bool>,
    /// Probability that dropout clears a feature, or a whole map of a convolution [default: 0]
    #[arg(long, value_name = "P", help_heading = "Network", value_parser = finite)]
    pub dropout: Option<f64>,

    /// Local loss of the blocks: pred, sim or predsim [default: predsim]
    #[arg(long, value_name = "NAME", help_heading = "Losses")]
    pub loss_sup: Option<LossSup>,
    /// Unsupervised local loss besides, weighted by --alpha: none, sim or recon [default: none]
    #[arg(long, value_name = "NAME", help_heading = "Losses")]
    pub loss_unsup: Option<LossUnsup>,
    /// Share of the similarity loss in predsim [default: 0.99]
    #[arg(long, value_name = "X", help_heading = "Losses", value_parser = finite)]
    pub beta: Option<f64>,
    /// Weight of the unsupervised loss; the supervised one has the rest [default: 0]
    #[arg(long, value_name = "X", help_heading = "Losses", value_parser = finite)]
    pub alpha: Option<f64>,
    /// Compare whole maps in the similarity loss, not their standard deviations over space
    #[arg(long, value_name = "BOOL", help_heading = "Losses")]
    pub no_similarity_std: Option<bool>,
    /// Train by backpropagation of one global loss: the baseline
    #[arg(long, value_name = "BOOL", help_heading = "Losses")]
    pub backprop: Option<bool>,
    /// Biologically plausible variant: fixed random feedback, targets projected at random, no trained sim head
    #[arg(long, value_name = "BOOL", help_heading = "Losses")]
    pub bio: Option<bool>,
    /// Length of the projected targets of --bio [default: 128]
    #[arg(long, value_name = "N", help_heading = "Losses")]
    pub target_proj_size: Option<usize>,
    /// Let gradients flow from block to block: one backward pass over the sum of all losses
    #[arg(long, value_name = "BOOL", help_heading = "Losses")]
    pub no_detach: Option<bool>,
    /// Depth of a convolution's local classifier: N - 1 hidden 3x3 convolutions before its pooling [default: 1]
    #[arg(long, value_name = "N", help_heading = "Losses")]
    pub aux_depth: Option<usize>,
    /// Group the blocks into K modules, between which gradients stop; 1 is one loss for all [default: one a block]
    #[arg(long, value_name = "K", help_heading = "Losses")]
    pub local_modules: Option<usize>,

    /// Order of training: simultaneous (every block in every step) or greedy (one module after the other to the end, those
    /// before it frozen) [default: simultaneous]
    #[arg(long, value_name = "NAME", help_heading = "Training")]
    pub schedule: Option<Order>,
    /// Epochs to train for, counted from the start of the run; of each module if --schedule is greedy [default: 400]
    #[arg(long, value_name = "N", help_heading = "Training")]
    pub epochs: Option<usize>,
    /// Samples in a step [default: 128]
    #[arg(long, value_name = "N", help_heading = "Training")]
    pub batch_size: Option<usize>,
    /// Learning rate [default: 0.0005]
    #[arg(long, value_name = "X", help_heading = "Training", value_parser = finite)]
    pub lr: Option<f64>,
    /// Epochs after which the learning rate falls [default: 200 300 350 375]
    #[arg(long, value_name = "N", help_heading = "Training", num_args = 1..)]
    pub lr_decay_milestones: Option<Vec<usize>>,
    /// Factor on the learning rate at a milestone [default: 0.25]
    #[arg(long, value_name = "X", help_heading = "Training", value_parser = finite)]
    pub lr_decay_fact: Option<f64>,
    /// Update rule: adam, amsgrad or sgd [default: adam]
    #[arg(long, value_name = "NAME", help_heading = "Training")]
    pub optim: Option<Optim>,
    /// Momentum of sgd [default: 0]
    #[arg(long, value_name = "X", help_heading = "Training", value_parser = finite)]
    pub momentum: Option<f64>,
    /// L2 decay of every trained tensor [default: 0]
    #[arg(long, value_name = "X", help_heading = "Training", value_parser = finite)]
    pub weight_decay: Option<f64>,
    /// Also record the norms of every block's update and weights
    #[arg(long, value_name = "BOOL", help_heading = "Training")]
    pub grad_stats: Option<bool>,
    /// Seed of all randomness [default: 1]
    #[arg(long, value_name = "N", help_heading = "Training", value_parser = clap::value_parser!(u64).range(..=i64::MAX as u64))]
    pub seed: Option<u64>,

    /// Adapter to run on: a part of its name or its number in `predsim devices` [default: the fastest kind]
    #[arg(long, value_name = "NAME|INDEX", help_heading = "Device")]
    pub adapter: Option<String>,
    /// What matrix products and convolutions multiply: f32, or operands rounded to f16, whose products are added up in
    /// f32 and whose gradients are scaled. Uses the units for f16 matrices that a GPU has. `predsim eval` computes in
    /// f32 [default: f32]
    #[arg(long, value_name = "f32|f16", help_heading = "Device")]
    pub precision: Option<Precision>,
    /// Most memory of the device that the run may take: 512MiB, 2GiB, or 80% of what the fastest way takes. To keep to it,
    /// steps are done in parts of the batch, and parts of them twice [default: as the fastest way needs]
    #[arg(long, value_name = "SIZE", help_heading = "Device")]
    pub memory_budget: Option<Budget>,
    /// How the fastest variants of the kernels are found: quick times them for some seconds, once for a network on an
    /// adapter; full for as long as it takes, in every run; off takes what suits such adapters [default: quick on a GPU, off
    /// on a software driver]
    #[arg(long, value_name = "off|quick|full", help_heading = "Device")]
    pub tune: Option<Tune>,
    /// Most bytes of an activation that are bound at a time, for tests [default: what the adapter can]
    #[arg(long, value_name = "BYTES", help_heading = "Device", hide = true)]
    pub max_binding: Option<u64>,
}

/// The value name that marks a switch: `--backprop` is `--backprop=true`, and `--backprop=false` takes a recipe's back.
const SWITCH: &str = "BOOL";

/// Lets the switches among the arguments of `command` stand without a value.
pub fn with_switches(command: Command) -> Command {
    command.mut_args(|arg| {
        let is_switch = arg.get_value_names().is_some_and(|names| names.iter().any(|name| name == SWITCH));
        if !is_switch {
            return arg;
        }
        arg.num_args(0..=1).require_equals(true).default_missing_value("true").hide_possible_values(true)
    })
}

fn finite(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(value) if value.is_finite() => Ok(value),
        _ => Err("a finite number is needed".to_owned()),
    }
}

impl TrainFlags {
    /// These flags, and where they say nothing, those of `base`.
    #[must_use]
    pub fn over(&self, base: &Self) -> Self {
        // As JSON objects without the missing settings, the two merge without naming each of them.
        let object = |flags: &Self| match serde_json::to_value(flags) {
            Ok(serde_json::Value::Object(map)) => map,
            _ => serde_json::Map::new(),
        };
        // A path need not be text.
        let (own, below) = (Self { data: None, ..self.clone() }, Self { data: None, ..base.clone() });
        let mut merged = object(&below);
        merged.extend(object(&own).into_iter().filter(|(_, value)| !value.is_null()));
        // Both objects came from this type, so what they make together is of this type.
        let merged = serde_json::from_value(merged.into()).unwrap_or(own);
        Self { data: self.data.clone().or_else(|| base.data.clone()), ..merged }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_given_goes_over_what_was_there() {
        let base = TrainFlags { lr: Some(1.0), epochs: Some(3), backprop: Some(true), ..TrainFlags::default() };
        let flags = TrainFlags {
            lr: Some(2.0),
            backprop: Some(false),
            data: Some("a b".into()),
            lr_decay_milestones: Some(vec![1, 2]),
            ..TrainFlags::default()
        };
        let merged = flags.over(&base);
        assert_eq!(merged, TrainFlags { epochs: Some(3), ..flags });
        assert_eq!(TrainFlags::default().over(&base), base);
    }
}
