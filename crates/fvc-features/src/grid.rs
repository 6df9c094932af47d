//! Steps between neighbouring pixels, on and off the 8x8 grid.

/// Side of a coding block in pixels.
const SIDE: usize = 8;
/// Blocks after which the 16-bit sums are carried over (257 · 255 < 2¹⁶).
const CARRY: usize = 128;

/// Sums of absolute steps between neighbours across the borders of 8x8 blocks and inside them.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Grid {
    across_sum: u64,
    across_count: u64,
    inside_sum: u64,
    inside_count: u64,
}

impl Grid {
    /// Adds the steps along row `y`, and those down to the row `below` it if there is one.
    pub(crate) fn add_row(&mut self, y: usize, row: &[u8], below: Option<&[u8]>) {
        let steps = row.len() - 1;
        let by_position = steps_along(row);
        self.across_sum += by_position[SIDE - 1];
        self.inside_sum += by_position[..SIDE - 1].iter().sum::<u64>();
        self.across_count += (steps / SIDE) as u64;
        self.inside_count += (steps - steps / SIDE) as u64;
        if let Some(below) = below {
            let sum = difference(row, below);
            let (total, count) = if y % SIDE == SIDE - 1 {
                (&mut self.across_sum, &mut self.across_count)
            } else {
                (&mut self.inside_sum, &mut self.inside_count)
            };
            *total += sum;
            *count += row.len() as u64;
        }
    }

    /// Mean step across block borders less mean step inside blocks, in grey levels; NaN where
    /// the picture has no border.
    pub(crate) fn inconsistency(&self) -> f64 {
        self.across_sum as f64 / self.across_count as f64
            - self.inside_sum as f64 / self.inside_count as f64
    }
}

/// `Σ |row[x + 1] − row[x]|` apart for each x mod 8.
fn steps_along(row: &[u8]) -> [u64; SIDE] {
    let mut totals = [0_u64; SIDE];
    let steps = row.len() - 1;
    let (from, from_rest) = row[..steps].as_chunks::<SIDE>();
    let (to, to_rest) = row[1..].as_chunks::<SIDE>();
    for (from, to) in from.chunks(CARRY).zip(to.chunks(CARRY)) {
        let mut lanes = [0_u16; SIDE];
        for (from, to) in from.iter().zip(to) {
            for x in 0..SIDE {
                lanes[x] = lanes[x].wrapping_add(u16::from(from[x].abs_diff(to[x])));
            }
        }
        for (total, lane) in totals.iter_mut().zip(lanes) {
            *total += u64::from(lane);
        }
    }
    for (total, (from, to)) in totals.iter_mut().zip(from_rest.iter().zip(to_rest)) {
        *total += u64::from(from.abs_diff(*to));
    }
    totals
}

/// `Σ |a − b|`.
pub(crate) fn difference(a: &[u8], b: &[u8]) -> u64 {
    let mut total = 0;
    // A strip's sum fits 32 bits.
    for (a, b) in a.chunks(1 << 16).zip(b.chunks(1 << 16)) {
        let mut sum = 0_u32;
        for (a, b) in a.iter().zip(b) {
            sum = sum.wrapping_add(u32::from(a.abs_diff(*b)));
        }
        total += u64::from(sum);
    }
    total
}

/// Mean absolute step to the right plus mean absolute step down within the whole 8x8 blocks of a
/// picture, over its blocks; NaN where it has none.
pub(crate) fn steps_inside_blocks<'a>(
    width: usize,
    height: usize,
    row: impl Fn(usize) -> &'a [u8],
) -> f64 {
    let (across, down) = (width / SIDE, height / SIDE);
    let mut sum = 0;
    for y in 0..down * SIDE {
        let here = &row(y)[..across * SIDE];
        if !here.is_empty() {
            sum += steps_along(here)[..SIDE - 1].iter().sum::<u64>();
        }
        if y % SIDE != SIDE - 1 {
            sum += difference(here, &row(y + 1)[..across * SIDE]);
        }
    }
    // 56 steps of each direction in a block.
    sum as f64 / (56 * across * down) as f64
}
