//! The scheduler on a device and off it: what is allocated, what is submitted, what is kept, what a greedy phase leaves
//! alone, and that equal runs give equal bits.

use std::collections::HashMap;
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use predsim::data::{self, Dataset};
use predsim::gpu::{Gpu, Mirroring, Slice, Wanted, block_on};
use predsim::kernels::tuning::{Family, Tuning};
use predsim::nn::{Architecture, InputShape, LossSup, LossUnsup, Model, ModelConfig, init::initial_values};
use predsim::train::{
    Footprint, Limit, MemoryReport, Mode, NamedTensor, Network, Plan, Pool, Position, Samples, Schedule, Session,
    Source, TrainConfig, Trainer,
};

fn gpu() -> Rc<Gpu> {
    Rc::new(pollster::block_on(Gpu::open(&Wanted::Best)).expect("these tests need a GPU adapter"))
}

fn config(model: Architecture, loss_sup: LossSup) -> ModelConfig {
    let input = InputShape { height: 28, width: 28, channels: 1 };
    let base = ModelConfig::new(model, input, 10);
    ModelConfig { loss_sup, num_hidden: 16, feat_mult: 0.0625, ..base }
}

fn network(config: ModelConfig, batch_size: usize, tuning: Tuning) -> Network {
    network_of(config, TrainConfig { batch_size, lr: 1e-3, ..TrainConfig::default() }, tuning)
}

fn network_of(config: ModelConfig, train: TrainConfig, tuning: Tuning) -> Network {
    let model = Model::build(config).expect("the model can be built");
    train.validate(&model.config).expect("the settings go together");
    let source = Source::Pixels { mean: [0.1307, 0.0, 0.0], std: [0.3081, 1.0, 1.0] };
    Network::new(model, train, source, tuning)
}

/// A trainer with the published initialisation, ready for `plans`.
fn trainer(gpu: &Rc<Gpu>, config: ModelConfig, batch: usize, plans: &[(Mode, u32)]) -> Trainer {
    initialised(gpu, network(config, batch, Tuning::for_gpu(gpu)), plans)
}

fn initialised(gpu: &Rc<Gpu>, network: Network, plans: &[(Mode, u32)]) -> Trainer {
    let params: HashMap<String, Vec<f32>> =
        network.model.params.iter().map(|p| (p.name.clone(), initial_values(p, 1))).collect();
    let mut trainer = Trainer::new(gpu.clone(), network, plans).expect("the network fits");
    trainer.load(|name| params.get(name).cloned()).expect("the parameters fit");
    trainer
}

fn mnist_mini(train: u32, test: u32) -> Dataset {
    let mut data = data::load("mnist-mini", None).expect("it is embedded");
    data.train.limit(train);
    data.test.limit(test);
    data
}

fn session<'d>(gpu: &Rc<Gpu>, data: &'d Dataset, config: ModelConfig, batch: usize) -> Session<'d> {
    let trainer = trainer(gpu, config, batch, &Session::plans(data, batch));
    Session::new(trainer, data, Position { epoch: 1, step: 0 })
}

#[test]
fn a_thousand_steps_allocate_nothing_and_submit_one_command_buffer_a_block() {
    let gpu = gpu();
    let mut trainer = trainer(&gpu, config(Architecture::Mlp, LossSup::PredSim), 4, &[(Mode::Train, 4)]);
    let stages = trainer.network().model.blocks.len() as u64 + 1;
    let (pixels, labels) = (vec![7u8; 4 * 784], [3, 1, 4, 1]);
    let crops = vec![0u8; 4 * 16];
    let mut step = || {
        let samples = Samples::Pixels { pixels: &pixels, crops: &crops, holes: &[] };
        block_on(&gpu, trainer.train(samples, &labels, 1e-3)).expect("the step runs");
    };
    step();
    let (buffers, submitted) = (gpu.buffers_created(), gpu.command_buffers_submitted());
    (0..999).for_each(|_| step());
    assert_eq!(gpu.buffers_created(), buffers);
    assert_eq!(gpu.command_buffers_submitted() - submitted, 999 * stages);
}

