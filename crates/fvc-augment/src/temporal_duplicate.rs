//! `temporal_duplicate`: frames shown twice, everything after them later by one.
//!
//! One frame of each `every` of the source is doubled, at a place that seed and run pick. A window
//! keeps its number of frames: what is pushed past its end falls off. Indices and times stay those
//! of the places.

use fvc_media::Window;

use crate::frames::{is_picked, show};
use crate::kind::{Occasion, Recipe};
use crate::{AugmentError, Parameter};

pub(crate) const RECIPE: Recipe = Recipe {
    name: "temporal_duplicate",
    about: "frames shown twice, everything after them later by one",
    parameters: &[Parameter {
        name: "every",
        unit: "frames",
        low: 3.0,
        high: 8.0,
        whole: true,
        names: &[],
        meaning: "of so many frames of the source in a row one is doubled",
    }],
    encodes: false,
    apply,
};

fn apply(occasion: &Occasion<'_>, window: &Window) -> Result<Window, AugmentError> {
    let every = occasion.value("every")? as u64;
    let places = window.frames.iter().enumerate().flat_map(|(at, frame)| {
        let times = if is_picked(frame.index, every, occasion.seed) { 2 } else { 1 };
        std::iter::repeat_n(at, times)
    });
    Ok(show(window, &places.take(window.frames.len()).collect::<Vec<_>>()))
}
