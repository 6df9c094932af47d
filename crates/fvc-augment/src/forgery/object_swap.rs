//! `object_swap`: what is in an ellipse the size of a face or an object replaced by what another
//! clip shows in one, scaled to fit and with its colours brought near those it replaces, at one
//! place or drifting.
//!
//! Colours: each channel's mean and standard deviation over the region are brought to those of the
//! region it replaces (Reinhard, Ashikhmin, Gooch and Shirley 2001, "Color transfer between
//! images", in RGB), as far as the parameter `colour` says.

use fvc_clips::scale_frame_to;
use fvc_media::Frame;

use super::paste::{Paste, cut};
use super::{Forgery, Material, Recipe, donor, drift, local};
use crate::AugmentError;

const NAME: &str = "object_swap";

pub(super) const RECIPE: Recipe = Recipe {
    needs_donor: true,
    ..Recipe::local(
        NAME,
        "an ellipse replaced by one of another clip, scaled and with its colours brought near",
        |values, random, extent| drift::place(NAME, values, random, extent),
        apply,
    )
};

fn apply(forgery: &Forgery, material: &Material<'_>) -> Result<Vec<Frame>, AugmentError> {
    let region = local::recorded(forgery, material.frames)?;
    let (scale, colour) = (forgery.value("scale")?, forgery.value("colour")?);
    let less = |side: u32| ((f64::from(side) / scale).round() as u32).max(1);
    let taken = donor::taken(forgery, material.donor, less(region.width), less(region.height))?;
    let paste = Paste::new(forgery, region)?;
    local::edit(forgery, material.frames, paste, |frame, at, step| {
        let from = cut(&taken.frames[step as usize], taken.region);
        let from = Frame::new(taken.region.width, taken.region.height, from, 0, 0.0)?;
        let mut patch = scale_frame_to(&from, region.width, region.height)?.into_data();
        bring_near(&mut patch, &cut(frame, at), colour);
        Ok(patch)
    })
}

/// Brings each channel's mean and spread to those of `own`, by the share `colour`.
fn bring_near(patch: &mut [u8], own: &[u8], colour: f64) {
    for channel in 0..3 {
        let (mean, spread) = mean_and_spread(patch, channel);
        let (own_mean, own_spread) = mean_and_spread(own, channel);
        // A flat patch has nothing to stretch, and much stretching shows its noise.
        let stretch = (own_spread / spread.max(1.0)).clamp(0.5, 2.0);
        for level in patch.iter_mut().skip(channel).step_by(3) {
            let value = f64::from(*level);
            let near = own_mean + stretch * (value - mean);
            *level = (value + colour * (near - value) + 0.5).clamp(0.0, 255.0) as u8;
        }
    }
}

fn mean_and_spread(packed: &[u8], channel: usize) -> (f64, f64) {
    let (mut sum, mut squares, mut count) = (0_u64, 0_u64, 0_u64);
    for &level in packed.iter().skip(channel).step_by(3) {
        sum += u64::from(level);
        squares += u64::from(level).pow(2);
        count += 1;
    }
    let count = count.max(1) as f64;
    let mean = sum as f64 / count;
    (mean, (squares as f64 / count - mean * mean).max(0.0).sqrt())
}
