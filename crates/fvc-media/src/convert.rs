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

/// Fixed-point coefficients for samples of a bit depth.
struct Coefficients {
    /// Bits below the point.
    point: u32,
    luma: i32,
    red_v: i32,
    green_u: i32,
    green_v: i32,
    blue_u: i32,
    luma_zero: i32,
    chroma_zero: i32,
}

impl Coefficients {
    /// From samples of `bits` bits to values of 0 to 255. Whatever the depth, a sum of terms stays
    /// below 2^30: deeper samples have smaller coefficients.
    fn new(color: Color, bits: u32) -> Self {
        let point = 16 + (bits - 8).min(4);
        let exact = ExactCoefficients::new(color, bits);
        let fixed = |value: f64| (255.0 * value * f64::from(1_u32 << point)).round() as i32;
        Self {
            point,
            luma: fixed(exact.luma),
            red_v: fixed(exact.red_v),
            green_u: fixed(exact.green_u),
            green_v: fixed(exact.green_v),
            blue_u: fixed(exact.blue_u),
            luma_zero: exact.luma_zero,
            chroma_zero: exact.chroma_zero,
        }
    }
}

/// From samples to signals of 0 to 1 (ITU-T H.273, 8.3).
struct ExactCoefficients {
    luma: f64,
    red_v: f64,
    green_u: f64,
    green_v: f64,
    blue_u: f64,
    luma_zero: i32,
    chroma_zero: i32,
}

impl ExactCoefficients {
    fn new(color: Color, bits: u32) -> Self {
        let (red, blue) = color.matrix.weights();
        let green = 1.0 - red - blue;
        let step = f64::from(1_u32 << (bits - 8));
        let top = f64::from((1_u32 << bits) - 1);
        let (luma_span, chroma_span) =
            if color.full_range { (top, top) } else { (219.0 * step, 224.0 * step) };
        Self {
            luma: 1.0 / luma_span,
            red_v: 2.0 * (1.0 - red) / chroma_span,
            green_u: -2.0 * blue * (1.0 - blue) / green / chroma_span,
            green_v: -2.0 * red * (1.0 - red) / green / chroma_span,
            blue_u: 2.0 * (1.0 - blue) / chroma_span,
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
    if !sound || width == 0 || width.checked_mul(height)? > planes[0].data.len() {
        return None;
    }
    let mut rgb = vec![0_u8; width * height * 3];
    let mut rows = Rows::new(picture);
    if let Some(transfer) = color.hdr {
        let map = ToneMap::of(transfer);
        let exact = ExactCoefficients::new(*color, layout.bits);
        for (y, out) in rgb.chunks_exact_mut(width * 3).enumerate() {
            rows.read(y)?;
            rows.map(&exact, map, out);
        }
        return Some(rgb);
    }
    let coefficients = Coefficients::new(*color, layout.bits);
    let mut terms = ChromaTerms::new(width, layout);
    let convert_row = fastest_row();
    for (y, out) in rgb.chunks_exact_mut(width * 3).enumerate() {
        if rows.read(y)? {
            terms.fill(&coefficients, &rows.u, &rows.v);
        }
        convert_row(&rows.luma, &terms, &coefficients, out);
    }
    Some(rgb)
}

/// The samples of one row, widened.
struct Rows<'a> {
    picture: &'a YuvPicture<'a>,
    luma: Vec<u16>,
    u: Vec<u16>,
    v: Vec<u16>,
    interleaved: Vec<u16>,
}

impl<'a> Rows<'a> {
    fn new(picture: &'a YuvPicture<'a>) -> Self {
        let chroma = picture.width.div_ceil(1 << picture.layout.chroma_shift_x);
        let interleaved = if picture.layout.interleaved_chroma { 2 * chroma } else { 0 };
        Self {
            picture,
            luma: vec![0; picture.width],
            u: vec![0; chroma],
            v: vec![0; chroma],
            interleaved: vec![0; interleaved],
        }
    }

