//! `graphics_overlay`: rendered graphics over the frames of the span, at one place or drifting: a
//! shaded ball, or a panel with rows of signs. Pixels without noise, optics or a codec's past.

use fvc_media::Frame;

use super::paste::Paste;
use super::{Forgery, Material, Recipe, Region, drift, local};
use crate::AugmentError;
use crate::random::Random;

const NAME: &str = "graphics_overlay";

pub(super) const RECIPE: Recipe = Recipe::local(
    NAME,
    "a rendered ball, or a panel with signs, laid over it, at one place or drifting",
    |values, random, extent| drift::place(NAME, values, random, extent),
    apply,
);

/// Samples a side of each pixel.
const SAMPLES: u32 = 4;

fn apply(forgery: &Forgery, material: &Material<'_>) -> Result<Vec<Frame>, AugmentError> {
    let region = local::recorded(forgery, material.frames)?;
    let colour = [forgery.value("red")?, forgery.value("green")?, forgery.value("blue")?];
    let opacity = forgery.value("opacity")?;
    let mut random = Random::for_part(forgery.seed, 0);
    let signs: Vec<u64> = (0..64).map(|_| random.bits()).collect();
    let rows = 1 + random.below(3) as u32;
    let panel = forgery.value("panel")? > 0.5;
    let mut weights = Vec::new();
    let mut patch = Vec::new();
    for y in 0..region.height {
        for x in 0..region.width {
            let (cover, levels) = samples(|sample_x, sample_y| {
                let (across, down) = (f64::from(x) + sample_x, f64::from(y) + sample_y);
                if panel {
                    Some(sign(region, rows, &signs, across, down, colour))
                } else {
                    ball(region, across, down, colour)
                }
            });
            weights.push((256.0 * opacity * cover).round() as u16);
            patch.extend(levels.map(|level| (level + 0.5).clamp(0.0, 255.0) as u8));
        }
    }
    let paste = Paste::with(weights);
    local::edit(forgery, material.frames, paste, |_, _, _| Ok(patch.clone()))
}

/// How much of a pixel is covered, and the mean colour of what covers it.
fn samples(colour: impl Fn(f64, f64) -> Option<[f64; 3]>) -> (f64, [f64; 3]) {
    let mut covered = 0.0;
    let mut sum = [0.0; 3];
    for at in 0..SAMPLES * SAMPLES {
        let middle = |step: u32| (f64::from(step) + 0.5) / f64::from(SAMPLES);
        if let Some(colour) = colour(middle(at % SAMPLES), middle(at / SAMPLES)) {
            covered += 1.0;
            for (sum, level) in sum.iter_mut().zip(colour) {
                *sum += level;
            }
        }
    }
    (covered / f64::from(SAMPLES * SAMPLES), sum.map(|sum| sum / f64::max(covered, 1.0)))
}

/// A ball in the ellipse of the region, lit from the upper left (Lambert's cosine law, with a
/// third of the light from everywhere).
fn ball(region: Region, x: f64, y: f64, colour: [f64; 3]) -> Option<[f64; 3]> {
    let across = 2.0 * x / f64::from(region.width) - 1.0;
    let down = 2.0 * y / f64::from(region.height) - 1.0;
    let towards = 1.0 - across * across - down * down;
    (towards > 0.0).then(|| {
        let lit = -0.5 * across - 0.5 * down + std::f64::consts::FRAC_1_SQRT_2 * towards.sqrt();
        colour.map(|level| level * (1.0 / 3.0 + 2.0 / 3.0 * lit.max(0.0)))
    })
}

/// A panel of one colour with rows of signs in the other one: each a grid of three by five dots,
/// as the bits say, in a cell of four by seven.
fn sign(region: Region, rows: u32, signs: &[u64], x: f64, y: f64, colour: [f64; 3]) -> [f64; 3] {
    let dot = f64::from(region.height) / f64::from(7 * rows);
    let (column, line) = ((x / dot) as u64, (y / dot) as u64);
    let (cell_x, cell_y) = (column % 4, line % 7);
    let cell = column / 4 + 16 * (line / 7);
    let bits = signs[cell as usize % signs.len()];
    let ink = (1..4).contains(&cell_x)
        && (1..6).contains(&cell_y)
        && bits >> (3 * (cell_y - 1) + cell_x - 1) & 1 == 1;
    if ink {
        colour.map(|level| if level < 128.0 { level + 127.0 } else { level - 127.0 })
    } else {
        colour
    }
}
