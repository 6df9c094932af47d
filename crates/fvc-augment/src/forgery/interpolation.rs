//! Pictures between two frames.

use fvc_media::Frame;

/// Sides of the blocks whose motion is looked for, in pixels.
const BLOCK: usize = 16;

/// Sides of the squares whose means are compared first.
const COARSE: usize = 4;

/// How far is searched either way: among the means of squares, and then among pixels around what
/// was found there.
const COARSE_REACH: i64 = 6;
const FINE_REACH: i64 = 3;

/// Where the blocks of a picture half way between two frames come from.
pub(super) struct Motion {
    /// Pixels right and down from the earlier to the later frame, by block, row by row.
    vectors: Vec<[i64; 2]>,
    columns: usize,
}

/// One number a pixel.
struct Plane {
    width: usize,
    height: usize,
    data: Vec<u32>,
}

impl Plane {
    /// Sum of the channels, green twice.
    fn luma(frame: &Frame) -> Self {
        let data = frame.data().chunks_exact(3);
        let sum =
            |pixel: &[u8]| u32::from(pixel[0]) + 2 * u32::from(pixel[1]) + u32::from(pixel[2]);
        Self {
            width: frame.width() as usize,
            height: frame.height() as usize,
            data: data.map(sum).collect(),
        }
    }

    /// Means of squares of [`COARSE`] pixels a side; at the right and lower borders of what is left.
    fn coarse(&self) -> Self {
        let (width, height) = (self.width.div_ceil(COARSE), self.height.div_ceil(COARSE));
        let mean = |x: usize, y: usize| {
            let rows = COARSE * y..(COARSE * (y + 1)).min(self.height);
            let columns = COARSE * x..(COARSE * (x + 1)).min(self.width);
            let count = (rows.len() * columns.len()).max(1) as u32;
            let sum: u32 = rows
                .map(|row| self.data[self.width * row..][columns.clone()].iter().sum::<u32>())
                .sum();
            sum / count
        };
        let data = (0..height).flat_map(|y| (0..width).map(move |x| (x, y)));
        let data = data.map(|(x, y)| mean(x, y)).collect();
        Self { width, height, data }
    }

    /// The border is repeated.
    fn at(&self, x: i64, y: i64) -> u32 {
        let x = x.clamp(0, self.width as i64 - 1) as usize;
        let y = y.clamp(0, self.height as i64 - 1) as usize;
        self.data[self.width * y + x]
    }
}

impl Motion {
    /// None at all: pictures are mixed as they are.
    pub(super) fn none() -> Self {
        Self { vectors: vec![[0, 0]], columns: 1 }
    }

    /// Motion of blocks of 16 pixels a side, up to 27 pixels either way, by the least sum of
    /// absolute differences between what lies half of it back in the one frame and half of it on
    /// in the other. Frames of one size.
    pub(super) fn between(earlier: &Frame, later: &Frame) -> Self {
        let fine = [Plane::luma(earlier), Plane::luma(later)];
        let coarse = [fine[0].coarse(), fine[1].coarse()];
        let (columns, rows) = (fine[0].width.div_ceil(BLOCK), fine[0].height.div_ceil(BLOCK));
        let mut vectors = Vec::with_capacity(columns * rows);
        for row in 0..rows as i64 {
            for column in 0..columns as i64 {
                let cells = (BLOCK / COARSE) as i64;
                let rough =
                    search(&coarse, [column * cells, row * cells], cells, [0, 0], COARSE_REACH);
                let rough = rough.map(|step| COARSE as i64 * step);
                let side = BLOCK as i64;
                let corner = [column * side, row * side];
                vectors.push(search(&fine, corner, side, rough, FINE_REACH));
            }
        }
        Self { vectors, columns }
    }

    /// The motion at a pixel, mixed between the blocks around it.
    fn at(&self, x: usize, y: usize) -> [i64; 2] {
        if self.vectors.len() == 1 {
            return self.vectors[0];
        }
        let rows = self.vectors.len() / self.columns;
        // From the middle of the first block, in 1/32 of a block.
        let split = |at: usize, count: usize| {
            let place = (2 * at + 1).saturating_sub(BLOCK);
            let block = (place / (2 * BLOCK)).min(count - 1);
            (block, (block + 1).min(count - 1), (place % (2 * BLOCK)) as i64)
        };
        let (left, right, across) = split(x, self.columns);
        let (upper, lower, down) = split(y, rows);
        let whole = 2 * BLOCK as i64;
        let vector = |column: usize, row: usize| self.vectors[self.columns * row + column];
        std::array::from_fn(|axis| {
            let mix = |row: usize| {
                vector(left, row)[axis] * (whole - across) + vector(right, row)[axis] * across
            };
            let sum = mix(upper) * (whole - down) + mix(lower) * down;
            (sum + whole * whole / 2).div_euclid(whole * whole)
        })
    }
}

/// The best vector within `reach` of `around`, the one nearest to it where several are as good.
fn search(
    planes: &[Plane; 2],
    [left, top]: [i64; 2],
    side: i64,
    around: [i64; 2],
    reach: i64,
) -> [i64; 2] {
    let [earlier, later] = planes;
    let cost = |[across, down]: [i64; 2], best: u64| {
        // Half of it back and the rest of it on.
        let (back_x, back_y) = (across.div_euclid(2), down.div_euclid(2));
        let mut sum = 0_u64;
        for y in top..top + side {
            for x in left..left + side {
                let before = earlier.at(x - back_x, y - back_y);
                let after = later.at(x + across - back_x, y + down - back_y);
                sum += u64::from(before.abs_diff(after));
            }
            if sum > best {
                break;
            }
        }
        sum
    };
    let mut best = (cost(around, u64::MAX), around);
    for ring in 1..=reach {
        for y in -ring..=ring {
            for x in -ring..=ring {
                if x.abs().max(y.abs()) != ring {
                    continue;
                }
                let vector = [around[0] + x, around[1] + y];
                let found = cost(vector, best.0);
                if found < best.0 {
                    best = (found, vector);
                }
            }
        }
    }
    best.1
}

/// The picture `share` / 256 of the way from the one frame to the other, which are of one size.
pub(super) fn mixed(earlier: &Frame, later: &Frame, share: u32, motion: &Motion) -> Frame {
    let (width, height) = (earlier.width() as usize, earlier.height() as usize);
    let mut between = earlier.clone();
    let pixel = |frame: &Frame, x: i64, y: i64| {
        let x = x.clamp(0, width as i64 - 1) as usize;
        let y = y.clamp(0, height as i64 - 1) as usize;
        let at = 3 * (y * width + x);
        [frame.data()[at], frame.data()[at + 1], frame.data()[at + 2]]
    };
    for (at, into) in between.data_mut().chunks_exact_mut(3).enumerate() {
        let (x, y) = (at % width, at / width);
        let [across, down] = motion.at(x, y);
        let back = |way: i64| (way * i64::from(share) + 128).div_euclid(256);
        let (back_x, back_y) = (back(across), back(down));
        let (x, y) = (x as i64, y as i64);
        let before = pixel(earlier, x - back_x, y - back_y);
        let after = pixel(later, x + across - back_x, y + down - back_y);
        for ((level, before), after) in into.iter_mut().zip(before).zip(after) {
            let sum = u32::from(before) * (256 - share) + u32::from(after) * share;
            *level = ((sum + 128) >> 8) as u8;
        }
    }
    between
}
