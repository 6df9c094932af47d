//! Decoded pictures to upright, packed, full-range 8-bit RGB.
//!
//! Rules, the same on every machine (integers, fixed order):
//! - A chroma sample covers its block of luma samples (nearest neighbour): no value is made up
//!   between two samples, so that later measurements see the codec's own chroma.
//! - Where the stream names no matrix, pictures of at least 720 lines are BT.709 and smaller ones
//!   BT.601, as players do. Where it names no range, it is limited (`tv`), except for the `yuvj`
//!   formats.
//! - More than 8 bits are rounded to 8 after the matrix, not before.
//! - PQ and HLG pictures are mapped to SDR by one curve; see [`HdrTransfer`].
//! - Pixels keep their stored shape: the sample aspect ratio is a fact, not applied.

use crate::tone_map::{HdrTransfer, ToneMap};

/// One plane of samples.
#[derive(Clone, Copy)]
pub struct Plane<'a> {
    /// The samples, row after row.
    pub data: &'a [u8],
    /// Bytes from one row to the next.
    pub stride: usize,
}

/// How the samples of a YUV picture lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Luma samples a chroma sample, across, as a power of two.
    pub chroma_shift_x: u32,
    /// The same, down.
    pub chroma_shift_y: u32,
    /// U and V in one plane, alternating.
    pub interleaved_chroma: bool,
    /// Significant bits of a sample; above 8, samples are little-endian pairs of bytes.
    pub bits: u32,
    /// Bits below the significant ones (P010 and its kin keep samples at the top).
    pub padding_bits: u32,
}

/// A YUV matrix by its luma weights.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Matrix {
    /// ITU-R BT.601 (also SMPTE 170M and BT.470BG).
    Bt601,
    /// ITU-R BT.709.
    Bt709,
    /// ITU-R BT.2020, non-constant luminance.
    Bt2020,
    /// SMPTE 240M.
    Smpte240,
    /// FCC Title 47.
    Fcc,
}

impl Matrix {
    /// Weights of red and blue in luma (Kr, Kb).
    fn weights(self) -> (f64, f64) {
        match self {
            Self::Bt601 => (0.299, 0.114),
            Self::Bt709 => (0.2126, 0.0722),
            Self::Bt2020 => (0.2627, 0.0593),
            Self::Smpte240 => (0.212, 0.087),
            Self::Fcc => (0.30, 0.11),
        }
    }
}

/// Everything that the conversion needs beside the samples.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Color {
    /// The matrix.
    pub matrix: Matrix,
    /// Whether luma and chroma use all codes (`pc`, JPEG) or keep foot and head room (`tv`).
    pub full_range: bool,
    /// An HDR transfer curve to map to SDR.
    pub hdr: Option<HdrTransfer>,
}

/// A YUV picture as the decoder holds it.
pub struct YuvPicture<'a> {
    /// Luma samples across.
    pub width: usize,
    /// Luma samples down.
    pub height: usize,
    /// How the samples lie.
    pub layout: Layout,
    /// What they mean.
    pub color: Color,
    /// Y, U, V; or Y, UV, and UV again.
    pub planes: [Plane<'a>; 3],
}

/// Fixed-point coefficients, 16 bits below the point, for samples of a bit depth.
struct Coefficients {
    luma: i64,
    red_v: i64,
    green_u: i64,
    green_v: i64,
    blue_u: i64,
    luma_zero: i64,
    chroma_zero: i64,
}

const POINT: u32 = 16;

impl Coefficients {
    /// From samples of `bits` bits to values of 0 to `white`.
    fn new(color: Color, bits: u32, white: f64) -> Self {
        let (red, blue) = color.matrix.weights();
        let green = 1.0 - red - blue;
        let step = f64::from(1_u32 << (bits - 8));
        let top = f64::from((1_u64 << bits) as u32 - 1);
        let (luma_span, chroma_span) =
            if color.full_range { (top, top) } else { (219.0 * step, 224.0 * step) };
        let fixed = |value: f64| (value * f64::from(1_u32 << POINT)).round() as i64;
        let luma = white / luma_span;
        let chroma = white / chroma_span;
        Self {
            luma: fixed(luma),
            red_v: fixed(2.0 * (1.0 - red) * chroma),
            green_u: fixed(-2.0 * blue * (1.0 - blue) / green * chroma),
            green_v: fixed(-2.0 * red * (1.0 - red) / green * chroma),
            blue_u: fixed(2.0 * (1.0 - blue) * chroma),
            luma_zero: if color.full_range { 0 } else { 16 << (bits - 8) },
            chroma_zero: 128 << (bits - 8),
        }
    }
}

