//! `region_splice`: a region of another clip's frames laid over the frames of the span, with a
//! soft border, at one place or drifting.
//!
//! The donor's pixels are taken as they are (no scaling), one donor frame a frame, from one place
//! of the donor's picture.

use fvc_media::{Frame, FrameSpan};

use super::paste::{Paste, cut};
use super::region::drawn_size;
use super::run::drawn_span;
use super::{Extent, Forgery, Place, Recipe, Region};
use crate::parameter::{Values, value};
use crate::random::Random;
use crate::{AugmentError, frames};

const NAME: &str = "region_splice";

pub(super) const RECIPE: Recipe = Recipe {
    name: NAME,
    about: "a region of another clip laid over it, with a soft border, at one place or drifting",
    needs_donor: true,
    place,
    apply,
    growth: 0,
    affected: |span| span,
};

fn place(values: &Values, random: &mut Random, extent: Extent) -> Result<Place, AugmentError> {
    let (width, height) = drawn_size(NAME, values, extent)?;
    let (drift_x, drift_y) = drift(values, extent.width, extent.height)?;
    let x = start(random, extent.width, width, drift_x);
    let y = start(random, extent.height, height, drift_y);
    let span = drawn_span(NAME, values, random, extent)?;
    Ok(Place { region: Some(Region { x, y, width, height }), source: None, span })
}

/// By how many pixels the region has moved at the end of the span.
fn drift(values: &Values, width: u32, height: u32) -> Result<(i64, i64), AugmentError> {
    let moving = value(NAME, values, "moving")?;
    let pixels = |share: f64, side: u32| (moving * share * f64::from(side)).round() as i64;
    Ok((
        pixels(value(NAME, values, "drift_x")?, width),
        pixels(value(NAME, values, "drift_y")?, height),
    ))
}

/// A start from which the region stays inside all along: it takes at most half of the side and
/// drifts at most 0.15 of it.
fn start(random: &mut Random, side: u32, length: u32, drift: i64) -> u32 {
    let low = (-drift).max(0);
    let high = i64::from(side - length) - drift.max(0);
    random.between(low.cast_unsigned(), high.max(low).cast_unsigned()) as u32
}

fn apply(forgery: &Forgery, frames: &[Frame], donor: &[Frame]) -> Result<Vec<Frame>, AugmentError> {
    let (width, height) = (frames[0].width(), frames[0].height());
    let region = Region::recorded(forgery.region, NAME, "region", width, height)?;
    let (drift_x, drift_y) = drift(&forgery.parameters, width, height)?;
    let end = moved(region, drift_x, drift_y, 1, 1);
    Region::recorded(end, NAME, "region at the end of its drift", width, height)?;

    let (donor_width, donor_height) = frames::common_size("the donor of region_splice", donor)?;
    let refuse =
        |expected: String, found: String| Err(AugmentError::Donor { kind: NAME, expected, found });
    if donor_width < region.width as usize || donor_height < region.height as usize {
        return refuse(
            format!("at least {}x{} pixels", region.width, region.height),
            format!("{donor_width}x{donor_height}"),
        );
    }
    let length = forgery.length();
    if (donor.len() as u64) < length {
        return refuse(format!("at least {length} frames"), donor.len().to_string());
    }
    // A share of 1 is the last place itself.
    let place = |share: f64, room: u64| (share * room as f64).round() as u64;
    let taken = Region {
        x: place(forgery.value("donor_x")?, donor_width as u64 - u64::from(region.width)) as u32,
        y: place(forgery.value("donor_y")?, donor_height as u64 - u64::from(region.height)) as u32,
        ..region
    };
    let donor_start = place(forgery.value("donor_start")?, donor.len() as u64 - length);

    let FrameSpan { first, last } = forgery.span;
    let mut paste = Paste::new(region, forgery.value("feather")?);
    let mut forged = frames.to_vec();
    for (step, frame) in forged[first as usize..=last as usize].iter_mut().enumerate() {
        let at = moved(region, drift_x, drift_y, step as i64, length as i64 - 1);
        let at = Region::recorded(at, NAME, "region along its drift", width, height)?;
        let patch = cut(&donor[donor_start as usize + step], taken);
        paste.lay(frame, at, &patch);
    }
    paste.seen(NAME)?;
    Ok(forged)
}

/// The region after `step` of `steps` equal parts of its drift, to the nearest pixel.
fn moved(region: Region, drift_x: i64, drift_y: i64, step: i64, steps: i64) -> Option<Region> {
    let shift = |start: u32, drift: i64| {
        let part = (drift as f64 * step as f64 / steps.max(1) as f64).round() as i64;
        u32::try_from(i64::from(start) + part).ok()
    };
    Some(Region { x: shift(region.x, drift_x)?, y: shift(region.y, drift_y)?, ..region })
}
