//! [`letterbox`]: a scaled picture on a square of black.

use fvc_media::Frame;
use serde::{Deserialize, Serialize};

use crate::{ClipStoreError, SizeSpec};

/// Where the picture lies on a letterboxed frame, in pixels; all four are even.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PictureArea {
    /// Columns of black on its left.
    pub left: u32,
    /// Rows of black above it.
    pub top: u32,
    /// Its width.
    pub width: u32,
    /// Its height.
    pub height: u32,
}

impl PictureArea {
    /// Where a picture of even sides lies on the frames of a letterboxed size: in the middle, to the
    /// nearest even pixel towards the upper left, so that a chroma sample of 4:2:0 is never half
    /// picture and half bar. Of four rows too many two are above, of six two are above and four below.
    /// Nothing when the size has no bars or the picture is larger than its square.
    pub fn of(size: SizeSpec, width: u32, height: u32) -> Option<Self> {
        let (side, _) = Some(size).filter(|size| size.is_letterbox())?.target(width, height);
        let before = |pixels: u32| Some(side.checked_sub(pixels)? / 4 * 2);
        Some(Self { left: before(width)?, top: before(height)?, width, height })
    }

    /// Whether it lies on even pixels within a frame of this size.
    pub(crate) fn lies_within(self, width: u32, height: u32) -> bool {
        let Self { left, top, width: wide, height: high } = self;
        let inside = |before: u32, pixels: u32, side: u32| {
            pixels > 0 && before.checked_add(pixels).is_some_and(|end| end <= side)
        };
        [left, top, wide, high].iter().all(|pixels| pixels.is_multiple_of(2))
            && inside(left, wide, width)
            && inside(top, high, height)
    }
}

/// Puts a picture that was scaled to `size` on its square: see [`PictureArea::of`]; everything else is
/// black (0, 0, 0). A picture of a size without bars stays as it is.
///
/// # Errors
/// The picture is larger than the square.
pub fn letterbox(picture: Frame, size: SizeSpec) -> Result<Frame, ClipStoreError> {
    let (width, height) = (picture.width(), picture.height());
    if !size.is_letterbox() {
        return Ok(picture);
    }
    let (side, _) = size.target(width, height);
    let refused = |found: String| ClipStoreError::Scale {
        from: format!("{width}x{height}"),
        to: size.to_string(),
        found,
    };
    let area = PictureArea::of(size, width, height)
        .ok_or_else(|| refused(format!("expected a picture of at most {side}x{side}")))?;
    let (stride, row) = (3 * side as usize, 3 * width as usize);
    let mut data = vec![0_u8; stride * side as usize];
    let rows = data.chunks_exact_mut(stride).skip(area.top as usize);
    for (out, own) in rows.zip(picture.data().chunks_exact(row)) {
        let left = 3 * area.left as usize;
        out[left..left + row].copy_from_slice(own);
    }
    Frame::new(side, side, data, picture.index, picture.time)
        .map_err(|error| refused(error.to_string()))
}
