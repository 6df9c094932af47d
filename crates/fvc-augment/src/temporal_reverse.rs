//! `temporal_reverse`: every window shown back to front.
//!
//! Number, indices and times stay those of the places: time still runs forwards, what is shown runs
//! backwards.

use fvc_media::Window;

use crate::AugmentError;
use crate::frames::show;
use crate::kind::{Occasion, Recipe};

pub(crate) const RECIPE: Recipe = Recipe {
    name: "temporal_reverse",
    about: "every window shown back to front",
    parameters: &[],
    encodes: false,
    apply,
};

#[allow(clippy::unnecessary_wraps)] // the signature of all recipes
fn apply(_occasion: &Occasion<'_>, window: &Window) -> Result<Window, AugmentError> {
    Ok(show(window, &(0..window.frames.len()).rev().collect::<Vec<_>>()))
}
