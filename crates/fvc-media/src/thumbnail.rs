//! [`Thumbnail`]: a frame reduced to what survives a re-encode, for finding copies of footage.

use crate::Frame;

/// Cells a side of a [`Thumbnail`].
pub const THUMBNAIL_SIDE: usize = 64;

/// Thumbnails a second at most, at the first frame of each eighth of a second.
pub const THUMBNAIL_RATE: f64 = 8.0;

/// Version of the numbers in a [`Thumbnail`].
pub const THUMBNAIL_VERSION: u32 = 1;

/// A frame's luma, upright, squashed to 64 x 64 cells.
///
/// Each cell is the exact mean over its share of the picture's area, rounded; 0 is black and 255
/// white, whichever range the stream has. The aspect ratio is given up, so that a stretched copy has
/// the same cells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Thumbnail {
    /// Milliseconds from the first shown frame.
    pub milliseconds: u32,
    /// `THUMBNAIL_SIDE` rows of as many cells, from the top left.
    pub cells: Vec<u8>,
}

impl Thumbnail {
    /// The thumbnail of a decoded picture, by the luma of BT.601.
    pub fn of_frame(frame: &Frame) -> Self {
        let width = frame.width() as usize;
        let rgb = frame.data();
        let cells = squash(width, frame.height() as usize, |y, line| {
            let start = 3 * width * y;
            for (luma, pixel) in line.iter_mut().zip(rgb[start..].chunks_exact(3)) {
                let [red, green, blue] = [pixel[0], pixel[1], pixel[2]].map(u32::from);
                *luma = ((77 * red + 150 * green + 29 * blue + 128) >> 8) as u16;
            }
        });
        let cells = cells.into_iter().map(|mean| mean.round() as u8).collect();
        Self { milliseconds: to_milliseconds(frame.time), cells }
    }
}

pub(crate) fn to_milliseconds(seconds: f64) -> u32 {
    // Saturates: beyond 49 days, and not a number is 0.
    (seconds * 1000.0).round() as u32
}

/// Area means of a plane of `width` x `height` samples, of which `fill` writes a row at a time, over
/// 64 x 64 cells. The overlap of a row (or column) with a cell is a whole number of 64ths, so that
/// nothing is rounded before the end.
pub(crate) fn squash(
    width: usize,
    height: usize,
    mut fill: impl FnMut(usize, &mut [u16]),
) -> Vec<f64> {
    const SIDE: usize = THUMBNAIL_SIDE;
    let mut line = vec![0_u16; width];
    let mut columns = vec![0_u32; width];
    let mut cells = Vec::with_capacity(SIDE * SIDE);
    let area = (width * height) as f64;
    let mut filled = usize::MAX;
    for row in 0..SIDE {
        columns.fill(0);
        let (top, bottom) = (row * height, (row + 1) * height);
        for y in top / SIDE..bottom.div_ceil(SIDE) {
            let weight = (bottom.min(SIDE * (y + 1)) - top.max(SIDE * y)) as u32;
            // A row on the border of two cells is wanted twice.
            if filled != y {
                fill(y, &mut line);
                filled = y;
            }
            for (sum, &sample) in columns.iter_mut().zip(&line) {
                *sum += u32::from(sample) * weight;
            }
        }
        for column in 0..SIDE {
            let (left, right) = (column * width, (column + 1) * width);
            let sum: u64 = (left / SIDE..right.div_ceil(SIDE))
                .map(|x| {
                    let weight = right.min(SIDE * (x + 1)) - left.max(SIDE * x);
                    u64::from(columns[x]) * weight as u64
                })
                .sum();
            cells.push(sum as f64 / area);
        }
    }
    cells
}

/// Mirrors cells from left to right, then turns them clockwise by `rotation` degrees.
#[cfg(feature = "ffmpeg")]
pub(crate) fn turn_upright(cells: Vec<u8>, mirrored: bool, rotation: u16) -> Vec<u8> {
    const SIDE: usize = THUMBNAIL_SIDE;
    if !mirrored && !matches!(rotation, 90 | 180 | 270) {
        return cells;
    }
    let last = SIDE - 1;
    let mut turned = Vec::with_capacity(cells.len());
    for y in 0..SIDE {
        for x in 0..SIDE {
            let (from_y, from_x) = match rotation {
                90 => (last - x, y),
                180 => (last - y, last - x),
                270 => (x, last - y),
                _ => (y, x),
            };
            turned.push(cells[SIDE * from_y + if mirrored { last - from_x } else { from_x }]);
        }
    }
    turned
}

#[cfg(all(test, feature = "ffmpeg"))]
mod tests {
    use super::*;

    /// The same turns as the picture converter makes of whole pictures.
    #[test]
    fn cells_turn_as_pictures_do() {
        let cells: Vec<u8> =
            (0..4096_u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        for (mirrored, degrees) in
            [(false, 0), (true, 0), (false, 90), (true, 90), (false, 180), (true, 270)]
        {
            let mut rgb: Vec<u8> = cells.iter().flat_map(|&cell| [cell; 3]).collect();
            if mirrored {
                crate::convert::mirror(&mut rgb, THUMBNAIL_SIDE);
            }
            let (rgb, _, _) = crate::convert::rotate(rgb, THUMBNAIL_SIDE, THUMBNAIL_SIDE, degrees);
            let expected: Vec<u8> = rgb.chunks_exact(3).map(|pixel| pixel[0]).collect();
            assert_eq!(
                turn_upright(cells.clone(), mirrored, degrees),
                expected,
                "{mirrored} {degrees}"
            );
        }
    }

    /// A gradient's mean over any cells is the gradient at their middle, at sizes that 64 does not divide.
    #[test]
    fn cells_are_area_means_at_any_size() {
        for (width, height) in [(64, 64), (100, 77), (1280, 720), (37, 640), (1, 1)] {
            let cells = squash(width, height, |y, line| {
                for (x, sample) in line.iter_mut().enumerate() {
                    *sample = (2 * x + y) as u16;
                }
            });
            let total: f64 = cells.iter().sum::<f64>() / 4096.0;
            let expected = (width - 1) as f64 + (height - 1) as f64 / 2.0;
            assert!((total - expected).abs() < 1e-6, "{width}x{height}: {total} for {expected}");
        }
    }
}
