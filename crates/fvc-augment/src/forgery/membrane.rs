//! The smooth sheet over a hole: a field that is known around it and has no Laplacian inside.

use super::Region;
use super::paste::radius;

/// A pixel of the field, by channel.
type Value = [f32; 3];

/// Sweeps over each level of the pyramid. The sheet has no fine detail but at its border: what a
/// coarser level found is nearly right, and what is left are errors of a few pixels' wavelength.
const SWEEPS: u32 = 12;

/// Sweeps over the coarsest level, of at most four pixels a side.
const COARSEST_SWEEPS: u32 = 48;

/// Which pixels of a region are to be filled: the rectangle (`shape` 0) or the ellipse in it (1),
/// less the outermost pixels, which stay and hold the sheet.
pub(super) fn hole(region: Region, shape: f64) -> Vec<bool> {
    let inside = |x: u32, y: u32| {
        let within = |at: u32, side: u32| at > 0 && at + 1 < side;
        within(x, region.width)
            && within(y, region.height)
            && (shape < 0.5 || radius(region, x, y) < 1.0)
    };
    (0..region.height).flat_map(|y| (0..region.width).map(move |x| inside(x, y))).collect()
}

/// `source` in the place of the hole, with the levels of `target` at its border: the sheet over
/// the difference of the two is added to it. That is the solution of the Poisson equation with the
/// source's gradients (Pérez, Gangnet and Blake 2003, "Poisson image editing", equation 4).
///
/// All three have `width` columns; pixels outside the hole are the target's.
pub(super) fn cloned(target: &[u8], source: &[u8], hole: &[bool], width: usize) -> Vec<u8> {
    let difference = |at: usize| f32::from(target[at]) - f32::from(source[at]);
    let mut field: Vec<Value> = (0..hole.len())
        .map(|pixel| {
            if hole[pixel] {
                [0.0; 3]
            } else {
                std::array::from_fn(|channel| difference(3 * pixel + channel))
            }
        })
        .collect();
    fill(&mut field, hole, width);
    let mut mixed = target.to_vec();
    for (pixel, value) in field.iter().enumerate().filter(|&(pixel, _)| hole[pixel]) {
        for (channel, correction) in value.iter().enumerate() {
            let at = 3 * pixel + channel;
            mixed[at] = (f32::from(source[at]) + correction + 0.5).clamp(0.0, 255.0) as u8;
        }
    }
    mixed
}

/// Fills the hole of a field with `width` columns: Gauss and Seidel's sweeps, begun from the same
/// on a field of half the size.
fn fill(field: &mut [Value], hole: &[bool], width: usize) {
    if !hole.contains(&true) {
        return;
    }
    let height = field.len() / width.max(1);
    if width.max(height) <= 4 {
        sweep(field, hole, width, COARSEST_SWEEPS);
        return;
    }
    let (half_width, half_height) = (width.div_ceil(2), height.div_ceil(2));
    let mut half = vec![[0.0_f32; 3]; half_width * half_height];
    let mut half_hole = vec![true; half.len()];
    let mut known = vec![0.0_f32; half.len()];
    let below = |pixel: usize| pixel / width / 2 * half_width + pixel % width / 2;
    for pixel in (0..field.len()).filter(|&pixel| !hole[pixel]) {
        let at = below(pixel);
        half_hole[at] = false;
        known[at] += 1.0;
        for (sum, value) in half[at].iter_mut().zip(field[pixel]) {
            *sum += value;
        }
    }
    for (value, &count) in half.iter_mut().zip(&known) {
        *value = value.map(|sum| sum / count.max(1.0));
    }
    fill(&mut half, &half_hole, half_width);
    for pixel in (0..field.len()).filter(|&pixel| hole[pixel]) {
        field[pixel] = half[below(pixel)];
    }
    sweep(field, hole, width, SWEEPS);
}

/// Sets every pixel of the hole to the mean of its neighbours, `sweeps` times.
fn sweep(field: &mut [Value], hole: &[bool], width: usize, sweeps: u32) {
    let pixels: Vec<usize> = (0..field.len()).filter(|&pixel| hole[pixel]).collect();
    for _ in 0..sweeps {
        for &pixel in &pixels {
            let column = pixel % width;
            let neighbours = [
                (column > 0).then(|| pixel - 1),
                (column + 1 < width).then(|| pixel + 1),
                pixel.checked_sub(width),
                (pixel + width < field.len()).then(|| pixel + width),
            ];
            let mut sum = [0.0_f32; 3];
            let mut count = 0.0_f32;
            for neighbour in neighbours.into_iter().flatten() {
                count += 1.0;
                for (sum, value) in sum.iter_mut().zip(field[neighbour]) {
                    *sum += value;
                }
            }
            field[pixel] = sum.map(|sum| sum / count.max(1.0));
        }
    }
}
