//! [`SizeSpec`]: named sizes.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The shortest side that can be named.
const MIN_SIDE: u32 = 2;
/// The longest side that can be named, and that any scaled picture has.
const MAX_SIDE: u32 = 16_384;
/// How many times the named shorter side the longer one may be: more than any screen or camera
/// shows, and a bound on what a picture of 10 x 60000 pixels can ask for.
const MAX_ASPECT: u32 = 8;

/// A named size: `224max` (the longer side) or `256min` (the shorter side); the aspect is kept.
///
/// The side is 2 to 16384 pixels. With `256min` the longer side is at most 8 times the named one,
/// and at most 16384: a picture that is more drawn out is scaled until its longer side is that long,
/// its aspect kept, so that its shorter side is below the named one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SizeSpec {
    side: u32,
    longer: bool,
}

impl SizeSpec {
    /// The longer side is `side` pixels; the nearest of 2 to 16384.
    pub const fn max_side(side: u32) -> Self {
        Self { side: within_bounds(side), longer: true }
    }

    /// The shorter side is `side` pixels, the nearest of 2 to 16384, unless the longer side would be
    /// too long.
    pub const fn min_side(side: u32) -> Self {
        Self { side: within_bounds(side), longer: false }
    }

    /// Width and height that a picture of this size gets: even, at least 2, the aspect kept as
    /// nearly as even numbers allow.
    pub fn target(self, width: u32, height: u32) -> (u32, u32) {
        let (width, height) = (u64::from(width.max(1)), u64::from(height.max(1)));
        let (long, short) = (width.max(height), width.min(height));
        let side = u64::from(self.side);
        let longest = (side * u64::from(MAX_ASPECT)).min(u64::from(MAX_SIDE));
        // Sides are multiplied by `to` / `from`.
        let (to, from) = if self.longer {
            (side, long)
        } else if long * side > longest * short {
            (longest, long)
        } else {
            (side, short)
        };
        // Half of it, rounded half up, twice.
        let scaled = |pixels: u64| ((pixels * to + from) / (2 * from) * 2).max(2) as u32;
        (scaled(width), scaled(height))
    }
}

const fn within_bounds(side: u32) -> u32 {
    if side < MIN_SIDE {
        MIN_SIDE
    } else if side > MAX_SIDE {
        MAX_SIDE
    } else {
        side
    }
}

impl fmt::Display for SizeSpec {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}{}", self.side, if self.longer { "max" } else { "min" })
    }
}

impl FromStr for SizeSpec {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || format!("expected a size such as 224max or 256min, found {text:?}");
        let (number, longer) = match (text.strip_suffix("max"), text.strip_suffix("min")) {
            (Some(number), _) => (number, true),
            (None, Some(number)) => (number, false),
            (None, None) => return Err(wrong()),
        };
        match number.parse() {
            Ok(side @ MIN_SIDE..=MAX_SIDE) => Ok(Self { side, longer }),
            _ => Err(wrong()),
        }
    }
}

impl Serialize for SizeSpec {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for SizeSpec {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}
