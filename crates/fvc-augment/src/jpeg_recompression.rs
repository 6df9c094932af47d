//! `jpeg_recompression`: every frame as if it had been stored as a JPEG (baseline, 4:2:0) and read
//! again.
//!
//! Everything that JPEG loses it loses in the transform, before the entropy coder, so the picture is
//! taken through just that (ITU-T T.81, JFIF): BT.601 full-range colours, chroma at half the size, an
//! 8x8 DCT, quantisation by the tables of T.81's annex K scaled by the quality as the IJG's library
//! does, and all of it back, chroma by the triangle filter. In whole numbers, so that the bits are
//! the same on every machine, which no codec with vector code of its own promises.

use fvc_media::{Frame, Window};

use crate::kind::{Occasion, Recipe};
use crate::{AugmentError, Parameter};

pub(crate) const RECIPE: Recipe = Recipe {
    name: "jpeg_recompression",
    about: "every frame as if stored as a JPEG and read again",
    parameters: &[Parameter {
        name: "quality",
        unit: "",
        low: 30.0,
        high: 95.0,
        whole: true,
        names: &[],
        meaning: "the IJG's quality: the lower, the worse the picture",
    }],
    encodes: false,
    apply,
};

/// Steps of luma, T.81 table K.1, row by row.
const LUMA: [u32; 64] = [
    16, 11, 10, 16, 24, 40, 51, 61, //
    12, 12, 14, 19, 26, 58, 60, 55, //
    14, 13, 16, 24, 40, 57, 69, 56, //
    14, 17, 22, 29, 51, 87, 80, 62, //
    18, 22, 37, 56, 68, 109, 103, 77, //
    24, 35, 55, 64, 81, 104, 113, 92, //
    49, 64, 78, 87, 103, 121, 120, 101, //
    72, 92, 95, 98, 112, 100, 103, 99,
];

/// Steps of chroma, T.81 table K.2: this corner, and 99 elsewhere.
const CHROMA: [[u32; 4]; 4] =
    [[17, 18, 24, 47], [18, 21, 26, 66], [24, 26, 56, 99], [47, 66, 99, 99]];

/// The DCT's weights times the root of 8 (so that rows 0 and 4 are exact: ties are common there):
/// row u holds `C(u) * sqrt(2) * cos((2 x + 1) u pi / 16)` in steps of 2^-13.
const BASIS: [[i32; 8]; 8] = basis();

const fn basis() -> [[i32; 8]; 8] {
    // 2^13 sqrt(2) cos(k pi / 16); the first and the last do not occur.
    const COSINES: [i32; 9] = [11_585, 11_363, 10_703, 9_633, 8_192, 6_436, 4_433, 2_260, 0];
    let mut rows = [[8_192; 8]; 8];
    let mut u = 1;
    while u < 8 {
        let mut x = 0;
        while x < 8 {
            let turn = (2 * x + 1) * u % 32;
            let turn = if turn > 16 { 32 - turn } else { turn };
            rows[u][x] = if turn > 8 { -COSINES[16 - turn] } else { COSINES[turn] };
            x += 1;
        }
        u += 1;
    }
    rows
}

fn apply(occasion: &Occasion<'_>, window: &Window) -> Result<Window, AugmentError> {
    let quality = occasion.value("quality")? as u32;
    let percent = if quality < 50 { 5000 / quality } else { 200 - 2 * quality };
    let scaled = |step: u32| ((step * percent + 50) / 100).clamp(1, 255) as i32;
    let luma = LUMA.map(scaled);
    let chroma = std::array::from_fn(|at| {
        let row = CHROMA.get(at / 8);
        scaled(row.and_then(|row| row.get(at % 8)).copied().unwrap_or(99))
    });
    let mut stored = window.clone();
    for frame in &mut stored.frames {
        recompress(frame, &luma, &chroma);
    }
    Ok(stored)
}

/// One component, its sides filled up to whole blocks.
struct Plane {
    stride: usize,
    data: Vec<u8>,
}

impl Plane {
    fn new(width: usize, height: usize) -> Self {
        let [stride, rows] = [width, height].map(|side| side.next_multiple_of(8));
        Self { stride, data: vec![0; stride * rows] }
    }

