//! Regions that move: how far one drifts over its span.

use super::run::drawn_span;
use super::{Extent, Place, Region, region};
use crate::AugmentError;
use crate::parameter::{Values, value};
use crate::random::Random;

/// The most that a region drifts along a side, as a share of it (the range in the table).
const MOST: f64 = 0.15;

/// A region that may drift, drawn where it stays in the picture all along.
pub(super) fn place(
    kind: &'static str,
    values: &Values,
    random: &mut Random,
    extent: Extent,
) -> Result<Place, AugmentError> {
    let (width, height) = region::drawn_size(kind, values, extent)?;
    let (drift_x, drift_y) = drift(kind, values, extent.width, extent.height)?;
    let x = start(random, extent.width, width, drift_x);
    let y = start(random, extent.height, height, drift_y);
    let span = drawn_span(kind, values, random, extent)?;
    Ok(Place { region: Some(Region { x, y, width, height }), source: None, span })
}

/// By how many pixels the region has moved at the end of the span.
pub(super) fn drift(
    kind: &'static str,
    values: &Values,
    width: u32,
    height: u32,
) -> Result<(i64, i64), AugmentError> {
    let moving = value(kind, values, "moving")?;
    let pixels = |share: f64, side: u32| {
        (moving * share.clamp(-MOST, MOST) * f64::from(side)).round() as i64
    };
    Ok((
        pixels(value(kind, values, "drift_x")?, width),
        pixels(value(kind, values, "drift_y")?, height),
    ))
}

/// A start from which the region stays inside all along: it takes at most 0.45 of the side and
/// drifts at most 0.15 of it.
fn start(random: &mut Random, side: u32, length: u32, drift: i64) -> u32 {
    let low = (-drift).max(0);
    let high = i64::from(side - length) - drift.max(0);
    random.between(low.cast_unsigned(), high.max(low).cast_unsigned()) as u32
}

/// The region after `step` of `steps` equal parts of its drift, to the nearest pixel.
pub(super) fn moved(
    region: Region,
    (drift_x, drift_y): (i64, i64),
    step: u64,
    steps: u64,
) -> Option<Region> {
    let shift = |start: u32, drift: i64| {
        let part = (drift as f64 * step as f64 / steps.max(1) as f64).round() as i64;
        u32::try_from(i64::from(start) + part).ok()
    };
    Some(Region { x: shift(region.x, drift_x)?, y: shift(region.y, drift_y)?, ..region })
}
