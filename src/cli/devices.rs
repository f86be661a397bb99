//! `predsim devices`: the adapters that there are, and every shader that the engine can ask for.

use std::path::PathBuf;

use clap::Args;

use crate::gpu::{AdapterReport, list};

use super::error::CliError;
use super::output;

/// Flags of `predsim devices`.
#[derive(Debug, Args)]
pub struct DevicesArgs {
    /// Print one JSON array
    #[arg(long)]
    pub json: bool,
    /// Write every WGSL variant that the engine can ask for into this folder, one a file
    #[arg(long, value_name = "DIR")]
    pub dump_shaders: Option<PathBuf>,
}

/// Runs the command.
///
/// # Errors
/// See [`CliError`].
pub fn run(args: &DevicesArgs) -> Result<(), CliError> {
    if let Some(folder) = &args.dump_shaders {
        let count = dump(folder)?;
        output::complain(&format!("{count} shaders are in {}", folder.display()));
    }
    let adapters = pollster::block_on(list());
    let reports: Vec<AdapterReport> =
        adapters.iter().enumerate().map(|(index, adapter)| AdapterReport::of(index, adapter)).collect();
    if args.json {
        return output::json(&reports);
    }
    if reports.is_empty() && args.dump_shaders.is_none() {
        pollster::block_on(crate::gpu::choose(&crate::gpu::Wanted::Best))?;
    }
    reports.iter().try_for_each(print)
}

fn print(report: &AdapterReport) -> Result<(), CliError> {
    output::line(&format!("{}: {} ({}, {})", report.index, report.name, report.kind, report.backend))?;
    let features = if report.features.is_empty() { "none of ours".to_owned() } else { report.features.join(", ") };
    let [low, high] = report.subgroup_size;
    for (name, value) in [
        ("driver", report.driver.clone()),
        ("largest binding", output::bytes(report.max_binding_bytes)),
        ("largest buffer", output::bytes(report.max_buffer_bytes)),
        ("workgroup", {
            let memory = output::bytes(u64::from(report.workgroup_memory_bytes));
            format!("{} invocations, {memory}", report.max_workgroup_invocations)
        }),
        ("storage buffers", report.storage_buffers.to_string()),
        ("subgroup", if low == high { low.to_string() } else { format!("{low} to {high}") }),
        ("features", features),
    ] {
        output::line(&format!("   {name:<16} {value}"))?;
    }
    Ok(())
}

fn dump(folder: &std::path::Path) -> Result<usize, CliError> {
    let unwritable = |path: &std::path::Path, error: std::io::Error| {
        CliError::usage(format!("{}: cannot be written ({error}); name another with --dump-shaders", path.display()))
    };
    std::fs::create_dir_all(folder).map_err(|error| unwritable(folder, error))?;
    let variants = crate::kernels::all_variants();
    for variant in &variants {
        let path = folder.join(format!("{}.wgsl", variant.label()));
        std::fs::write(&path, variant.source()).map_err(|error| unwritable(&path, error))?;
    }
    Ok(variants.len())
}
