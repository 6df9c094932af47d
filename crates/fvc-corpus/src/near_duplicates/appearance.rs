//! Whether two samples show the same picture, however it was cropped, captioned or toned.

use crate::fingerprint::{CELLS, FINGERPRINT_SIDE};

const SIDE: usize = FINGERPRINT_SIDE;

/// Half the side of the surroundings that a cell is compared with.
const REACH: usize = 2;

/// Levels below which a deviation from the surroundings is noise.
const NOISE_LEVELS: f32 = 3.0;

/// Of the 4 x 4 blocks of a picture, so many may differ at will: a caption, a logo.
const BLOCKS_LEFT_OUT: usize = 4;

/// What must be left of a picture's deviation without those blocks.
const SHARE_KEPT: f32 = 0.3;

/// Mean over 5 x 5 cells, the border's cells repeated beyond it.
fn surroundings(cells: &[f32; CELLS]) -> [f32; CELLS] {
    let clamped = |at: usize, step: usize| (at + step).saturating_sub(REACH).min(SIDE - 1);
    let mut rows = [0.0; CELLS];
    for (at, sum) in rows.iter_mut().enumerate() {
        let (y, x) = (at / SIDE, at % SIDE);
        *sum = (0..=2 * REACH).map(|step| cells[SIDE * y + clamped(x, step)]).sum();
    }
    let mut means = [0.0; CELLS];
    for (at, mean) in means.iter_mut().enumerate() {
        let (y, x) = (at / SIDE, at % SIDE);
        let sum: f32 = (0..=2 * REACH).map(|step| rows[SIDE * clamped(y, step) + x]).sum();
        *mean = sum / ((2 * REACH + 1) * (2 * REACH + 1)) as f32;
    }
    means
}

/// By how many levels each cell deviates from its surroundings.
pub(crate) fn local_deviation(cells: &[f32; CELLS]) -> [f32; CELLS] {
    let means = surroundings(cells);
    let mut deviation = *cells;
    for (cell, mean) in deviation.iter_mut().zip(means) {
        *cell -= mean;
    }
    deviation
}

/// A picture with its local brightness and contrast divided out.
#[derive(Clone, Debug)]
pub(crate) struct Appearance {
    /// Of unit length as a whole.
    cells: [f32; CELLS],
    /// Sum of squares of each of the 4 x 4 blocks.
    squares: [f32; 16],
}

/// Correlations of the local contrast of two pictures, up to 1; strangers are around 0.2.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Similarity {
    /// Without the four blocks in which the pictures differ most: a caption in one of them.
    pub(crate) whole: f32,
    /// Without the four that agree most besides: the same caption on two pictures is no evidence.
    pub(crate) spread: f32,
}

fn block_of(at: usize) -> usize {
    4 * (at / SIDE / 4) + at % SIDE / 4
}

impl Appearance {
    pub(crate) fn of(levels: &[f32; CELLS]) -> Self {
        let mut cells = local_deviation(levels);
        let squared = cells.map(|level| level * level);
        let contrast = surroundings(&squared);
        for (cell, square) in cells.iter_mut().zip(contrast) {
            *cell /= (square + NOISE_LEVELS * NOISE_LEVELS).sqrt();
        }
        let length = cells.iter().map(|cell| cell * cell).sum::<f32>().sqrt().max(1e-3);
        let mut squares = [0.0; 16];
        for (at, cell) in cells.iter_mut().enumerate() {
            *cell /= length;
            squares[block_of(at)] += *cell * *cell;
        }
        Self { cells, squares }
    }

    /// How far two pictures are the same; `whole` and `spread` are -1 where too little is left to say.
    pub(crate) fn similarity(&self, other: &Self) -> Similarity {
        let mut products = [0.0_f32; 16];
        for (at, (left, right)) in self.cells.iter().zip(&other.cells).enumerate() {
            products[block_of(at)] += left * right;
        }
        let mut order: [usize; 16] = std::array::from_fn(|block| block);
        let difference =
            |block: usize| self.squares[block] + other.squares[block] - 2.0 * products[block];
        order.sort_by(|&left, &right| {
            difference(left).total_cmp(&difference(right)).then(left.cmp(&right))
        });
        let correlation = |blocks: &[usize], least: f32| -> f32 {
            let (mut own, mut others, mut product) = (0.0, 0.0, 0.0);
            for &block in blocks {
                own += self.squares[block];
                others += other.squares[block];
                product += products[block];
            }
            if own < least || others < least { -1.0 } else { product / (own * others).sqrt() }
        };
        let kept = &mut order[..16 - BLOCKS_LEFT_OUT];
        let whole = correlation(kept, SHARE_KEPT);
        kept.sort_by(|&left, &right| {
            products[right].total_cmp(&products[left]).then(left.cmp(&right))
        });
        Similarity { whole, spread: correlation(&kept[BLOCKS_LEFT_OUT..], SHARE_KEPT / 6.0) }
    }
}

/// How one picture may be a part of another.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Crop {
    /// Shares of width and height that are cut off.
    pub(crate) left: f32,
    pub(crate) top: f32,
    pub(crate) right: f32,
    pub(crate) bottom: f32,
}

impl Crop {
    /// Every border whole, or cut by a twentieth or a tenth.
    pub(crate) fn all() -> Vec<Self> {
        const SHARES: [f32; 3] = [0.0, 0.05, 0.1];
        let mut crops = Vec::with_capacity(81);
        for left in SHARES {
            for top in SHARES {
                for right in SHARES {
                    crops.extend(SHARES.map(|bottom| Self { left, top, right, bottom }));
                }
            }
        }
        crops
    }

    /// Crops of which one is near to any.
    pub(crate) fn coarse() -> [Self; 5] {
        let crop = |left, top, right, bottom| Self { left, top, right, bottom };
        [
            crop(0.0, 0.0, 0.0, 0.0),
            crop(0.05, 0.05, 0.05, 0.05),
            crop(0.1, 0.1, 0.1, 0.1),
            crop(0.0, 0.05, 0.1, 0.05),
            crop(0.1, 0.05, 0.0, 0.05),
        ]
    }

    /// The part of a picture that is left, enlarged to all cells.
    pub(crate) fn of(self, cells: &[f32; CELLS]) -> [f32; CELLS] {
        let side = SIDE as f32;
        let places = |before: f32, after: f32| -> [(usize, f32); SIDE] {
            std::array::from_fn(|at| {
                let share = before + (1.0 - before - after) * (at as f32 + 0.5) / side;
                let place = (share * side - 0.5).clamp(0.0, side - 1.0);
                let cell = (place as usize).min(SIDE - 2);
                (cell, place - cell as f32)
            })
        };
        let (across, down) = (places(self.left, self.right), places(self.top, self.bottom));
        let mut wide = [0.0; CELLS];
        for (line, wide) in cells.chunks_exact(SIDE).zip(wide.chunks_exact_mut(SIDE)) {
            for (to, (cell, part)) in wide.iter_mut().zip(across) {
                *to = line[cell] + part * (line[cell + 1] - line[cell]);
            }
        }
        let mut cropped = [0.0; CELLS];
        for ((cell, part), line) in down.into_iter().zip(cropped.chunks_exact_mut(SIDE)) {
            for (x, to) in line.iter_mut().enumerate() {
                let (above, below) = (wide[SIDE * cell + x], wide[SIDE * (cell + 1) + x]);
                *to = above + part * (below - above);
            }
        }
        cropped
    }
}
