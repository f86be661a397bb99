//! How much of the device's memory a run may take (`--memory-budget`).

use std::fmt;
use std::str::FromStr;

use bytesize::ByteSize;
use serde::{Deserialize, Serialize};

/// An amount of memory, written `2GiB`, or a share of what the fastest way takes, written `80%`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Budget {
    /// Bytes.
    Bytes(u64),
    /// Percent of what the fastest way takes, above 0 and up to 100.
    Percent(f64),
}

impl Budget {
    /// Bytes, where the fastest way takes `fastest`.
    pub fn bytes(self, fastest: u64) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes,
            Self::Percent(percent) => (fastest as f64 * percent / 100.0) as u64,
        }
    }
}

impl FromStr for Budget {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let percent = text.trim().strip_suffix('%').map(|number| number.trim().parse::<f64>());
        let budget = match percent {
            Some(number) => number.ok().filter(|number| *number > 0.0 && *number <= 100.0).map(Self::Percent),
            None => text.parse::<ByteSize>().ok().filter(|size| size.0 > 0).map(|size| Self::Bytes(size.0)),
        };
        budget
            .ok_or_else(|| "an amount of memory is written 512MiB or 2GiB, or 80% of what the fastest way takes".into())
    }
}

impl fmt::Display for Budget {
    /// As it can be read again, to the byte.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [(u64, &str); 4] = [(1 << 40, "TiB"), (1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
        match self {
            Self::Percent(percent) => write!(f, "{percent}%"),
            Self::Bytes(bytes) => match UNITS.iter().find(|(unit, _)| bytes.is_multiple_of(*unit)) {
                Some((unit, name)) => write!(f, "{}{name}", bytes / unit),
                None => write!(f, "{bytes}B"),
            },
        }
    }
}

impl TryFrom<String> for Budget {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Budget> for String {
    fn from(budget: Budget) -> Self {
        budget.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_read_and_written() {
        let bytes = |text: &str| text.parse::<Budget>().map(|budget| budget.bytes(1000));
        assert_eq!(bytes("512MiB"), Ok(512 << 20));
        assert_eq!(bytes("1.5 GiB"), Ok(3 << 29));
        assert_eq!(bytes("80%"), Ok(800));
        for wrong in ["", "0", "0%", "101%", "-1GiB", "much", "NaN%"] {
            assert!(bytes(wrong).is_err(), "{wrong}");
        }
        for text in ["512MiB", "2GiB", "1001B", "12.5%"] {
            assert_eq!(text.parse::<Budget>().map(|budget| budget.to_string()).as_deref(), Ok(text));
        }
    }
}
