//! Burn's side of `cargo xtask peers`: the cases that predsim is timed at, written as a user of burn would write them.
//!
//! `peer-burn time CASE` times one case and prints a JSON object; `peer-burn check FOLDER` compares the training steps with
//! predsim's golden cases, so that what is timed is known to be the same mathematics.

mod golden;
mod network;
mod operations;
mod steps;
mod timing;

use std::path::PathBuf;
use std::process::ExitCode;

use burn::tensor::Device;
use burn::tensor::wgpu::WgpuBackend;
use clap::{Parser, Subcommand, ValueEnum};
use serde_json::json;

use network::Architecture;
use operations::Gradient;
use steps::Learning;

/// Burn's side of `cargo xtask peers`.
#[derive(Debug, Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Time a case, warmed up, and print a JSON object
    Time {
        case: Case,
        /// Seconds of timed runs, of which there are at least five
        #[arg(long, default_value_t = 0.5)]
        seconds: f64,
    },
    /// Compare the losses of a few training steps with the golden cases in a folder
    Check { folder: PathBuf },
}

/// What is timed. The names are those of `cargo xtask peers`.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Case {
    Gemm512,
    Gemm1024,
    ConvForward28,
    ConvDx28,
    ConvDw28,
    ConvForward14,
    ConvDx14,
    ConvDw14,
    MlpBackprop,
    MlpLocal,
    Vgg8bBackprop,
    Vgg8bLocal,
}

/// What Cargo.toml pins.
const VERSION: &str = "burn 0.22.1";

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    // Vulkan, as predsim uses it; the name is printed so that `cargo xtask peers` can tell whether both ran on one adapter.
    let opened = Device::wgpu_options().graphics_api(WgpuBackend::Vulkan).init_with_setup();
    let (device, adapter) = match opened {
        Ok((device, setup)) => (device, setup.adapter.get_info().name),
        Err(error) => {
            eprintln!("peer-burn: no adapter that burn can use: {error}");
            return ExitCode::from(3);
        }
    };
    match arguments.command {
        Command::Time { case, seconds } => {
            let times = time(case, seconds, &device);
            println!(
                "{}",
                json!({
                    "adapter": adapter, "seconds": times.median, "runs": times.runs,
                    "warmup_seconds": times.warm_up, "version": VERSION,
                })
            );
            ExitCode::SUCCESS
        }
        Command::Check { folder } => match golden::check(&folder, &device) {
            Ok(report) => {
                println!("{report}");
                ExitCode::SUCCESS
            }
            Err(reason) => {
                eprintln!("peer-burn: {reason}");
                ExitCode::FAILURE
            }
        },
    }
}

fn time(case: Case, seconds: f64, device: &Device) -> timing::Times {
    let step = |architecture: Architecture, batch: usize, learning| {
        steps::time(&architecture, batch, learning, seconds, device)
    };
    let mlp = || Architecture::mlp(28, 1, &[1024; 3], 10);
    let vgg8b = || Architecture::vgg8b(28, 1, 0.5, &[1024], 10, 4096);
    match case {
        Case::Gemm512 => operations::time_gemm(512, seconds, device),
        Case::Gemm1024 => operations::time_gemm(1024, seconds, device),
        Case::ConvForward28 => operations::time_convolution([128, 256, 28], seconds, device),
        Case::ConvForward14 => operations::time_convolution([256, 512, 14], seconds, device),
        Case::ConvDx28 => operations::time_gradient([128, 256, 28], Gradient::Input, seconds, device),
        Case::ConvDx14 => operations::time_gradient([256, 512, 14], Gradient::Input, seconds, device),
        Case::ConvDw28 => operations::time_gradient([128, 256, 28], Gradient::Weight, seconds, device),
        Case::ConvDw14 => operations::time_gradient([256, 512, 14], Gradient::Weight, seconds, device),
        Case::MlpBackprop => step(mlp(), 128, Learning::Backprop),
        Case::MlpLocal => step(mlp(), 128, Learning::Local),
        Case::Vgg8bBackprop => step(vgg8b(), 64, Learning::Backprop),
        Case::Vgg8bLocal => step(vgg8b(), 64, Learning::Local),
    }
}
