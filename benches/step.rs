//! A training step of the published mlp (three blocks of 1024 units, batch 128, predsim) on the embedded digits: how its GPU
//! time is shared among the kernels, and how much of it the matrix products have. The rest is overhead.

#[allow(dead_code, reason = "each benchmark uses a part of what they share")]
mod support;

use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;
use std::time::Instant;

use predsim::data::{self, Dataset};
use predsim::gpu::{Gpu, StageTime, block_on};
use predsim::kernels::tuning::Tuning;
use predsim::nn::init::initial_values;
use predsim::nn::{Architecture, InputShape, LossSup, Model, ModelConfig};
use predsim::train::{Network, Position, Session, Source, TrainConfig, Trainer};

const STEPS: usize = 15;

fn session<'d>(gpu: &Rc<Gpu>, data: &'d Dataset) -> Session<'d> {
    let spec = data.spec.clone();
    let [height, width] = [spec.height, spec.width].map(|side| side as usize);
    let input = InputShape { height, width, channels: 1 };
    let base = ModelConfig::new(Architecture::Mlp, input, spec.num_classes as usize);
    let config = ModelConfig { num_layers: 3, num_hidden: 1024, loss_sup: LossSup::PredSim, ..base };
    let train = TrainConfig::default();
    let (batch, seed) = (train.batch_size, train.seed);
    let source = Source::Pixels { mean: [spec.mean[0]; 3], std: [spec.std[0]; 3] };
    let network = Network::new(Model::build(config).expect("a model"), train, source, Tuning::for_gpu(gpu));
    let values: HashMap<String, Vec<f32>> =
        network.model.params.iter().map(|p| (p.name.clone(), initial_values(p, seed))).collect();
    let mut trainer = Trainer::new(gpu.clone(), network, &Session::plans(data, batch)).expect("the network fits");
    trainer.load(|name| values.get(name).cloned()).expect("the parameters fit");
    Session::new(trainer, data, Position { epoch: 1, step: 0 })
}

/// Milliseconds of a step as training does it, from submission to its end.
fn wall(gpu: &Gpu, session: &mut Session<'_>) -> f64 {
    let start = Instant::now();
    block_on(gpu, session.step()).expect("the step runs");
    gpu.device.poll(wgpu::PollType::wait_indefinitely()).expect("the device works");
    1e3 * start.elapsed().as_secs_f64()
}

/// Milliseconds of each kernel in one profiled step, by what it does and the name of its shader.
fn kernels(step: &[StageTime]) -> BTreeMap<(&'static str, String), f64> {
    let mut sums = BTreeMap::new();
    for time in step {
        let shader = time.kernel.split('.').next().unwrap_or_default().to_owned();
        *sums.entry((time.label, shader)).or_insert(0.0) += time.nanoseconds / 1e6;
    }
    sums
}

fn main() {
    let gpu = Rc::new(support::open());
    let data = data::load("mnist-mini", None).expect("it is embedded");
    let mut session = session(&gpu, &data);
    for _ in 0..3 {
        wall(&gpu, &mut session);
    }
    let step = support::median((0..STEPS).map(|_| wall(&gpu, &mut session)).collect());
    println!("step, mlp 3x1024, predsim, batch 128: {step:.1} ms, {:.0} samples/s", 128e3 / step);
    if !gpu.features.contains(wgpu::Features::TIMESTAMP_QUERY) {
        println!("this adapter has no timestamps, so that the kernels' shares cannot be told");
        return;
    }
    let profiles: Vec<_> =
        (0..STEPS).map(|_| kernels(&block_on(&gpu, session.profile()).expect("the step runs"))).collect();
    let of = |key| support::median(profiles.iter().map(|profile| profile[key]).collect());
    let mut medians: Vec<_> = profiles[0].keys().map(|key| (key, of(key))).collect();
    medians.sort_by(|a, b| b.1.total_cmp(&a.1));
    let total: f64 = medians.iter().map(|(_, time)| time).sum();
    for ((label, shader), time) in &medians {
        println!("{:5.1} %  {time:8.3} ms  {label} ({shader})", 100.0 * time / total);
    }
    // The second pass of a split product is a part of it.
    let is_product = |shader: &str| shader == "gemm" || shader == "sum_parts";
    let products: f64 = medians.iter().filter(|((_, shader), _)| is_product(shader)).map(|(_, time)| time).sum();
    println!("step: matrix products take {:.1} % of {total:.1} ms in kernels", 100.0 * products / total);
}