#[test]
fn every_kernel_is_compiled_once_and_the_compilation_tells_how_far_it_is() {
    let gpu = gpu();
    let told = Arc::new(Mutex::new(Vec::new()));
    let teller = told.clone();
    gpu.watch_compilation(move |done, all| lock(&teller).push((done, all)));
    let make = || trainer(&gpu, config(Architecture::Mlp, LossSup::PredSim), 4, &[(Mode::Train, 4)]);
    make();
    let mut steps = std::mem::take(&mut *lock(&told));
    assert_eq!(steps[0].0, 0, "it begins with none");
    steps.sort_unstable();
    let all = steps.len() - 1;
    assert!(all > 8, "a step of {all} kernels");
    assert_eq!(steps, (0..=all).map(|done| (done, all)).collect::<Vec<_>>());
    make();
    assert_eq!(*lock(&told), [], "the second trainer finds them compiled");
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().expect("no thread has panicked")
}

/// Where the adapter takes timestamps.
#[test]
fn the_gpu_time_of_steps_is_seen_in_passing() {
    let gpu = gpu();
    if !gpu.features.contains(wgpu::Features::TIMESTAMP_QUERY) {
        eprintln!("skipped: {} takes no timestamps", gpu.info.name);
        return;
    }
    let data = mnist_mini(128, 4);
    for backprop in [false, true] {
        let config = ModelConfig { backprop, ..config(Architecture::Mlp, LossSup::PredSim) };
        let mut session = session(&gpu, &data, config, 4);
        let begin = Instant::now();
        while block_on(&gpu, session.step()).expect("a step").is_some() {}
        let steps = session.position().step as f64;
        // The first looks asked for what had not happened yet.
        while session.step_seconds().is_none() {
            session.glance().expect("a look");
        }
        let mean = session.step_seconds().expect("it was seen");
        assert!(mean > 0.0 && mean * steps < 2.0 * begin.elapsed().as_secs_f64(), "{mean} s for each of {steps} steps");
        block_on(&gpu, session.close_epoch()).expect("an epoch");
        assert_eq!(session.step_seconds(), None, "an epoch's times are its own");
    }
}

#[test]
fn the_plan_says_what_is_allocated() {
    let gpu = gpu();
    for backprop in [false, true] {
        let config = ModelConfig { backprop, ..config(Architecture::Vgg8b, LossSup::PredSim) };
        let plans = [(Mode::Train, 8), (Mode::Train, 3), (Mode::Evaluate, 8)];
        let planned = network(config.clone(), 8, Tuning::for_gpu(&gpu));
        let mut pool = Pool::default();
        let all: Vec<Plan> =
            plans.iter().map(|&(mode, batch)| Plan::new(&planned, mode, batch, &mut pool).unwrap()).collect();
        let report = MemoryReport::new(&planned, &all[0], &pool);
        let memory = trainer(&gpu, config, 8, &plans).allocated();
        assert_eq!(memory.activations, report.activation_bytes);
        let persistent = report.weight_bytes
            + report.gradient_bytes
            + report.optimizer_bytes
            + report.statistics_bytes
            + report.transfer_bytes;
        assert_eq!(memory.persistent, persistent);
        assert!(report.peak_live_bytes <= report.activation_bytes);
    }
}

#[test]
fn nothing_of_a_local_block_outlives_its_command_buffer_but_its_output() {
    for model in [Architecture::Mlp, Architecture::Vgg8b, Architecture::Vgg16] {
        let input = InputShape { height: 32, width: 32, channels: 3 };
        let config = ModelConfig { input, num_layers: 3, ..config(model, LossSup::PredSim) };
        let network = network(config, 8, Tuning::portable());
        let mut pool = Pool::default();
        let plan = Plan::new(&network, Mode::Train, 8, &mut pool).unwrap();
        let report = MemoryReport::new(&network, &plan, &pool);
        let at = |name: &str| report.stages.iter().position(|stage| stage.name == name).expect("a stage of the plan");
        let mut handed_on = vec![0; report.stages.len()];
        for tensor in &report.tensors {
            let (first, last) = (at(&tensor.first), at(&tensor.last));
            if first != last {
                assert_eq!(last, first + 1, "{model}: {}", tensor.name);
                handed_on[first] += 1;
            }
        }
        let blocks = network.model.blocks.len();
        assert_eq!(handed_on[..blocks], vec![1; blocks], "{model}");
    }
}

