//! Whether the steps of this program are those of predsim: the losses of a few steps from given weights, against the golden
//! cases that predsim itself is tested with.

use std::path::Path;

use burn::module::Param;
use burn::nn::conv::Conv2d;
use burn::nn::{BatchNorm, Linear};
use burn::tensor::{Device, Tensor, TensorData};
use safetensors::SafeTensors;
use serde_json::Value;

use crate::network::{Architecture, Network};
use crate::steps::{self, Batch, Learning, Outcome};

/// The cases that have what the timed steps have and nothing else.
const CASES: [&str; 3] = ["mlp_predsim", "vgg8b_predsim", "vgg8b_backprop"];
/// Most that a loss may be off, as a share of it and absolutely.
const TOLERANCE: f64 = 1e-3;

/// Replays the cases in `folder`. Returns what to print.
///
/// # Errors
/// A case that is missing or cannot be read, or a loss that is off.
pub fn check(folder: &Path, device: &Device) -> Result<String, String> {
    let device = device.clone().autodiff();
    let worst = CASES.iter().map(|name| replay(folder, name, &device)).collect::<Result<Vec<f64>, _>>()?;
    let worst = worst.into_iter().fold(0.0, f64::max);
    Ok(format!(
        "the losses of {} are within {worst:.0e} of the golden ones (at most {TOLERANCE:.0e})",
        CASES.join(", ")
    ))
}

/// The largest deviation of a loss of one case.
fn replay(folder: &Path, name: &str, device: &Device) -> Result<f64, String> {
    let read = |extension: &str| {
        let path = folder.join(format!("{name}.{extension}"));
        std::fs::read(&path).map_err(|error| format!("{}: cannot be read ({error})", path.display()))
    };
    let wrong = |reason: String| format!("{}: {reason}", folder.join(name).display());
    let case: Value = serde_json::from_slice(&read("json")?).map_err(|error| wrong(error.to_string()))?;
    let bytes = read("safetensors")?;
    let file = SafeTensors::deserialize(&bytes).map_err(|error| wrong(error.to_string()))?;
    let case = Case { config: &case["config"], file: &file, device };
    case.deviation().map_err(wrong)
}

/// A golden case, read.
struct Case<'c> {
    config: &'c Value,
    file: &'c SafeTensors<'c>,
    device: &'c Device,
}

