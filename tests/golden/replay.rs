//! Runs a case on the GPU and compares everything that it lists.

use std::collections::HashMap;
use std::rc::Rc;

use predsim::gpu::Gpu;
use predsim::kernels::tuning::Tuning;
use predsim::nn::{Model, Role, Shape, pad4};
use predsim::train::{Goal, Mode, NamedTensor, Network, Samples, Source, Totals, Trainer};

use super::case::{Case, Tensor};
use super::compare::Findings;

/// Weighted and unweighted losses of a step, in the golden files' order.
struct StepLosses {
    pred: Vec<f32>,
    sim: Vec<f32>,
    unsup: Vec<f32>,
    total: Vec<f32>,
    output: f32,
}

/// Its plans keep to `goal`, its products are computed as `tuning` says. Waits for the GPU between steps, without
/// blocking: the browser's tests run it too (tests/web).
pub async fn replay(gpu: &Rc<Gpu>, case: &Case, tuning: Tuning, goal: Goal) -> Result<Findings, String> {
    let text = |error: predsim::train::TrainError| error.to_string();
    let model = Model::build(case.model()?).map_err(|error| error.to_string())?;
    let mut findings = Findings::new(tuning.precision());
    compare_declarations(case, &model, &mut findings);
    let batch = case.count("batch_size");
    let plans = [(Mode::Train, batch as u32), (Mode::Evaluate, batch as u32)];
    let mut network = Network::new(model, case.train()?, Source::Floats, tuning);
    network.goal = goal;
    let mut trainer = Trainer::new(gpu.clone(), network, &plans).map_err(text)?;
    let initial = |name: &str| case.find(&format!("init.{name}")).map(|tensor| tensor.values.clone());
    trainer.load(initial).map_err(text)?;
    let mut losses = Vec::new();
    for step in 0..case.count("steps") {
        losses.push(train_step(&mut trainer, case, step, &mut findings).await?);
    }
    compare_losses(case, &losses, &mut findings);
    compare_final(&mut trainer, case, &mut findings).await?;
    Ok(findings)
}

/// Names, shapes and roles of all parameters.
fn compare_declarations(case: &Case, model: &Model, findings: &mut Findings) {
    let role = |role: &Role| match role {
        Role::Train => "train",
        Role::Fixed => "fixed",
        Role::Stat => "stat",
    };
    let ours: HashMap<&str, (&[usize], &str)> =
        model.params.iter().map(|p| (p.name.as_str(), (p.shape.as_slice(), role(&p.role)))).collect();
    if ours.len() != case.params.len() {
        findings.error(format!("{} parameters instead of {}", ours.len(), case.params.len()));
    }
    for param in &case.params {
        if ours.get(param.name.as_str()) != Some(&(param.shape.as_slice(), param.role.as_str())) {
            findings.error(format!("{}: {:?}", param.name, ours.get(param.name.as_str())));
        }
    }
}

async fn train_step(
    trainer: &mut Trainer,
    case: &Case,
    step: usize,
    findings: &mut Findings,
) -> Result<StepLosses, String> {
    let text = |error: predsim::train::TrainError| error.to_string();
    let index = step % case.count("batches");
    let (x, labels) = batch_of(case, trainer.network().model.input, index)?;
    let lr = trainer.network().train.lr;
    trainer.train(Samples::Floats(&x), &labels, lr).await.map_err(text)?;
    let output = trainer.network().output();
    let logits: Vec<f32> = trainer.logits(output, labels.len()).await.map_err(text)?.concat();
    let name = format!("logits.{step}");
    findings.relative(case, "logits", "logits", 2e-5, &name, &logits, &case.tensor(&name)?.values);
    if step == 0 {
        compare_gradients(case, &trainer.gradients().await.map_err(text)?, findings);
        compare_statistics(case, "stats0", &trainer.save(false).await.map_err(text)?, findings);
    }
    let totals = trainer.take_totals().await.map_err(text)?;
    Ok(losses_of(trainer.network(), &totals))
}

/// A batch in the device's layout: `[N, H, W, pad4(C)]`, or rows for a dense network.
fn batch_of(case: &Case, input: Shape, index: usize) -> Result<(Vec<f32>, Vec<u32>), String> {
    let Tensor { shape, values } = case.tensor("x")?;
    let &[_, n, c, h, w] = shape.as_slice() else { return Err(format!("x has shape {shape:?}")) };
    let labels = &case.tensor("y")?.values[index * n..(index + 1) * n];
    let (row, lanes) = (input.device_elements(), if input.h == 1 { c } else { pad4(c) });
    let mut x = vec![0.0; n * row];
    for sample in 0..n {
        for channel in 0..c {
            for pixel in 0..h * w {
                let from = (((index * n + sample) * c) + channel) * h * w + pixel;
                x[sample * row + pixel * lanes + channel] = values[from];
            }
        }
    }
    Ok((x, labels.iter().map(|&label| label as u32).collect()))
}

