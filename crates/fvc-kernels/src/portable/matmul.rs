//! Matrix products in safe Rust.

use rayon::prelude::*;

use crate::element::Element;

/// c = a b + bias; lengths have been checked.
pub(crate) fn matmul<T: Element>(
    [m, n, k]: [usize; 3],
    [turn_a, turn_b]: [bool; 2],
    a: &[T],
    b: &[T],
    bias: Option<&[f32]>,
    c: &mut [f32],
) {
    // Rows of b, so that the inner loop runs along them.
    let rows: Vec<f32> = if turn_b {
        (0..k * n).map(|at| b[(at % n) * k + at / n].to_f32()).collect()
    } else {
        b.iter().map(|value| value.to_f32()).collect()
    };
    c.par_chunks_mut(n).enumerate().for_each(|(row, sums)| {
        match bias {
            Some(bias) => sums.copy_from_slice(bias),
            None => sums.fill(0.0),
        }
        for inner in 0..k {
            let factor = if turn_a { a[inner * m + row] } else { a[row * k + inner] }.to_f32();
            for (sum, value) in sums.iter_mut().zip(&rows[inner * n..][..n]) {
                *sum += factor * value;
            }
        }
    });
}
