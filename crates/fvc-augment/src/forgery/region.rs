//! [`Region`]: a rectangle of pixels, and how one is drawn.

use serde::{Deserialize, Serialize};

use super::Extent;
use crate::AugmentError;
use crate::parameter::{Values, value};

/// A rectangle of pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Region {
    /// First column.
    pub x: u32,
    /// First row.
    pub y: u32,
    /// Columns.
    pub width: u32,
    /// Rows.
    pub height: u32,
}

/// The shortest side of a picture that a region is drawn in.
const MIN_SIDE: u32 = 64;

/// The shortest side of a drawn region.
const MIN_REGION: u32 = 16;

/// The most of a side of the picture that a drawn region takes: two of them find room side by side.
const MAX_SHARE_OF_SIDE: f64 = 0.45;

impl Region {
    /// Whether it has pixels and all of them are in a picture of this size.
    pub(super) fn fits(self, width: u32, height: u32) -> bool {
        let within = |start: u32, length: u32, side: u32| {
            length > 0 && start.checked_add(length).is_some_and(|end| end <= side)
        };
        within(self.x, self.width, width) && within(self.y, self.height, height)
    }

    /// The region of a record, checked to be in the picture.
    pub(super) fn recorded(
        self_: Option<Self>,
        kind: &'static str,
        what: &'static str,
        width: u32,
        height: u32,
    ) -> Result<Self, AugmentError> {
        let expected = || format!("a rectangle inside {width}x{height}");
        let refuse =
            |found: String| AugmentError::Record { kind, what, expected: expected(), found };
        let region = self_.ok_or_else(|| refuse("none".to_owned()))?;
        if region.fits(width, height) { Ok(region) } else { Err(refuse(format!("{region:?}"))) }
    }
}

/// Width and height of a region by its drawn share of the area and its drawn aspect. Of a picture
/// of 64 pixels a side and more it is at most 15 %, as the table's ranges say: a side that is
/// brought up to 16 pixels has another of at most 32, and 16 x 32 are an eighth of 64 x 64.
pub(super) fn drawn_size(
    kind: &'static str,
    values: &Values,
    extent: Extent,
) -> Result<(u32, u32), AugmentError> {
    if extent.width < MIN_SIDE || extent.height < MIN_SIDE {
        return Err(AugmentError::Picture {
            kind,
            expected: format!("at least {MIN_SIDE}x{MIN_SIDE} pixels"),
            found: format!("{}x{}", extent.width, extent.height),
        });
    }
    let area =
        value(kind, values, "area_share")? * f64::from(extent.width) * f64::from(extent.height);
    let aspect = value(kind, values, "aspect")?;
    let length = |length: f64, side: u32| {
        (length.min(MAX_SHARE_OF_SIDE * f64::from(side)) as u32).max(MIN_REGION)
    };
    Ok((
        length((area * aspect).sqrt(), extent.width),
        length((area / aspect).sqrt(), extent.height),
    ))
}
