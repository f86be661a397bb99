//! The size that pictures of a folder are brought to (`--image-size`).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Rows and columns: written `224` if they are equal, else `160x224`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Written", into = "Written")]
pub struct ImageSize {
    /// Rows.
    pub height: u32,
    /// Columns.
    pub width: u32,
}

/// As recipes have it.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Written {
    Side(u32),
    Text(String),
}

impl ImageSize {
    /// Largest number of rows or columns.
    pub const MAX: u32 = 1 << 12;

    fn new(height: u32, width: u32) -> Result<Self, String> {
        let fits = |extent| (1..=Self::MAX).contains(&extent);
        if fits(height) && fits(width) {
            return Ok(Self { height, width });
        }
        Err(format!("a picture's sides are from 1 to {}", Self::MAX))
    }
}

impl FromStr for ImageSize {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (height, width) = text.split_once('x').unwrap_or((text, text));
        match (height.parse(), width.parse()) {
            (Ok(height), Ok(width)) => Self::new(height, width),
            _ => Err("a size is written 224, or 160x224 for 160 rows and 224 columns".to_owned()),
        }
    }
}

impl fmt::Display for ImageSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { height, width } = self;
        if height == width { write!(f, "{height}") } else { write!(f, "{height}x{width}") }
    }
}

impl TryFrom<Written> for ImageSize {
    type Error = String;

    fn try_from(written: Written) -> Result<Self, String> {
        match written {
            Written::Side(side) => Self::new(side, side),
            Written::Text(text) => text.parse(),
        }
    }
}

impl From<ImageSize> for Written {
    fn from(size: ImageSize) -> Self {
        if size.height == size.width { Self::Side(size.height) } else { Self::Text(size.to_string()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_one_side_or_two() {
        for (text, height, width, json) in [("32", 32, 32, "32"), ("160x224", 160, 224, "\"160x224\"")] {
            let size: ImageSize = text.parse().unwrap();
            assert_eq!((size.height, size.width, size.to_string().as_str()), (height, width, text));
            assert_eq!(serde_json::to_string(&size).unwrap(), json);
            assert_eq!(serde_json::from_str::<ImageSize>(json).unwrap(), size);
        }
    }

    #[test]
    fn other_sizes_are_refused() {
        for text in ["", "x", "32x", "3.5", "-1", "0", "5000", "32x0", "1x2x3"] {
            assert!(text.parse::<ImageSize>().is_err(), "{text}");
        }
    }
}
