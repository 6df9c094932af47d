//! [`scale_frame`]: pictures brought to a named size, in integers only.
//!
//! Each axis goes its own way. Down, a pixel is the mean of the stretch of the source that it covers,
//! each source pixel weighted by how much of it is covered. With `from` source pixels on `to` target
//! pixels, both divided by their greatest common divisor, pixel `i` covers `from` units from
//! `i * from` on, and a source pixel is `to` units long: the weights are integers and the mean is
//! exact. Up, it is Keys' cubic convolution with a = -1/2 (Catmull-Rom) around the pixel's centre,
//! the border repeated, its weights fractions of 2^14 that add up to 1. The two axes' sums are rounded
//! once, half up.

use fvc_media::Frame;

use crate::cubic::{CubicTaps, cubic_sum};
use crate::{ClipStoreError, Scaler, SizeSpec};

/// Version of the scaler: raised when any picture comes out with other bits.
pub const SCALER_VERSION: u32 = 2;

/// One, in the weights of cubic convolution.
const ONE: i64 = 1 << 14;
/// Reduced sides of the fast path are below this: 255 times one fits 32 bits, and their product is
/// what [`Mean`] can divide by.
const MAX_FAST: usize = 1 << 20;
/// Most full rows whose sum fits 16 bits.
const ROWS_IN_16_BITS: usize = 257;

/// The exact mean over each pixel's area down, Catmull-Rom up: [`scale_frame`] as a [`Scaler`].
pub(crate) struct AreaCubic;

impl Scaler for AreaCubic {
    fn name(&self) -> &'static str {
        "area_cubic"
    }

    fn about(&self) -> &'static str {
        "the mean over each pixel's area down, Catmull-Rom up"
    }

    fn version(&self) -> String {
        SCALER_VERSION.to_string()
    }

    fn scale(&self, frame: &Frame, size: SizeSpec) -> Result<Frame, ClipStoreError> {
        scale_frame(frame, size)
    }
}

/// Scales a picture to its named size, without any bars: the exact mean over each pixel's area down,
/// Catmull-Rom up.
///
/// All of it is integers, so that the bits are the same on every machine.
///
/// # Errors
/// The scaled picture is none: its sides and its bytes do not fit together.
pub fn scale_frame(frame: &Frame, spec: SizeSpec) -> Result<Frame, ClipStoreError> {
    let (width, height) = spec.picture(frame.width(), frame.height());
    scale_frame_to(frame, width, height)
}

/// Scales a picture to any size, whatever becomes of its aspect: a side at a time as
/// [`scale_frame`] does it.
///
/// # Errors
/// A side is 0.
pub fn scale_frame_to(frame: &Frame, width: u32, height: u32) -> Result<Frame, ClipStoreError> {
    let (from, to) = ((frame.width(), frame.height()), (width, height));
    if width == 0 || height == 0 {
        return Err(ClipStoreError::Scale {
            from: format!("{}x{}", from.0, from.1),
            to: format!("{width}x{height}"),
            found: "expected sides of at least 1 pixel".to_owned(),
        });
    }
    if to == from {
        return Ok(frame.clone());
    }
    let size = |(width, height): (u32, u32)| (width as usize, height as usize);
    let pixels = resample(frame.data(), size(from), size(to));
    Frame::new(to.0, to.1, pixels, frame.index, frame.time).map_err(|error| ClipStoreError::Scale {
        from: format!("{}x{}", from.0, from.1),
        to: format!("{}x{}", to.0, to.1),
        found: error.to_string(),
    })
}

/// Packed RGB of another size.
fn resample(source: &[u8], from: (usize, usize), to: (usize, usize)) -> Vec<u8> {
    let shrinks = to.0 <= from.0 && to.1 <= from.1;
    let (columns, rows) = (Area::new(from.0, to.0), Area::new(from.1, to.1));
    if shrinks && columns.from < MAX_FAST && rows.from < MAX_FAST {
        return area_mean(source, 3 * from.0, &columns, &rows, to);
    }
    if to.0 >= from.0 && to.1 >= from.1 {
        let taps = |from, to| (0..to).map(|at| cubic(from, to, at)).collect::<Vec<_>>();
        return cubic_sum(source, from.0, &taps(from.0, to.0), &taps(from.1, to.1));
    }
    weighted_sum(source, from.0, &Taps::new(from.0, to.0), &Taps::new(from.1, to.1))
}

/// One axis of the area mean, in lowest terms: `from` source pixels on `to` target pixels.
struct Area {
    from: usize,
    to: usize,
}