#[test]
fn local_memory_does_not_grow_with_depth_and_backprop_does() {
    let bytes = |depth: usize, backprop: bool, limit: Limit| {
        let input = InputShape { height: 32, width: 32, channels: 3 };
        let model = format!("plain:{depth}").parse().expect("a model");
        let config = ModelConfig { input, backprop, ..config(model, LossSup::PredSim) };
        let network = network(config, 32, Tuning::portable()).within(limit);
        let mut pool = Pool::default();
        Plan::new(&network, Mode::Train, 32, &mut pool).unwrap();
        pool.total_bytes()
    };
    for limit in [Limit::Fastest, Limit::Arithmetic(1.35)] {
        let [eight, sixteen, thirty_two] = [8, 16, 32].map(|depth| bytes(depth, false, limit));
        assert_eq!([sixteen, thirty_two], [eight; 2], "{limit:?}");
        let [eight, sixteen, thirty_two] = [8, 16, 32].map(|depth| bytes(depth, true, limit));
        let slope = (thirty_two - sixteen) as f64 / (sixteen - eight) as f64;
        assert!((slope - 2.0).abs() < 0.2 && sixteen > eight + eight / 2, "{limit:?}: {slope}");
    }
}

/// An update reads everything once: its mirrors are as large as the parameters and their gradients and moments, and
/// save time on some processors.
#[test]
fn a_plan_that_saves_memory_updates_without_mirrors() {
    let mirrored = |limit: Limit| {
        let network = network(config(Architecture::Mlp, LossSup::PredSim), 24, Tuning::subgroup8()).within(limit);
        let plan = Plan::new(&network, Mode::Train, 24, &mut Pool::default()).unwrap();
        let dispatches: Vec<_> = plan.stages.into_iter().flat_map(|stage| stage.dispatches).collect();
        ["update", "linear forward"].map(|label| {
            let all: Vec<bool> = dispatches.iter().filter(|d| d.label == label).map(|d| d.pipeline.texels).collect();
            assert!(all.windows(2).all(|pair| pair[0] == pair[1]), "{label}");
            all[0]
        })
    };
    assert_eq!(mirrored(Limit::Arithmetic(1.35)), [false, true]);
    assert_eq!(mirrored(Limit::Fastest), [Mirroring::fastest(true) == Mirroring::All, true]);
}

/// How often a plan's dispatches of that label run the shader.
fn count(plan: &Plan, label: &str, shader: &str) -> usize {
    let dispatches = plan.stages.iter().flat_map(|stage| &stage.dispatches);
    dispatches.filter(|d| d.label == label && d.pipeline.shader.name == shader).count()
}

#[test]
fn convolutions_leave_moments_to_the_norm_behind_them_but_not_when_done_again() {
    let plan = |family: Family, limit: Limit| {
        let tuning = Tuning { family, ..Tuning::portable() };
        let network = network(config(Architecture::Vgg8b, LossSup::PredSim), 24, tuning).within(limit);
        let mut pool = Pool::default();
        (Plan::new(&network, Mode::Train, 24, &mut pool).unwrap(), pool.total_bytes())
    };
    let (fastest, _) = plan(Family::Workgroup, Limit::Fastest);
    assert_eq!(count(&fastest, "batchnorm statistics", "batchnorm"), 0);
    assert_eq!(count(&fastest, "conv forward", "conv2d_moments.workgroup"), 6);
    assert_eq!(count(&fastest, "conv forward", "conv2d.workgroup"), 0);
    // What is made again is needed again, without its moments; and it takes no more memory than where a norm looks itself.
    let (smallest, bytes) = plan(Family::Workgroup, Limit::Arithmetic(f64::INFINITY));
    assert!(count(&smallest, "conv forward", "conv2d.workgroup") > 0);
    let (other, others) = plan(Family::Direct, Limit::Arithmetic(f64::INFINITY));
    assert!(count(&other, "batchnorm statistics", "batchnorm") > 0);
    assert!(bytes <= others + others / 50, "{bytes} against {others}");
}

