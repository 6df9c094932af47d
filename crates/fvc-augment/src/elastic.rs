//! `elastic`: every frame bent by one smooth random field (Simard, Steinkraus and Platt 2003, "Best
//! practices for convolutional neural networks applied to visual document analysis").
//!
//! Each axis has a field of its own: numbers uniform in [-1, 1), smoothed by a Gaussian and scaled to
//! the drawn spread. The field is worked out on a grid of a quarter of the Gaussian's standard
//! deviation (at least one pixel) and mixed linearly in between. It depends on the draw and on the
//! size of the picture alone: all frames of all windows bend alike. Bilinear, the border repeated.
//!
//! No fold: at the strongest, the slope of the field has a standard deviation of 0.18.

use fvc_media::{Frame, Window};

use crate::elementary::gaussian;
use crate::kind::{Occasion, Recipe};
use crate::random::Random;
use crate::warp::mix;
use crate::{AugmentError, Parameter};

pub(crate) const RECIPE: Recipe = Recipe {
    name: "elastic",
    about: "every frame bent by one smooth random field",
    parameters: &[
        Parameter {
            name: "sigma",
            unit: "shorter sides",
            low: 0.02,
            high: 0.06,
            whole: false,
            names: &[],
            meaning: "standard deviation of the Gaussian that smooths the field, at least 4 pixels",
        },
        Parameter {
            name: "strength",
            unit: "sigmas",
            low: 0.1,
            high: 0.25,
            whole: false,
            names: &[],
            meaning: "standard deviation of the displacement along each axis",
        },
    ],
    encodes: false,
    apply,
};

/// The Gaussian's standard deviation in cells of the grid.
const SPREAD: f64 = 4.0;
/// How many cells it reaches either way.
const REACH: usize = 16;

/// Where a pixel comes from: the upper left of four, and the weights of the right and lower ones
/// in 1/256.
#[derive(Clone, Copy)]
struct Place {
    corner: u32,
    right: u8,
    lower: u8,
}

fn apply(occasion: &Occasion<'_>, window: &Window) -> Result<Window, AugmentError> {
    let mut bent = window.clone();
    let Some(first) = window.frames.first() else { return Ok(bent) };
    let (width, height) = (first.width() as usize, first.height() as usize);
    let (sigma, strength) = (occasion.value("sigma")?, occasion.value("strength")?);
    let step = (sigma * width.min(height) as f64 / SPREAD).max(1.0);
    let places = places(width, height, step, strength * SPREAD * step, occasion.seed);
    for (from, into) in window.frames.iter().zip(&mut bent.frames) {
        bend(from, into, &places);
    }
    Ok(bent)
}

/// `spread` is the standard deviation of the displacement, in pixels.
fn places(width: usize, height: usize, step: f64, spread: f64, seed: u64) -> Vec<Place> {
    let cells = |side: usize| ((side - 1) as f64 / step) as usize + 2;
    let (columns, rows) = (cells(width), cells(height));
    let kernel = gaussian(SPREAD, REACH);
    let squares = kernel.iter().fold(0.0, |sum, weight| sum + weight * weight);
    // The variance of the numbers is 1/3, that of their weighted sum over both axes squares^2 / 3.
    let scale = spread * 3.0_f64.sqrt() / squares;
    let fields = [0, 1].map(|axis| {
        let mut random = Random::for_part(seed, axis);
        smooth(&mut random, columns, rows, &kernel, scale)
    });
    let mut places = Vec::with_capacity(width * height);
    for y in 0..height {
        let (row, low) = split(y, step);
        let lines = fields.each_ref().map(|field| {
            let (upper, lower) =
                (&field[columns * row..][..columns], &field[columns * (row + 1)..][..columns]);
            let mixed = upper.iter().zip(lower).map(|(upper, lower)| upper + low * (lower - upper));
            mixed.collect::<Vec<f64>>()
        });
        for x in 0..width {
            let (column, along) = split(x, step);
            let [dx, dy] = lines
                .each_ref()
                .map(|line| line[column] + along * (line[column + 1] - line[column]));
            let at = |place: usize, moved: f64, side: usize| {
                let last = 256 * (side as i64 - 1);
                (256 * place as i64 + (256.0 * moved).round() as i64).clamp(0, last) as u32
            };
            let (from_x, from_y) = (at(x, dx, width), at(y, dy, height));
            places.push(Place {
                corner: (from_y >> 8) * width as u32 + (from_x >> 8),
                right: from_x as u8,
                lower: from_y as u8,
            });
        }
    }
    places
}

/// Cell and place within it.
fn split(at: usize, step: f64) -> (usize, f64) {
    let cells = at as f64 / step;
    (cells as usize, cells - cells.floor())
}

/// One axis's field: numbers smoothed along rows, then along columns.
fn smooth(
    random: &mut Random,
    columns: usize,
    rows: usize,
    kernel: &[f64],
    scale: f64,
) -> Vec<f64> {
    let beyond = kernel.len() - 1;
    let mut lines = Vec::with_capacity(columns * (rows + beyond));
    for _ in 0..rows + beyond {
        let numbers: Vec<f64> = (0..columns + beyond).map(|_| 2.0 * random.unit() - 1.0).collect();
        lines.extend(numbers.windows(kernel.len()).map(|near| {
            near.iter().zip(kernel).fold(0.0, |sum, (number, weight)| sum + number * weight)
        }));
    }
    let mut field = vec![0.0; columns * rows];
    for (row, out) in field.chunks_exact_mut(columns).enumerate() {
        for (at, weight) in kernel.iter().enumerate() {
            for (sum, value) in out.iter_mut().zip(&lines[columns * (row + at)..]) {
                *sum += value * weight;
            }
        }
        for value in out {
            *value *= scale;
        }
    }
    field
}

fn bend(from: &Frame, into: &mut Frame, places: &[Place]) {
    let stride = 3 * from.width() as usize;
    let from = from.data();
    for (pixel, place) in into.data_mut().chunks_exact_mut(3).zip(places) {
        let corner = 3 * place.corner as usize;
        // At the last column and row the weight of what would lie beyond is 0.
        let right = if place.right > 0 { 3 } else { 0 };
        let lower = if place.lower > 0 { stride } else { 0 };
        let corners = [corner, corner + right, corner + lower, corner + lower + right];
        let corners = corners.map(|at| [from[at], from[at + 1], from[at + 2]]);
        for (channel, sample) in pixel.iter_mut().enumerate() {
            let four = corners.map(|rgb| rgb[channel]);
            *sample = mix(four, u32::from(place.right), u32::from(place.lower));
        }
    }
}
