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

/// Width and height of a region by its drawn shares of the picture.
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
    let length = |share: f64, side: u32| ((share * f64::from(side)).round() as u32).max(MIN_REGION);
    Ok((
        length(value(kind, values, "width_share")?, extent.width),
        length(value(kind, values, "height_share")?, extent.height),
    ))
}
