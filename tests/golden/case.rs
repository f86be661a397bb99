//! A golden case as its files have it.

use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr;

use predsim::nn::{Architecture, InputShape, LossSup, LossUnsup, ModelConfig, Nonlin};
use predsim::train::{Optim, TrainConfig};
use safetensors::{Dtype, SafeTensors};
use serde::Deserialize;
use serde_json::{Map, Value};

/// The JSON's part that matters here.
#[derive(Debug, Deserialize)]
struct Document {
    config: Map<String, Value>,
    params: Vec<Param>,
    null_grad: BTreeSet<String>,
    float32_deviation: BTreeMap<String, [f64; 2]>,
}

/// A declared parameter.
#[derive(Debug, Deserialize)]
pub struct Param {
    pub name: String,
    pub shape: Vec<usize>,
    pub role: String,
}

/// A tensor in `f32`; integers are converted.
#[derive(Debug, Clone)]
pub struct Tensor {
    pub shape: Vec<usize>,
    pub values: Vec<f32>,
}

/// A case: configuration, declared parameters, numbers.
#[derive(Debug)]
pub struct Case {
    pub name: String,
    config: Map<String, Value>,
    pub params: Vec<Param>,
    pub null_grad: BTreeSet<String>,
    pub float32_deviation: BTreeMap<String, [f64; 2]>,
    tensors: BTreeMap<String, Tensor>,
}

impl Case {
    /// The case `name` from the contents of its two files.
    pub fn parse(name: &str, json: &str, numbers: &[u8]) -> Result<Self, String> {
        let document: Document = serde_json::from_str(json).map_err(|error| format!("{name}.json: {error}"))?;
        let file = SafeTensors::deserialize(numbers).map_err(|error| format!("{name}.safetensors: {error}"))?;
        let tensors = file.iter().map(|(name, view)| {
            let words = view.data().chunks_exact(4);
            let values = match view.dtype() {
                Dtype::F32 => words.map(bytemuck::pod_read_unaligned).collect(),
                Dtype::I32 => words.map(|word| bytemuck::pod_read_unaligned::<i32>(word) as f32).collect(),
                other => return Err(format!("{name} is {other:?}")),
            };
            Ok((name.to_owned(), Tensor { shape: view.shape().to_vec(), values }))
        });
        Ok(Self {
            name: name.to_owned(),
            config: document.config,
            params: document.params,
            null_grad: document.null_grad,
            float32_deviation: document.float32_deviation,
            tensors: tensors.collect::<Result<_, String>>()?,
        })
    }

    fn flag(&self, key: &str) -> bool {
        self.config.get(key).and_then(Value::as_bool).unwrap_or(false)
    }

    fn number(&self, key: &str) -> f64 {
        self.config.get(key).and_then(Value::as_f64).unwrap_or(0.0)
    }

    pub fn count(&self, key: &str) -> usize {
        self.number(key) as usize
    }

    fn text(&self, key: &str) -> &str {
        self.config.get(key).and_then(Value::as_str).unwrap_or("")
    }

    /// What no case can be about.
    pub fn unsupported(&self) -> Option<String> {
        (self.number("dropout") != 0.0).then(|| "dropout (no golden case can fix its mask)".to_owned())
    }

    fn parsed<T: FromStr<Err: ToString>>(&self, key: &str) -> Result<T, String> {
        self.text(key).parse().map_err(|error: T::Err| error.to_string())
    }

    pub fn model(&self) -> Result<ModelConfig, String> {
        let side = self.count("input_dim");
        let input = InputShape { height: side, width: side, channels: self.count("input_ch") };
        Ok(ModelConfig {
            model: self.parsed::<Architecture>("model")?,
            num_layers: self.count("num_layers"),
            num_hidden: self.count("num_hidden"),
            dim_in_decoder: self.count("dim_in_decoder"),
            feat_mult: self.number("feat_mult"),
            loss_sup: self.parsed::<LossSup>("loss_sup")?,
            loss_unsup: self.parsed::<LossUnsup>("loss_unsup")?,
            nonlin: self.parsed::<Nonlin>("nonlin")?,
            no_similarity_std: self.flag("no_similarity_std"),
            backprop: self.flag("backprop"),
            no_batch_norm: self.flag("no_batch_norm"),
            pre_act: self.flag("pre_act"),
            bio: self.flag("bio"),
            target_proj_size: self.count("target_proj_size"),
            dropout: 0.0,
            beta: self.number("beta"),
            aux_depth: 1,
            local_modules: None,
            input,
            num_classes: self.count("num_classes"),
        })
    }

    pub fn train(&self) -> Result<TrainConfig, String> {
        let optim = match self.text("optim") {
            "adam" => Optim::Adam,
            "amsgrad" => Optim::AmsGrad,
            "sgd" => Optim::Sgd,
            other => return Err(format!("unknown optim {other}")),
        };
        Ok(TrainConfig {
            batch_size: self.count("batch_size"),
            lr: self.number("lr"),
            optim,
            momentum: self.number("momentum"),
            weight_decay: self.number("weight_decay"),
            alpha: self.number("alpha"),
            no_detach: self.flag("no_detach"),
            ..TrainConfig::default()
        })
    }

    pub fn backprop(&self) -> bool {
        self.flag("backprop")
    }

    /// A tensor that every case has, or that this one must have.
    pub fn tensor(&self, name: &str) -> Result<&Tensor, String> {
        self.tensors.get(name).ok_or_else(|| format!("the case has no tensor {name}"))
    }

    pub fn find(&self, name: &str) -> Option<&Tensor> {
        self.tensors.get(name)
    }
}
