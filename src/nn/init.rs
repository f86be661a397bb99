//! The values that training starts from.
//!
//! Every element is a pure function of the seed, its parameter's name and its place in PyTorch's order, so
//! adding, removing or reordering parameters changes no other parameter's values, and neither does the
//! device's layout.

use super::params::{Init, ParamDecl};
use crate::rng::{self, Purpose};

/// Initial values of a parameter in PyTorch's layout: U(-1/sqrt(fan_in), 1/sqrt(fan_in)), zeros or ones.
pub fn initial_values(param: &ParamDecl, seed: u64) -> Vec<f32> {
    let n = param.elements();
    match param.init {
        Init::Zero => vec![0.0; n],
        Init::One => vec![1.0; n],
        Init::Uniform => {
            let bound = 1.0 / (param.fan_in as f64).sqrt();
            let name = hash(&param.name);
            (0..n as u64)
                .map(|i| {
                    let draw = rng::uniform01(rng::bits(seed, Purpose::Init, name, i));
                    (bound * (2.0 * draw - 1.0)) as f32
                })
                .collect()
        }
    }
}

/// FNV-1a, 64 bits.
fn hash(name: &str) -> u64 {
    name.bytes().fold(0xCBF2_9CE4_8422_2325, |h, byte| (h ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01B3))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::{Architecture, InputShape, LossSup, Model, ModelConfig};

    fn model(change: impl Fn(&mut ModelConfig)) -> Model {
        let input = InputShape { height: 28, width: 28, channels: 1 };
        let mut config = ModelConfig::new(Architecture::Vgg8b, input, 10);
        config.feat_mult = 0.25;
        change(&mut config);
        Model::build(config).unwrap()
    }

    fn values(model: &Model, name: &str, seed: u64) -> Vec<f32> {
        initial_values(model.params.iter().find(|p| p.name == name).unwrap(), seed)
    }

    #[test]
    fn fnv_1a_gives_the_published_values() {
        assert_eq!(hash(""), 0xCBF2_9CE4_8422_2325);
        assert_eq!(hash("a"), 0xAF63_DC4C_8601_EC8C);
        assert_eq!(hash("foobar"), 0x8594_4171_F739_67E8);
    }

    #[test]
    fn weights_and_biases_are_uniform_by_fan_in() {
        let model = model(|_| ());
        // 64 inputs of 3x3: bound 1/24, variance bound^2 / 3.
        let weight = values(&model, "blocks.2.conv.weight", 1);
        let (n, bound) = (weight.len() as f64, 1.0 / 24.0);
        assert_eq!(weight.len(), 64 * 64 * 9);
        assert!(weight.iter().all(|&v| f64::from(v).abs() <= bound));
        let mean: f64 = weight.iter().map(|&v| f64::from(v)).sum::<f64>() / n;
        let square: f64 = weight.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>() / n;
        assert!(mean.abs() < 5.0 * bound / (3.0 * n).sqrt(), "{mean}");
        assert!((square / (bound * bound / 3.0) - 1.0).abs() < 0.03, "{square}");
        let bias = values(&model, "blocks.2.conv.bias", 1);
        assert!(bias.iter().all(|&v| v != 0.0 && f64::from(v).abs() <= bound));
    }

    #[test]
    fn heads_norms_and_output_start_as_the_paper_has_them() {
        let local = model(|_| ());
        let all = |name, v: f32| values(&local, name, 1).iter().all(|&x| x == v);
        assert!(all("blocks.0.pred.weight", 0.0) && all("output.weight", 0.0));
        assert!(all("blocks.0.bn.weight", 1.0) && all("blocks.0.bn.bias", 0.0));
        assert!(all("blocks.0.bn.running_mean", 0.0) && all("blocks.0.bn.running_var", 1.0));
        for uniform in ["blocks.0.pred.bias", "output.bias", "blocks.0.sim.weight"] {
            assert!(values(&local, uniform, 1).iter().all(|&x| x != 0.0));
        }
        let backprop = model(|c| c.backprop = true);
        assert!(values(&backprop, "output.weight", 1).iter().all(|&x| x != 0.0));
    }

    #[test]
    fn a_parameter_depends_on_its_name_and_the_seed_only() {
        let (full, lean) = (model(|_| ()), model(|c| c.loss_sup = LossSup::Pred));
        for p in &lean.params {
            assert_eq!(initial_values(p, 3), values(&full, &p.name, 3));
        }
        let weight = |name, seed| values(&full, name, seed);
        assert_ne!(weight("blocks.2.conv.weight", 1), weight("blocks.2.conv.weight", 2));
        assert_ne!(weight("blocks.2.conv.weight", 1), weight("blocks.2.sim.weight", 1));
    }
}
