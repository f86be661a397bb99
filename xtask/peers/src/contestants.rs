//! Who is timed: how each is made ready, checked and called.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use xtask::root;
use xtask::steps::{Failure, Step, run_all};

use crate::cases::Case;
use crate::child::{self, Ending};

/// Most that a check of the mathematics may take, tuning and compiling included.
const CHECK_LIMIT: Duration = Duration::from_secs(1200);

/// One that is timed.
#[derive(Debug)]
pub struct Contestant {
    /// Its name.
    pub name: &'static str,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Predsim,
    Burn,
    PyTorch { python: OsString },
}

/// Builds and checks all that can be had here, predsim first, and says who is missing.
///
/// # Errors
/// If predsim does not build, or a peer cannot be started.
pub fn ready() -> Result<Vec<Contestant>, Failure> {
    run_all(vec![Step::cargo("build predsim", &["build", "--release", "--bin", "predsim"])])?;
    let mut contestants = vec![Contestant { name: "predsim", kind: Kind::Predsim }];
    match build_burn() {
        Ok(burn) => contestants.push(burn),
        Err(failure) => println!("MISSING: burn, which does not build here: {failure}"),
    }
    match find_pytorch() {
        Ok(pytorch) => contestants.push(pytorch),
        Err(reason) => println!("MISSING: PyTorch: {reason}"),
    }
    for contestant in &contestants {
        contestant.check()?;
    }
    Ok(contestants)
}

fn build_burn() -> Result<Contestant, Failure> {
    let build = ["build", "--release", "--locked", "--manifest-path", "benches/peers/Cargo.toml"];
    run_all(vec![Step::cargo("build burn's program (minutes the first time)", &build)])?;
    Ok(Contestant { name: "burn", kind: Kind::Burn })
}

fn find_pytorch() -> Result<Contestant, String> {
    let python = std::env::var_os("PREDSIM_PYTHON").unwrap_or_else(|| "python3".into());
    let contestant = Contestant { name: "PyTorch", kind: Kind::PyTorch { python: python.clone() } };
    let outcome = child::run(contestant.program(&["version"]), CHECK_LIMIT);
    match outcome.ending {
        Ending::Done => {
            println!("{}", outcome.stdout.trim());
            Ok(contestant)
        }
        Ending::NotStarted(error) => Err(format!("{} cannot be started ({error})", python.display())),
        _ => Err(format!(
            "{} says {:?}; `pip install torch`, or name a Python that has it in PREDSIM_PYTHON",
            python.display(),
            outcome.last_words()
        )),
    }
}

impl Contestant {
    /// The process that times `case`.
    pub fn timing(&self, case: &Case) -> Command {
        match self.kind {
            Kind::Predsim => self.program(&case.bench_arguments()),
            Kind::Burn | Kind::PyTorch { .. } => self.program(&["time", case.name]),
        }
    }

    /// A process that trains for a few steps of `case`, where the one that times it is not the one to look at.
    pub fn training(&self, case: &Case) -> Option<Command> {
        let Kind::Predsim = self.kind else { return None };
        let mut command = self.program(&case.train_arguments()?);
        command.arg(root().join("target/peers-run"));
        Some(command)
    }

    /// Compares what a peer computes with the golden cases, and says what came of it.
    fn check(&self) -> Result<(), Failure> {
        if let Kind::Predsim = self.kind {
            return Ok(());
        }
        let outcome = child::run(self.program(&["check", "tests/golden"]), CHECK_LIMIT);
        match outcome.ending {
            Ending::Done => println!("{}: {}", self.name, outcome.stdout.trim()),
            Ending::TimedOut => {
                println!("{}: NOT CHECKED against the golden cases in {} s", self.name, CHECK_LIMIT.as_secs());
            }
            // What it takes is worth knowing all the same, and on the next adapter it may be right.
            Ending::Failed(status) if status.code().is_none() => {
                println!("{}: DIED when its results were to be compared with the golden cases: {status}", self.name);
            }
            Ending::Failed(_) => println!("{}: WRONG RESULTS here: {}", self.name, outcome.last_words()),
            Ending::NotStarted(error) => {
                return Err(Failure::step(format!("{} cannot be started: {error}", self.name)));
            }
        }
        Ok(())
    }

    fn program(&self, arguments: &[&str]) -> Command {
        let release = |folder: &str, name: &str| -> PathBuf {
            root().join(folder).join("target/release").join(name).with_extension(std::env::consts::EXE_EXTENSION)
        };
        let mut command = match &self.kind {
            Kind::Predsim => Command::new(release("", "predsim")),
            Kind::Burn => Command::new(release("benches/peers", "peer-burn")),
            Kind::PyTorch { python } => {
                let mut command = Command::new(python);
                command.arg("benches/peers/pytorch.py");
                command
            }
        };
        // A backtrace would hide what a panic said.
        command.args(arguments).current_dir(root()).env("RUST_BACKTRACE", "0");
        command
    }
}
