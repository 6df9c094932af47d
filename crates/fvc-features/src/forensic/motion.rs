//! Block matching between reduced pictures: where a cell came from, and what of it cannot be explained so.

use super::cells::{Layout, REDUCED};

/// Largest displacement in pixels of the reduced picture.
const REACH: i32 = 12;
/// What a step away from standing still costs: flat cells match anywhere.
const COST: u32 = 3;

/// A cell's displacement since the frame before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Vector {
    pub(crate) x: i32,
    pub(crate) y: i32,
}

/// A cell's match.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Match {
    /// In pixels of the reduced picture.
    pub(crate) vector: Vector,
    /// Mean |difference| from the matched place, in grey levels.
    pub(crate) residual: f32,
    /// Mean |difference| from the same place.
    pub(crate) still: f32,
}

/// Matches every cell of `now` in `before`: from the best of standing still, its neighbours' vectors and
/// `hints` (those of the frame before) down the diamond (S. Zhu and K.-K. Ma, 2000).
pub(crate) fn match_cells(
    layout: Layout,
    now: &[u8],
    before: &[u8],
    hints: &[Match],
    into: &mut Vec<Match>,
) {
    let first = into.len();
    for row in 0..layout.rows {
        for column in 0..layout.columns {
            let index = row * layout.columns + column;
            let cost = |vector: Vector| {
                let sum = mismatch(layout, now, before, (row, column), vector)?;
                Some((sum + COST * (vector.x.unsigned_abs() + vector.y.unsigned_abs()), sum))
            };
            let still = cost(Vector::default()).map_or(0, |(_, sum)| sum);
            let mut best = (still, still, Vector::default());
            let left = (column > 0).then(|| into[first + index - 1].vector);
            let above = (row > 0).then(|| into[first + index - layout.columns].vector);
            let hint = hints.get(index).map(|hint| hint.vector);
            for vector in [left, above, hint].into_iter().flatten() {
                if let Some((cost, sum)) = cost(vector)
                    && cost < best.0
                {
                    best = (cost, sum, vector);
                }
            }
            for step in [2, 1] {
                // Each step must lower the cost; the bound is for the eye.
                for _ in 0..2 * REACH {
                    let centre = best.2;
                    for (x, y) in [(step, 0), (-step, 0), (0, step), (0, -step)] {
                        let vector = Vector { x: centre.x + x, y: centre.y + y };
                        if let Some((cost, sum)) = cost(vector)
                            && cost < best.0
                        {
                            best = (cost, sum, vector);
                        }
                    }
                    if best.2 == centre {
                        break;
                    }
                }
            }
            let area = (REDUCED * REDUCED) as f32;
            into.push(Match {
                vector: best.2,
                residual: best.1 as f32 / area,
                still: still as f32 / area,
            });
        }
    }
}

/// Σ |difference| of a cell from the place a vector away; none where that is outside.
fn mismatch(
    layout: Layout,
    now: &[u8],
    before: &[u8],
    (row, column): (usize, usize),
    vector: Vector,
) -> Option<u32> {
    if vector.x.abs() > REACH || vector.y.abs() > REACH {
        return None;
    }
    let width = layout.reduced_width();
    let x = column * REDUCED;
    let from_x = usize::try_from(x as i32 + vector.x).ok()?;
    let from_y = usize::try_from((row * REDUCED) as i32 + vector.y).ok()?;
    if from_x + REDUCED > width || from_y + REDUCED > layout.reduced_height() {
        return None;
    }
    let mut sum = 0_u32;
    for line in 0..REDUCED {
        let here = (row * REDUCED + line) * width + x;
        let there = (from_y + line) * width + from_x;
        let here = now.get(here..here + REDUCED)?.first_chunk::<REDUCED>()?;
        let there = before.get(there..there + REDUCED)?.first_chunk::<REDUCED>()?;
        for at in 0..REDUCED {
            sum = sum.wrapping_add(u32::from(here[at].abs_diff(there[at])));
        }
    }
    Some(sum)
}
