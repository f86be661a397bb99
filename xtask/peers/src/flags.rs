//! The command line.

use std::time::Duration;

use xtask::steps::Failure;

/// What was asked for.
#[derive(Debug, PartialEq, Eq)]
pub struct Flags {
    /// Text that the cases' names have to contain.
    pub filter: Option<String>,
    /// Runs of everyone on each case.
    pub rounds: usize,
    /// Most that one run may take.
    pub limit: Duration,
    /// Only print the cases.
    pub list: bool,
    /// Only print the help.
    pub help: bool,
}

impl Flags {
    /// Reads `arguments`.
    ///
    /// # Errors
    /// A line that says which one is wrong.
    pub fn parse(arguments: &[String]) -> Result<Self, Failure> {
        let mut flags = Self { filter: None, rounds: 3, limit: Duration::from_secs(600), list: false, help: false };
        let mut rest = arguments.iter();
        while let Some(flag) = rest.next() {
            let mut value = || rest.next().ok_or_else(|| Failure::usage(format!("{flag} needs a value")));
            match flag.as_str() {
                "--filter" => flags.filter = Some(value()?.clone()),
                "--rounds" => flags.rounds = count(flag, value()?)? as usize,
                "--limit" => flags.limit = Duration::from_secs(count(flag, value()?)?),
                "--list" => flags.list = true,
                "--help" | "-h" => flags.help = true,
                other => {
                    let known = "--filter TEXT, --rounds N, --limit SECONDS, --list, --help";
                    return Err(Failure::usage(format!("peers: unknown argument {other:?}; known: {known}")));
                }
            }
        }
        Ok(flags)
    }
}

fn count(flag: &str, text: &str) -> Result<u64, Failure> {
    match text.parse() {
        Ok(count) if count > 0 => Ok(count),
        _ => Err(Failure::usage(format!("{flag} is {text:?}; it must be a whole number from 1"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Flags, Failure> {
        Flags::parse(&line.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn flags_are_read() {
        let flags = parse("--filter gemm --rounds 5 --limit 60").unwrap();
        assert_eq!((flags.filter.as_deref(), flags.rounds, flags.limit.as_secs()), (Some("gemm"), 5, 60));
        assert!(parse("--help").unwrap().help && parse("--list").unwrap().list);
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (line, word) in [
            ("--rounds 0", "--rounds is \"0\""),
            ("--limit soon", "--limit is \"soon\""),
            ("--filter", "--filter needs a value"),
            ("gemm", "unknown argument \"gemm\""),
        ] {
            let failure = parse(line).unwrap_err();
            assert_eq!(failure.code(), 2);
            assert!(failure.to_string().contains(word), "{failure}");
        }
    }
}