    /// Quantises every block and brings it back.
    fn quantise(&mut self, steps: &[i32; 64]) {
        let stride = self.stride;
        for band in self.data.chunks_exact_mut(8 * stride) {
            for left in (0..stride).step_by(8) {
                let mut block = [[0; 8]; 8];
                for (row, line) in block.iter_mut().zip(band.chunks_exact(stride)) {
                    for (value, &level) in row.iter_mut().zip(&line[left..left + 8]) {
                        *value = i32::from(level) - 128;
                    }
                }
                quantise(&mut block, steps);
                for (row, line) in block.iter().zip(band.chunks_exact_mut(stride)) {
                    for (&value, level) in row.iter().zip(&mut line[left..left + 8]) {
                        *level = (value + 128).clamp(0, 255) as u8;
                    }
                }
            }
        }
    }
}

/// The sums cannot leave 32 bits. A block's coefficients have a Euclidean norm of at most 1024, and
/// of 2048 after quantisation; with the root of 8 of each axis, steps of 2^-4 there and of 2^-3 back,
/// and the weights' 2^13, that is 2^30. They are written as wrapping ones because a check on each
/// would keep the loops from being vectorised.
fn quantise(block: &mut [[i32; 8]; 8], steps: &[i32; 64]) {
    // Along rows to steps of 2^-4, transposed; along columns, transposed back: coefficients times
    // 8 in steps of 2^-17.
    let half = forward(block).map(|row| row.map(|sum| sum.wrapping_add(1 << 8) >> 9));
    let coefficients = forward(&half);
    for ((row, sums), steps) in block.iter_mut().zip(&coefficients).zip(steps.chunks_exact(8)) {
        for ((value, &sum), &step) in row.iter_mut().zip(sums).zip(steps) {
            // To steps of 1/8 first, as the IJG's library does; then halves go away from 0.
            let eighths = (sum.wrapping_add(1 << 16) >> 17).abs();
            let count = (eighths + 4 * step) / (8 * step);
            *value = count * step * sum.signum();
        }
    }
    let half = backward(block).map(|row| row.map(|sum| sum.wrapping_add(1 << 9) >> 10));
    *block = backward(&half).map(|row| row.map(|sum| sum.wrapping_add(1 << 18) >> 19));
}

/// The DCT of each row, as a column.
fn forward(block: &[[i32; 8]; 8]) -> [[i32; 8]; 8] {
    let mut out = [[0; 8]; 8];
    for (y, row) in block.iter().enumerate() {
        // Even rows of the basis are symmetric, odd ones antisymmetric.
        let sums: [i32; 4] = std::array::from_fn(|x| row[x].wrapping_add(row[7 - x]));
        let differences: [i32; 4] = std::array::from_fn(|x| row[x].wrapping_sub(row[7 - x]));
        for (u, basis) in BASIS.iter().enumerate() {
            let halves = if u % 2 == 0 { &sums } else { &differences };
            out[u][y] =
                (0..4).fold(0_i32, |sum, x| sum.wrapping_add(basis[x].wrapping_mul(halves[x])));
        }
    }
    out
}

/// The inverse DCT of each row, as a column.
fn backward(block: &[[i32; 8]; 8]) -> [[i32; 8]; 8] {
    let mut out = [[0; 8]; 8];
    for (y, row) in block.iter().enumerate() {
        for x in 0..4 {
            let part = |first: usize| {
                (first..8)
                    .step_by(2)
                    .fold(0_i32, |sum, u| sum.wrapping_add(BASIS[u][x].wrapping_mul(row[u])))
            };
            let (even, odd) = (part(0), part(1));
            out[x][y] = even.wrapping_add(odd);
            out[7 - x][y] = even.wrapping_sub(odd);
        }
    }
    out
}

