use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;
use predsim::data;
use predsim::gpu::*;
use predsim::kernels::gemm::Tuning;
use predsim::nn::{*, init::initial_values};
use predsim::train::*;
fn main() {
    let gpu = Rc::new(pollster::block_on(Gpu::open(&Wanted::Best)).unwrap());
    let a: Vec<String> = std::env::args().collect();
    let arch: Architecture = a[1].parse().unwrap();
    let batch: usize = a[4].parse().unwrap();
    let input = InputShape { height: 28, width: 28, channels: 1 };
    let c = ModelConfig { num_layers: a[2].parse().unwrap(), feat_mult: a[3].parse().unwrap(), ..ModelConfig::new(arch, input, 10) };
    let net = Network::new(Model::build(c).unwrap(), TrainConfig { batch_size: batch, ..TrainConfig::default() }, Source::Pixels { mean: [0.1307, 0., 0.], std: [0.3081, 1., 1.] }, Tuning::for_gpu(&gpu));
    let params: HashMap<String, Vec<f32>> = net.model.params.iter().map(|p| (p.name.clone(), initial_values(p, 1))).collect();
    let mut d = data::load("mnist-mini", None).unwrap();
    d.train.limit(1280);
    let t0 = std::time::Instant::now();
    let mut t = Trainer::new(gpu.clone(), net, &[(Mode::Train, batch as u32)]).unwrap();
    t.load(|n| params.get(n).cloned()).unwrap();
    println!("prepare {:.2}s", t0.elapsed().as_secs_f64());
    let mut s = Session::new(t, &d, Position { epoch: 1, step: 0 });
    let mut by: BTreeMap<(String, String), (f64, u64, u32)> = BTreeMap::new();
    let n = 4;
    for i in 0..n {
        let t0 = std::time::Instant::now();
        let times = block_on(&gpu, s.profile()).unwrap();
        println!("step {:.3}s", t0.elapsed().as_secs_f64());
        if i == 0 { continue; }
        for x in times { let e = by.entry((x.label.to_string(), x.kernel.clone())).or_default(); e.0 += x.nanoseconds; e.1 += x.flops; e.2 += 1; }
    }
    let total: f64 = by.values().map(|v| v.0).sum();
    let mut v: Vec<_> = by.into_iter().collect();
    v.sort_by(|a, b| b.1.0.total_cmp(&a.1.0));
    for ((l, k), (ns, fl, c)) in v { println!("{:5.1}% {:8.2} ms {:6.1} GF/s x{:2} {l:24} {k}", 100. * ns / total, ns / 1e6 / (n - 1) as f64, fl as f64 / ns, c / (n - 1)); }
    println!("total {:.1} ms", total / 1e6 / (n - 1) as f64);
}
