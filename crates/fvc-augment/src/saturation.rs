//! `saturation`: every pixel moved towards or away from its own grey (a blend with the grey picture).
//!
//! Luma is 0.299 R + 0.587 G + 0.114 B in steps of 1/256 of a level, the factor in steps of 2^-14: a
//! sample is within 0.02 levels of the exact blend before it is rounded.

use fvc_media::Window;

use crate::kind::{Occasion, Recipe};
use crate::{AugmentError, Parameter};

pub(crate) const RECIPE: Recipe = Recipe {
    name: "saturation",
    about: "every pixel moved towards or away from its own grey",
    parameters: &[Parameter {
        name: "factor",
        unit: "",
        low: 0.7,
        high: 1.3,
        whole: false,
        names: &[],
        meaning: "0 would be grey; below 1 paler, above 1 more colourful",
    }],
    encodes: false,
    apply,
};

fn apply(occasion: &Occasion<'_>, window: &Window) -> Result<Window, AugmentError> {
    let excess = ((occasion.value("factor")? - 1.0) * 16_384.0).round() as i32;
    let mut blended = window.clone();
    for frame in &mut blended.frames {
        for pixel in frame.data_mut().chunks_exact_mut(3) {
            let [red, green, blue] = [pixel[0], pixel[1], pixel[2]].map(i32::from);
            // The weights add up to 2^16, so that grey stays as it is.
            let luma = (19_595 * red + 38_470 * green + 7_471 * blue + 128) >> 8;
            for sample in pixel {
                let level = i32::from(*sample);
                // At most 65,280 times 0.3 * 2^14: below 2^29.
                let moved = (excess * (256 * level - luma) + (1 << 21)) >> 22;
                *sample = (level + moved).clamp(0, 255) as u8;
            }
        }
    }
    Ok(blended)
}
