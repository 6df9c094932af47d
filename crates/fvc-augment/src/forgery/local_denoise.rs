//! `local_denoise`: noise and fine texture taken out of a region in every frame of the span, with a
//! soft border: by the median of a square, or by the mean of those of its samples that are near
//! the middle one (the sigma filter, Lee 1983, "Digital image smoothing and the sigma filter").

use fvc_media::Frame;

use super::paste::{Paste, cut};
use super::{Forgery, Material, Recipe, Region, local};
use crate::AugmentError;

const NAME: &str = "local_denoise";

pub(super) const RECIPE: Recipe = Recipe::local(
    NAME,
    "noise and fine texture taken out of a region, with a soft border",
    |values, random, extent| local::place(NAME, values, random, extent),
    apply,
);

fn apply(forgery: &Forgery, material: &Material<'_>) -> Result<Vec<Frame>, AugmentError> {
    let region = local::recorded(forgery, material.frames)?;
    let reach = forgery.value("reach")? as usize;
    let near = (forgery.value("edges")? > 0.5).then_some(forgery.value("near")? as i32);
    let paste = Paste::new(forgery, region)?;
    local::edit(forgery, material.frames, paste, |frame, at, _| {
        Ok(smoothed(frame, at, reach, near))
    })
}

/// Squares of `2 reach + 1` samples a side, cut at the region's border.
fn smoothed(frame: &Frame, region: Region, reach: usize, near: Option<i32>) -> Vec<u8> {
    let (width, height) = (region.width as usize, region.height as usize);
    let own = cut(frame, region);
    let mut square = Vec::with_capacity((2 * reach + 1).pow(2));
    let mut smooth = Vec::with_capacity(own.len());
    for y in 0..height {
        let rows = y.saturating_sub(reach)..(y + reach + 1).min(height);
        for x in 0..width {
            let columns = x.saturating_sub(reach)..(x + reach + 1).min(width);
            for channel in 0..3 {
                square.clear();
                for row in rows.clone() {
                    let row = &own[3 * width * row..];
                    square.extend(columns.clone().map(|column| row[3 * column + channel]));
                }
                let middle = own[3 * (y * width + x) + channel];
                smooth.push(if let Some(near) = near {
                    mean_of_near(&square, middle, near)
                } else {
                    let half = square.len() / 2;
                    *square.select_nth_unstable(half).1
                });
            }
        }
    }
    smooth
}

/// The middle sample is among them: the count is never 0.
fn mean_of_near(square: &[u8], middle: u8, near: i32) -> u8 {
    let middle = i32::from(middle);
    let (sum, count) = square
        .iter()
        .map(|&level| i32::from(level))
        .filter(|level| (level - middle).abs() <= near)
        .fold((0, 0), |(sum, count), level| (sum + level, count + 1));
    ((2 * sum + count) / (2 * count).max(1)) as u8
}
