//! Shapley values by sampled permutations, with their standard errors.

use crate::Contributions;

/// A score while the inputs of a row change one by one.
pub(super) trait Marginals {
    /// Starts at `row`; gives its score.
    fn start(&mut self, row: &[f64]) -> f64;

    /// One input becomes `to`, which was `from`; gives the score.
    fn change(&mut self, input: usize, from: f64, to: f64) -> f64;
}

/// Shapley values of the inputs of `row` beside the rows of `background`, and for each the standard
/// error of the mean over the permutations that were drawn: background rows are strata, within
/// which `pairs` (two at least) of a permutation and its reverse are drawn independently. That the background is
/// itself a sample of the training rows is not in it.
pub(super) fn sampled_shapley<'a>(
    score: &mut impl Marginals,
    row: &[f64],
    background: impl Iterator<Item = &'a [f64]>,
    pairs: usize,
) -> Contributions {
    let width = row.len();
    let mut random = SplitMix(0x5AFE);
    let mut order: Vec<usize> = (0..width).collect();
    let (mut base, mut strata) = (0.0, 0.0);
    let mut values = vec![0.0; width];
    let mut variances = vec![0.0; width];
    for other in background {
        let mut sums = vec![0.0; width];
        let mut squares = vec![0.0; width];
        for _ in 0..pairs {
            for at in (1..width).rev() {
                order.swap(at, random.below(at + 1));
            }
            let mut pair = vec![0.0; width];
            for _ in 0..2 {
                let mut before = score.start(other);
                for &input in &order {
                    let after = score.change(input, other[input], row[input]);
                    pair[input] += (after - before) / 2.0;
                    before = after;
                }
                order.reverse();
            }
            for ((sum, square), value) in sums.iter_mut().zip(&mut squares).zip(pair) {
                *sum += value;
                *square += value * value;
            }
        }
        let pairs = pairs as f64;
        for at in 0..width {
            let mean = sums[at] / pairs;
            values[at] += mean;
            let spread = (squares[at] / pairs - mean * mean).max(0.0) * pairs / (pairs - 1.0);
            variances[at] += spread / pairs;
        }
        base += score.start(other);
        strata += 1.0;
    }
    for value in &mut values {
        *value /= strata;
    }
    let errors = variances.into_iter().map(|variance| variance.sqrt() / strata).collect();
    Contributions { base: base / strata, values, standard_errors: Some(errors) }
}

/// `SplitMix64` (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014).
struct SplitMix(u64);

impl SplitMix {
    /// From 0 to `count - 1`.
    fn below(&mut self, count: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        word ^= word >> 31;
        // The high part of the product: the bias is below count / 2^64.
        ((u128::from(word) * count as u128) >> 64) as usize
    }
}