/// Parameters and report after one epoch.
fn one_epoch(gpu: &Rc<Gpu>, data: &Dataset, config: ModelConfig) -> (Vec<NamedTensor>, predsim::train::EpochReport) {
    let mut session = session(gpu, data, config, 24);
    block_on(gpu, async {
        while session.step().await.expect("the step runs").is_some() {}
        let report = session.close_epoch().await.expect("the epoch closes");
        (session.trainer.save(true).await.expect("it saves"), report)
    })
}

#[test]
fn equal_runs_give_equal_bits_and_learn() {
    let gpu = gpu();
    let data = mnist_mini(400, 100);
    for loss in [LossSup::Pred, LossSup::PredSim] {
        let config = ModelConfig { dropout: 0.1, ..config(Architecture::Vgg8b, loss) };
        let (first, report) = one_epoch(&gpu, &data, config.clone());
        let (second, again) = one_epoch(&gpu, &data, config);
        assert!(first == second, "{loss}: two runs differ");
        assert_eq!(report, again);
        assert_eq!(report.samples, 400);
        let first = report.blocks[0].loss_pred.expect("it has a classifier");
        assert!(first < 10f64.ln(), "{loss}: the first block's loss is {first}, no better than guessing");
    }
}

/// With mirrors the parts of split products are added up in passes of their own, without them by whoever reads the sum.
#[test]
fn readers_that_add_parts_up_change_no_bit_and_save_dispatches() {
    let gpu = gpu();
    let data = mnist_mini(72, 24);
    let wide = ModelConfig { num_hidden: 1024, num_layers: 2, ..config(Architecture::Mlp, LossSup::PredSim) };
    let configs = [
        wide.clone(),
        ModelConfig { loss_unsup: LossUnsup::Recon, ..wide.clone() },
        ModelConfig { local_modules: Some(1), ..wide.clone() },
        ModelConfig { backprop: true, ..wide.clone() },
    ];
    let train = TrainConfig { batch_size: 24, lr: 1e-3, alpha: 0.3, ..TrainConfig::default() };
    for (number, config) in configs.into_iter().enumerate() {
        let [apart, joined] = [true, false].map(|mirrored| {
            let tuning = Tuning { mirrored, ..Tuning::portable() };
            let network = network_of(config.clone(), train.clone(), tuning);
            let trainer = initialised(&gpu, network, &Session::plans(&data, 24));
            let mut session = Session::new(trainer, &data, Position { epoch: 1, step: 0 });
            block_on(&gpu, async {
                while session.step().await.expect("the step runs").is_some() {}
                session.trainer.save(true).await.expect("it saves")
            })
        });
        assert!(apart == joined, "configuration {number}");
    }
    let plan = Plan::new(&network(wide, 24, Tuning::portable()), Mode::Train, 24, &mut Pool::default()).unwrap();
    for stage in &plan.stages {
        assert!(stage.dispatches.len() <= 12 + usize::from(stage.name == "fc1"), "{}", stage.name);
    }
}

#[test]
fn a_loss_that_is_not_a_number_names_its_block_and_step() {
    let gpu = gpu();
    let data = mnist_mini(400, 100);
    let train = TrainConfig { batch_size: 16, lr: 1e30, ..TrainConfig::default() };
    let network = network_of(config(Architecture::Mlp, LossSup::PredSim), train, Tuning::for_gpu(&gpu));
    let trainer = initialised(&gpu, network, &Session::plans(&data, 16));
    let mut session = Session::new(trainer, &data, Position { epoch: 1, step: 0 });
    let error = block_on(&gpu, async {
        loop {
            match session.step().await {
                Ok(Some(_)) => {}
                Ok(None) => return session.close_epoch().await.map(|_| ()).expect_err("a NaN is noticed"),
                Err(error) => return error,
            }
        }
    });
    let text = error.to_string();
    assert!(text.contains("block fc1") || text.contains("block output"), "{text}");
    assert!(text.contains("at step 2") || text.contains("at step 3"), "{text}");
}