/// Converts a picture to packed RGB, `3 * width * height` bytes.
///
/// The planes must hold all rows of the picture; nothing is read outside them. Returns nothing when
/// they do not, when the picture has no pixels, or when its samples are not of 8 to 16 bits.
pub fn yuv_to_rgb(picture: &YuvPicture<'_>) -> Option<Vec<u8>> {
    let YuvPicture { width, height, layout, color, planes } = picture;
    let (width, height) = (*width, *height);
    let sound = (8..=16).contains(&layout.bits)
        && layout.bits + layout.padding_bits.min(16) <= 16
        && layout.chroma_shift_x.max(layout.chroma_shift_y) <= 4;
    // Luma alone needs a byte for each pixel, which bounds what is asked for below.
    if !sound
        || width == 0
        || width.checked_mul(height)? > planes[0].data.len().max(planes[0].stride)
    {
        return None;
    }
    let wide = layout.bits > 8 || layout.padding_bits > 0;
    let bytes = if wide { 2 } else { 1 };
    let chroma_width = width.div_ceil(1 << layout.chroma_shift_x);
    let chroma_row = chroma_width * bytes * if layout.interleaved_chroma { 2 } else { 1 };
    let mut rgb = vec![0_u8; width * height * 3];
    if let Some(transfer) = color.hdr {
        return hdr_to_rgb(picture, transfer, rgb);
    }
    let coefficients = Coefficients::new(*color, layout.bits, 255.0);
    // 8-bit sums stay below 2^26, so that 32-bit lanes do; deeper samples take 64 bits.
    let mut chroma = ChromaTerms::new(width);
    let mut luma = vec![0_i32; width];
    for (y, out) in rgb.chunks_exact_mut(width * 3).enumerate() {
        if y % (1 << layout.chroma_shift_y) == 0 {
            let chroma_y = y >> layout.chroma_shift_y;
            let first = row(planes[1], chroma_y, chroma_row)?;
            let second = if layout.interleaved_chroma {
                first
            } else {
                row(planes[2], chroma_y, chroma_row)?
            };
            chroma.fill(layout, &coefficients, first, second);
        }
        let samples = row(planes[0], y, width * bytes)?;
        if wide {
            for (value, pair) in luma.iter_mut().zip(samples.chunks_exact(2)) {
                let sample = u16::from_le_bytes([pair[0], pair[1]]) >> layout.padding_bits;
                let exact = (i64::from(sample) - coefficients.luma_zero) * coefficients.luma;
                *value = exact.clamp(-(1 << 30), 1 << 30) as i32;
            }
        } else {
            let (zero, weight) = (coefficients.luma_zero as i32, coefficients.luma as i32);
            for (value, &sample) in luma.iter_mut().zip(samples) {
                *value = (i32::from(sample) - zero) * weight;
            }
        }
        chroma.apply(&luma, out);
    }
    Some(rgb)
}

/// What chroma adds to each channel along one row, in fixed point.
struct ChromaTerms {
    red: Vec<i32>,
    green: Vec<i32>,
    blue: Vec<i32>,
}

impl ChromaTerms {
    fn new(width: usize) -> Self {
        Self { red: vec![0; width], green: vec![0; width], blue: vec![0; width] }
    }

    fn fill(&mut self, layout: &Layout, coefficients: &Coefficients, first: &[u8], second: &[u8]) {
        let shift = layout.chroma_shift_x;
        let wide = layout.bits > 8 || layout.padding_bits > 0;
        let half = 1_i64 << (POINT - 1);
        for x in 0..self.red.len() {
            if x % (1 << shift) != 0 {
                (self.red[x], self.green[x], self.blue[x]) =
                    (self.red[x - 1], self.green[x - 1], self.blue[x - 1]);
                continue;
            }
            let at = x >> shift;
            let sample = |row: &[u8], at: usize| -> i64 {
                if wide {
                    i64::from(
                        u16::from_le_bytes([row[2 * at], row[2 * at + 1]]) >> layout.padding_bits,
                    )
                } else {
                    i64::from(row[at])
                }
            };
            let (u, v) = if layout.interleaved_chroma {
                (sample(first, 2 * at), sample(first, 2 * at + 1))
            } else {
                (sample(first, at), sample(second, at))
            };
            let (u, v) = (u - coefficients.chroma_zero, v - coefficients.chroma_zero);
            let bound = |value: i64| value.clamp(-(1 << 30), (1 << 30) - 1) as i32;
            self.red[x] = bound(v * coefficients.red_v + half);
            self.green[x] = bound(u * coefficients.green_u + v * coefficients.green_v + half);
            self.blue[x] = bound(u * coefficients.blue_u + half);
        }
    }

