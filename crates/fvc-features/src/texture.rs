//! [`Texture`]: how much the picture varies once blurred by a 5x5 box.

use crate::moments::Moments;
use crate::plane::{MARGIN, Plane};

/// Pixels summed in 32 bits: 64 · (25 · 255)² < 2³².
const STRIP: usize = 64;

/// Scratch of the box filter.
#[derive(Debug, Default)]
pub(crate) struct Texture {
    columns: Vec<u16>,
}

impl Texture {
    /// Moments of the sums of the 5x5 window around each pixel (25 times the box filter's
    /// output), edges mirrored (reflect-101).
    pub(crate) fn box_sums(&mut self, plane: &Plane) -> Moments {
        let wide = plane.width() + 2 * MARGIN;
        self.columns.resize(wide, 0);
        let (mut sum, mut squares) = (0_u64, 0_u64);
        for y in 0..plane.height() {
            let row = |offset: isize| plane.mirrored_row(y as isize + offset, MARGIN);
            let rows = [row(-2), row(-1), row(0), row(1), row(2)].map(|row| &row[..wide]);
            for (x, column) in self.columns.iter_mut().enumerate() {
                *column = u16::from(rows[0][x])
                    .wrapping_add(u16::from(rows[1][x]))
                    .wrapping_add(u16::from(rows[2][x]))
                    .wrapping_add(u16::from(rows[3][x]))
                    .wrapping_add(u16::from(rows[4][x]));
            }
            let mut start = 0;
            while start < plane.width() {
                let pixels = STRIP.min(plane.width() - start);
                let strip = &self.columns[start..start + pixels + 2 * MARGIN];
                let (strip_sum, strip_squares) = window_sums(strip, pixels);
                sum += u64::from(strip_sum);
                squares += u64::from(strip_squares);
                start += pixels;
            }
        }
        Moments {
            count: (plane.width() * plane.height()) as u64,
            sum: i128::from(sum),
            squares: i128::from(squares),
        }
    }
}

fn window_sums(columns: &[u16], pixels: usize) -> (u32, u32) {
    let [a, b, c, d, e] = [0, 1, 2, 3, 4].map(|shift| &columns[shift..shift + pixels]);
    let (mut sum, mut squares) = (0_u32, 0_u32);
    for x in 0..pixels {
        let window = a[x].wrapping_add(b[x]).wrapping_add(c[x]).wrapping_add(d[x]);
        let window = i32::from(window.wrapping_add(e[x]) as i16);
        sum = sum.wrapping_add(window as u32);
        squares = squares.wrapping_add(window.wrapping_mul(window) as u32);
    }
    (sum, squares)
}