    /// Reads row `y`, and says whether its chroma is another than the last row's.
    fn read(&mut self, y: usize) -> Option<bool> {
        let YuvPicture { layout, planes, .. } = self.picture;
        read_row(layout, planes[0], y, &mut self.luma)?;
        if !y.is_multiple_of(1 << layout.chroma_shift_y) {
            return Some(false);
        }
        let y = y >> layout.chroma_shift_y;
        if layout.interleaved_chroma {
            read_row(layout, planes[1], y, &mut self.interleaved)?;
            let pairs = self.interleaved.chunks_exact(2);
            for ((u, v), pair) in self.u.iter_mut().zip(&mut self.v).zip(pairs) {
                (*u, *v) = (pair[0], pair[1]);
            }
        } else {
            read_row(layout, planes[1], y, &mut self.u)?;
            read_row(layout, planes[2], y, &mut self.v)?;
        }
        Some(true)
    }

    /// HDR pictures are rare: through tables, some pixels at a time.
    fn map(&self, exact: &ExactCoefficients, map: &ToneMap, out: &mut [u8]) {
        const AT_ONCE: usize = 64;
        let shift = self.picture.layout.chroma_shift_x;
        let centred = |sample: u16, zero: i32| f64::from(i32::from(sample) - zero);
        let mut signals = [[0.0; 3]; AT_ONCE];
        for (part, out) in out.chunks_mut(3 * AT_ONCE).enumerate() {
            let first = part * AT_ONCE;
            let signals = &mut signals[..out.len() / 3];
            for ((signal, x), &luma) in signals.iter_mut().zip(first..).zip(&self.luma[first..]) {
                let luma = centred(luma, exact.luma_zero) * exact.luma;
                let u = centred(self.u[x >> shift], exact.chroma_zero);
                let v = centred(self.v[x >> shift], exact.chroma_zero);
                *signal = [
                    luma + v * exact.red_v,
                    luma + u * exact.green_u + v * exact.green_v,
                    luma + u * exact.blue_u,
                ];
            }
            map.apply(signals, out);
        }
    }
}

fn read_row(layout: &Layout, plane: Plane<'_>, y: usize, samples: &mut [u16]) -> Option<()> {
    if layout.bits > 8 || layout.padding_bits > 0 {
        let row = row(plane, y, 2 * samples.len())?;
        // Bits above the depth would be a decoder's mistake; sums rely on there being none.
        let mask = ((1_u32 << layout.bits) - 1) as u16;
        for (sample, pair) in samples.iter_mut().zip(row.chunks_exact(2)) {
            *sample = (u16::from_le_bytes([pair[0], pair[1]]) >> layout.padding_bits) & mask;
        }
    } else {
        let row = row(plane, y, samples.len())?;
        for (sample, &byte) in samples.iter_mut().zip(row) {
            *sample = u16::from(byte);
        }
    }
    Some(())
}

/// What chroma adds to each channel along one row, in fixed point, with half a code for rounding.
struct ChromaTerms {
    shift: u32,
    /// Red, green, blue, a term for each chroma sample.
    narrow: [Vec<i32>; 3],
    /// The same for each pixel.
    wide: [Vec<i32>; 3],
}

impl ChromaTerms {
    fn new(width: usize, layout: &Layout) -> Self {
        let shift = layout.chroma_shift_x;
        let narrow = vec![0; width.div_ceil(1 << shift)];
        let wide = vec![0; width];
        Self {
            shift,
            narrow: [narrow.clone(), narrow.clone(), narrow],
            wide: [wide.clone(), wide.clone(), wide],
        }
    }

