//! `resolution_jitter`: every frame made smaller and brought back to its size.
//!
//! Both ways by the clip store's scaler: the mean of the covered area down, Catmull-Rom up.

use fvc_clips::scale_frame_to;
use fvc_media::Window;

use crate::kind::{Occasion, Recipe};
use crate::{AugmentError, Parameter};

pub(crate) const RECIPE: Recipe = Recipe {
    name: "resolution_jitter",
    about: "every frame made smaller and brought back to its size",
    parameters: &[Parameter {
        name: "share",
        unit: "",
        low: 0.3,
        high: 0.8,
        whole: false,
        names: &[],
        meaning: "how much of each side is left in between",
    }],
    encodes: false,
    apply,
};

fn apply(occasion: &Occasion<'_>, window: &Window) -> Result<Window, AugmentError> {
    let share = occasion.value("share")?;
    let less = |side: u32| (f64::from(side) * share).round().max(1.0) as u32;
    let mut coarse = window.clone();
    for frame in &mut coarse.frames {
        let (width, height) = (frame.width(), frame.height());
        let small = scale_frame_to(frame, less(width), less(height))?;
        *frame = scale_frame_to(&small, width, height)?;
    }
    Ok(coarse)
}
