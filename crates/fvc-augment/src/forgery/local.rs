//! What all kinds have in common that change a region of the frames of a span.

use fvc_media::{Frame, FrameSpan};

use super::paste::Paste;
use super::run::drawn_span;
use super::{Extent, Forgery, Place, Region, drift, region};
use crate::AugmentError;
use crate::parameter::Values;
use crate::random::Random;

/// A region that stays where it is, drawn anywhere in the picture.
pub(super) fn place(
    kind: &'static str,
    values: &Values,
    random: &mut Random,
    extent: Extent,
) -> Result<Place, AugmentError> {
    let (width, height) = region::drawn_size(kind, values, extent)?;
    let mut start = |side: u32, length: u32| random.between(0, u64::from(side - length)) as u32;
    let (x, y) = (start(extent.width, width), start(extent.height, height));
    let span = drawn_span(kind, values, random, extent)?;
    Ok(Place { region: Some(Region { x, y, width, height }), source: None, span })
}

/// A region and another place of the same size that it does not overlap: apart in one direction,
/// anywhere in the other. A region takes less than half of either side, so that there is room.
pub(super) fn place_with_source(
    kind: &'static str,
    values: &Values,
    random: &mut Random,
    extent: Extent,
) -> Result<Place, AugmentError> {
    let (width, height) = region::drawn_size(kind, values, extent)?;
    let apart_in_x = random.below(2) == 0;
    let mut side = |side: u32, length: u32, apart: bool| {
        let (side, length) = (u64::from(side), u64::from(length));
        if !apart {
            let room = side - length;
            return [random.between(0, room), random.between(0, room)];
        }
        let room = side.saturating_sub(2 * length);
        let lower = random.between(0, room);
        let upper = random.between(lower, room) + length;
        if random.below(2) == 0 { [lower, upper] } else { [upper, lower] }
    };
    let [x, source_x] = side(extent.width, width, apart_in_x);
    let [y, source_y] = side(extent.height, height, !apart_in_x);
    let span = drawn_span(kind, values, random, extent)?;
    Ok(Place {
        region: Some(Region { x: x as u32, y: y as u32, width, height }),
        source: Some(Region { x: source_x as u32, y: source_y as u32, width, height }),
        span,
    })
}

/// The clip with a patch laid over the region in every frame of the span. `patch` gets the
/// authentic frame, the region in it and the number of the frame within the span, and gives packed
/// RGB rows of the region's size.
pub(super) fn edit(
    forgery: &Forgery,
    frames: &[Frame],
    mut paste: Paste,
    mut patch: impl FnMut(&Frame, Region, u64) -> Result<Vec<u8>, AugmentError>,
) -> Result<Vec<Frame>, AugmentError> {
    let kind = forgery.name();
    let (width, height) = (frames[0].width(), frames[0].height());
    let region = Region::recorded(forgery.region, kind, "region", width, height)?;
    let drift = if forgery.parameters.contains_key("moving") {
        drift::drift(kind, &forgery.parameters, width, height)?
    } else {
        (0, 0)
    };
    let end = drift::moved(region, drift, 1, 1);
    Region::recorded(end, kind, "region at the end of its drift", width, height)?;
    let FrameSpan { first, last } = forgery.span;
    let mut forged = frames.to_vec();
    for (step, frame) in (0..).zip(&mut forged[first as usize..=last as usize]) {
        let at = drift::moved(region, drift, step, last - first);
        let at = Region::recorded(at, kind, "region along its drift", width, height)?;
        let patch = patch(frame, at, step)?;
        paste.lay(frame, at, &patch);
    }
    paste.seen(kind)?;
    Ok(forged)
}

/// The region of a record, for a kind that changes one.
pub(super) fn recorded(forgery: &Forgery, frames: &[Frame]) -> Result<Region, AugmentError> {
    let (width, height) = (frames[0].width(), frames[0].height());
    Region::recorded(forgery.region, forgery.name(), "region", width, height)
}

/// The place of the same size that a record takes its pixels from.
pub(super) fn recorded_source(forgery: &Forgery, frames: &[Frame]) -> Result<Region, AugmentError> {
    let region = recorded(forgery, frames)?;
    let (width, height) = (frames[0].width(), frames[0].height());
    let source = Region::recorded(forgery.source, forgery.name(), "source", width, height)?;
    if (source.width, source.height) == (region.width, region.height) {
        return Ok(source);
    }
    Err(AugmentError::Record {
        kind: forgery.name(),
        what: "source",
        expected: format!("{}x{}, as the region", region.width, region.height),
        found: format!("{}x{}", source.width, source.height),
    })
}
