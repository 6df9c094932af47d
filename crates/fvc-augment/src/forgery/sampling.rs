//! Pixels between pixels.

use fvc_media::Frame;

use crate::warp::mix;

/// The colour at a point of a frame, in pixels from the middle of the first one: bilinear with
/// weights of 1/256, the border repeated.
pub(super) fn colour_at(frame: &Frame, x: f64, y: f64) -> [u8; 3] {
    let (width, height) = (i64::from(frame.width()), i64::from(frame.height()));
    let fixed = |at: f64, side: i64| {
        let at = (at * 256.0).round() as i64;
        at.clamp(0, 256 * (side - 1))
    };
    let (x, y) = (fixed(x, width), fixed(y, height));
    let (left, top) = (x >> 8, y >> 8);
    let (right, lower) = ((left + 1).min(width - 1), (top + 1).min(height - 1));
    let at = |x: i64, y: i64| 3 * (y * width + x) as usize;
    let corners = [at(left, top), at(right, top), at(left, lower), at(right, lower)];
    std::array::from_fn(|channel| {
        let four = corners.map(|corner| frame.data()[corner + channel]);
        mix(four, (x & 0xff) as u32, (y & 0xff) as u32)
    })
}
