//! `gaussian_blur`: every frame blurred by one Gaussian, separably.
//!
//! The kernel reaches three standard deviations either way, its weights are whole numbers of 2^-15
//! that add up to 1; the picture is mirrored at its border without the border pixel itself (as
//! OpenCV's default border).

use fvc_media::Window;

use crate::elementary::gaussian;
use crate::kind::{Occasion, Recipe};
use crate::{AugmentError, Parameter};

pub(crate) const RECIPE: Recipe = Recipe {
    name: "gaussian_blur",
    about: "every frame blurred by one Gaussian",
    parameters: &[Parameter {
        name: "sigma",
        unit: "pixels",
        low: 0.5,
        high: 2.0,
        whole: false,
        names: &[],
        meaning: "standard deviation of the Gaussian",
    }],
    encodes: false,
    apply,
};

/// One, in the weights of the kernel.
const ONE: u32 = 1 << 15;

fn apply(occasion: &Occasion<'_>, window: &Window) -> Result<Window, AugmentError> {
    let sigma = occasion.value("sigma")?;
    let radius = (3.0 * sigma).ceil() as usize;
    let mut weights: Vec<u32> = gaussian(sigma, radius)
        .iter()
        .map(|weight| (weight * f64::from(ONE)).round() as u32)
        .collect();
    // What rounding left over goes to the middle, which is far larger.
    let sum: u32 = weights.iter().sum();
    weights[radius] = weights[radius] + ONE - sum;
    let mut blurred = window.clone();
    for (from, into) in window.frames.iter().zip(&mut blurred.frames) {
        let (width, height) = (from.width() as usize, from.height() as usize);
        blur(from.data(), into.data_mut(), width, height, &weights);
    }
    Ok(blurred)
}

/// The sums cannot leave their types: 255 times 2^15, then 255 * 2^8 times 2^15. They are written
/// as wrapping ones because a check on each would keep the loops from being vectorised.
fn blur(from: &[u8], into: &mut [u8], width: usize, height: usize, weights: &[u32]) {
    let (stride, radius) = (3 * width, weights.len() / 2);
    let mut sums = vec![0_u32; stride];
    // A row with what lies left and right of it, in steps of 2^-8 of a level.
    let mut row = vec![0_u16; stride + 6 * radius];
    for (y, out) in into.chunks_exact_mut(stride).enumerate() {
        sums.fill(0);
        for (at, &weight) in weights.iter().enumerate() {
            let source = stride * mirrored(y as i64 + at as i64 - radius as i64, height);
            for (sum, &level) in sums.iter_mut().zip(&from[source..source + stride]) {
                *sum = sum.wrapping_add(weight.wrapping_mul(u32::from(level)));
            }
        }
        for (level, &sum) in row[3 * radius..].iter_mut().zip(&sums) {
            *level = (sum.wrapping_add(1 << 6) >> 7) as u16;
        }
        for beyond in 1..=radius {
            let left = 3 * (radius + mirrored(-(beyond as i64), width));
            let right = 3 * (radius + mirrored((width + beyond - 1) as i64, width));
            row.copy_within(left..left + 3, 3 * (radius - beyond));
            row.copy_within(right..right + 3, 3 * (radius + width + beyond - 1));
        }
        sums.fill(0);
        for (at, &weight) in weights.iter().enumerate() {
            for (sum, &level) in sums.iter_mut().zip(&row[3 * at..3 * at + stride]) {
                *sum = sum.wrapping_add(weight.wrapping_mul(u32::from(level)));
            }
        }
        for (sample, &sum) in out.iter_mut().zip(&sums) {
            *sample = (sum.wrapping_add(1 << 22) >> 23) as u8;
        }
    }
}

/// Where a position outside of `0..length` is seen in a mirror that stands on the border pixel.
fn mirrored(at: i64, length: usize) -> usize {
    let last = length as i64 - 1;
    if last == 0 {
        return 0;
    }
    let folded = at.rem_euclid(2 * last);
    folded.min(2 * last - folded) as usize
}