/// A looks at what training does, B does not; both have to come out the same.
#[test]
fn looking_changes_nothing_and_sees_what_evaluation_sees() {
    let gpu = gpu();
    let data = mnist_mini(96, 48);
    for config in [
        config(Architecture::Mlp, LossSup::Sim),
        config(Architecture::Vgg8b, LossSup::PredSim),
        ModelConfig { backprop: true, ..config(Architecture::Vgg8b, LossSup::PredSim) },
    ] {
        let probe: Vec<u32> = (0..10).collect();
        let run = async |looking: bool| {
            let mut session = session(&gpu, &data, config.clone(), 24);
            let mut seen = None;
            while session.step().await.expect("the step runs").is_some() {
                if looking {
                    seen = Some(session.inspect(&probe).await.expect("it can be looked at"));
                }
            }
            let report = session.close_epoch().await.expect("the epoch closes");
            let tensors = session.trainer.save(true).await.expect("it saves");
            let test = session.test(1).await.expect("it is tested");
            (seen, (report, tensors, test), session)
        };
        let (seen, looked, mut session) = block_on(&gpu, run(true));
        let (_, not, _) = block_on(&gpu, run(false));
        assert!(looked == not, "looking changed the run");

        let seen = seen.expect("something was seen");
        let output = seen.logits.last().expect("the output layer speaks");
        let (mut pixels, mut labels) = (vec![0; 10 * 784], vec![0; 10]);
        data::gather(data.test.in_memory().expect("the digits are embedded"), &probe, &mut pixels, &mut labels);
        let crops = vec![0u8; 10 * 16];
        let evaluated = block_on(&gpu, async {
            let samples = Samples::Pixels { pixels: &pixels, crops: &crops, holes: &[] };
            session.trainer.evaluate(samples, &labels).await.expect("it evaluates");
            let owner = session.trainer.network().output();
            session.trainer.logits(owner, 10).await.expect("the logits come")
        });
        assert_eq!(output, &evaluated);
        let blocks = &session.trainer.network().model.blocks;
        assert_eq!(seen.blocks.len(), blocks.len());
        for (view, block) in seen.blocks.iter().zip(blocks) {
            assert_eq!((view.shape, view.activation.len()), (block.out_shape, block.out_shape.elements()));
            assert!(view.activation.iter().all(|&value| value >= 0.0), "{}: behind a relu", block.name);
            assert!(view.activation.iter().any(|&value| value > 0.0), "{}: dead", block.name);
            let similarity = |i: usize, j: usize| view.similarity[10 * i + j];
            for i in 0..10 {
                assert!((similarity(i, i) - 1.0).abs() < 1e-5, "{}: like itself", block.name);
                for j in 0..10 {
                    let (a, b) = (similarity(i, j), similarity(j, i));
                    assert!((a - b).abs() < 1e-5 && a.abs() <= 1.0, "{}: {a} {b}", block.name);
                }
            }
        }
    }
}

/// A small net of five blocks under a greedy schedule, a phase of two epochs each, block by block and in modules.
fn greedy(gpu: Option<&Rc<Gpu>>) -> [Network; 2] {
    let config = ModelConfig { dropout: 0.1, aux_depth: 2, ..config(Architecture::Vgg4, LossSup::PredSim) };
    let schedule = Schedule::Greedy { phase_epochs: 2 };
    let train = TrainConfig { batch_size: 24, lr: 1e-3, schedule, ..TrainConfig::default() };
    [None, Some(2)].map(|local_modules| {
        let tuning = gpu.map_or_else(Tuning::portable, |gpu| Tuning::for_gpu(gpu));
        network_of(ModelConfig { local_modules, ..config.clone() }, train.clone(), tuning)
    })
}

