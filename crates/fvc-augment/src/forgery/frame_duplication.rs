//! `frame_duplication`: a run of frames shown twice, the second time right after the first. The
//! second showing ends within the clip's own number of frames, so that a clip cut to that number
//! still holds it.

use fvc_media::{Frame, FrameSpan};

use super::run::{counting_on, drawn_run};
use super::{Extent, Forgery, Place, Recipe};
use crate::AugmentError;
use crate::parameter::Values;
use crate::random::Random;

const NAME: &str = "frame_duplication";

pub(super) const RECIPE: Recipe = Recipe {
    name: NAME,
    about: "a run of frames shown twice, the second time right after the first",
    needs_donor: false,
    place,
    apply,
    growth: 1,
    affected: |span| {
        let length = span.last.saturating_sub(span.first).saturating_add(1);
        FrameSpan { first: span.last.saturating_add(1), last: span.last.saturating_add(length) }
    },
};

fn place(values: &Values, random: &mut Random, extent: Extent) -> Result<Place, AugmentError> {
    let length = drawn_run(NAME, values, extent)?;
    let first = random.between(0, extent.frames.saturating_sub(2 * length));
    let span = FrameSpan { first, last: first + length - 1 };
    Ok(Place { region: None, source: None, span })
}

fn apply(
    forgery: &Forgery,
    frames: &[Frame],
    _donor: &[Frame],
) -> Result<Vec<Frame>, AugmentError> {
    let (first, last) = (forgery.span.first as usize, forgery.span.last as usize);
    if last + forgery.length() as usize >= frames.len() {
        return Err(AugmentError::Record {
            kind: NAME,
            what: "span",
            expected: format!("room for its second showing within {} frames", frames.len()),
            found: format!("{first} to {last}"),
        });
    }
    counting_on(NAME, frames, (0..=last).chain(first..frames.len()))
}
