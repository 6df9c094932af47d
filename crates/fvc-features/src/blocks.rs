//! Statistics of the 8x8 DCT of all blocks, without a transform.
//!
//! The transform is orthonormal and linear, so every number wanted is an exact sum of pixels:
//! the DC of a block is its sum / 8; the energy of its AC coefficients is that of its pixels less
//! DC² (Parseval); and the sum of all coefficients is `Σ s(y) s(x) p(y, x)` with
//! `s(x) = Σ_u c(u) cos((2x + 1) u π / 16)`, for which the sums of the pixels at each of the 64
//! positions within a block are enough.

use crate::moments::Moments;

/// Side of a block in pixels.
const SIDE: usize = 8;
/// Blocks after which the 16-bit position sums are carried over (257 · 255 < 2¹⁶).
const CARRY: usize = 128;

/// `s(x)`, the sum of the orthonormal DCT-II basis functions at position x.
const BASIS_SUM: [f64; SIDE] = [
    2.6418459874954885,
    -0.7205861616413063,
    0.5712704935406212,
    -0.20107249080372036,
    0.3087230883004384,
    -0.030074393394423693,
    0.17939006149510983,
    0.07893053975398229,
];

/// Sums over the blocks of a frame, padded right and below by repeating its edge.
#[derive(Debug, Default)]
pub(crate) struct Blocks {
    blocks: u64,
    /// Pixel sums by position in the block, row by row.
    positions: [[u64; SIDE]; SIDE],
    pixel_squares: u64,
    block_sums: u64,
    block_squares: u128,
    rows_in: usize,
    columns: Vec<u16>,
}

impl Blocks {
    /// Forgets the sums and takes on a width.
    pub(crate) fn start(&mut self, width: usize) {
        self.blocks = 0;
        self.positions = [[0; SIDE]; SIDE];
        self.pixel_squares = 0;
        self.block_sums = 0;
        self.block_squares = 0;
        self.rows_in = 0;
        self.columns.clear();
        self.columns.resize(width.next_multiple_of(SIDE), 0);
    }

    /// Adds the next row of grey levels.
    pub(crate) fn add_row(&mut self, row: &[u8]) {
        let (whole, rest) = row.as_chunks::<SIDE>();
        let (columns, _) = self.columns.as_chunks_mut::<SIDE>();
        let (columns, last) = columns.split_at_mut(whole.len());
        let position = &mut self.positions[self.rows_in];
        for (blocks, columns) in whole.chunks(CARRY).zip(columns.chunks_mut(CARRY)) {
            self.pixel_squares += u64::from(add_blocks(blocks, columns, position));
        }
        if let (Some(&edge), Some(last)) = (rest.last(), last.first_mut()) {
            let mut padded = [edge; SIDE];
            padded[..rest.len()].copy_from_slice(rest);
            let last = std::slice::from_mut(last);
            self.pixel_squares += u64::from(add_blocks(&[padded], last, position));
        }
        self.rows_in += 1;
        if self.rows_in == SIDE {
            self.close_row_of_blocks();
        }
    }

    /// Repeats the frame's last row until its lowest blocks are full.
    pub(crate) fn end(&mut self, last_row: &[u8]) {
        while self.rows_in != 0 {
            self.add_row(last_row);
        }
    }

    fn close_row_of_blocks(&mut self) {
        let (columns, _) = self.columns.as_chunks_mut::<SIDE>();
        for block in columns {
            // 64 · 255 fits the 16 bits of a column sum.
            let sum = block.iter().fold(0_u16, |sum, &column| sum.wrapping_add(column));
            let sum = u64::from(sum);
            self.blocks += 1;
            self.block_sums += sum;
            self.block_squares += u128::from(sum * sum);
            *block = [0; SIDE];
        }
        self.rows_in = 0;
    }

    /// The block sums: DC = an eighth of each.
    pub(crate) fn sums(&self) -> Moments {
        Moments {
            count: self.blocks,
            sum: i128::from(self.block_sums),
            squares: self.block_squares as i128,
        }
    }

    /// Mean of the 63 AC coefficients over all blocks.
    pub(crate) fn ac_mean(&self) -> f64 {
        // The weights add up to zero but for rounding: counting from the first position's sum
        // makes a flat picture's AC exactly zero.
        let base = self.positions[0][0] as i64;
        let mut sum = 0.0;
        for (row, row_weight) in self.positions.iter().zip(BASIS_SUM) {
            for (&pixels, weight) in row.iter().zip(BASIS_SUM) {
                sum += (row_weight * weight - 0.125) * (pixels as i64 - base) as f64;
            }
        }
        sum / (63.0 * self.blocks as f64)
    }

    /// Population standard deviation of the 63 AC coefficients over all blocks.
    pub(crate) fn ac_deviation(&self) -> f64 {
        let mean = self.ac_mean();
        // Both terms are rounded: equal ones may differ by a hair.
        (self.ac_energy() - mean * mean).max(0.0).sqrt()
    }

    /// Mean square of the 63 AC coefficients over all blocks.
    pub(crate) fn ac_energy(&self) -> f64 {
        let numerator = 64 * u128::from(self.pixel_squares) - self.block_squares;
        numerator as f64 / (64.0 * 63.0 * self.blocks as f64)
    }
}

/// Adds a row's blocks (at most [`CARRY`]) to the column and position sums; returns Σ p².
fn add_blocks(
    blocks: &[[u8; SIDE]],
    columns: &mut [[u16; SIDE]],
    position: &mut [u64; SIDE],
) -> u32 {
    let mut lanes = [0_u16; SIDE];
    for (block, column) in blocks.iter().zip(columns) {
        for x in 0..SIDE {
            let pixel = u16::from(block[x]);
            lanes[x] = lanes[x].wrapping_add(pixel);
            column[x] = column[x].wrapping_add(pixel);
        }
    }
    for (total, lane) in position.iter_mut().zip(lanes) {
        *total += u64::from(lane);
    }
    let mut squares = 0_i32;
    for &pixel in blocks.as_flattened() {
        let pixel = i32::from(i16::from(pixel));
        squares = squares.wrapping_add(pixel.wrapping_mul(pixel));
    }
    squares as u32
}
