//! The 3x3 filters of one frame (high-pass, Laplacian, Sobel) and their sums, in one go per row.

use crate::moments::Moments;

/// Pixels handled at once: small enough for the first-level cache, and for the sums of squares
/// of a strip to fit 32 bits (1024 · 2040² < 2³²).
const STRIP: usize = 1024;
/// Running sums that the gradient magnitude is added into; fixed, because the order in which
/// floats are added is part of the result.
const LANES: usize = 16;

/// Sums over the filters' outputs of all pixels so far, and the scratch rows to make them.
#[derive(Debug)]
pub(crate) struct Stencils {
    pixels: u64,
    noise_squares: u64,
    noise_fourths: u128,
    laplacian_sum: i64,
    laplacian_squares: u64,
    gradient_sum: f64,
    gradient_squares: u64,
    scratch: Box<Scratch>,
}

#[derive(Debug)]
struct Scratch {
    /// Above + 2 · here + below, per column.
    smooth: [i16; STRIP + 2],
    /// Below − above, per column.
    slope: [i16; STRIP + 2],
    noise: [i16; STRIP],
    laplacian: [i16; STRIP],
    across: [i16; STRIP],
    down: [i16; STRIP],
    squares: [u32; STRIP],
    magnitude: [f32; STRIP],
}

impl Stencils {
    pub(crate) fn new() -> Self {
        Self {
            pixels: 0,
            noise_squares: 0,
            noise_fourths: 0,
            laplacian_sum: 0,
            laplacian_squares: 0,
            gradient_sum: 0.0,
            gradient_squares: 0,
            scratch: Box::new(Scratch {
                smooth: [0; STRIP + 2],
                slope: [0; STRIP + 2],
                noise: [0; STRIP],
                laplacian: [0; STRIP],
                across: [0; STRIP],
                down: [0; STRIP],
                squares: [0; STRIP],
                magnitude: [0.0; STRIP],
            }),
        }
    }

    /// Forgets the sums, keeps the scratch.
    pub(crate) fn clear(&mut self) {
        self.pixels = 0;
        self.noise_squares = 0;
        self.noise_fourths = 0;
        self.laplacian_sum = 0;
        self.laplacian_squares = 0;
        self.gradient_sum = 0.0;
        self.gradient_squares = 0;
    }

    /// Adds one row; all three rows come with one mirrored pixel on each side.
    pub(crate) fn add_row(&mut self, above: &[u8], here: &[u8], below: &[u8]) {
        let width = here.len() - 2;
        let mut start = 0;
        while start < width {
            let pixels = STRIP.min(width - start);
            let reach = start..start + pixels + 2;
            self.add_strip(&above[reach.clone()], &here[reach.clone()], &below[reach]);
            start += pixels;
        }
    }

    fn add_strip(&mut self, above: &[u8], here: &[u8], below: &[u8]) {
        let wide = here.len();
        let pixels = wide - 2;
        let scratch = &mut *self.scratch;
        columns(above, here, below, &mut scratch.smooth[..wide], &mut scratch.slope[..wide]);
        filters(
            here,
            &scratch.smooth[..wide],
            &scratch.slope[..wide],
            &mut scratch.noise[..pixels],
            &mut scratch.laplacian[..pixels],
            &mut scratch.across[..pixels],
            &mut scratch.down[..pixels],
        );
        self.pixels += pixels as u64;
        self.noise_squares +=
            u64::from(square(&scratch.noise[..pixels], &mut scratch.squares[..pixels]));
        self.noise_fourths += u128::from(sum_of_squares(&scratch.squares[..pixels]));
        let (sum, squares) = sum_and_squares(&scratch.laplacian[..pixels]);
        self.laplacian_sum += i64::from(sum);
        self.laplacian_squares += u64::from(squares);
        self.gradient_squares += u64::from(magnitudes(
            &scratch.across[..pixels],
            &scratch.down[..pixels],
            &mut scratch.magnitude[..pixels],
        ));
        self.gradient_sum += lane_sum(&scratch.magnitude[..pixels]);
    }

    /// Mean and spread of the squared high-pass residue, in grey levels squared.
    pub(crate) fn noise(&self) -> Moments {
        Moments {
            count: self.pixels,
            sum: i128::from(self.noise_squares),
            squares: self.noise_fourths as i128,
        }
    }

    pub(crate) fn laplacian(&self) -> Moments {
        Moments {
            count: self.pixels,
            sum: i128::from(self.laplacian_sum),
            squares: i128::from(self.laplacian_squares),
        }
    }

    /// Mean and population standard deviation of the gradient magnitude.
    pub(crate) fn gradient(&self) -> (f64, f64) {
        let count = self.pixels as f64;
        let mean = self.gradient_sum / count;
        // The square's sum is exact, the mean rounded: on a constant slope the difference may
        // come out a hair below zero.
        let variance = (self.gradient_squares as f64 / count - mean * mean).max(0.0);
        (mean, variance.sqrt())
    }
}

