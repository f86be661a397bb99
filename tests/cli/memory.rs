//! Memory: what a plan takes, budgets that are kept and budgets that cannot be, and the plan beside what is really taken.

use std::path::Path;

use serde_json::Value;

use crate::support::{failure, objects, predsim, stdout};

/// The plan of a small vgg on no adapter.
fn plan(more: &[&str]) -> assert_cmd::Command {
    let mut command = predsim(&["plan", "--adapter", "none", "--model", "vgg8b", "--feat-mult", "0.25"]);
    command.args(["--batch-size", "32"]).args(more);
    command
}

fn total(plan: &Value) -> u64 {
    let footprint = plan["footprint"].as_object().expect("a plan has a footprint");
    footprint.values().map(|bytes| bytes.as_u64().expect("bytes")).sum()
}

#[test]
fn a_budget_is_kept_by_doing_more_arithmetic() {
    let of = |more: &[&str]| objects(&stdout(plan(&["--json"]).args(more))).remove(0);
    let free = of(&[]);
    let arithmetic =
        |plan: &Value| plan["plan"]["flops"].as_f64().unwrap() / plan["plan"]["least_flops"].as_f64().unwrap();
    assert!((arithmetic(&free) - 1.0).abs() < 1e-9);
    for percent in [85, 70] {
        let within = of(&["--memory-budget", &format!("{percent}%")]);
        assert!(total(&within) <= total(&free) * percent / 100, "{percent} %: {within}");
        assert!(arithmetic(&within) >= 1.0);
    }
    let bytes = total(&free) * 3 / 4;
    let within = of(&["--memory-budget", &format!("{bytes}B")]);
    assert!(total(&within) <= bytes, "{within}");
}

#[test]
fn a_budget_that_is_too_small_names_the_smallest_that_is_not() {
    let (line, code) = failure(&mut plan(&["--memory-budget", "1MiB"]));
    assert_eq!(code, 2);
    let smallest = line.rsplit("--memory-budget ").next().and_then(|rest| rest.split(';').next()).expect("a budget");
    stdout(&mut plan(&["--memory-budget", smallest]));
    let mebibytes: u64 = smallest.strip_suffix("MiB").expect("mebibytes").parse().expect("a number");
    let (line, code) = failure(&mut plan(&["--memory-budget", &format!("{}MiB", mebibytes - 1)]));
    assert_eq!(code, 2);
    let batch = line.rsplit(' ').next().expect("a batch size");
    let smaller = ["--memory-budget", &format!("{}MiB", mebibytes - 1), "--batch-size", batch];
    stdout(predsim(&["plan", "--adapter", "none", "--model", "vgg8b", "--feat-mult", "0.25"]).args(smaller));
}

/// What the README's table says of frugal plans, and the bounds that issue 5 asked for.
#[test]
fn frugal_local_training_takes_a_fraction_of_what_backpropagation_does() {
    for (model, most) in [("vgg8b", 0.5), ("vgg11b", 0.4), ("vgg16", 0.3), ("resnet50", 0.2)] {
        let mut plan = predsim(&["plan", "--adapter", "none", "--model", model, "--batch-size", "128", "--json"]);
        let plan = objects(&stdout(&mut plan)).remove(0);
        let of = |key: &str| plan[key].as_f64().expect("a number");
        assert!(of("activation_ratio") <= most, "{model}: {}", of("activation_ratio"));
        assert!(of("arithmetic_local") <= 1.351, "{model}: {}", of("arithmetic_local"));
    }
}

/// Also where convolutions are filtered, though not in every part of a batch, as on the software driver.
#[test]
fn frugal_plans_keep_to_their_arithmetic_on_every_adapter() {
    let mut plan = predsim(&["plan", "--model", "vgg8b", "--feat-mult", "0.5", "--batch-size", "32", "--json"]);
    let plan = objects(&stdout(&mut plan)).remove(0);
    for key in ["arithmetic_local", "arithmetic_backprop"] {
        let arithmetic = plan[key].as_f64().expect("a number");
        assert!((1.0..=1.351).contains(&arithmetic), "{key}: {arithmetic}");
    }
}

