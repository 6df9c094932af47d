//! [`Canny`]: edge pixels, equal to OpenCV's `Canny(grey, 50, 150)`.

use crate::plane::Plane;

/// Gradient (|dx| + |dy|) above which a pixel can belong to an edge.
const LOW: u16 = 50;
/// Gradient above which it is one.
const HIGH: u16 = 150;
/// tan 22.5° in 15-bit fixed point; tan 67.5° is that plus two.
const TAN_22: i32 = 13573;

const NOTHING: u8 = 0;
const CANDIDATE: u8 = 1;
const EDGE: u8 = 2;

/// Scratch of the edge detector: J. Canny, "A computational approach to edge detection", 1986,
/// in OpenCV's integer form (aperture 3, L1 gradient, edges repeated outwards).
#[derive(Debug, Default)]
pub(crate) struct Canny {
    /// Above + 2 · here + below, and below − above, with one repeated pixel each side.
    smooth: Vec<i16>,
    slope: Vec<i16>,
    across: Vec<i16>,
    down: Vec<i16>,
    /// |dx| + |dy| with a border of zeros.
    strength: Vec<u16>,
    /// NOTHING, CANDIDATE or EDGE, with the same border.
    marks: Vec<u8>,
    waiting: Vec<usize>,
}

impl Canny {
    /// How many pixels of the picture are edges.
    pub(crate) fn edge_pixels(&mut self, plane: &Plane) -> u64 {
        let (width, height) = (plane.width(), plane.height());
        let stride = width + 2;
        self.smooth.resize(stride, 0);
        self.slope.resize(stride, 0);
        self.across.resize(width * height, 0);
        self.down.resize(width * height, 0);
        self.strength.clear();
        self.strength.resize(stride * (height + 2), 0);
        self.marks.clear();
        self.marks.resize(stride * (height + 2), NOTHING);
        self.waiting.clear();
        for y in 0..height {
            self.gradient_row(plane, y);
        }
        for y in 0..height {
            self.thin_row(y, width);
        }
        self.follow(stride);
        self.marks.iter().map(|&mark| u64::from(mark == EDGE)).sum()
    }

    /// Sobel of one row.
    fn gradient_row(&mut self, plane: &Plane, y: usize) {
        let (width, height) = (plane.width(), plane.height());
        let above = plane.row(y.saturating_sub(1));
        let here = plane.row(y);
        let below = plane.row((y + 1).min(height - 1));
        for x in 0..width {
            let (a, b, c) = (i16::from(above[x]), i16::from(here[x]), i16::from(below[x]));
            self.smooth[x + 1] = a + 2 * b + c;
            self.slope[x + 1] = c - a;
        }
        for row in [&mut self.smooth, &mut self.slope] {
            row[0] = row[1];
            row[width + 1] = row[width];
        }
        let across = &mut self.across[y * width..(y + 1) * width];
        let down = &mut self.down[y * width..(y + 1) * width];
        let start = (y + 1) * (width + 2) + 1;
        let strength = &mut self.strength[start..start + width];
        for x in 0..width {
            let h = self.smooth[x + 2] - self.smooth[x];
            let v = self.slope[x] + 2 * self.slope[x + 1] + self.slope[x + 2];
            across[x] = h;
            down[x] = v;
            strength[x] = h.unsigned_abs() + v.unsigned_abs();
        }
    }

    /// Non-maximum suppression along the gradient's direction, rounded to one of four.
    fn thin_row(&mut self, y: usize, width: usize) {
        let stride = width + 2;
        for x in 0..width {
            let at = (y + 1) * stride + x + 1;
            let strength = self.strength[at];
            if strength <= LOW {
                continue;
            }
            let (h, v) =
                (i32::from(self.across[y * width + x]), i32::from(self.down[y * width + x]));
            let steep = v.abs() << 15;
            let tan_22 = h.abs() * TAN_22;
            let tan_67 = tan_22 + (h.abs() << 16);
            // Of two equal neighbours one must win: the asymmetry is OpenCV's.
            let peak = if steep < tan_22 {
                strength > self.strength[at - 1] && strength >= self.strength[at + 1]
            } else if steep > tan_67 {
                strength > self.strength[at - stride] && strength >= self.strength[at + stride]
            } else if (h ^ v) < 0 {
                strength > self.strength[at - stride + 1]
                    && strength > self.strength[at + stride - 1]
            } else {
                strength > self.strength[at - stride - 1]
                    && strength > self.strength[at + stride + 1]
            };
            if peak && strength > HIGH {
                self.marks[at] = EDGE;
                self.waiting.push(at);
            } else if peak {
                self.marks[at] = CANDIDATE;
            }
        }
    }

    /// Hysteresis: candidates that touch an edge (eight neighbours) become edges.
    fn follow(&mut self, stride: usize) {
        while let Some(at) = self.waiting.pop() {
            let neighbours = [
                at - stride - 1,
                at - stride,
                at - stride + 1,
                at - 1,
                at + 1,
                at + stride - 1,
                at + stride,
                at + stride + 1,
            ];
            for next in neighbours {
                if self.marks[next] == CANDIDATE {
                    self.marks[next] = EDGE;
                    self.waiting.push(next);
                }
            }
        }
    }
}
