//! `temporal_drop`: frames lost, the picture before them standing still meanwhile, as a player shows
//! a stream that lost them.
//!
//! One frame of each `every` of the source is lost, at a place that seed and run pick: a frame that
//! is in two windows is lost in both. The first frame of a window is never lost, for there is none
//! before it to show. Number, indices and times of the frames stay.

use fvc_media::Window;

use crate::frames::{is_picked, show};
use crate::kind::{Occasion, Recipe};
use crate::{AugmentError, Parameter};

pub(crate) const RECIPE: Recipe = Recipe {
    name: "temporal_drop",
    about: "frames lost, the picture before them standing still meanwhile",
    parameters: &[Parameter {
        name: "every",
        unit: "frames",
        low: 3.0,
        high: 8.0,
        whole: true,
        names: &[],
        meaning: "of so many frames of the source in a row one is lost",
    }],
    encodes: false,
    apply,
};

fn apply(occasion: &Occasion<'_>, window: &Window) -> Result<Window, AugmentError> {
    let every = occasion.value("every")? as u64;
    let mut last = 0;
    let places = window.frames.iter().enumerate().map(|(at, frame)| {
        if !is_picked(frame.index, every, occasion.seed) {
            last = at;
        }
        last
    });
    Ok(show(window, &places.collect::<Vec<_>>()))
}