    fn apply(&self, luma: &[i32], out: &mut [u8]) {
        let terms = luma.iter().zip(&self.red).zip(&self.green).zip(&self.blue);
        for (pixel, (((&luma, &red), &green), &blue)) in out.chunks_exact_mut(3).zip(terms) {
            pixel[0] = (luma.saturating_add(red) >> POINT).clamp(0, 255) as u8;
            pixel[1] = (luma.saturating_add(green) >> POINT).clamp(0, 255) as u8;
            pixel[2] = (luma.saturating_add(blue) >> POINT).clamp(0, 255) as u8;
        }
    }
}

fn row(plane: Plane<'_>, y: usize, bytes: usize) -> Option<&[u8]> {
    let start = y.checked_mul(plane.stride)?;
    plane.data.get(start..start.checked_add(bytes)?)
}

/// HDR pictures are rare: one pixel at a time, through tables.
fn hdr_to_rgb(
    picture: &YuvPicture<'_>,
    transfer: HdrTransfer,
    mut rgb: Vec<u8>,
) -> Option<Vec<u8>> {
    let YuvPicture { width, layout, color, planes, .. } = picture;
    let width = *width;
    let wide = layout.bits > 8 || layout.padding_bits > 0;
    let bytes = if wide { 2 } else { 1 };
    let chroma_row = width.div_ceil(1 << layout.chroma_shift_x)
        * bytes
        * if layout.interleaved_chroma { 2 } else { 1 };
    let coefficients = Coefficients::new(*color, layout.bits, 1.0);
    // 1.0 of signal in 40 bits below the point would lose nothing; floats are enough for a table
    // of 4096 steps.
    let unit = f64::from(1_u32 << POINT);
    let exact = Coefficients::new(*color, layout.bits, 65536.0);
    let map = ToneMap::of(transfer);
    for (y, out) in rgb.chunks_exact_mut(width * 3).enumerate() {
        let chroma_y = y >> layout.chroma_shift_y;
        let first = row(planes[1], chroma_y, chroma_row)?;
        let second =
            if layout.interleaved_chroma { first } else { row(planes[2], chroma_y, chroma_row)? };
        let samples = row(planes[0], y, width * bytes)?;
        let sample = |row: &[u8], at: usize| -> i64 {
            if wide {
                i64::from(u16::from_le_bytes([row[2 * at], row[2 * at + 1]]) >> layout.padding_bits)
            } else {
                i64::from(row[at])
            }
        };
        for (x, pixel) in out.chunks_exact_mut(3).enumerate() {
            let at = x >> layout.chroma_shift_x;
            let (u, v) = if layout.interleaved_chroma {
                (sample(first, 2 * at), sample(first, 2 * at + 1))
            } else {
                (sample(first, at), sample(second, at))
            };
            let (u, v) = (u - coefficients.chroma_zero, v - coefficients.chroma_zero);
            let luma = (sample(samples, x) - coefficients.luma_zero) * exact.luma;
            let signal = |value: i64| value as f64 / (unit * 65536.0);
            let mapped = map.apply([
                signal(luma + v * exact.red_v),
                signal(luma + u * exact.green_u + v * exact.green_v),
                signal(luma + u * exact.blue_u),
            ]);
            pixel.copy_from_slice(&mapped);
        }
    }
    Some(rgb)
}

/// Turns packed RGB clockwise by 0, 90, 180 or 270 degrees; gives the new width and height too.
pub(crate) fn rotate(
    rgb: Vec<u8>,
    width: usize,
    height: usize,
    degrees: u16,
) -> (Vec<u8>, usize, usize) {
    match degrees {
        180 => {
            let turned = rgb.chunks_exact(3).rev().flatten().copied().collect();
            (turned, width, height)
        }
        90 | 270 => {
            let mut turned = vec![0_u8; rgb.len()];
            for (y, line) in rgb.chunks_exact(width * 3).enumerate() {
                for (x, pixel) in line.chunks_exact(3).enumerate() {
                    let (to_x, to_y) =
                        if degrees == 90 { (height - 1 - y, x) } else { (y, width - 1 - x) };
                    let to = 3 * (to_y * height + to_x);
                    turned[to..to + 3].copy_from_slice(pixel);
                }
            }
            (turned, height, width)
        }
        _ => (rgb, width, height),
    }
}
