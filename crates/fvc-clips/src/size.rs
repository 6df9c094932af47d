//! [`SizeSpec`] and [`scale_frame`]: pictures at a named size.

use std::fmt;
use std::str::FromStr;

use fast_image_resize::images::{Image, ImageRef};
use fast_image_resize::{CpuExtensions, FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer};
use fvc_media::Frame;
use serde::{Deserialize, Serialize};

use crate::ClipStoreError;

/// A named size: `224max` (the longer side) or `256min` (the shorter side); the aspect is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SizeSpec {
    side: u32,
    longer: bool,
}

impl SizeSpec {
    /// The longer side is `side` pixels.
    pub const fn max_side(side: u32) -> Self {
        Self { side, longer: true }
    }

    /// The shorter side is `side` pixels.
    pub const fn min_side(side: u32) -> Self {
        Self { side, longer: false }
    }

    /// Width and height that a picture of this size gets: even, at least 2, the aspect kept as
    /// nearly as even numbers allow.
    pub fn target(self, width: u32, height: u32) -> (u32, u32) {
        let (long, short) = (width.max(height).max(1), width.min(height).max(1));
        let from = if self.longer { long } else { short };
        let side = |pixels: u32| {
            let scaled = f64::from(pixels) * f64::from(self.side) / f64::from(from);
            ((scaled / 2.0).round() as u32 * 2).max(2)
        };
        (side(width.max(1)), side(height.max(1)))
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
            Ok(side @ 2..=16_384) => Ok(Self { side, longer }),
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

/// Scales a picture to its named size: an area-true box filter down, Lanczos (3 lobes) up.
///
/// The portable code path is taken on every machine, so that the bits are the same on all.
///
/// # Errors
/// The scaler refuses the picture.
pub fn scale_frame(frame: &Frame, spec: SizeSpec) -> Result<Frame, ClipStoreError> {
    let (width, height) = spec.target(frame.width(), frame.height());
    if (width, height) == (frame.width(), frame.height()) {
        return Ok(frame.clone());
    }
    let refused = |found: String| ClipStoreError::Scale {
        from: format!("{}x{}", frame.width(), frame.height()),
        to: format!("{width}x{height}"),
        found,
    };
    let source = ImageRef::new(frame.width(), frame.height(), frame.data(), PixelType::U8x3)
        .map_err(|error| refused(error.to_string()))?;
    let mut target = Image::new(width, height, PixelType::U8x3);
    let down = u64::from(width) * u64::from(height)
        <= u64::from(frame.width()) * u64::from(frame.height());
    let filter = if down { FilterType::Box } else { FilterType::Lanczos3 };
    let options = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(filter));
    let mut resizer = Resizer::new();
    set_portable(&mut resizer);
    resizer.resize(&source, &mut target, &options).map_err(|error| refused(error.to_string()))?;
    Frame::new(width, height, target.into_vec(), frame.index, frame.time)
        .map_err(|error| refused(error.to_string()))
}

#[allow(unsafe_code)] // the setter is unsafe for instruction sets that a machine may lack
fn set_portable(resizer: &mut Resizer) {
    // SAFETY: `None` is the portable path, which every machine has.
    unsafe { resizer.set_cpu_extensions(CpuExtensions::None) };
}
