//! [`cubic_sum`]: cubic convolution up both axes, quickly, to the same bits as the sum by taps.
//!
//! Each row of the source is brought to the target's width once; of four such rows at a time each row
//! of the target is the sum. A sum along a row fits 23 bits, so that the sum of such sums would not fit
//! 32: it is taken in two parts, of what is above the twelfth bit and of what is below, each of 16
//! bits. Shifting right rounds down, and rounding down twice is rounding down once: nothing is lost.

/// Bits of a weight's fraction: the weights of a pixel add up to 2^14.
const WEIGHT_BITS: u32 = 14;
/// Bits of a row's sums in the lower part.
const LOW_BITS: u32 = 12;
/// The target's row in `y` takes source rows from one above to two below.
const TAPS: usize = 4;
/// Pixels that the taps of the outermost pixels reach beyond the border.
const BORDER: usize = 2;

/// What of the source one target pixel is made of, along one axis.
#[derive(Clone, Copy)]
pub(crate) struct CubicTaps {
    /// The second of four source pixels in a row; from -1 on.
    pub(crate) base: i64,
    /// Their weights, in units of 2^-14; they add up to 1, their magnitudes to at most 1.26.
    pub(crate) weights: [i64; TAPS],
}

/// One row of the source, at the target's width, in two parts.
#[derive(Clone, Default)]
struct Row {
    source: Option<usize>,
    high: Vec<i16>,
    low: Vec<i16>,
}

/// Packed RGB of a picture that is nowhere smaller than its source of `width` pixels a row: by `columns`
/// along each row, by `rows` down.
pub(crate) fn cubic_sum(
    source: &[u8],
    width: usize,
    columns: &[CubicTaps],
    rows: &[CubicTaps],
) -> Vec<u8> {
    let height = source.len() / (3 * width);
    let mut target = vec![0_u8; 3 * columns.len() * rows.len()];
    // Where in a row with its border the four pixels begin.
    let columns: Vec<(usize, [i16; TAPS])> = columns
        .iter()
        .map(|taps| ((taps.base - 1 + BORDER as i64) as usize, narrow(taps.weights)))
        .collect();
    let mut bordered = vec![[0_i16; 4]; width + 2 * BORDER];
    // A row is in the place of its number modulo four: four in a row have one each.
    let empty = vec![0_i16; 3 * columns.len()];
    let mut held =
        [(); TAPS].map(|()| Row { source: None, high: empty.clone(), low: empty.clone() });
    for (taps, out) in rows.iter().zip(target.chunks_exact_mut(3 * columns.len())) {
        let needed =
            [-1, 0, 1, 2].map(|step| (taps.base + step).clamp(0, height as i64 - 1) as usize);
        for y in needed {
            let row = &mut held[y % TAPS];
            if row.source != Some(y) {
                add_border(&source[3 * width * y..3 * width * (y + 1)], &mut bordered);
                widen(&bordered, &columns, row);
                row.source = Some(y);
            }
        }
        sum_rows(needed.map(|y| &held[y % TAPS]), narrow(taps.weights), out);
    }
    target
}

/// Weights of at most 2^14 and a little fit 16 bits.
fn narrow(weights: [i64; TAPS]) -> [i16; TAPS] {
    weights.map(|weight| weight as i16)
}

/// A row with its first and its last pixel repeated on either side; four numbers a pixel, the last of
/// them 0, as many as a vector has lanes.
fn add_border(row: &[u8], bordered: &mut [[i16; 4]]) {
    let inner = bordered.len() - 2 * BORDER;
    for (pixel, levels) in bordered[BORDER..].iter_mut().zip(row.as_chunks::<3>().0) {
        let [red, green, blue] = levels.map(i16::from);
        *pixel = [red, green, blue, 0];
    }
    let (first, last) = (bordered[BORDER], bordered[BORDER + inner - 1]);
    bordered[..BORDER].fill(first);
    bordered[BORDER + inner..].fill(last);
}

/// Brings a row to the target's width. (No sum can leave its type; they wrap because a check on each
/// would keep the loops from being vectorised.)
fn widen(bordered: &[[i16; 4]], columns: &[(usize, [i16; TAPS])], row: &mut Row) {
    let out = row.high.as_chunks_mut::<3>().0.iter_mut().zip(row.low.as_chunks_mut::<3>().0);
    for (&(at, weights), (high, low)) in columns.iter().zip(out) {
        let mut sums = [0_i32; 4];
        for (pixel, weight) in bordered[at..at + TAPS].iter().zip(weights) {
            for (sum, &level) in sums.iter_mut().zip(pixel) {
                *sum = sum.wrapping_add(i32::from(weight).wrapping_mul(i32::from(level)));
            }
        }
        let [red, green, blue, _] = sums;
        *high = [red, green, blue].map(|sum| (sum >> LOW_BITS) as i16);
        *low = [red, green, blue].map(|sum| (sum & ((1 << LOW_BITS) - 1)) as i16);
    }
}

/// The weighted sum of four rows, rounded half up.
fn sum_rows(rows: [&Row; TAPS], weights: [i16; TAPS], out: &mut [u8]) {
    /// Half of one, in the units of a product of two weights.
    const HALF: i32 = 1 << (2 * WEIGHT_BITS - 1);
    let parts = |part: fn(&Row) -> &[i16]| {
        let [a, b, c, d] = rows.map(part);
        a.iter().zip(b).zip(c).zip(d)
    };
    let sum = |levels: [i16; TAPS]| {
        levels.iter().zip(weights).fold(0_i32, |sum, (&level, weight)| {
            sum.wrapping_add(i32::from(level).wrapping_mul(i32::from(weight)))
        })
    };
    let lows = parts(|row| &row.low);
    for ((out, high), low) in out.iter_mut().zip(parts(|row| &row.high)).zip(lows) {
        let (((&a, &b), &c), &d) = high;
        let high = sum([a, b, c, d]);
        let (((&a, &b), &c), &d) = low;
        let low = sum([a, b, c, d]);
        let carried = low.wrapping_add(HALF) >> LOW_BITS;
        *out = (high.wrapping_add(carried) >> (2 * WEIGHT_BITS - LOW_BITS)).clamp(0, 255) as u8;
    }
}
