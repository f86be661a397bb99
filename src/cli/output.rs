//! Text for people and machines on standard output. A reader that has gone away (`predsim recipes | head`) is no error.

use std::io::{self, Write};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use serde::Serialize;

use crate::gpu::Gpu;

use super::error::CliError;

/// Whether the command goes on when nobody reads what it prints.
static OUTLIVES_READERS: AtomicBool = AtomicBool::new(false);

/// From now on the command does something besides printing, and goes on with it when nobody reads any more.
pub fn outlive_readers() {
    OUTLIVES_READERS.store(true, Ordering::Relaxed);
}

/// Writes a line. Where nobody reads any more the process ends, unless it is to [outlive its readers](outlive_readers).
///
/// # Errors
/// When standard output cannot be written, for another reason than that nobody reads it any more.
pub fn line(text: &str) -> Result<(), CliError> {
    match writeln!(io::stdout().lock(), "{text}") {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
            if OUTLIVES_READERS.load(Ordering::Relaxed) {
                return Ok(());
            }
            std::process::exit(0)
        }
        Err(error) => Err(CliError::Failed(format!("standard output cannot be written ({error})"))),
        Ok(()) => Ok(()),
    }
}

/// Writes a line to standard error, as well as that can be done.
pub fn complain(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// A path as it is typed in a shell.
pub fn typed(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |c: char| c.is_alphanumeric() || "/._-+:@%,=".contains(c);
    if !text.is_empty() && text.chars().all(plain) { text } else { format!("'{}'", text.replace('\'', "'\\''")) }
}

/// Writes an object as one line of JSON.
///
/// # Errors
/// As [`line`].
pub fn json(object: &impl Serialize) -> Result<(), CliError> {
    line(&serde_json::to_string(object).map_err(|error| CliError::Failed(error.to_string()))?)
}

/// Writes on which adapter a command runs.
///
/// # Errors
/// As [`line`].
pub fn adapter(gpu: &Gpu) -> Result<(), CliError> {
    line(&format!("adapter: {} ({})", gpu.info.name, gpu.info.driver_info))
}

/// Bytes in the unit that people read: `117.4 MiB`.
pub fn bytes(count: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    let (mut value, mut unit) = (count as f64, "B");
    for next in UNITS {
        if value < 1024.0 {
            break;
        }
        (value, unit) = (value / 1024.0, next);
    }
    if unit == "B" { format!("{count} B") } else { format!("{value:.1} {unit}") }
}

/// Writes rows under their head as columns, each line behind `indent`.
///
/// # Errors
/// As [`line`].
pub fn table<const N: usize>(
    indent: &str,
    head: [&str; N],
    rows: impl IntoIterator<Item = Vec<String>>,
) -> Result<(), CliError> {
    let head = head.map(str::to_owned).to_vec();
    let rows: Vec<Vec<String>> = std::iter::once(head).chain(rows).collect();
    columns(&rows).iter().try_for_each(|row| line(&format!("{indent}{row}")))
}

/// Rows of text as columns: the first column to the left, the others to the right.
pub fn columns(rows: &[Vec<String>]) -> Vec<String> {
    let count = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max();
    let widths: Vec<usize> = (0..count).map(|column| width(column).unwrap_or(0)).collect();
    let cell = |(column, text): (usize, &String)| match column {
        0 => format!("{text:<width$}", width = widths[0]),
        _ => format!("{text:>width$}", width = widths[column]),
    };
    rows.iter().map(|row| row.iter().enumerate().map(cell).collect::<Vec<_>>().join("  ").trim_end().into()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_short() {
        assert_eq!([0, 1023, 1024, 1536, 128 << 20, 5 << 30].map(bytes).join(", "), {
            "0 B, 1023 B, 1.0 KiB, 1.5 KiB, 128.0 MiB, 5.0 GiB"
        });
    }

    #[test]
    fn paths_are_quoted_where_a_shell_needs_it() {
        assert_eq!(typed(Path::new("runs/a-1.2")), "runs/a-1.2");
        assert_eq!(typed(Path::new("my run's")), r"'my run'\''s'");
    }

    #[test]
    fn numbers_are_flush_right() {
        let rows = [vec!["block".into(), "error".into()], vec!["conv1".into(), "9 %".into()], vec!["c".into()]];
        assert_eq!(columns(&rows), ["block  error", "conv1    9 %", "c"]);
    }
}
