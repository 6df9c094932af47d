//! `local_resample`: a region sampled anew in every frame of the span, with a soft border: made
//! smaller and brought back, its middle enlarged, or turned about its centre.

use fvc_clips::scale_frame_to;
use fvc_media::Frame;

use super::paste::{Paste, cut};
use super::sampling::colour_at;
use super::{Forgery, Material, Recipe, Region, local};
use crate::AugmentError;
use crate::elementary::sin_cos;

const NAME: &str = "local_resample";

pub(super) const RECIPE: Recipe = Recipe::local(
    NAME,
    "a region made smaller and brought back, enlarged or turned, with a soft border",
    |values, random, extent| local::place(NAME, values, random, extent),
    apply,
);

fn apply(forgery: &Forgery, material: &Material<'_>) -> Result<Vec<Frame>, AugmentError> {
    let region = local::recorded(forgery, material.frames)?;
    let paste = Paste::new(forgery, region)?;
    let way = forgery.value("way")? as u32;
    let (factor, turn) = (forgery.value("factor")?, forgery.value("turn")?);
    let (sine, cosine) = sin_cos(turn);
    local::edit(forgery, material.frames, paste, |frame, at, _| match way {
        0 => made_smaller(frame, at, factor),
        // Enlarging by more than half would show at a glance.
        1 => {
            let step = 1.0 / (1.0 + (factor - 1.0) / 2.0);
            Ok(through(frame, at, [step, 0.0, 0.0, step]))
        }
        _ => Ok(through(frame, at, [cosine, -sine, sine, cosine])),
    })
}

fn made_smaller(frame: &Frame, region: Region, factor: f64) -> Result<Vec<u8>, AugmentError> {
    let own = Frame::new(region.width, region.height, cut(frame, region), 0, 0.0)?;
    let less = |side: u32| ((f64::from(side) / factor).round() as u32).max(1);
    let small = scale_frame_to(&own, less(region.width), less(region.height))?;
    Ok(scale_frame_to(&small, region.width, region.height)?.into_data())
}

/// The region drawn through a matrix about its centre.
fn through(frame: &Frame, region: Region, matrix: [f64; 4]) -> Vec<u8> {
    let centre = |start: u32, side: u32| f64::from(start) + (f64::from(side) - 1.0) / 2.0;
    let (centre_x, centre_y) = (centre(region.x, region.width), centre(region.y, region.height));
    let [xx, xy, yx, yy] = matrix;
    let colour = |x: u32, y: u32| {
        let (across, down) = (f64::from(x) - centre_x, f64::from(y) - centre_y);
        let (from_x, from_y) = (xx * across + xy * down, yx * across + yy * down);
        colour_at(frame, centre_x + from_x, centre_y + from_y)
    };
    (region.y..region.y + region.height)
        .flat_map(|y| (region.x..region.x + region.width).map(move |x| (x, y)))
        .flat_map(|(x, y)| colour(x, y))
        .collect()
}
