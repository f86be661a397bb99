//! `cargo xtask peers`: predsim beside burn and PyTorch, on the same cases in turn.
//!
//! Their programs are in `benches/peers`, a workspace of its own, so that nothing of them weighs on predsim. Each run is a
//! process of its own under a time limit, and times itself by the host's clock, warmed up.

mod cases;
mod child;
mod contestants;
mod flags;
mod report;

use std::process::ExitCode;
use std::time::Duration;

use xtask::steps::Failure;
use xtask::vulkan;

use cases::Case;
use child::{Ending, Outcome};
use contestants::Contestant;
use flags::Flags;
use report::{Results, Run};

const HELP: &str = "\
cargo xtask peers [FLAG...]: times predsim, burn and PyTorch on the same cases in turn, and prints medians and ratios

  --filter TEXT     only the cases whose names contain TEXT
  --rounds N        times that each is run on each case, in turn [default: 3]
  --limit SECONDS   most that one run may take, tuning and compiling included [default: 600]
  --list            print the cases and end
  --help            this text

Times are by the host's clock, from a run's submission to its end on the device, behind runs that warm up. A ratio is the
median over the rounds of the peer's time over predsim's. The peak of the resident memory is that of the whole process, with
everything tuned already; predsim's is that of `predsim train`.

burn is built from crates.io (minutes the first time) and runs on Vulkan. It keeps what it has tuned in target/environment,
so that later rounds start warm. PyTorch is used where PREDSIM_PYTHON (default: python3) has it:
`pip install torch`. It runs on CUDA where there is one and else on the CPU. What is missing is said, and the rest is run.
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "peers").collect();
    match Flags::parse(&arguments).and_then(run) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("xtask: {failure}");
            ExitCode::from(failure.code())
        }
    }
}

fn run(flags: Flags) -> Result<(), Failure> {
    if flags.help {
        print!("{HELP}");
        return Ok(());
    }
    let cases = cases::select(flags.filter.as_deref())?;
    if flags.list {
        cases.iter().for_each(|case| println!("{:<16} {}", case.name, case.description()));
        return Ok(());
    }
    vulkan::ensure_adapter()?;
    let contestants = contestants::ready()?;
    println!(
        "\n{} cases, {} rounds, at most {} s a run; times in ms, in brackets the time over predsim's\n",
        cases.len(),
        flags.rounds,
        flags.limit.as_secs()
    );
    println!("{}", report::header(&contestants));
    let mut peaks = Vec::new();
    for case in &cases {
        let results = measure(case, &contestants, &flags);
        println!("{}", report::times(case.name, &results));
        report::remarks(&results).iter().for_each(|remark| println!("    {remark}"));
        if case.train_arguments().is_some() {
            peaks.push(report::peaks(case.name, &results));
        }
    }
    if !peaks.is_empty() {
        println!(
            "\npeak resident memory of a process that takes a few steps, in MiB, in brackets that over predsim's\n"
        );
        peaks.iter().for_each(|line| println!("{line}"));
    }
    Ok(())
}

/// Runs every contestant on `case`, one after the other, round for round.
fn measure(case: &Case, contestants: &[Contestant], flags: &Flags) -> Vec<Results> {
    let mut results: Vec<Results> = contestants.iter().map(|contestant| Results::new(contestant.name)).collect();
    for _ in 0..flags.rounds {
        for (contestant, results) in contestants.iter().zip(&mut results) {
            let outcome = child::run(contestant.timing(case), flags.limit);
            let run = judge(&outcome, flags.limit);
            // What predsim needs is what training needs, not what its benchmark does.
            let peak = match contestant.training(case) {
                Some(command) => child::run(command, flags.limit).peak_bytes,
                None => outcome.peak_bytes,
            };
            results.push(run, peak);
        }
    }
    results
}

/// The run that a process printed, or why there is none.
fn judge(outcome: &Outcome, limit: Duration) -> Result<Run, String> {
    match &outcome.ending {
        Ending::Done => Run::parse(&outcome.stdout),
        Ending::TimedOut => Err(format!("took more than {} s and was stopped", limit.as_secs())),
        Ending::Failed(status) => Err(format!("failed ({status}): {}", outcome.last_words())),
        Ending::NotStarted(error) => Err(format!("cannot be started: {error}")),
    }
}
