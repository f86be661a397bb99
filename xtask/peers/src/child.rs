//! A process under a time limit, with its peak of resident memory.

use std::io::Read;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Time between two looks at a process.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// How a process ended.
#[derive(Debug)]
pub enum Ending {
    /// With success.
    Done,
    /// Without.
    Failed(ExitStatus),
    /// It was stopped at the limit.
    TimedOut,
    /// It never began.
    NotStarted(std::io::Error),
}

/// What became of a process.
#[derive(Debug)]
pub struct Outcome {
    pub ending: Ending,
    pub stdout: String,
    pub stderr: String,
    /// Its largest resident size so far as it was seen, `VmHWM` of /proc; none where there is no /proc.
    pub peak_bytes: Option<u64>,
}

impl Outcome {
    /// What it said about its end: the last line of its errors that is not a note.
    pub fn last_words(&self) -> &str {
        let mut lines = self.stderr.lines().map(str::trim);
        lines.rfind(|line| !line.is_empty() && !line.starts_with("note:")).unwrap_or("it said nothing")
    }
}

/// Runs `command` to its end, but for no longer than `limit`.
pub fn run(mut command: Command, limit: Duration) -> Outcome {
    let piped = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child = match piped {
        Ok(child) => child,
        Err(error) => {
            let ending = Ending::NotStarted(error);
            return Outcome { ending, stdout: String::new(), stderr: String::new(), peak_bytes: None };
        }
    };
    let (stdout, stderr) = (read(child.stdout.take()), read(child.stderr.take()));
    let mut peak_bytes = None;
    let ending = watch(&mut child, limit, &mut peak_bytes);
    let text = |reader: JoinHandle<String>| reader.join().unwrap_or_default();
    Outcome { ending, stdout: text(stdout), stderr: text(stderr), peak_bytes }
}

fn watch(child: &mut Child, limit: Duration, peak_bytes: &mut Option<u64>) -> Ending {
    let start = Instant::now();
    loop {
        match child.try_wait() {
            Ok(Some(status)) if status.success() => return Ending::Done,
            Ok(Some(status)) => return Ending::Failed(status),
            Ok(None) => {}
            Err(error) => return Ending::NotStarted(error),
        }
        if start.elapsed() > limit {
            // It may have ended just now; either way it is gone afterwards.
            let _ = child.kill();
            let _ = child.wait();
            return Ending::TimedOut;
        }
        *peak_bytes = peak(child.id()).or(*peak_bytes);
        thread::sleep(LOOK_EVERY);
    }
}

/// Reads a pipe to its end beside the process, which would stop when the pipe is full.
fn read(pipe: Option<impl Read + Send + 'static>) -> JoinHandle<String> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut pipe) = pipe {
            // What came before an error is worth having.
            let _ = pipe.read_to_end(&mut bytes);
        }
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

fn peak(process: u32) -> Option<u64> {
    parse_peak(&std::fs::read_to_string(format!("/proc/{process}/status")).ok()?)
}

/// `VmHWM` of a /proc status, which is in kB.
fn parse_peak(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kilobytes| 1024 * kilobytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn the_peak_is_read_from_proc() {
        assert_eq!(parse_peak("Name:\tx\nVmPeak:\t  9 kB\nVmHWM:\t    2048 kB\nVmRSS:\t 4 kB\n"), Some(2 << 20));
        assert_eq!(parse_peak("Name:\tkthreadd\n"), None);
    }

    #[test]
    fn what_a_process_says_and_how_it_ends_is_kept() {
        let outcome = run(shell("echo said; echo 'it broke' >&2; exit 3"), Duration::from_secs(20));
        assert!(matches!(outcome.ending, Ending::Failed(status) if status.code() == Some(3)));
        assert_eq!((outcome.stdout.as_str(), outcome.last_words()), ("said\n", "it broke"));
        assert!(matches!(run(shell("true"), Duration::from_secs(20)).ending, Ending::Done));
        let ghost = run(Command::new("no-such-program-here"), Duration::from_secs(20));
        assert!(matches!(ghost.ending, Ending::NotStarted(_)));
    }

    #[test]
    fn a_process_over_the_limit_is_stopped() {
        let start = Instant::now();
        let outcome = run(shell("exec sleep 60"), Duration::from_millis(200));
        assert!(matches!(outcome.ending, Ending::TimedOut));
        assert!(start.elapsed() < Duration::from_secs(30));
    }
}