impl Case<'_> {
    fn deviation(&self) -> Result<f64, String> {
        let learning = if self.config["backprop"] == true { Learning::Backprop } else { Learning::Local };
        let architecture = self.architecture()?;
        let mut network = Network::new(&architecture, learning, self.device);
        self.load(&mut network)?;
        let mut optimizer = steps::optimizer(self.config["weight_decay"].as_f64().unwrap_or(0.0) as f32);
        let (pictures, labels) = (self.floats("x")?, self.labels()?);
        let (size, batches) = (self.number("batch_size")?, self.number("batches")?);
        let mut worst = 0.0f64;
        for step in 0..self.number("steps")? {
            let index = step % batches;
            let each = pictures.len() / batches;
            let shape = [size, architecture.channels, architecture.side, architecture.side];
            let part = TensorData::new(pictures[index * each..(index + 1) * each].to_vec(), shape);
            let part = Batch::new(part, &labels[index * size..(index + 1) * size], architecture.classes, self.device);
            let (updated, outcome) = steps::step(network, &mut optimizer, &part, learning);
            network = updated;
            worst = worst.max(self.compare(step, outcome)?);
        }
        Ok(worst)
    }

    fn architecture(&self) -> Result<Architecture, String> {
        let [side, channels, classes] = ["input_dim", "input_ch", "num_classes"].map(|key| self.number(key));
        let (side, channels, classes) = (side?, channels?, classes?);
        let hidden = vec![self.number("num_hidden")?; self.number("num_layers")?];
        match self.config["model"].as_str() {
            Some("mlp") => Ok(Architecture::mlp(side, channels, &hidden, classes)),
            Some("vgg8b") => {
                let width = self.config["feat_mult"].as_f64().ok_or("feat_mult is missing")?;
                Ok(Architecture::vgg8b(side, channels, width, &hidden, classes, self.number("dim_in_decoder")?))
            }
            other => Err(format!("model {other:?} is none of this program's")),
        }
    }

    /// Largest deviation of the losses of `step`.
    fn compare(&self, step: usize, outcome: Outcome) -> Result<f64, String> {
        let mut pairs = vec![("loss_out", step, outcome.output)];
        let blocks = outcome.blocks.len();
        for (block, losses) in outcome.blocks.into_iter().enumerate() {
            pairs.push(("loss_pred", step * blocks + block, losses.pred));
            pairs.push(("loss_sim", step * blocks + block, losses.sim));
        }
        let mut worst = 0.0f64;
        for (name, at, loss) in pairs {
            let (ours, golden) = (f64::from(loss.into_scalar::<f32>()), f64::from(self.floats(name)?[at]));
            let off = (ours - golden).abs() / golden.abs().max(1.0);
            // NaN is no deviation within the tolerance.
            if !(off <= TOLERANCE) {
                return Err(format!("{name} of step {step} is {ours}, and {golden} in the golden case"));
            }
            worst = worst.max(off);
        }
        Ok(worst)
    }

    fn load(&self, network: &mut Network) -> Result<(), String> {
        let convs = network.convs.len();
        for (index, block) in network.convs.iter_mut().enumerate() {
            self.load_conv(&format!("blocks.{index}.conv"), &mut block.conv)?;
            self.load_norm(&format!("blocks.{index}.bn"), &mut block.norm)?;
            if let Some(heads) = &mut block.heads {
                self.load_linear(&format!("blocks.{index}.pred"), &mut heads.pred)?;
                self.load_conv(&format!("blocks.{index}.sim"), &mut heads.sim)?;
            }
        }
        for (index, block) in network.dense.iter_mut().enumerate() {
            let index = convs + index;
            self.load_linear(&format!("blocks.{index}.linear"), &mut block.linear)?;
            self.load_norm(&format!("blocks.{index}.bn"), &mut block.norm)?;
            if let Some(heads) = &mut block.heads {
                self.load_linear(&format!("blocks.{index}.pred"), &mut heads.pred)?;
                self.load_linear(&format!("blocks.{index}.sim"), &mut heads.sim)?;
            }
        }
        self.load_linear("output", &mut network.output)
    }

    fn load_conv(&self, name: &str, conv: &mut Conv2d) -> Result<(), String> {
        conv.weight = Param::from_tensor(self.parameter(&format!("{name}.weight"), conv.weight.dims())?);
        if let Some(bias) = &mut conv.bias {
            *bias = Param::from_tensor(self.parameter(&format!("{name}.bias"), bias.dims())?);
        }
        Ok(())
    }

    /// The file's weights are `[out, in]`, burn's `[in, out]`.
    fn load_linear(&self, name: &str, linear: &mut Linear) -> Result<(), String> {
        let [inputs, outputs] = linear.weight.dims();
        let weight: Tensor<2> = self.parameter(&format!("{name}.weight"), [outputs, inputs])?;
        linear.weight = Param::from_tensor(weight.transpose());
        if let Some(bias) = &mut linear.bias {
            *bias = Param::from_tensor(self.parameter(&format!("{name}.bias"), bias.dims())?);
        }
        Ok(())
    }

    fn load_norm(&self, name: &str, norm: &mut BatchNorm) -> Result<(), String> {
        norm.gamma = Param::from_tensor(self.parameter(&format!("{name}.weight"), norm.gamma.dims())?);
        norm.beta = Param::from_tensor(self.parameter(&format!("{name}.bias"), norm.beta.dims())?);
        Ok(())
    }

    fn parameter<const D: usize>(&self, name: &str, shape: [usize; D]) -> Result<Tensor<D>, String> {
        let values = self.floats(&format!("init.{name}"))?;
        if values.len() != shape.iter().product::<usize>() {
            return Err(format!("{name} has {} values; the network needs {shape:?}", values.len()));
        }
        Ok(Tensor::from_data(TensorData::new(values, shape), self.device))
    }

    fn floats(&self, name: &str) -> Result<Vec<f32>, String> {
        Ok(self.words(name)?.map(f32::from_le_bytes).collect())
    }

    fn labels(&self) -> Result<Vec<i32>, String> {
        Ok(self.words("y")?.map(i32::from_le_bytes).collect())
    }

    fn words(&self, name: &str) -> Result<impl Iterator<Item = [u8; 4]>, String> {
        let tensor = self.file.tensor(name).map_err(|error| format!("{name}: {error}"))?;
        let words: Vec<[u8; 4]> = tensor.data().chunks_exact(4).map(|w| [w[0], w[1], w[2], w[3]]).collect();
        Ok(words.into_iter())
    }

    fn number(&self, key: &str) -> Result<usize, String> {
        self.config[key].as_u64().map(|value| value as usize).ok_or_else(|| format!("{key} is missing"))
    }
}
