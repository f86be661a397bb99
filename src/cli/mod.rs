//! The command line: one file a subcommand, and what they share.
//!
//! - `recipe`: settings with a name; what they mean is [`crate::run`]'s business
//! - `engine`: files and adapters for [`crate::run`]
//! - `start`: what a run settles before its first step
//! - `run_folder`, `progress`, `output`: what a run leaves and what it shows
//! - `chart`: line charts as pictures
//! - `error`: what ends a command early, and with which exit code

mod bench;
mod chart;
mod data;
mod depth_study;
mod devices;
mod engine;
mod error;
mod eval;
mod letters;
mod memory;
mod output;
mod plan;
mod predict;
mod progress;
mod recipe;
mod recipes;
mod run_folder;
mod start;
mod train;
mod tune;

use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::text::one_line;
use error::CliError;

const AFTER_HELP: &str = "\
Start with:
  predsim train --recipe quickstart        a small net on embedded digits, a minute or two without a GPU
  predsim train --dataset mnist --data DIR --model mlp --num-layers 3 --epochs 10
  predsim train --resume runs/NAME         go on, to the same bits as if it had never stopped

Exit codes: 0 done; 1 failed; 2 the command line or a file is wrong; 3 no usable adapter, or it ran out of memory.
The environment variable RUST_LOG (such as RUST_LOG=predsim=debug) turns on a log on standard error.";

/// Trains neural networks layer by layer with local error signals, on any GPU
#[derive(Debug, Parser)]
#[command(name = "predsim", version, after_help = AFTER_HELP, max_term_width = 120)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Train a network and keep the run in a folder
    Train(Box<train::TrainArgs>),
    /// Test error of a checkpoint, of the network and of each block's own classifier
    Eval(eval::EvalArgs),
    /// Classify pictures with a checkpoint, and hear what each block says
    Predict(predict::PredictArgs),
    /// Print the static plan of a training step: dispatches, live bytes, the buffer of every tensor
    Plan(Box<plan::PlanArgs>),
    /// Time kernels against the adapter's limits, or whole training steps
    Bench(bench::BenchArgs),
    /// Compare gradients over depth, trained by backpropagation and by local losses, and draw them
    DepthStudy(Box<depth_study::DepthStudyArgs>),
    /// List the adapters with their limits and features
    Devices(devices::DevicesArgs),
    /// List the built-in recipes
    Recipes(recipes::RecipesArgs),
    /// List, fetch, verify or preview data sets
    #[command(subcommand)]
    Data(data::DataCommand),
}

/// Parses the command line, runs the command, reports what went wrong in one line.
pub fn main() -> ExitCode {
    quiet_layers();
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
        .with_writer(std::io::stderr)
        .init();
    let outcome = match parse() {
        Ok(command) => run(command),
        Err(code) => return code,
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            output::complain(&format!("predsim: {error}"));
            error.exit_code()
        }
    }
}

fn run(command: Command) -> Result<(), CliError> {
    match command {
        Command::Train(args) => train::run(&args),
        Command::Eval(args) => eval::run(&args),
        Command::Predict(args) => predict::run(&args),
        Command::Plan(args) => plan::run(&args),
        Command::Bench(args) => bench::run(&args),
        Command::DepthStudy(args) => depth_study::run(&args),
        Command::Devices(args) => devices::run(&args),
        Command::Recipes(args) => recipes::run(&args),
        Command::Data(command) => data::run(&command),
    }
}

fn parse() -> Result<Command, ExitCode> {
    let command = with_switches(Cli::command());
    let parsed = command.try_get_matches().and_then(|matches| Cli::from_arg_matches(&matches));
    parsed.map(|cli| cli.command).map_err(|error| report(&error))
}

/// Lets the switches of all subcommands stand without a value, and takes a negative number for a value, so that what is wrong
/// with it is said.
fn with_switches(command: clap::Command) -> clap::Command {
    let negative =
        |arg: clap::Arg| if arg.get_action().takes_values() { arg.allow_negative_numbers(true) } else { arg };
    crate::run::flags::with_switches(command).mut_args(negative).mut_subcommands(with_switches)
}

/// Help goes to standard output; a mistake becomes one line that says what is wrong and where help is.
fn report(error: &clap::Error) -> ExitCode {
    if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
        let _ = error.print();
        return ExitCode::SUCCESS;
    }
    if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        let _ = error.print();
        return ExitCode::from(2);
    }
    let text = error.render().to_string();
    // The message ends where the usage begins; its lines are indented lists and tips.
    let message = text.split("\n\nUsage").next().unwrap_or(&text).split("\n\nFor more").next().unwrap_or(&text);
    output::complain(&format!("predsim: {}; see --help", one_line(message.trim_start_matches("error: "))));
    ExitCode::from(2)
}

/// Mesa's device-selection layer looks for a Wayland display and complains on standard error where there is no session.
fn quiet_layers() {
    if std::env::var_os("XDG_RUNTIME_DIR").is_none() && std::env::var_os("WAYLAND_DISPLAY").is_none() {
        // SAFETY: nothing else runs yet: this is the first thing that the program's only thread does.
        unsafe { std::env::set_var("NODEVICE_SELECT", "1") };
    }
}
