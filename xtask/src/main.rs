//! The developer's commands: `cargo xtask quickstart | test | bench | peers | web | serve`.
//!
//! Thin on purpose: standard library only, built in seconds, so that a fresh machine is at work at once. What makes the
//! web page and what compares with other engines need more, and are crates of their own (`xtask/web`, `xtask/peers`) that
//! cargo builds when they are asked for.

use std::process::ExitCode;

use xtask::steps::{Failure, Step, run_all};
use xtask::{vulkan, wasm};

const HELP: &str = "\
cargo xtask COMMAND: the two commands of the README, and what developers need besides

  quickstart [FLAG...]  builds predsim and trains a small network on embedded MNIST digits, in about two minutes on
                        two cores without a GPU; flags go to `predsim train` (try --epochs 8)
  test [FILTER...]      everything that has to pass: formatting, clippy and docs, clippy and the
                        build on wasm32, all tests; with a filter only the tests whose names contain it
  bench [ARG...]        kernel benchmarks (`cargo bench`); arguments go to cargo, e.g. `--bench gemm`
  peers [FLAG...]       predsim beside burn and PyTorch, on the same cases in turn: times and ratios (peers --help)
  web                   builds the page into target/web: a static site, for any server
  web --test [FILTER]   tests the page in Chromium; installs Debian's chromium and npm's playwright-core where missing
  serve [--port N]      serves target/web on localhost and prints the address
  help                  this text

quickstart, test, bench, peers and web --test first look for a GPU driver. On a Debian or Ubuntu machine without one they install
Mesa's software Vulkan driver through apt, and say so; elsewhere they say what to install.
Exit codes: 0 done, 2 the command line is wrong, 3 no usable driver, 1 a step failed.
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (command, rest) = match arguments.split_first() {
        Some((command, rest)) => (command.as_str(), rest),
        None => ("help", &[] as &[String]),
    };
    let outcome = match command {
        "quickstart" => vulkan::ensure_adapter().and_then(|()| quickstart(rest)),
        "test" => vulkan::ensure_adapter().and_then(|()| test(rest)),
        "bench" => vulkan::ensure_adapter().and_then(|()| bench(rest)),
        "web" | "serve" => by_crate("xtask-web", command, rest),
        "peers" => by_crate("xtask-peers", command, rest),
        "help" | "--help" | "-h" => {
            print!("{HELP}");
            Ok(())
        }
        other => Err(Failure::usage(format!(
            "unknown command {other:?}; known: quickstart, test, bench, peers, web, serve, help"
        ))),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            let reason = failure.to_string();
            if !reason.is_empty() {
                eprintln!("xtask: {reason}");
            }
            ExitCode::from(failure.code())
        }
    }
}

fn quickstart(rest: &[String]) -> Result<(), Failure> {
    let train = ["run", "--release", "--quiet", "--bin", "predsim", "--", "train", "--recipe", "quickstart"];
    run_all(vec![
        Step::cargo("build predsim (a few minutes the first time)", &["build", "--release", "--bin", "predsim"]),
        Step::cargo("train on embedded digits", &train).args(["--overwrite"]).args(rest),
    ])
}

fn bench(rest: &[String]) -> Result<(), Failure> {
    run_all(vec![Step::cargo("benchmarks", &["bench"]).args(rest)])
}

fn test(filters: &[String]) -> Result<(), Failure> {
    let tests = Step::cargo("tests", &["test", "--release", "--workspace"]);
    if !filters.is_empty() {
        return run_all(vec![tests.args(["--"]).args(filters)]);
    }
    for component in ["rustfmt", "clippy"] {
        ensure_component(component)?;
    }
    run_all(vec![
        Step::cargo("formatting", &["fmt", "--all", "--check"]),
        Step::cargo("clippy", &["clippy", "--workspace", "--all-targets", "--release", "--", "-D", "warnings"]),
        Step::cargo("documentation", &["doc", "--workspace", "--no-deps", "--release"])
            .env("RUSTDOCFLAGS", "-D warnings"),
    ])?;
    wasm()?;
    run_all(vec![tests])
}

/// A command of the crate that knows it.
fn by_crate(package: &str, command: &str, rest: &[String]) -> Result<(), Failure> {
    let run = ["run", "--release", "--quiet", "--package", package, "--", command];
    Step::cargo(command, &run).args(rest).hand_over()
}

/// rustfmt and clippy come with most toolchains; a minimal one fetches them.
fn ensure_component(name: &str) -> Result<(), Failure> {
    let subcommand = if name == "rustfmt" { "fmt" } else { name };
    if Step::cargo(name, &[subcommand, "--version"]).succeeds() {
        return Ok(());
    }
    run_all(vec![Step::new(&format!("install {name}"), "rustup", &["component", "add", name])])
}

/// The library has to build for the browser, and to pass clippy as what it is there. Where the target cannot be had, that is
/// said, not hidden.
fn wasm() -> Result<(), Failure> {
    if !wasm::ensure_target() {
        println!("\nSKIPPED: clippy and the build on {0}: `rustup target add {0}` does not work here", wasm::TARGET);
        return Ok(());
    }
    let library = ["--release", "--lib", "--target", wasm::TARGET];
    run_all(vec![
        Step::cargo("clippy of the library for the browser", &["clippy"]).args(library).args(["--", "-D", "warnings"]),
        Step::cargo("library for the browser", &["build"]).args(library),
    ])
}
