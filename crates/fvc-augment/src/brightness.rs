//! `brightness`: every sample times one factor, rounded to the nearest level and cut at 255 (a
//! blend with black).

use fvc_media::Window;

use crate::frames::{blend_table, map_levels};
use crate::kind::{Occasion, Recipe};
use crate::{AugmentError, Parameter};

pub(crate) const RECIPE: Recipe = Recipe {
    name: "brightness",
    about: "every sample times one factor (a blend with black)",
    parameters: &[Parameter {
        name: "factor",
        unit: "",
        low: 0.7,
        high: 1.3,
        whole: false,
        names: &[],
        meaning: "below 1 darker, above 1 brighter",
    }],
    encodes: false,
    apply,
};

fn apply(occasion: &Occasion<'_>, window: &Window) -> Result<Window, AugmentError> {
    Ok(map_levels(window, &blend_table(0.0, occasion.value("factor")?)))
}
