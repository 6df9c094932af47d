//! `local_warp`: a region bent in every frame of the span, as faces and figures are reshaped: its
//! middle blown up, drawn in, or pushed aside. Nothing moves on the border of the ellipse in it.
//!
//! A point at the radius r (1 on the border) moves by the strength times (1 - r^2)^2 times the half
//! sides: at the strongest the slope of that is 0.62, so that nothing folds.

use fvc_media::Frame;

use super::paste::{Paste, radius};
use super::sampling::colour_at;
use super::{Forgery, Material, Recipe, Region, local};
use crate::AugmentError;

const NAME: &str = "local_warp";

pub(super) const RECIPE: Recipe = Recipe::local(
    NAME,
    "a region bent: its middle blown up, drawn in or pushed aside",
    |values, random, extent| local::place(NAME, values, random, extent),
    apply,
);

fn apply(forgery: &Forgery, material: &Material<'_>) -> Result<Vec<Frame>, AugmentError> {
    let region = local::recorded(forgery, material.frames)?;
    let (way, strength) = (forgery.value("way")? as u32, forgery.value("strength")?);
    let push = [forgery.value("push_x")?, forgery.value("push_y")?];
    let inside = |x: u32, y: u32| if radius(region, x, y) < 1.0 { 256 } else { 0 };
    let weights =
        (0..region.height).flat_map(|y| (0..region.width).map(move |x| inside(x, y))).collect();
    local::edit(forgery, material.frames, Paste::with(weights), |frame, at, _| {
        Ok(bent(frame, at, way, strength, push))
    })
}

fn bent(frame: &Frame, region: Region, way: u32, strength: f64, push: [f64; 2]) -> Vec<u8> {
    let (half_x, half_y) = (f64::from(region.width) / 2.0, f64::from(region.height) / 2.0);
    let mut patch = Vec::with_capacity(3 * region.width as usize * region.height as usize);
    for y in 0..region.height {
        for x in 0..region.width {
            let square = radius(region, x, y).powi(2);
            let rest = (1.0 - square).max(0.0);
            let size = strength * rest * rest;
            let (across, down) = (f64::from(x) + 0.5 - half_x, f64::from(y) + 0.5 - half_y);
            let (from_x, from_y) = match way {
                0 => (across * (1.0 - size), down * (1.0 - size)),
                1 => (across * (1.0 + size), down * (1.0 + size)),
                _ => (across - size * push[0] * half_x, down - size * push[1] * half_y),
            };
            let (left, top) = (f64::from(region.x) - 0.5, f64::from(region.y) - 0.5);
            patch.extend(colour_at(frame, left + half_x + from_x, top + half_y + from_y));
        }
    }
    patch
}