    fn fill(&mut self, coefficients: &Coefficients, u: &[u16], v: &[u16]) {
        let half = 1 << (coefficients.point - 1);
        let zero = coefficients.chroma_zero;
        let [red, green, blue] = &mut self.narrow;
        let terms = red.iter_mut().zip(green).zip(blue);
        for (((red, green), blue), (&u, &v)) in terms.zip(u.iter().zip(v)) {
            // As below: no sum leaves 32 bits.
            let (u, v) = (i32::from(u).wrapping_sub(zero), i32::from(v).wrapping_sub(zero));
            let term = |sample: i32, weight: i32| sample.wrapping_mul(weight);
            *red = term(v, coefficients.red_v).wrapping_add(half);
            *green = term(u, coefficients.green_u)
                .wrapping_add(term(v, coefficients.green_v))
                .wrapping_add(half);
            *blue = term(u, coefficients.blue_u).wrapping_add(half);
        }
        for (wide, narrow) in self.wide.iter_mut().zip(&self.narrow) {
            if self.shift == 1 {
                let (pairs, last) = wide.as_chunks_mut::<2>();
                for (pair, &term) in pairs.iter_mut().zip(narrow) {
                    *pair = [term; 2];
                }
                if let ([last], Some(&term)) = (last, narrow.last()) {
                    *last = term;
                }
                continue;
            }
            for (block, &term) in wide.chunks_mut(1 << self.shift).zip(narrow) {
                block.fill(term);
            }
        }
    }
}

/// Luma samples of a row, with the row's chroma terms, to packed RGB.
type ConvertRow = fn(&[u16], &ChromaTerms, &Coefficients, &mut [u8]);

/// The fastest way of this processor; all ways give the same bits.
#[allow(unsafe_code)] // a kernel for processors that have AVX2
fn fastest_row() -> ConvertRow {
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("avx2") {
        // SAFETY: the processor has AVX2.
        return |luma, terms, coefficients, out| unsafe {
            convert_row_avx2(luma, terms, coefficients, out);
        };
    }
    convert_row_portable
}

/// The safe code below, compiled for AVX2.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn convert_row_avx2(
    luma: &[u16],
    terms: &ChromaTerms,
    coefficients: &Coefficients,
    out: &mut [u8],
) {
    convert_row(luma, terms, coefficients, out);
}

fn convert_row_portable(
    luma: &[u16],
    terms: &ChromaTerms,
    coefficients: &Coefficients,
    out: &mut [u8],
) {
    convert_row(luma, terms, coefficients, out);
}

#[expect(clippy::inline_always, reason = "compiled anew within each of the two above")]
#[inline(always)]
fn convert_row(luma: &[u16], terms: &ChromaTerms, coefficients: &Coefficients, out: &mut [u8]) {
    let Coefficients { point, luma: weight, luma_zero, .. } = *coefficients;
    let [red, green, blue] = &terms.wide;
    let terms = red.iter().zip(green).zip(blue);
    for ((pixel, &luma), ((&red, &green), &blue)) in
        out.as_chunks_mut::<3>().0.iter_mut().zip(luma).zip(terms)
    {
        // No sum leaves 32 bits (see Coefficients): wrapping costs no check, and lanes can do it.
        let luma = i32::from(luma).wrapping_sub(luma_zero).wrapping_mul(weight);
        let code = |term: i32| luma.wrapping_add(term).wrapping_shr(point).clamp(0, 255) as u8;
        *pixel = [code(red), code(green), code(blue)];
    }
}

fn row(plane: Plane<'_>, y: usize, bytes: usize) -> Option<&[u8]> {
    let start = y.checked_mul(plane.stride)?;
    plane.data.get(start..start.checked_add(bytes)?)
}

/// Turns packed RGB clockwise by 0, 90, 180 or 270 degrees; gives the new width and height too.
#[cfg(feature = "ffmpeg")]
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

/// Mirrors packed RGB from left to right.
#[cfg(feature = "ffmpeg")]
pub(crate) fn mirror(rgb: &mut [u8], width: usize) {
    for line in rgb.chunks_exact_mut(width * 3) {
        let (pixels, _) = line.as_chunks_mut::<3>();
        pixels.reverse();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The kernel for this processor and its safe twin: the same bits, at any width.
    #[test]
    fn every_way_of_a_row_gives_the_same_bits() {
        let layout = Layout {
            chroma_shift_x: 1,
            chroma_shift_y: 0,
            interleaved_chroma: false,
            bits: 10,
            padding_bits: 0,
        };
        let color = Color { matrix: Matrix::Bt2020, full_range: false, hdr: None };
        let coefficients = Coefficients::new(color, 10);
        let draw = |salt: u32, count: usize| -> Vec<u16> {
            let hash = |at: u32| (at + salt).wrapping_mul(2_654_435_761) >> 22;
            (0..count as u32).map(|at| hash(at) as u16).collect()
        };
        for width in 1..200 {
            let mut terms = ChromaTerms::new(width, &layout);
            let chroma = width.div_ceil(2);
            terms.fill(&coefficients, &draw(7, chroma), &draw(99, chroma));
            let luma = draw(1234, width);
            let (mut own, mut twin) = (vec![0; 3 * width], vec![0; 3 * width]);
            fastest_row()(&luma, &terms, &coefficients, &mut own);
            convert_row_portable(&luma, &terms, &coefficients, &mut twin);
            assert_eq!(own, twin, "{width}");
        }
    }
}
