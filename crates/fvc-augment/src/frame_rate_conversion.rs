//! `frame_rate_conversion`: the frame rate lowered by leaving frames out, and brought back by
//! repeating the others.
//!
//! Frame n of the source shows the first frame of the same tick of the lower rate, floor(n *
//! percent / 100): 80 makes of frames 0 to 5 the frames 0, 0, 2, 3, 4, 5. (What a converter that
//! rounds down does.) Where that frame is before the window, the window's first of the tick is
//! shown. Number, indices and times of the frames stay.

use fvc_media::Window;

use crate::frames::{show, ticks};
use crate::kind::{Occasion, Recipe};
use crate::{AugmentError, Parameter};

pub(crate) const RECIPE: Recipe = Recipe {
    name: "frame_rate_conversion",
    about: "the frame rate lowered by leaving frames out, and brought back by repeating others",
    parameters: &[Parameter {
        name: "percent",
        unit: "%",
        low: 40.0,
        high: 85.0,
        whole: true,
        names: &[],
        meaning: "the lower frame rate as a share of the source's",
    }],
    encodes: false,
    apply,
};

fn apply(occasion: &Occasion<'_>, window: &Window) -> Result<Window, AugmentError> {
    let percent = occasion.value("percent")? as u128;
    Ok(show(window, &ticks(window, percent, 100)))
}