fn recompress(frame: &mut Frame, luma_steps: &[i32; 64], chroma_steps: &[i32; 64]) {
    let (width, height) = (frame.width() as usize, frame.height() as usize);
    let (half_width, half_height) = (width.div_ceil(2), height.div_ceil(2));
    let mut luma = Plane::new(width, height);
    let mut chroma = [(); 2].map(|()| Plane::new(half_width, half_height));
    to_planes(frame.data(), width, height, &mut luma, &mut chroma);
    luma.quantise(luma_steps);
    for plane in &mut chroma {
        plane.quantise(chroma_steps);
    }
    let stride = 3 * width;
    let mut lines = [(); 2].map(|()| vec![0_u8; width]);
    for (y, out) in frame.data_mut().chunks_exact_mut(stride).enumerate() {
        // The chroma row that the row lies in, and the one on its other side.
        let near = y / 2;
        let far = if y % 2 == 0 { near.saturating_sub(1) } else { (near + 1).min(half_height - 1) };
        for (line, plane) in lines.iter_mut().zip(&chroma) {
            let row = |at: usize| &plane.data[plane.stride * at..][..half_width];
            enlarge(row(near), row(far), line);
        }
        let levels = &luma.data[luma.stride * y..][..width];
        let [blues, reds] = &lines;
        for (((pixel, &level), &blue), &red) in
            out.chunks_exact_mut(3).zip(levels).zip(blues).zip(reds)
        {
            let (level, blue, red) =
                (i32::from(level), i32::from(blue) - 128, i32::from(red) - 128);
            let rgb = [
                level + ((91_881 * red + 32_768) >> 16),
                level + ((-22_554 * blue - 46_802 * red + 32_768) >> 16),
                level + ((116_130 * blue + 32_768) >> 16),
            ];
            for (sample, value) in pixel.iter_mut().zip(rgb) {
                *sample = value.clamp(0, 255) as u8;
            }
        }
    }
}

/// Luma, and chroma as means of two by two pixels; the last column and row stand for what lies
/// beyond them.
fn to_planes(rgb: &[u8], width: usize, height: usize, luma: &mut Plane, chroma: &mut [Plane; 2]) {
    let stride = 3 * width;
    let row = |y: usize| &rgb[stride * y.min(height - 1)..][..stride];
    for (y, out) in luma.data.chunks_exact_mut(luma.stride).enumerate() {
        for (level, pixel) in out.iter_mut().zip(row(y).chunks_exact(3)) {
            let [red, green, blue] = [pixel[0], pixel[1], pixel[2]].map(i32::from);
            *level = ((19_595 * red + 38_470 * green + 7_471 * blue + 32_768) >> 16) as u8;
        }
        let last = out[width - 1];
        out[width..].fill(last);
    }
    // Half of the offset keeps 0.5 from being rounded up to the level that does not exist.
    let offset = (128 << 16) + 32_767;
    for (plane, weights) in
        chroma.iter_mut().zip([[-11_059, -21_709, 32_768], [32_768, -27_439, -5_329]])
    {
        for (y, out) in plane.data.chunks_exact_mut(plane.stride).enumerate() {
            let rows = [row(2 * y), row(2 * y + 1)];
            for (x, level) in out.iter_mut().enumerate() {
                let mut sum = 0;
                for row in rows {
                    for column in [2 * x, 2 * x + 1] {
                        let at = 3 * column.min(width - 1);
                        let pixel = [row[at], row[at + 1], row[at + 2]];
                        let parts = pixel.iter().zip(weights);
                        let value = parts.fold(offset, |sum, (&part, weight): (_, i32)| {
                            sum + weight * i32::from(part)
                        });
                        sum += value >> 16;
                    }
                }
                // Halves go down in even columns and up in odd ones, so that they cancel out.
                *level = ((sum + 1 + (x % 2) as i32) >> 2) as u8;
            }
        }
    }
}

/// A row of chroma at full width, three quarters of it from the near and one from the far row, and
/// the same again along the row.
fn enlarge(near: &[u8], far: &[u8], line: &mut [u8]) {
    let sum = |at: usize| 3 * u32::from(near[at]) + u32::from(far[at]);
    for (x, level) in line.iter_mut().enumerate() {
        let own = x / 2;
        let (beside, rounding) = if x % 2 == 0 {
            (own.saturating_sub(1), 8)
        } else {
            ((own + 1).min(near.len() - 1), 7)
        };
        *level = ((3 * sum(own) + sum(beside) + rounding) >> 4) as u8;
    }
}
