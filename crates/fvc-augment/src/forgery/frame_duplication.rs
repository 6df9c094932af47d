//! `frame_duplication`: a run of frames shown twice, the second time right after the first. The
//! second showing ends within the clip's own number of frames, so that a clip cut to that number
//! still holds it.

use fvc_media::{Frame, FrameSpan};

use super::run::{counting_on, drawn_run};
use super::{Extent, Forgery, Material, Place, Recipe};
use crate::AugmentError;
use crate::parameter::Values;
use crate::random::Random;

const NAME: &str = "frame_duplication";

pub(super) const RECIPE: Recipe = Recipe {
    growth: |forgery| Ok(forgery.length() as i64),
    affected: |forgery| {
        let FrameSpan { last, .. } = forgery.span;
        FrameSpan { first: last.saturating_add(1), last: last.saturating_add(forgery.length()) }
    },
    ..Recipe::temporal(
        NAME,
        "a run of frames shown twice, the second time right after the first",
        place,
        apply,
    )
};

fn place(values: &Values, random: &mut Random, extent: Extent) -> Result<Place, AugmentError> {
    let length = drawn_run(NAME, values, extent)?;
    let first = random.between(0, extent.frames.saturating_sub(2 * length));
    Ok(Place::run(first, length))
}

fn apply(forgery: &Forgery, material: &Material<'_>) -> Result<Vec<Frame>, AugmentError> {
    let (first, last) = (forgery.span.first as usize, forgery.span.last as usize);
    let frames = material.frames;
    if last + forgery.length() as usize >= frames.len() {
        return Err(AugmentError::Record {
            kind: NAME,
            what: "span",
            expected: format!("room for its second showing within {} frames", frames.len()),
            found: format!("{first} to {last}"),
        });
    }
    counting_on(NAME, frames, frames[..=last].iter().chain(&frames[first..]).cloned())
}
