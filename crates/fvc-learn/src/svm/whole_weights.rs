//! [`WholeWeights`]: row weights as repetitions, for libraries that know no weights.

use crate::LearnError;

/// Most repetitions: rows after them for each row before.
const MAX_GROWTH: u64 = 64;

/// Weights `1 / k` as whole multiples of one unit.
pub(super) struct WholeWeights {
    unit: f64,
    times: Vec<u64>,
}

impl WholeWeights {
    /// `weights` are one over a whole number each, as a view gives them: a source's rows share its
    /// weight of 1 alike.
    ///
    /// # Errors
    /// A weight of another kind, or sources whose numbers of rows have so large a common multiple
    /// that there would be more than 64 rows for each.
    pub(super) fn of(model: &'static str, weights: &[f64]) -> Result<Self, LearnError> {
        let mut shares = Vec::with_capacity(weights.len());
        let mut multiple = 1_u64;
        let too_many = |found: String| LearnError::Weights {
            model,
            expected: format!(
                "sources whose numbers of rows have a small common multiple (at most {MAX_GROWTH} \
                 repetitions a row)"
            ),
            found,
        };
        for &weight in weights {
            let share = (1.0 / weight).round();
            if !((1.0..=1e6).contains(&share) && (weight * share - 1.0).abs() < 1e-9) {
                return Err(LearnError::Weights {
                    model,
                    expected: "weights that are one over a whole number".to_owned(),
                    found: weight.to_string(),
                });
            }
            let share = share as u64;
            shares.push(share);
            multiple = multiple / greatest_divisor(multiple, share) * share;
            if multiple > 1 << 40 {
                return Err(too_many(format!("a common multiple of {multiple}")));
            }
        }
        let times: Vec<u64> = shares.iter().map(|share| multiple / share).collect();
        let common = times.iter().copied().fold(0, greatest_divisor).max(1);
        let times: Vec<u64> = times.into_iter().map(|times| times / common).collect();
        let rows = times.iter().fold(0_u64, |sum, &times| sum.saturating_add(times));
        if rows > MAX_GROWTH * weights.len() as u64 {
            return Err(too_many(format!("{rows} rows for {}", weights.len())));
        }
        Ok(Self { unit: common as f64 / multiple as f64, times })
    }

    /// What one repetition weighs.
    pub(super) fn unit(&self) -> f64 {
        self.unit
    }

    /// The position of every row, as often as it weighs units.
    pub(super) fn rows(&self) -> Vec<usize> {
        let repeat = |(at, &times): (usize, &u64)| std::iter::repeat_n(at, times as usize);
        self.times.iter().enumerate().flat_map(repeat).collect()
    }
}

fn greatest_divisor(mut left: u64, mut right: u64) -> u64 {
    while right > 0 {
        (left, right) = (right, left % right);
    }
    left
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repetitions_weigh_what_the_rows_do() {
        for shares in [vec![1, 1], vec![3, 3, 3], vec![1, 2, 2], vec![2, 2, 3, 3, 3], vec![6, 7]] {
            let weights: Vec<f64> = shares.iter().map(|&share| 1.0 / f64::from(share)).collect();
            let whole = WholeWeights::of("svm", &weights).unwrap();
            let rows = whole.rows();
            for (at, weight) in weights.iter().enumerate() {
                let times = rows.iter().filter(|&&row| row == at).count();
                assert!((times as f64 * whole.unit() - weight).abs() < 1e-12);
            }
            // No more than it takes.
            if shares.iter().all(|share| *share == shares[0]) {
                assert_eq!(rows.len(), shares.len());
            }
        }
    }

    #[test]
    fn what_would_take_too_many_is_told() {
        for weights in
            [vec![0.7], vec![f64::NAN], vec![0.0], (90..100).map(|k| 1.0 / f64::from(k)).collect()]
        {
            let error = WholeWeights::of("svm", &weights).err().map(|error| error.to_string());
            assert!(error.unwrap().starts_with("Model svm cannot weigh"));
        }
    }
}
