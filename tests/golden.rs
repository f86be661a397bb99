//! The engine against the golden cases: every case in `PREDSIM_GOLDEN` (default `tests/golden`) is run on the GPU, under
//! several plans and with every variant of the products that the adapter can run (`PREDSIM_FORCE_VARIANT` names one),
//! and what it holds is compared (`golden/replay.rs`). A line each, with the largest deviation of each kind.
//!
//! A case that nothing could be compared with (one with dropout) is ignored by name; with `PREDSIM_GOLDEN_STRICT=1` it
//! fails.

#[path = "golden/case.rs"]
mod case;
#[path = "golden/compare.rs"]
mod compare;
#[path = "golden/replay.rs"]
mod replay;

use std::cell::OnceCell;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::rc::Rc;

use libtest_mimic::{Arguments, Completion, Failed, Trial};
use predsim::gpu::{Gpu, Wanted, block_on};
use predsim::kernels::precision::Precision;
use predsim::kernels::tuning::{FORCE, Tuning};
use predsim::train::{Bounds, Goal, Limit};

use case::Case;
use compare::Findings;

/// A way to run a case: the first of its goals that can be met.
struct Way {
    name: String,
    tuning: Tuning,
    goals: Vec<Goal>,
}

/// The ways in which each case is run on `gpu`.
fn ways(gpu: &Gpu) -> Result<Vec<Way>, Failed> {
    let forced = std::env::var(FORCE).ok();
    let is_half = Tuning::all_in(Precision::F16).any(|(name, _)| forced.as_deref() == Some(name));
    let precision = if is_half { Precision::F16 } else { Precision::F32 };
    let chosen = Tuning::chosen(gpu, precision).map_err(|error| error.to_string())?;
    let mut ways: Vec<Way> =
        plans(gpu).into_iter().map(|(name, goals)| Way { name: name.to_owned(), tuning: chosen, goals }).collect();
    if forced.is_none() {
        let fastest = Goal { limit: Limit::Fastest, bounds: Bounds::of(&gpu.limits) };
        let others =
            Tuning::NAMED.into_iter().filter(|(name, tuning)| *tuning != chosen && Tuning::named(name, gpu).is_ok());
        ways.extend(others.map(|(name, tuning)| Way { name: format!("{FORCE}={name}"), tuning, goals: vec![fastest] }));
        // Their convolutions leave moments, but not when they are done again; and f16 is no way to take differences of sums.
        let smallest = Goal { limit: Limit::Arithmetic(f64::INFINITY), ..fastest };
        let having =
            ["workgroup", "workgroup-f16"].into_iter().filter_map(|name| Some((name, Tuning::named(name, gpu).ok()?)));
        ways.extend(having.map(|(name, tuning)| Way {
            name: format!("{FORCE}={name}, smallest"),
            tuning,
            goals: vec![smallest],
        }));
    }
    Ok(ways)
}

/// What is asked of the plans; the first goal of several that can be met.
fn plans(gpu: &Gpu) -> [(&'static str, Vec<Goal>); 3] {
    let bounds = Bounds::of(&gpu.limits);
    let goal = |limit, bounds| vec![Goal { limit, bounds }];
    // Similarities of whole maps need two samples of all features side by side in one binding, and a sample whose size is
    // no multiple of the adapter's alignment cannot be bound alone: such cases take a power of two more.
    let tiny =
        [64, 128, 256].map(|kib| Goal { bounds: Bounds { max_binding: kib << 10, ..bounds }, ..Goal::default() });
    [
        ("fastest", goal(Limit::Fastest, bounds)),
        ("smallest", goal(Limit::Arithmetic(f64::INFINITY), bounds)),
        ("tiny bindings", tiny.to_vec()),
    ]
}

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    // The cases share the driver's threads anyway, and their lines should come in order.
    arguments.test_threads = Some(1);
    let folder = std::env::var_os("PREDSIM_GOLDEN")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden"), PathBuf::from);
    let strict = std::env::var("PREDSIM_GOLDEN_STRICT").is_ok_and(|value| value == "1");
    let mut trials: Vec<Trial> = names(&folder)
        .into_iter()
        .map(|path| {
            let name = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
            Trial::ignorable_test(name, move || run(&path, strict))
        })
        .collect();
    trials.push(Trial::test("there_are_cases", move || {
        if names(&folder).is_empty() {
            return Err(Failed::from(format!("no NAME.json in {}", folder.display())));
        }
        Ok(())
    }));
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn names(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).map(|entries| entries.flatten().collect()).unwrap_or_else(|_| Vec::new());
    let mut paths: Vec<PathBuf> =
        entries.iter().map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|e| e == "json")).collect();
    paths.sort();
    paths
}

/// The device that all cases share, so that a kernel is compiled once.
fn gpu() -> Result<Rc<Gpu>, Failed> {
    thread_local!(static GPU: OnceCell<Rc<Gpu>> = const { OnceCell::new() });
    GPU.with(|cell| {
        if let Some(gpu) = cell.get() {
            return Ok(gpu.clone());
        }
        let gpu = Rc::new(pollster::block_on(Gpu::open(&Wanted::Best)).map_err(|error| error.to_string())?);
        Ok(cell.get_or_init(|| gpu).clone())
    })
}

fn read(path: &Path) -> Result<Case, String> {
    let name = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    let shown = |path: &Path, error: std::io::Error| format!("{}: {error}", path.display());
    let json = std::fs::read_to_string(path).map_err(|error| shown(path, error))?;
    let numbers = path.with_extension("safetensors");
    let numbers = std::fs::read(&numbers).map_err(|error| shown(&numbers, error))?;
    Case::parse(&name, &json, &numbers)
}

fn run(path: &Path, strict: bool) -> Result<Completion, Failed> {
    let case = read(path)?;
    if let Some(what) = case.unsupported() {
        let message = format!("unsupported: {what}");
        return if strict { Err(Failed::from(message)) } else { Ok(Completion::ignored_with(message)) };
    }
    let gpu = gpu()?;
    let mut failures = Vec::new();
    for Way { name, tuning, goals } in ways(&gpu)? {
        let (goal, findings) = first_met(&gpu, &case, tuning, goals)?;
        let binding =
            if name == "tiny bindings" { format!(" of {} KiB", goal.bounds.max_binding >> 10) } else { String::new() };
        println!("{}, {name}{binding}: {}", case.name, findings.summary());
        failures.extend(findings.failures().iter().map(|failure| format!("{name}: {failure}")));
    }
    if failures.is_empty() { Ok(Completion::Completed) } else { Err(Failed::from(failures.join("\n"))) }
}

/// Replays `case` under the first of `goals` that a plan can meet.
fn first_met(gpu: &Rc<Gpu>, case: &Case, tuning: Tuning, goals: Vec<Goal>) -> Result<(Goal, Findings), Failed> {
    let mut reason = String::new();
    for goal in goals {
        match block_on(gpu, replay::replay(gpu, case, tuning, goal)) {
            Ok(findings) => return Ok((goal, findings)),
            Err(error) if error.contains("do not fit") => reason = error,
            Err(error) => return Err(error.into()),
        }
    }
    Err(reason.into())
}
