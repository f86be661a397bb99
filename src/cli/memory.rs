//! What a run says about memory: what its plan takes and chose, and with `--check-memory` what wgpu and the system say.

use serde_json::json;

use crate::gpu::Gpu;
use crate::run::Settings;
use crate::train::{Footprint, Limit, Mode, PlanSummary, Trainer};

use super::error::CliError;
use super::output;
use super::progress::Voice;

/// Says what the plan of a training step takes, and what was chosen so that it fits.
///
/// # Errors
/// If standard output cannot be written.
pub fn announce(voice: Voice, trainer: &Trainer, settings: &Settings) -> Result<(), CliError> {
    let footprint = trainer.footprint();
    let Some(summary) = trainer.summary(Mode::Train) else { return Ok(()) };
    let had_no_room = settings.memory_budget.is_none() && trainer.network().goal.limit != Limit::Fastest;
    if voice == Voice::Json {
        return output::json(&json!({
            "event": "memory", "planned": footprint, "planned_bytes": footprint.total(), "plan": summary,
            "memory_budget": settings.memory_budget, "device_had_no_room": had_no_room,
        }));
    }
    let PlanSummary { most_parts, arithmetic } = summary;
    let within = match settings.memory_budget {
        Some(budget) => format!(" within {budget}"),
        None if had_no_room => " (the device had no room for the fastest way)".to_owned(),
        None => String::new(),
    };
    let parts = if most_parts > 1 { format!(", the batch in up to {most_parts} parts") } else { String::new() };
    let again = if arithmetic > 1.0005 { format!(", {arithmetic:.2} times the arithmetic") } else { String::new() };
    output::line(&format!(
        "memory: {}{within}, of it activations {}{parts}{again}",
        output::bytes(footprint.total()),
        output::bytes(footprint.activations),
    ))
}

/// The plan beside what is really taken.
#[derive(Debug)]
pub struct MemoryCheck {
    planned: Footprint,
    allocated: u64,
    by: &'static str,
}

impl MemoryCheck {
    /// Of a trainer that is about to begin.
    pub fn new(trainer: &Trainer) -> Self {
        let (allocated, by) = allocated(trainer.gpu());
        Self { planned: trainer.footprint(), allocated, by }
    }

    /// Looks how much is taken now; the most is kept.
    pub fn look(&mut self, trainer: &Trainer) {
        self.planned = trainer.footprint();
        self.allocated = self.allocated.max(allocated(trainer.gpu()).0);
    }

    /// Says what was planned, what wgpu has allocated, and the most that the process had in memory.
    ///
    /// # Errors
    /// If standard output cannot be written.
    pub fn print(&self, voice: Voice) -> Result<(), CliError> {
        let (planned, resident) = (self.planned.total(), resident_peak());
        if voice == Voice::Json {
            return output::json(&json!({
                "event": "memory_check", "planned": self.planned, "planned_bytes": planned,
                "allocated_bytes": self.allocated, "allocated_by": self.by, "resident_peak_bytes": resident,
            }));
        }
        let more = 100.0 * (self.allocated as f64 / planned as f64 - 1.0);
        output::line(&format!(
            "memory planned: {}, allocated by {}: {} ({more:+.2} %)",
            output::bytes(planned),
            self.by,
            output::bytes(self.allocated),
        ))?;
        let resident = resident.map_or("not told by this system".to_owned(), output::bytes);
        output::line(&format!("most that the process had in memory: {resident}"))
    }
}

/// Bytes that are allocated on the device, and whose word that is.
fn allocated(gpu: &Gpu) -> (u64, &'static str) {
    match gpu.device.generate_allocator_report() {
        Some(report) => (report.total_allocated_bytes, "wgpu's allocator"),
        None => (gpu.bytes_created(), "the buffers created"),
    }
}

/// The most bytes that this process has had in memory, where the system tells: on a software driver the device's
/// memory is among them.
fn resident_peak() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let kibibytes = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?.trim().strip_suffix("kB")?.trim();
    Some(kibibytes.parse::<u64>().ok()? << 10)
}
