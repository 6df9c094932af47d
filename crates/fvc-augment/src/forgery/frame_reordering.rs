//! `frame_reordering`: a run of frames shown back to front, or its second half before its first.

use fvc_media::Frame;

use super::run::{counting_on, drawn_run};
use super::{Extent, Forgery, Material, Place, Recipe};
use crate::AugmentError;
use crate::parameter::Values;
use crate::random::Random;

const NAME: &str = "frame_reordering";

pub(super) const RECIPE: Recipe = Recipe::temporal(
    NAME,
    "a run of frames shown back to front, or its second half before its first",
    place,
    apply,
);

fn place(values: &Values, random: &mut Random, extent: Extent) -> Result<Place, AugmentError> {
    let length = drawn_run(NAME, values, extent)?;
    let first = random.between(0, extent.frames - length);
    Ok(Place::run(first, length))
}

fn apply(forgery: &Forgery, material: &Material<'_>) -> Result<Vec<Frame>, AugmentError> {
    let (first, last) = (forgery.span.first as usize, forgery.span.last as usize);
    let frames = material.frames;
    let mut run = frames[first..=last].to_vec();
    if forgery.value("reversed")? > 0.5 {
        run.reverse();
    } else {
        let half = run.len() / 2;
        run.rotate_left(half);
    }
    let shown = frames[..first].iter().chain(&run).chain(&frames[last + 1..]);
    counting_on(NAME, frames, shown.cloned())
}
