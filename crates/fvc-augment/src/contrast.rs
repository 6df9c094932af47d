//! `contrast`: every sample moved towards or away from one grey, the mean luma of the window.
//!
//! One grey for all frames of a window, not one a frame: a light that goes on does not make the
//! rest flicker. Luma is (299 R + 587 G + 114 B) / 1000, summed in whole numbers.

use fvc_media::Window;

use crate::frames::{blend_table, map_levels};
use crate::kind::{Occasion, Recipe};
use crate::{AugmentError, Parameter};

pub(crate) const RECIPE: Recipe = Recipe {
    name: "contrast",
    about: "every sample moved towards or away from the mean grey of its window",
    parameters: &[Parameter {
        name: "factor",
        unit: "",
        low: 0.7,
        high: 1.3,
        whole: false,
        names: &[],
        meaning: "0 would be all grey; below 1 less contrast, above 1 more",
    }],
    encodes: false,
    apply,
};

fn apply(occasion: &Occasion<'_>, window: &Window) -> Result<Window, AugmentError> {
    Ok(map_levels(window, &blend_table(mean_grey(window), occasion.value("factor")?)))
}

fn mean_grey(window: &Window) -> f64 {
    let (mut sums, mut pixels) = ([0_u64; 3], 0_u64);
    for frame in &window.frames {
        for pixel in frame.data().chunks_exact(3) {
            for (sum, &sample) in sums.iter_mut().zip(pixel) {
                *sum += u64::from(sample);
            }
        }
        pixels += u64::from(frame.width()) * u64::from(frame.height());
    }
    (299 * sums[0] + 587 * sums[1] + 114 * sums[2]) as f64 / (1000 * pixels.max(1)) as f64
}
