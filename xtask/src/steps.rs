//! Commands run one after the other, each under its title and with the time it took; the first that fails ends it.

use std::ffi::OsStr;
use std::fmt;
use std::process::{Command, ExitStatus, Stdio};
use std::time::Instant;

/// Why an xtask command ends early.
#[derive(Debug, PartialEq, Eq)]
pub struct Failure {
    message: String,
    code: u8,
}

impl Failure {
    /// The command line is wrong.
    pub fn usage(message: String) -> Self {
        Self { message, code: 2 }
    }

    /// There is no GPU driver and none can be installed.
    pub fn no_adapter(message: String) -> Self {
        Self { message, code: 3 }
    }

    /// A step failed.
    pub fn step(message: String) -> Self {
        Self { message, code: 1 }
    }

    /// The process's exit code.
    pub fn code(&self) -> u8 {
        self.code
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// Whether cargo sets the environment variable to tell a program of its own package. A cargo that this program runs must not
/// see it: build scripts that ask for such variables (ring's) would run anew under every caller, and all that depends on
/// them would be built again.
fn tells_of_caller(name: &str) -> bool {
    ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_", "CARGO_CRATE_"].iter().any(|prefix| name.starts_with(prefix))
}

/// A command with a title.
#[derive(Debug)]
pub struct Step {
    title: String,
    command: Command,
}

impl Step {
    /// `program` with `arguments`, in the workspace's root.
    pub fn new(title: &str, program: &str, arguments: &[&str]) -> Self {
        let mut command = Command::new(program);
        command.args(arguments).current_dir(crate::root());
        for name in std::env::vars_os().map(|(name, _)| name).filter(|name| tells_of_caller(&name.to_string_lossy())) {
            command.env_remove(name);
        }
        Self { title: title.to_owned(), command }
    }

    /// The cargo that runs us, with `arguments`.
    pub fn cargo(title: &str, arguments: &[&str]) -> Self {
        let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
        Self::new(title, &cargo, arguments)
    }

    /// More arguments.
    pub fn args<S: AsRef<OsStr>>(mut self, arguments: impl IntoIterator<Item = S>) -> Self {
        self.command.args(arguments);
        self
    }

    /// An environment variable.
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.command.env(name, value);
        self
    }

    /// Whether it runs and ends well; its output is not shown.
    pub fn succeeds(mut self) -> bool {
        self.command.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
    }

    /// Runs a command that reports for itself: its exit code becomes ours, and nothing is added to what it has said.
    ///
    /// # Errors
    /// A failure without a text, or that it cannot be started.
    pub fn hand_over(mut self) -> Result<(), Failure> {
        let status = self.start()?;
        if status.success() {
            return Ok(());
        }
        let code = status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1);
        Err(Failure { message: String::new(), code })
    }

    fn run(mut self) -> Result<(), Failure> {
        println!("\n== {}", self.title);
        let start = Instant::now();
        let status = self.start()?;
        if !status.success() {
            return Err(Failure::step(format!("step \"{}\" failed ({status})", self.title)));
        }
        println!("== {}: done in {:.0} s", self.title, start.elapsed().as_secs_f64());
        Ok(())
    }

    fn start(&mut self) -> Result<ExitStatus, Failure> {
        self.command.status().map_err(|error| {
            Failure::step(format!("{}: cannot start {:?}: {error}", self.title, self.command.get_program()))
        })
    }
}

/// Runs `steps` in order.
pub fn run_all(steps: Vec<Step>) -> Result<(), Failure> {
    steps.into_iter().try_for_each(Step::run)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_failing_step_ends_it_and_is_named() {
        let steps = vec![
            Step::new("fine", "true", &[]),
            Step::new("broken", "false", &[]),
            Step::new("never", "nonsense", &[]),
        ];
        let failure = run_all(steps).unwrap_err();
        assert_eq!(failure.code(), 1);
        assert!(failure.to_string().contains("\"broken\""), "{failure}");
    }

    #[test]
    fn a_command_that_is_handed_over_to_speaks_for_itself() {
        let failure = Step::new("quiet", "sh", &["-c", "exit 2"]).hand_over().unwrap_err();
        assert_eq!((failure.code(), failure.to_string()), (2, String::new()));
        assert_eq!(Step::new("fine", "true", &[]).hand_over(), Ok(()));
    }

    /// Cargo, which runs this test, has set the variable.
    #[test]
    fn a_command_does_not_learn_which_package_runs_it() {
        assert!(std::env::var_os("CARGO_PKG_NAME").is_some());
        let asks = ["-c", "test -z \"$CARGO_PKG_NAME\" && test -n \"$PATH\""];
        assert_eq!(Step::new("asks", "sh", &asks).hand_over(), Ok(()));
    }

    #[test]
    fn a_program_that_is_not_there_is_named() {
        let failure = run_all(vec![Step::new("ghost", "no-such-program-here", &[])]).unwrap_err();
        assert!(failure.to_string().contains("no-such-program-here"), "{failure}");
    }
}
