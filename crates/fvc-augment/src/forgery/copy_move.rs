//! `copy_move`: in every frame of the span, a region of that frame laid over another place of it,
//! with a soft border. The two places never overlap.

use fvc_media::{Frame, FrameSpan};

use super::paste::{Paste, cut};
use super::region::drawn_size;
use super::run::drawn_span;
use super::{Extent, Forgery, Place, Recipe, Region};
use crate::AugmentError;
use crate::parameter::Values;
use crate::random::Random;

const NAME: &str = "copy_move";

pub(super) const RECIPE: Recipe = Recipe {
    name: NAME,
    about: "a region laid over another place of the same frame, with a soft border",
    needs_donor: false,
    place,
    apply,
    growth: 0,
    affected: |span| span,
};

fn place(values: &Values, random: &mut Random, extent: Extent) -> Result<Place, AugmentError> {
    let (width, height) = drawn_size(NAME, values, extent)?;
    // Apart in one direction, anywhere in the other. A region takes at most 0.35 of a side, so
    // that there is room for two of them.
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
    let span = drawn_span(NAME, values, random, extent)?;
    Ok(Place {
        region: Some(Region { x: x as u32, y: y as u32, width, height }),
        source: Some(Region { x: source_x as u32, y: source_y as u32, width, height }),
        span,
    })
}

fn apply(
    forgery: &Forgery,
    frames: &[Frame],
    _donor: &[Frame],
) -> Result<Vec<Frame>, AugmentError> {
    let (width, height) = (frames[0].width(), frames[0].height());
    let region = Region::recorded(forgery.region, NAME, "region", width, height)?;
    let source = Region::recorded(forgery.source, NAME, "source", width, height)?;
    if (source.width, source.height) != (region.width, region.height) {
        return Err(AugmentError::Record {
            kind: NAME,
            what: "source",
            expected: format!("{}x{}, as the region", region.width, region.height),
            found: format!("{}x{}", source.width, source.height),
        });
    }
    let FrameSpan { first, last } = forgery.span;
    let mut paste = Paste::new(region, forgery.value("feather")?);
    let mut forged = frames.to_vec();
    for frame in &mut forged[first as usize..=last as usize] {
        let patch = cut(frame, source);
        paste.lay(frame, region, &patch);
    }
    paste.seen(NAME)?;
    Ok(forged)
}
