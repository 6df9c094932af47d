//! [`resample_positions`]: position embeddings of one grid of patches, for another grid.

use crate::Weight;

/// How the cubic of Keys (1981) with parameter -1/2 weighs a point at this distance.
fn cubic(distance: f64) -> f64 {
    let x = distance.abs();
    if x < 1.0 {
        (1.5 * x - 2.5) * x * x + 1.0
    } else if x < 2.0 {
        ((-0.5 * x + 2.5) * x - 4.0) * x + 2.0
    } else {
        0.0
    }
}

/// For each place of a line of `new` what it takes of the places of a line of `old`: the first of them
/// and their shares. A smaller line takes from more places, so that it does not alias.
fn shares(old: usize, new: usize) -> Vec<(usize, Vec<f64>)> {
    let scale = old as f64 / new as f64;
    let wide = scale.max(1.0);
    (0..new)
        .map(|at| {
            let centre = scale * (at as f64 + 0.5);
            let first = (centre - 2.0 * wide + 0.5).max(0.0) as usize;
            let end = ((centre + 2.0 * wide + 0.5) as usize).min(old);
            let weights: Vec<f64> =
                (first..end).map(|from| cubic((from as f64 - centre + 0.5) / wide)).collect();
            let total: f64 = weights.iter().sum();
            (first, weights.into_iter().map(|weight| weight / total).collect())
        })
        .collect()
}

/// Position embeddings `[1, 1 + n * n, width]`, the class token's first, for a square grid of `side`
/// patches, as timm makes them when it loads weights (`resample_abs_pos_embed`: bicubic, antialiased).
/// Embeddings that are of no square grid stay as they are, to be reported by their shape.
pub(crate) fn resample_positions(embeddings: &mut Weight, side: usize) {
    let [1, tokens, width] = embeddings.shape[..] else { return };
    let old = tokens.saturating_sub(1).isqrt();
    let sound = embeddings.values.len() == tokens.saturating_mul(width);
    if old == 0 || old * old + 1 != tokens || old == side || side == 0 || !sound {
        return;
    }
    let shares = shares(old, side);
    let grid = &embeddings.values[width..];
    // Columns first: [old, side, width]. Then rows: [side, side, width].
    let mut narrow = vec![0.0; old * side * width];
    for row in 0..old {
        for (column, (first, weights)) in shares.iter().enumerate() {
            let to = &mut narrow[(row * side + column) * width..][..width];
            for (from, share) in weights.iter().enumerate() {
                let start = (row * old + first + from) * width;
                for (to, from) in to.iter_mut().zip(&grid[start..start + width]) {
                    *to += share * f64::from(*from);
                }
            }
        }
    }
    let mut values = embeddings.values[..width].to_vec();
    for (first, weights) in &shares {
        let mut line = vec![0.0; side * width];
        for (from, share) in weights.iter().enumerate() {
            let start = (first + from) * side * width;
            for (to, from) in line.iter_mut().zip(&narrow[start..start + side * width]) {
                *to += share * from;
            }
        }
        values.extend(line.into_iter().map(|value| value as f32));
    }
    embeddings.shape = vec![1, side * side + 1, width];
    embeddings.values = values;
}