/// What one target pixel covers: a part of a source pixel (weight `head`, 0 for none), then whole
/// ones, `first..end`, then again a part (weight `tail`, 0 for none).
struct Span {
    head: u32,
    first: usize,
    end: usize,
    tail: u32,
}

impl Area {
    fn new(from: usize, to: usize) -> Self {
        let common = greatest_common_divisor(from, to);
        Self { from: from / common, to: to / common }
    }

    /// The span of target pixel `index`, where the axis shrinks.
    fn span(&self, index: usize) -> Span {
        let start = index * self.from;
        let stop = start + self.from;
        let into = start % self.to;
        Span {
            head: if into == 0 { 0 } else { (self.to - into) as u32 },
            first: start.div_ceil(self.to),
            end: stop / self.to,
            tail: (stop % self.to) as u32,
        }
    }
}

fn greatest_common_divisor(mut a: usize, mut b: usize) -> usize {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

/// Division by a constant, rounded half up, of sums whose quotient is at most 255.
struct Mean {
    total: u64,
    /// 2^55 / total.
    inverse: u64,
}

impl Mean {
    fn new(total: u64) -> Self {
        Self { total, inverse: (1 << 55) / total }
    }

    /// `sum` is at most 255 times the total, so that the product stays below 2^63; the total is
    /// below 2^40, so that what the inverse lacks makes the quotient too small by at most one.
    #[inline]
    fn of(&self, sum: u64) -> u8 {
        let sum = sum.wrapping_add(self.total / 2);
        let quotient = sum.wrapping_mul(self.inverse) >> 55;
        let rest = sum.wrapping_sub(quotient.wrapping_mul(self.total));
        quotient.wrapping_add(u64::from(rest >= self.total)) as u8
    }
}

/// The area mean down both axes. The sums cannot leave their types (see [`MAX_FAST`]); they are
/// written as wrapping ones because a check on each would keep the loops from being vectorised.
fn area_mean(
    source: &[u8],
    stride: usize,
    columns: &Area,
    rows: &Area,
    (width, height): (usize, usize),
) -> Vec<u8> {
    let mut target = vec![0_u8; 3 * width * height];
    let mean = Mean::new(columns.from as u64 * rows.from as u64);
    let spans: Vec<Span> = (0..width).map(|x| columns.span(x)).collect();
    let mut sums = vec![0_u32; stride];
    let mut whole = vec![0_u16; stride];
    for (y, out) in target.chunks_exact_mut(3 * width).enumerate() {
        let span = rows.span(y);
        let row = |y: usize| &source[y * stride..(y + 1) * stride];
        sums.fill(0);
        for chunk in (span.first..span.end).step_by(ROWS_IN_16_BITS) {
            whole.fill(0);
            for y in chunk..(chunk + ROWS_IN_16_BITS).min(span.end) {
                for (sum, &level) in whole.iter_mut().zip(row(y)) {
                    *sum = sum.wrapping_add(u16::from(level));
                }
            }
            add_weighted(&mut sums, &whole, rows.to as u32);
        }
        if span.head > 0 {
            add_weighted(&mut sums, row(span.first - 1), span.head);
        }
        if span.tail > 0 {
            add_weighted(&mut sums, row(span.end), span.tail);
        }
        for (span, pixel) in spans.iter().zip(out.chunks_exact_mut(3)) {
            let mut total = [0_u64; 3];
            for levels in sums[3 * span.first..3 * span.end].chunks_exact(3) {
                for (total, &level) in total.iter_mut().zip(levels) {
                    *total = total.wrapping_add(u64::from(level));
                }
            }
            for total in &mut total {
                *total = total.wrapping_mul(columns.to as u64);
            }
            for (at, weight) in [(span.first.wrapping_sub(1), span.head), (span.end, span.tail)] {
                if weight > 0 {
                    for (total, &level) in total.iter_mut().zip(&sums[3 * at..3 * at + 3]) {
                        *total = total.wrapping_add(u64::from(level).wrapping_mul(weight.into()));
                    }
                }
            }
            for (out, total) in pixel.iter_mut().zip(total) {
                *out = mean.of(total);
            }
        }
    }
    target
}

fn add_weighted<T: Copy + Into<u32>>(sums: &mut [u32], levels: &[T], weight: u32) {
    for (sum, &level) in sums.iter_mut().zip(levels) {
        *sum = sum.wrapping_add(weight.wrapping_mul(level.into()));
    }
}

/// One axis of any scaling: for each target pixel, source pixels and their weights.
struct Taps {
    pixels: Vec<Vec<(usize, i64)>>,
    /// What the weights of each target pixel add up to.
    total: i64,
}

impl Taps {
    fn new(from: usize, to: usize) -> Self {
        if to > from {
            let clamped = |at: i64| at.clamp(0, from as i64 - 1) as usize;
            let pixels = (0..to).map(|index| {
                let CubicTaps { base, weights } = cubic(from, to, index);
                let places = (base - 1..).map(clamped);
                weights.iter().zip(places).map(|(&weight, at)| (at, weight)).collect()
            });
            return Self { pixels: pixels.collect(), total: ONE };
        }
        let area = Area::new(from, to);
        let pixels = (0..to)
            .map(|index| {
                let span = area.span(index);
                let head = (span.head > 0).then(|| (span.first - 1, i64::from(span.head)));
                let tail = (span.tail > 0).then_some((span.end, i64::from(span.tail)));
                let whole = (span.first..span.end).map(|at| (at, area.to as i64));
                head.into_iter().chain(whole).chain(tail).collect()
            })
            .collect();
        Self { pixels, total: area.from as i64 }
    }
}

/// The four taps of Catmull-Rom around the centre of target pixel `index`.
fn cubic(from: usize, to: usize, index: usize) -> CubicTaps {
    // The centre, in source pixels: `place` / `unit`, which is `base` + `t` / `unit`.
    let (from, unit) = (from as i64, 2 * to as i64);
    let place = (2 * index as i64 + 1) * from - to as i64;
    let base = place.div_euclid(unit);
    let (t, d) = (i128::from(place.rem_euclid(unit)), i128::from(unit));
    let numerators = [
        -t * t * t + 2 * t * t * d - t * d * d,
        3 * t * t * t - 5 * t * t * d + 2 * d * d * d,
        -3 * t * t * t + 4 * t * t * d + t * d * d,
        t * t * t - t * t * d,
    ];
    // Rounded half up.
    let round =
        |n: i128| (2 * n * i128::from(ONE) + 2 * d * d * d).div_euclid(4 * d * d * d) as i64;
    let mut weights = numerators.map(round);
    // What rounding left over goes to the nearer of the two in the middle.
    let nearer = if 2 * t < d { 1 } else { 2 };
    weights[nearer] += ONE - weights.iter().sum::<i64>();
    CubicTaps { base, weights }
}

/// Any scaling, by its taps: the path of pictures that are smaller than their target along one axis and
/// larger along the other, and of such as are too long for the fast one.
fn weighted_sum(source: &[u8], width: usize, columns: &Taps, rows: &Taps) -> Vec<u8> {
    let mut target = Vec::with_capacity(3 * columns.pixels.len() * rows.pixels.len());
    let total = columns.total * rows.total;
    let mut sums = vec![0_i64; 3 * width];
    for taps in &rows.pixels {
        sums.fill(0);
        for &(y, weight) in taps {
            let row = &source[3 * width * y..3 * width * (y + 1)];
            for (sum, &level) in sums.iter_mut().zip(row) {
                *sum += weight * i64::from(level);
            }
        }
        for taps in &columns.pixels {
            for channel in 0..3 {
                let sum: i64 = taps.iter().map(|&(x, weight)| weight * sums[3 * x + channel]).sum();
                target.push((2 * sum + total).div_euclid(2 * total).clamp(0, 255) as u8);
            }
        }
    }
    target
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The quick way up and the sum by taps: the same bits, also where levels jump from black to white
    /// and sums leave 0 to 255 furthest.
    #[test]
    fn both_ways_up_give_the_same_bits() {
        let mut draw = 1_u32;
        let mut next = |below: u32| {
            draw = draw.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (draw >> 8) % below
        };
        for round in 0..300 {
            let from = (1 + next(40) as usize, 1 + next(40) as usize);
            let to = (from.0 + next(90) as usize, from.1 + next(90) as usize);
            let hard = round % 2 == 0;
            let source: Vec<u8> = (0..3 * from.0 * from.1)
                .map(|_| if hard { 255 * next(2) as u8 } else { next(256) as u8 })
                .collect();
            let taps = |from, to| (0..to).map(|at| cubic(from, to, at)).collect::<Vec<_>>();
            let quick = cubic_sum(&source, from.0, &taps(from.0, to.0), &taps(from.1, to.1));
            let (columns, rows) = (Taps::new(from.0, to.0), Taps::new(from.1, to.1));
            assert_eq!(quick, weighted_sum(&source, from.0, &columns, &rows), "{from:?} {to:?}");
        }
    }
}