fn losses_of(network: &Network, totals: &[Totals]) -> StepLosses {
    let (blocks, output) = (&totals[..network.output()], &totals[network.output()]);
    let pred = |t: &Totals| t.pred / t.samples;
    let sim = |t: &Totals| t.sim / t.samples;
    let unsup = |t: &Totals| t.unsup / t.samples;
    let weights = network.losses;
    let total = |t: &Totals| weights.pred * pred(t) + weights.sim * sim(t) + weights.unsup * unsup(t);
    let each = |f: &dyn Fn(&Totals) -> f64| blocks.iter().map(|t| f(t) as f32).collect();
    StepLosses {
        pred: each(&pred),
        sim: each(&sim),
        unsup: each(&unsup),
        total: each(&total),
        output: pred(output) as f32,
    }
}

fn compare_losses(case: &Case, losses: &[StepLosses], findings: &mut Findings) {
    let all = |f: &dyn Fn(&StepLosses) -> Vec<f32>| losses.iter().flat_map(f).collect::<Vec<f32>>();
    let mut rows = vec![("loss_out", all(&|l| vec![l.output]))];
    if !case.backprop() {
        rows.push(("loss_pred", all(&|l| l.pred.clone())));
        rows.push(("loss_sim", all(&|l| l.sim.clone())));
        rows.push(("loss_unsup", all(&|l| l.unsup.clone())));
        rows.push(("loss_total", all(&|l| l.total.clone())));
    }
    for (name, got) in rows {
        match case.tensor(name) {
            Ok(want) => findings.relative(case, "losses", name, 1e-5, name, &got, &want.values),
            Err(message) => findings.error(message),
        }
    }
}

fn compare_gradients(case: &Case, gradients: &[NamedTensor], findings: &mut Findings) {
    for gradient in gradients {
        let name = format!("grad0.{}", gradient.name);
        let Some(want) = case.find(&name) else {
            findings.error(format!("{name}: the case has none"));
            continue;
        };
        if case.null_grad.contains(&gradient.name) {
            findings.null_gradient(&name, &gradient.values, &want.values);
        } else {
            findings.gradient(case, &name, &gradient.values, &want.values);
        }
    }
}

fn compare_statistics(case: &Case, when: &str, tensors: &[NamedTensor], findings: &mut Findings) {
    for tensor in tensors.iter().filter(|tensor| tensor.name.contains(".running_")) {
        let mean = tensor.name.ends_with("running_mean");
        if when == "final" && mean {
            // Biases without gradient shift it by their own rounding; stats0 is where it is tested.
            continue;
        }
        let name = format!("{when}.{}", tensor.name);
        let bucket = format!("{when}_{}", if mean { "mean" } else { "var" });
        let kind = if when == "final" { "final var" } else { "stats0" };
        match case.tensor(&name) {
            Ok(want) => findings.relative(case, kind, &bucket, 1e-5, &name, &tensor.values, &want.values),
            Err(message) => findings.error(message),
        }
    }
}

/// Parameters after the steps (constants unchanged), then evaluation with the golden ones loaded.
async fn compare_final(trainer: &mut Trainer, case: &Case, findings: &mut Findings) -> Result<(), String> {
    let text = |error: predsim::train::TrainError| error.to_string();
    let lr = trainer.network().train.lr;
    let tensors = trainer.save(false).await.map_err(text)?;
    compare_statistics(case, "final", &tensors, findings);
    let fixed = |name: &str| case.params.iter().any(|param| param.name == name && param.role == "fixed");
    for tensor in tensors.iter().filter(|tensor| !tensor.name.contains(".running_")) {
        if fixed(&tensor.name) {
            if tensor.values != case.tensor(&format!("init.{}", tensor.name))?.values {
                findings.error(format!("{} is fixed and has moved", tensor.name));
            }
            continue;
        }
        let want = &case.tensor(&format!("final.{}", tensor.name))?.values;
        if case.null_grad.contains(&tensor.name) {
            findings.null_final(case, lr, &tensor.name, &tensor.values, want);
        } else {
            let start = &case.tensor(&format!("init.{}", tensor.name))?.values;
            findings.update(case, &tensor.name, &tensor.values, want, start);
        }
    }
    findings.close(case);
    let last = |name: &str| case.find(&format!("final.{name}")).or_else(|| case.find(&format!("init.{name}")));
    trainer.load(|name| last(name).map(|tensor| tensor.values.clone())).map_err(text)?;
    let (x, labels) = batch_of(case, trainer.network().model.input, 0)?;
    trainer.evaluate(Samples::Floats(&x), &labels).await.map_err(text)?;
    let output = trainer.network().output();
    let logits = trainer.logits(output, labels.len()).await.map_err(text)?.concat();
    findings.relative(
        case,
        "eval logits",
        "eval_logits",
        1e-5,
        "eval_logits",
        &logits,
        &case.tensor("eval_logits")?.values,
    );
    Ok(())
}
