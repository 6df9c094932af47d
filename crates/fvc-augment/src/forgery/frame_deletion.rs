//! `frame_deletion`: a run of frames removed from inside the clip. There is a frame before the run
//! and one after it: a clip that only ends earlier is not forged.

use fvc_media::{Frame, FrameSpan};

use super::run::{counting_on, drawn_run};
use super::{Extent, Forgery, Material, Place, Recipe};
use crate::AugmentError;
use crate::parameter::Values;
use crate::random::Random;

const NAME: &str = "frame_deletion";

pub(super) const RECIPE: Recipe = Recipe {
    growth: |forgery| Ok(-(forgery.length() as i64)),
    // The last frame before the cut and the first one after it.
    affected: |Forgery { span, .. }| FrameSpan {
        first: span.first.saturating_sub(1),
        last: span.first,
    },
    ..Recipe::temporal(NAME, "a run of frames removed from inside the clip", place, apply)
};

fn place(values: &Values, random: &mut Random, extent: Extent) -> Result<Place, AugmentError> {
    let length = drawn_run(NAME, values, extent)?;
    let first = random.between(1, extent.frames - length - 1);
    Ok(Place::run(first, length))
}

fn apply(forgery: &Forgery, material: &Material<'_>) -> Result<Vec<Frame>, AugmentError> {
    let FrameSpan { first, last } = forgery.span;
    let frames = material.frames;
    if first == 0 || last + 1 >= frames.len() as u64 {
        return Err(AugmentError::Record {
            kind: NAME,
            what: "span",
            expected: "a frame left on either side of it".to_owned(),
            found: format!("{first} to {last} of {} frames", frames.len()),
        });
    }
    let kept = frames[..first as usize].iter().chain(&frames[last as usize + 1..]);
    counting_on(NAME, frames, kept.cloned())
}
