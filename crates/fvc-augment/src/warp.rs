//! [`Warp`]: a picture drawn anew through an affine map.
//!
//! Bilinear; what comes from outside the picture is black, also in the mixing of border pixels
//! (as OpenCV's `warpAffine` with a constant border). Positions are worked out to 2^-32 of a pixel
//! and mixed with weights of 1/256.

use fvc_media::Frame;

/// Where the pixels of a picture come from: the pixel at `p` from the centre is what lies at
/// `matrix * p + shift` from the centre.
pub(crate) struct Warp {
    /// Row by row.
    pub(crate) matrix: [f64; 4],
    /// In pixels.
    pub(crate) shift: [f64; 2],
}

/// One pixel in positions of 32 fractional bits.
const PIXEL: f64 = 4_294_967_296.0;

impl Warp {
    /// Draws `from` into a picture of the same size.
    pub(crate) fn apply(&self, from: &Frame, into: &mut Frame) {
        let (width, height) = (from.width() as usize, from.height() as usize);
        let (from, into) = (from.data(), into.data_mut());
        let (centre_x, centre_y) = ((width as f64 - 1.0) / 2.0, (height as f64 - 1.0) / 2.0);
        let [xx, xy, yx, yy] = self.matrix;
        let (origin_x, origin_y) = (centre_x + self.shift[0], centre_y + self.shift[1]);
        let fixed = |pixels: f64| (pixels * PIXEL).round() as i64;
        let (step_x, step_y) = (fixed(xx), fixed(yx));
        let stride = 3 * width;
        for (y, row) in into.chunks_exact_mut(stride).enumerate() {
            let down = y as f64 - centre_y;
            // Half a weight's step is added so that cutting bits off rounds.
            let mut at_x = fixed(origin_x - xx * centre_x + xy * down) + (1 << 23);
            let mut at_y = fixed(origin_y - yx * centre_x + yy * down) + (1 << 23);
            for pixel in row.chunks_exact_mut(3) {
                let (left, top) = (at_x >> 32, at_y >> 32);
                let (right_weight, lower_weight) =
                    ((at_x >> 24 & 0xff) as u32, (at_y >> 24 & 0xff) as u32);
                let inside =
                    left >= 0 && top >= 0 && left + 1 < width as i64 && top + 1 < height as i64;
                let mixed = if inside {
                    let corner = stride * top as usize + 3 * left as usize;
                    let (upper, lower) =
                        (&from[corner..corner + 6], &from[corner + stride..corner + stride + 6]);
                    std::array::from_fn(|c| {
                        mix(
                            [upper[c], upper[c + 3], lower[c], lower[c + 3]],
                            right_weight,
                            lower_weight,
                        )
                    })
                } else {
                    let sample = |x: i64, y: i64, c: usize| {
                        if (0..width as i64).contains(&x) && (0..height as i64).contains(&y) {
                            from[stride * y as usize + 3 * x as usize + c]
                        } else {
                            0
                        }
                    };
                    std::array::from_fn(|c| {
                        let corners = [
                            sample(left, top, c),
                            sample(left + 1, top, c),
                            sample(left, top + 1, c),
                            sample(left + 1, top + 1, c),
                        ];
                        mix(corners, right_weight, lower_weight)
                    })
                };
                let mixed: [u8; 3] = mixed;
                pixel.copy_from_slice(&mixed);
                at_x += step_x;
                at_y += step_y;
            }
        }
    }
}

/// Mixes upper left, upper right, lower left and lower right.
pub(crate) fn mix(corners: [u8; 4], right: u32, lower: u32) -> u8 {
    let [a, b, c, d] = corners.map(u32::from);
    let upper_row = a * (256 - right) + b * right;
    let lower_row = c * (256 - right) + d * right;
    ((upper_row * (256 - lower) + lower_row * lower + (1 << 15)) >> 16) as u8
}
