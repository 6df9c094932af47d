//! `gaussian_noise`: normal noise on every sample, independent between samples and frames.
//!
//! A sample becomes `level + round(sigma z)`, cut at 0 and 255, z standard normal. z is one of
//! 65,536 equally likely quantiles (so at most 4.33 either way, and its variance is short of 1 by
//! less than 1e-4): a table look-up a sample. The numbers of a frame depend on the draw's seed and
//! on the frame's index in the source alone, so a frame that is in two windows is the same in both.

use fvc_media::Window;

use crate::elementary::normal_quantile;
use crate::kind::{Occasion, Recipe};
use crate::random::Random;
use crate::{AugmentError, Parameter};

pub(crate) const RECIPE: Recipe = Recipe {
    name: "gaussian_noise",
    about: "independent normal noise on every sample",
    parameters: &[Parameter {
        name: "sigma",
        unit: "levels",
        low: 2.0,
        high: 10.0,
        whole: false,
        names: &[],
        meaning: "standard deviation on the scale of 0 to 255",
    }],
    encodes: false,
    apply,
};

/// Quantiles, as many as a draw of 16 bits tells apart.
const STEPS: usize = 1 << 16;

fn apply(occasion: &Occasion<'_>, window: &Window) -> Result<Window, AugmentError> {
    let sigma = occasion.value("sigma")?;
    let noise: Vec<i8> = (0..STEPS)
        .map(|step| {
            let p = (step as f64 + 0.5) / STEPS as f64;
            // At most 10 times 4.33, well within 8 bits.
            (sigma * normal_quantile(p)).round() as i8
        })
        .collect();
    let mut noisy = window.clone();
    for frame in &mut noisy.frames {
        let mut random = Random::for_part(occasion.seed, frame.index);
        for samples in frame.data_mut().chunks_mut(4) {
            let mut bits = random.bits();
            for sample in samples {
                *sample = sample.saturating_add_signed(noise[(bits & 0xffff) as usize]);
                bits >>= 16;
            }
        }
    }
    Ok(noisy)
}
