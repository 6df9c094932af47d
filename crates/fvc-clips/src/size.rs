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

/// A named size: `224max` (the longer side), `256min` (the shorter side) or `224letterbox` (as
/// `224max`, centred on a square of black); the aspect is kept. A number alone, `224`, is the longer
/// side.
///
/// The side is 2 to 16384 pixels. With `256min` the longer side is at most 8 times the named one,
/// and at most 16384: a picture that is more drawn out is scaled until its longer side is that long,
/// its aspect kept, so that its shorter side is below the named one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SizeSpec {
    side: u32,
    fit: Fit,
}

/// What the named side is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Fit {
    Longer,
    Shorter,
    Letterbox,
}

impl Fit {
    const ALL: [Self; 3] = [Self::Longer, Self::Shorter, Self::Letterbox];

    const fn name(self) -> &'static str {
        match self {
            Self::Longer => "max",
            Self::Shorter => "min",
            Self::Letterbox => "letterbox",
        }
    }
}

impl SizeSpec {
    /// The longer side is `side` pixels; the nearest of 2 to 16384.
    pub const fn max_side(side: u32) -> Self {
        Self { side: within_bounds(side), fit: Fit::Longer }
    }

    /// The shorter side is `side` pixels, the nearest of 2 to 16384, unless the longer side would be
    /// too long.
    pub const fn min_side(side: u32) -> Self {
        Self { side: within_bounds(side), fit: Fit::Shorter }
    }

    /// The number in its name, in pixels, 2 to 16384.
    pub const fn side(self) -> u32 {
        self.side
    }

    /// The same longer side, on a square of black; nothing where the shorter side is named, which
    /// says how large no square would have to be.
    pub const fn letterboxed(self) -> Option<Self> {
        match self.fit {
            Fit::Longer | Fit::Letterbox => Some(Self { side: self.side, fit: Fit::Letterbox }),
            Fit::Shorter => None,
        }
    }

    /// Whether frames of this size have bars.
    pub const fn is_letterbox(self) -> bool {
        matches!(self.fit, Fit::Letterbox)
    }

    /// The size of the picture alone: `224max` for `224letterbox`, itself for any other.
    #[must_use]
    pub const fn without_bars(self) -> Self {
        match self.fit {
            Fit::Letterbox => Self { side: self.side, fit: Fit::Longer },
            Fit::Longer | Fit::Shorter => self,
        }
    }

    /// Width and height of the frame that a picture of this size gets: even, at least 2. The aspect
    /// is kept as nearly as even numbers allow; that of a letterboxed frame is 1.
    pub fn target(self, width: u32, height: u32) -> (u32, u32) {
        if self.is_letterbox() { self.picture(1, 1) } else { self.picture(width, height) }
    }

    /// Width and height of what is seen of such a picture, without any bars: even, at least 2, the
    /// aspect kept as nearly as even numbers allow.
    pub fn picture(self, width: u32, height: u32) -> (u32, u32) {
        let (width, height) = (u64::from(width.max(1)), u64::from(height.max(1)));
        let (long, short) = (width.max(height), width.min(height));
        let side = u64::from(self.side);
        let longest = (side * u64::from(MAX_ASPECT)).min(u64::from(MAX_SIDE));
        // Sides are multiplied by `to` / `from`.
        let (to, from) = match self.fit {
            Fit::Longer | Fit::Letterbox => (side, long),
            Fit::Shorter if long * side > longest * short => (longest, long),
            Fit::Shorter => (side, short),
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
        write!(formatter, "{}{}", self.side, self.fit.name())
    }
}

impl FromStr for SizeSpec {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong =
            || format!("expected a size such as 224max, 256min or 224letterbox, found {text:?}");
        let digits = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
        let fit = match &text[digits.len()..] {
            "" => Fit::Longer,
            name => Fit::ALL.into_iter().find(|fit| fit.name() == name).ok_or_else(wrong)?,
        };
        let plain = digits.bytes().all(|digit| digit.is_ascii_digit());
        match digits.parse() {
            Ok(side @ MIN_SIDE..=MAX_SIDE) if plain => Ok(Self { side, fit }),
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
