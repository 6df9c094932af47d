//! `local_blur`: a region smoothed by a Gaussian in every frame of the span, with a soft border.

use fvc_media::Frame;

use super::paste::{Paste, cut};
use super::{Forgery, Material, Recipe, Region, local};
use crate::AugmentError;
use crate::elementary::gaussian;

const NAME: &str = "local_blur";

pub(super) const RECIPE: Recipe = Recipe::local(
    NAME,
    "a region smoothed by a Gaussian, with a soft border",
    |values, random, extent| local::place(NAME, values, random, extent),
    apply,
);

fn apply(forgery: &Forgery, material: &Material<'_>) -> Result<Vec<Frame>, AugmentError> {
    let region = local::recorded(forgery, material.frames)?;
    let sigma = forgery.value("sigma")?;
    let kernel = gaussian(sigma, (3.0 * sigma).ceil() as usize);
    let paste = Paste::new(forgery, region)?;
    local::edit(forgery, material.frames, paste, |frame, at, _| Ok(blurred(frame, at, &kernel)))
}

/// Along columns, then along rows; beyond its border the region's last pixels are repeated.
fn blurred(frame: &Frame, region: Region, kernel: &[f64]) -> Vec<u8> {
    let (width, height) = (region.width as usize, region.height as usize);
    let own = cut(frame, region);
    let reach = kernel.len() / 2;
    let near =
        |at: usize, step: usize, side: usize| (at + step).saturating_sub(reach).min(side - 1);
    let mut along = vec![0.0_f64; own.len()];
    for (y, row) in along.chunks_exact_mut(3 * width).enumerate() {
        for (step, weight) in kernel.iter().enumerate() {
            let from = &own[3 * width * near(y, step, height)..];
            for (sum, &level) in row.iter_mut().zip(from) {
                *sum += weight * f64::from(level);
            }
        }
    }
    let mut blurred = Vec::with_capacity(own.len());
    for row in along.chunks_exact(3 * width) {
        for x in 0..width {
            for channel in 0..3 {
                let sum = kernel.iter().enumerate().fold(0.0, |sum, (step, weight)| {
                    sum + weight * row[3 * near(x, step, width) + channel]
                });
                blurred.push((sum + 0.5) as u8);
            }
        }
    }
    blurred
}