#[test]
fn a_greedy_phase_leaves_every_other_block_as_it_is_bit_for_bit() {
    let gpu = gpu();
    let data = mnist_mini(72, 30);
    for network in greedy(Some(&gpu)) {
        let modules = network.model.modules.clone();
        let trainer = initialised(&gpu, network, &Session::plans(&data, 24));
        let mut session = Session::new(trainer, &data, Position { epoch: 1, step: 0 });
        // All that belongs to a block: parameters, running statistics, the optimiser's memory.
        let snapshot = |session: &mut Session<'_>| -> HashMap<String, Vec<f32>> {
            let tensors = block_on(&gpu, session.trainer.save(true)).expect("it saves");
            tensors.into_iter().map(|tensor| (tensor.name, tensor.values)).collect()
        };
        let mut before = snapshot(&mut session);
        for (phase, module) in modules.iter().enumerate() {
            for epoch in 2 * phase + 1..=2 * phase + 2 {
                block_on(&gpu, async {
                    while session.step().await.expect("the step runs").is_some() {}
                    session.close_epoch().await.expect("the epoch closes");
                    session.test(epoch).await.expect("it is tested");
                });
            }
            let after = snapshot(&mut session);
            for (name, values) in &after {
                let block =
                    name.split_once("blocks.").map(|(_, rest)| rest.split('.').next().unwrap().parse().unwrap());
                let trained = block.map_or(phase + 1 == modules.len(), |block: usize| module.contains(&block));
                // A bias in front of a normalisation has no gradient, so not all that is trained moves.
                let moved = before[name] != *values;
                let wrong = if trained { name.ends_with(".weight") && !moved } else { moved };
                assert!(!wrong, "{name} in phase {phase} of {}", modules.len());
            }
            before = after;
        }
    }
}

#[test]
fn the_memory_of_all_greedy_phases_is_taken_at_the_start() {
    let gpu = gpu();
    let data = mnist_mini(72, 30);
    for network in greedy(Some(&gpu)) {
        let (modules, plans) = (network.model.modules.len(), Session::plans(&data, 24));
        let footprint = Footprint::new(&network, &plans).expect("nothing limits it");
        let trainer = initialised(&gpu, network, &plans);
        let taken = trainer.allocated();
        assert_eq!(footprint.activations, taken.activations);
        let mut session = Session::new(trainer, &data, Position { epoch: 1, step: 0 });
        for epoch in 1..=2 * modules {
            block_on(&gpu, async {
                while session.step().await.expect("the step runs").is_some() {}
                session.close_epoch().await.expect("the epoch closes");
                session.test(epoch).await.expect("it is tested");
            });
            assert_eq!(session.trainer.allocated().activations, taken.activations, "epoch {epoch}");
            assert!(session.trainer.footprint().total() <= footprint.total(), "epoch {epoch}");
        }
    }
}

#[test]
fn frozen_blocks_have_only_their_forward_in_the_plan() {
    for mut network in greedy(None) {
        let modules = network.model.modules.clone();
        for phase in 0..modules.len() {
            network.phase = Some(phase);
            let plan = Plan::new(&network, Mode::Train, 24, &mut Pool::default()).unwrap();
            let owner_written = |slice: &Slice| {
                let inside = |part: &Slice| part.tensor == slice.tensor;
                network.arenas.iter().position(|arena| {
                    [arena.weights, arena.grads, arena.statistics].iter().chain(&arena.moments).any(inside)
                })
            };
            let writes = plan.stages.iter().flat_map(|stage| &stage.dispatches).flat_map(|dispatch| &dispatch.bindings);
            let written = writes.filter(|binding| binding.access.writes());
            let last = phase + 1 == modules.len();
            for owner in written.filter_map(|binding| owner_written(&binding.slice)) {
                let trained = modules[phase].contains(&owner) || (last && owner == network.output());
                assert!(trained, "phase {phase} writes to {}", network.title(owner));
            }
            let labels = |plan: &Plan, title: &str| -> Vec<&str> {
                let stage = plan.stages.iter().find(|stage| stage.name == title).expect("a stage of the plan");
                stage.dispatches.iter().map(|dispatch| dispatch.label).collect()
            };
            // Looking on from behind, an evaluation does what a frozen block does, and its classifier's part after it.
            let evaluation = Plan::new(&network, Mode::Evaluate, 24, &mut Pool::default()).unwrap();
            for module in &modules[..phase] {
                let title = network.title(module.end - 1);
                let (frozen, evaluated) = (labels(&plan, title), labels(&evaluation, title));
                assert!(!frozen.is_empty() && frozen.len() < evaluated.len(), "{title}: {frozen:?}");
                let mut rest = evaluated.iter();
                let part = frozen.iter().all(|label| rest.any(|other| other == label));
                assert!(part, "{title}: {frozen:?} is no part of {evaluated:?}");
            }
        }
    }
}