/// The vertical half of the separable filters. All slices have one length.
fn columns(above: &[u8], here: &[u8], below: &[u8], smooth: &mut [i16], slope: &mut [i16]) {
    let wide = here.len();
    let (above, below) = (&above[..wide], &below[..wide]);
    let (smooth, slope) = (&mut smooth[..wide], &mut slope[..wide]);
    for x in 0..wide {
        let (a, b, c) = (i16::from(above[x]), i16::from(here[x]), i16::from(below[x]));
        smooth[x] = a.wrapping_add(c).wrapping_add(b.wrapping_add(b));
        slope[x] = c.wrapping_sub(a);
    }
}

/// The horizontal half. The inputs reach one pixel further on both sides than the outputs;
/// nothing leaves the range of `i16` (the largest, 9 · 255 and 8 · 255, are near 2000).
fn filters(
    here: &[u8],
    smooth: &[i16],
    slope: &[i16],
    noise: &mut [i16],
    laplacian: &mut [i16],
    across: &mut [i16],
    down: &mut [i16],
) {
    let pixels = noise.len();
    let (left, mid, right) = (&here[..pixels], &here[1..=pixels], &here[2..pixels + 2]);
    let (smooth_left, smooth_mid, smooth_right) =
        (&smooth[..pixels], &smooth[1..=pixels], &smooth[2..pixels + 2]);
    let (slope_left, slope_mid, slope_right) =
        (&slope[..pixels], &slope[1..=pixels], &slope[2..pixels + 2]);
    let laplacian = &mut laplacian[..pixels];
    let across = &mut across[..pixels];
    let down = &mut down[..pixels];
    for x in 0..pixels {
        let (l, m, r) = (i16::from(left[x]), i16::from(mid[x]), i16::from(right[x]));
        let (sl, sm, sr) = (smooth_left[x], smooth_mid[x], smooth_right[x]);
        let sides = l.wrapping_add(r);
        let ring = sl.wrapping_add(sm).wrapping_add(sr);
        // Sum of the nine = ring − (l + m + r); high-pass = 9 m − that.
        noise[x] = sides.wrapping_add(m.wrapping_mul(10)).wrapping_sub(ring);
        laplacian[x] = sm.wrapping_add(sides).wrapping_sub(m.wrapping_mul(6));
        across[x] = sr.wrapping_sub(sl);
        let twice = slope_mid[x].wrapping_add(slope_mid[x]);
        down[x] = slope_left[x].wrapping_add(twice).wrapping_add(slope_right[x]);
    }
}

/// Squares each value and returns the sum, which fits for a strip of values up to 2040.
fn square(values: &[i16], squares: &mut [u32]) -> u32 {
    let squares = &mut squares[..values.len()];
    let mut sum = 0_u32;
    for x in 0..values.len() {
        let value = i32::from(values[x]);
        let squared = value.wrapping_mul(value) as u32;
        squares[x] = squared;
        sum = sum.wrapping_add(squared);
    }
    sum
}

fn sum_of_squares(values: &[u32]) -> u64 {
    let mut sum = 0_u64;
    for &value in values {
        sum = sum.wrapping_add(u64::from(value).wrapping_mul(u64::from(value)));
    }
    sum
}

fn sum_and_squares(values: &[i16]) -> (i32, u32) {
    let (mut sum, mut squares) = (0_i32, 0_i32);
    for &value in values {
        let value = i32::from(value);
        sum = sum.wrapping_add(value);
        squares = squares.wrapping_add(value.wrapping_mul(value));
    }
    (sum, squares as u32)
}

/// `√(across² + down²)` of each pixel, and the exact sum of what stands under the roots.
fn magnitudes(across: &[i16], down: &[i16], magnitude: &mut [f32]) -> u32 {
    let pixels = across.len();
    let down = &down[..pixels];
    let magnitude = &mut magnitude[..pixels];
    let mut sum = 0_i32;
    for x in 0..pixels {
        let (h, v) = (i32::from(across[x]), i32::from(down[x]));
        let squared = h.wrapping_mul(h).wrapping_add(v.wrapping_mul(v));
        sum = sum.wrapping_add(squared);
        // Below 2²⁴, so exact as a float, and a root is rounded correctly everywhere.
        magnitude[x] = (squared as f32).sqrt();
    }
    sum as u32
}

/// Adds floats in [`LANES`] fixed running sums, then those in order.
fn lane_sum(values: &[f32]) -> f64 {
    let mut lanes = [0.0_f32; LANES];
    let (chunks, rest) = values.as_chunks::<LANES>();
    for chunk in chunks {
        for (lane, value) in lanes.iter_mut().zip(chunk) {
            *lane += value;
        }
    }
    for (lane, value) in lanes.iter_mut().zip(rest) {
        *lane += value;
    }
    lanes.iter().map(|&lane| f64::from(lane)).sum()
}
