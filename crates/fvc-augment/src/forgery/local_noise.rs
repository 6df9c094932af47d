//! `local_noise`: fresh normal noise on a region in every frame of the span, with a soft border, of
//! each channel's own or the same on all three.

use fvc_media::Frame;

use super::paste::{Paste, cut};
use super::{Forgery, Material, Recipe, local};
use crate::AugmentError;
use crate::elementary::normal_quantile;
use crate::random::Random;

const NAME: &str = "local_noise";

pub(super) const RECIPE: Recipe = Recipe::local(
    NAME,
    "noise added to a region, fresh in every frame, with a soft border",
    |values, random, extent| local::place(NAME, values, random, extent),
    apply,
);

/// Quantiles, as many as a draw of 16 bits tells apart.
const STEPS: usize = 1 << 16;

fn apply(forgery: &Forgery, material: &Material<'_>) -> Result<Vec<Frame>, AugmentError> {
    let region = local::recorded(forgery, material.frames)?;
    let sigma = forgery.value("sigma")?;
    let grey = forgery.value("grey")? > 0.5;
    let noise: Vec<i8> = (0..STEPS)
        .map(|step| {
            let p = (step as f64 + 0.5) / STEPS as f64;
            // At most 12 times 4.33, well within 8 bits.
            (sigma * normal_quantile(p)).round() as i8
        })
        .collect();
    let paste = Paste::new(forgery, region)?;
    local::edit(forgery, material.frames, paste, |frame, at, step| {
        let mut random = Random::for_part(forgery.seed, step);
        let mut patch = cut(frame, at);
        for pixel in patch.chunks_exact_mut(3) {
            let bits = random.bits();
            for (channel, level) in pixel.iter_mut().enumerate() {
                let channel = if grey { 0 } else { channel };
                let added = noise[(bits >> (16 * channel) & 0xffff) as usize];
                *level = level.saturating_add_signed(added);
            }
        }
        Ok(patch)
    })
}