#[test]
fn every_recipe_has_a_plan_by_either_way() {
    for recipe in objects(&stdout(&mut predsim(&["recipes", "--json"]))) {
        let name = recipe["name"].as_str().unwrap();
        if name.contains("greedy") || name.contains("quickstart") {
            let text = stdout(&mut predsim(&["plan", "--adapter", "none", "--recipe", name, "--batch-size", "4"]));
            assert!(text.contains("backprop"), "{name}: {text}");
            assert_eq!(text.contains("greedy schedule: its phase"), name.contains("greedy"), "{name}: {text}");
        }
    }
}

#[test]
fn a_plan_is_drawn() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("live.png");
    let text = stdout(plan(&["--plot"]).arg(&file));
    assert!(text.contains("drawn: "), "{text}");
    let drawn = image::open(&file).expect("a picture").into_rgb8();
    assert!(drawn.pixels().collect::<std::collections::HashSet<_>>().len() > 2);
    let (line, code) = failure(plan(&["--plot"]).arg(dir.path().join("nowhere/live.png")));
    assert!(code == 2 && line.contains("--plot"), "{line}");
}

const SMALL_VGG: [&str; 8] =
    ["--dataset", "mnist-mini", "--model", "vgg8b", "--feat-mult", "0.25", "--batch-size", "32"];

/// `steps` steps of a small vgg, each event of which is an object.
fn run(out: &Path, steps: usize, more: &[&str]) -> Vec<Value> {
    let limit = (32 * steps).to_string();
    let mut command = predsim(&["train", "--json", "--epochs", "1", "--limit-test", "32"]);
    objects(&stdout(command.args(SMALL_VGG).args(["--limit-train", &limit]).args(more).arg("--out").arg(out)))
}

/// Whether that network's step comes in parts within `budget`.
fn in_parts(budget: &str) -> bool {
    let plan = stdout(predsim(&["plan", "--json", "--memory-budget", budget]).args(SMALL_VGG));
    let plan: Value = serde_json::from_str(&plan).expect("an object");
    let stages = plan["plan"]["stages"].as_array().expect("stages");
    stages.iter().any(|stage| stage["chunk"].as_u64().expect("samples") < 32)
}

fn event<'e>(events: &'e [Value], name: &str) -> &'e Value {
    events.iter().find(|event| event["event"] == name).unwrap_or_else(|| panic!("no {name} in {events:?}"))
}

#[test]
fn the_plan_is_what_is_taken() {
    let dir = tempfile::tempdir().unwrap();
    let events = run(&dir.path().join("run"), 2, &["--check-memory"]);
    let check = event(&events, "memory_check");
    let bytes = |key: &str| check[key].as_u64().unwrap_or_else(|| panic!("{key}: {check}"));
    let (planned, allocated) = (bytes("planned_bytes"), bytes("allocated_bytes"));
    assert!(planned.abs_diff(allocated) * 50 <= planned, "more than 2 % apart: {check}");
    if cfg!(target_os = "linux") {
        assert!(bytes("resident_peak_bytes") > 0);
    }
}

#[test]
fn a_run_in_parts_says_so_and_learns_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let loss = |events: &[Value]| event(events, "epoch")["loss_global"].as_f64().expect("a loss");
    let whole = run(&dir.path().join("whole"), 2, &[]);
    // Mirrors, where the adapter has them, are given up before a step is cut in parts.
    let budget = ["90%", "75%", "60%", "50%"].into_iter().find(|budget| in_parts(budget)).expect("one is tight");
    for (number, more) in [["--max-binding", "1048576"], ["--memory-budget", budget]].iter().enumerate() {
        let parted = run(&dir.path().join(format!("parted{number}")), 2, more);
        let memory = event(&parted, "memory");
        let parts = memory["plan"]["most_parts"].as_u64().expect("a number of parts");
        assert!(parts > 1 || memory["plan"]["arithmetic"].as_f64() > Some(1.0), "{memory}");
        assert!((loss(&parted) - loss(&whole)).abs() < 1e-3, "{} and {}", loss(&parted), loss(&whole));
    }
}

#[test]
fn steps_leave_nothing_behind_in_the_driver() {
    let dir = tempfile::tempdir().unwrap();
    let peak = |steps: usize| {
        let events = run(&dir.path().join(format!("run{steps}")), steps, &["--check-memory"]);
        event(&events, "memory_check")["resident_peak_bytes"].as_u64()
    };
    // A driver that kept 500 kB of every step would have 14 MiB more.
    if let (Some(few), Some(many)) = (peak(5), peak(35)) {
        assert!(many < few + (10 << 20), "{few} and {many} bytes");
    }
}
