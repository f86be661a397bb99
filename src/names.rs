//! Settings that are one of a few names, the same on the command line, in messages and, as serde spells them, in files.

/// A name that is none of the known ones.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown {what} '{got}'; known: {known}")]
pub struct UnknownName {
    /// What the name should have been one of, such as "model".
    pub what: &'static str,
    /// The name as given.
    pub got: String,
    /// All accepted names, separated by commas.
    pub known: String,
}

/// Finds `text` in a table of names, or says what would have been right.
pub(crate) fn lookup<T: Copy>(what: &'static str, text: &str, table: &[(&str, T)]) -> Result<T, UnknownName> {
    table.iter().find(|(name, _)| *name == text).map(|&(_, value)| value).ok_or_else(|| UnknownName {
        what,
        got: text.into(),
        known: table.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", "),
    })
}

/// Lets an enumeration be written and read by its values' names; `what` it is says the error.
macro_rules! named {
    ($type:ident, $what:literal, $($value:ident $name:literal),+) => {
        impl $type {
            /// Its values by their names.
            pub const NAMES: &'static [(&'static str, Self)] = &[$(($name, Self::$value)),+];
        }

        impl std::str::FromStr for $type {
            type Err = $crate::names::UnknownName;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                $crate::names::lookup($what, text, Self::NAMES)
            }
        }

        impl std::fmt::Display for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(match self {
                    $(Self::$value => $name),+
                })
            }
        }
    };
}
pub(crate) use named;

#[cfg(test)]
mod tests {
    use std::fmt;
    use std::str::FromStr;

    use serde::Serialize;

    use super::*;
    use crate::kernels::precision::Precision;
    use crate::nn::{LossSup, LossUnsup, Nonlin};
    use crate::run::Tune;
    use crate::train::{Optim, Order};

    fn agree<T>(names: &[(&str, T)])
    where
        T: FromStr<Err = UnknownName> + ToString + Serialize + Copy + PartialEq + fmt::Debug,
    {
        for (name, value) in names {
            assert_eq!(name.parse(), Ok(*value));
            assert_eq!(value.to_string(), *name);
            assert_eq!(serde_json::to_string(value).unwrap(), format!("\"{name}\""));
        }
    }

    #[test]
    fn names_agree_between_flags_and_files() {
        agree(LossSup::NAMES);
        agree(LossUnsup::NAMES);
        agree(Nonlin::NAMES);
        agree(Optim::NAMES);
        agree(Order::NAMES);
        agree(Precision::NAMES);
        agree(Tune::NAMES);
        let error = "tanh".parse::<Nonlin>().unwrap_err().to_string();
        assert_eq!(error, "unknown nonlinearity 'tanh'; known: relu, leakyrelu");
    }
}
