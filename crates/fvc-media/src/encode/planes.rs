//! RGB to 4:2:0 planes by a stated matrix, in integers: the same bits on every machine.
//!
//! Source of the formulas: ITU-R BT.709-6 and BT.601-7, sections 3 and 4. Chroma samples sit
//! where H.264 puts them by default: on the left luma column, between two rows; they are the mean
//! of two rows and the (1 2 1) / 4 of three columns, the border's pixels counted again outside.

use super::settings::{ColorMatrix, ColorTags};

/// Fractional bits of the coefficients.
const BITS: u32 = 16;

/// Weights of R, G, B for one output component, and what is added, in units of 2^-16.
#[derive(Clone, Copy)]
struct Weights {
    rgb: [i32; 3],
    offset: i32,
}

impl Weights {
    fn of(rgb: [f64; 3], scale: f64, offset: i32) -> Self {
        let unit = f64::from(1 << BITS);
        let round = |weight: f64| (weight * scale * unit).round() as i32;
        let (red, blue) = (round(rgb[0]), round(rgb[2]));
        // Green takes what rounding leaves, so that grey stays grey and white stays white.
        let green = round(rgb[0] + rgb[1] + rgb[2]) - red - blue;
        Self { rgb: [red, green, blue], offset }
    }

    fn sum(&self, rgb: [i32; 3]) -> i32 {
        self.rgb[0] * rgb[0] + self.rgb[1] * rgb[1] + self.rgb[2] * rgb[2]
    }
}

/// One conversion, with its coefficients worked out.
pub(super) struct ToPlanes {
    luma: Weights,
    blue: Weights,
    red: Weights,
}

/// Where the samples of a picture go.
pub(super) struct Planes<'a> {
    pub(super) luma: &'a mut [u8],
    pub(super) luma_stride: usize,
    pub(super) blue: &'a mut [u8],
    pub(super) blue_stride: usize,
    pub(super) red: &'a mut [u8],
    pub(super) red_stride: usize,
}

impl ToPlanes {
    pub(super) fn new(color: ColorTags) -> Self {
        let (kr, kb) = match color.matrix {
            ColorMatrix::Bt709 => (0.2126, 0.0722),
            ColorMatrix::Bt601 => (0.299, 0.114),
        };
        let kg = 1.0 - kr - kb;
        let (luma, chroma, black) =
            if color.full_range { (1.0, 1.0, 0) } else { (219.0 / 255.0, 224.0 / 255.0, 16) };
        let (to_blue, to_red) = (0.5 / (1.0 - kb), 0.5 / (1.0 - kr));
        Self {
            luma: Weights::of([kr, kg, kb], luma, black),
            blue: Weights::of([-kr * to_blue, -kg * to_blue, 0.5], chroma, 128),
            red: Weights::of([0.5, -kg * to_red, -kb * to_red], chroma, 128),
        }
    }

    /// Converts the top left `width` x `height` pixels (both even) of packed RGB rows of `stride`
    /// bytes.
    pub(super) fn convert(
        &self,
        rgb: &[u8],
        stride: usize,
        width: usize,
        height: usize,
        planes: &mut Planes<'_>,
    ) {
        for (row, out) in
            rgb.chunks(stride).zip(planes.luma.chunks_mut(planes.luma_stride)).take(height)
        {
            for (pixel, out) in row.chunks_exact(3).zip(&mut out[..width]) {
                let sum = self.luma.sum([pixel[0].into(), pixel[1].into(), pixel[2].into()]);
                *out = settle(sum, self.luma.offset, BITS);
            }
        }
        let pairs = rgb.chunks(2 * stride).take(height / 2);
        let blue = planes.blue.chunks_mut(planes.blue_stride);
        let red = planes.red.chunks_mut(planes.red_stride);
        for ((pair, blue), red) in pairs.zip(blue).zip(red) {
            let column = |x: usize| {
                let (upper, lower) = (3 * x, stride + 3 * x);
                [0, 1, 2].map(|c| i32::from(pair[upper + c]) + i32::from(pair[lower + c]))
            };
            let mut left = column(0);
            for (at, (blue, red)) in
                blue[..width / 2].iter_mut().zip(&mut red[..width / 2]).enumerate()
            {
                let (centre, right) = (column(2 * at), column(2 * at + 1));
                let sum = [0, 1, 2].map(|c| left[c] + 2 * centre[c] + right[c]);
                // Eight pixels' worth in the sum: three bits more.
                *blue = settle(self.blue.sum(sum), self.blue.offset, BITS + 3);
                *red = settle(self.red.sum(sum), self.red.offset, BITS + 3);
                left = right;
            }
        }
    }
}

/// Rounds to the nearest level, halves up.
fn settle(sum: i32, offset: i32, bits: u32) -> u8 {
    (((sum + (1 << (bits - 1))) >> bits) + offset).clamp(0, 255) as u8
}
