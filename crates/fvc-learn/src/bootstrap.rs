//! Intervals by resampling groups.
//!
//! Sources of one group are not independent (re-posts, windows of one clip, twins): what is drawn
//! with replacement is the group, with all its sources. The earlier system took its intervals from
//! five overlapping folds, which says little of the next group.

use serde::{Deserialize, Serialize};

use crate::LearnError;
use crate::metrics::{Metric, Metrics, ScoredRows, Weighting};

/// Share of draws that an interval covers.
pub const LEVEL: f64 = 0.95;

/// A percentile interval over bootstrap draws of groups.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// The 2.5 % quantile (linear between draws).
    pub low: f64,
    /// The 97.5 % quantile.
    pub high: f64,
    /// Draws in which the number was defined; the quantiles are over these.
    pub draws: u32,
    /// Draws in which it was not, such as a ROC-AUC in a draw that held one class only.
    pub undefined: u32,
}

/// A number with its interval; each is missing where it is not defined.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// Which number.
    pub metric: Metric,
    /// Its value on all rows.
    pub value: Option<f64>,
    /// Its interval; missing with fewer than two groups, and when no draw defined it.
    pub interval: Option<Interval>,
}

/// Metrics under one weighting, with their intervals.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    /// The numbers.
    pub metrics: Metrics,
    /// The same numbers with intervals, in the order of [`Metric::ALL`].
    pub estimates: Vec<Estimate>,
    /// Bootstrap draws made.
    pub draws: u32,
    /// Draws that held one class only.
    pub one_class_draws: u32,
}

impl Evaluation {
    /// One of the numbers with its interval.
    pub fn estimate(&self, metric: Metric) -> Option<&Estimate> {
        self.estimates.iter().find(|estimate| estimate.metric == metric)
    }

    /// The numbers of `predictions`, taken as one fold, with intervals from `draws` draws.
    ///
    /// # Errors
    /// A score is not a probability.
    pub fn of(
        predictions: &fvc_corpus::Predictions,
        weighting: Weighting,
        draws: u32,
        seed: u64,
    ) -> Result<Self, LearnError> {
        let rows = ScoredRows::new(predictions.rows.iter().map(|row| crate::metrics::Scored {
            fold: 0,
            group: &row.group,
            label: row.label,
            score: row.score,
        }))?;
        Ok(evaluate(&rows, weighting, draws, seed))
    }
}

/// How much better a model is than the baseline that is best by this number, on the same groups.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Margin {
    /// Which number.
    pub metric: Metric,
    /// The baseline. Which one is best differs between numbers: one that barely ranks may be
    /// confident, and then its log loss is far above that of the majority.
    pub baseline: String,
    /// What a row counts.
    pub weighting: Weighting,
    /// By how much the model is better (log loss and the like: by how much it is lower).
    pub value: f64,
    /// Interval of the difference, by a paired bootstrap: every draw scores both on the same groups.
    pub interval: Option<Interval>,
}

/// Metrics with intervals.
pub(crate) fn evaluate(
    rows: &ScoredRows,
    weighting: Weighting,
    draws: u32,
    seed: u64,
) -> Evaluation {
    let metrics = rows.metrics(weighting);
    let mut found: Vec<Vec<f64>> = vec![Vec::new(); Metric::ALL.len()];
    let mut one_class_draws = 0;
    let made = if rows.group_count() < 2 { 0 } else { draws };
    let mut times = vec![0; rows.group_count()];
    for draw in 0..made {
        draw_groups(seed, draw, &mut times);
        let (confusion, values) = rows.values(weighting, &times);
        let real = confusion.real_called_real + confusion.real_called_fake;
        let fake = confusion.fake_called_real + confusion.fake_called_fake;
        if real <= 0.0 || fake <= 0.0 {
            one_class_draws += 1;
        }
        for (kept, value) in found.iter_mut().zip(values) {
            kept.extend(value);
        }
    }
    let estimates = Metric::ALL
        .iter()
        .zip(found)
        .map(|(&metric, found)| Estimate {
            metric,
            value: metrics.get(metric),
            interval: metrics.get(metric).and_then(|_| interval(found, made)),
        })
        .collect();
    Evaluation { metrics, estimates, draws: made, one_class_draws }
}

/// The model's metric less that of the baseline that is best by it, signed so that more is better;
/// `None` when the model or every baseline leaves it undefined. All hold the same sources in the
/// same groups, which is what pairs the draws.
pub(crate) fn margin(
    model: &ScoredRows,
    baselines: &[(&str, &ScoredRows)],
    metric: Metric,
    weighting: Weighting,
    draws: u32,
    seed: u64,
) -> Option<Margin> {
    let sign = if metric.larger_is_better() { 1.0 } else { -1.0 };
    let of = |rows: &ScoredRows, times: &[u32]| {
        rows.values(weighting, times).1[metric as usize].map(|value| sign * value)
    };
    let once = vec![1; model.group_count()];
    let mut best: Option<(f64, &str, &ScoredRows)> = None;
    for (name, rows) in baselines {
        if let Some(reached) = of(rows, &once)
            && best.is_none_or(|(known, ..)| reached > known)
        {
            best = Some((reached, name, rows));
        }
    }
    let (reached, name, baseline) = best?;
    let value = of(model, &once)? - reached;
    let made = if model.group_count() < 2 { 0 } else { draws };
    let mut times = vec![0; model.group_count()];
    let mut found = Vec::new();
    for draw in 0..made {
        draw_groups(seed, draw, &mut times);
        found.extend(of(model, &times).zip(of(baseline, &times)).map(|(own, other)| own - other));
    }
    let interval = interval(found, made);
    Some(Margin { metric, baseline: name.to_owned(), weighting, value, interval })
}

/// Draws as many groups as there are, with replacement; `times` says how often each was drawn.
fn draw_groups(seed: u64, draw: u32, times: &mut [u32]) {
    times.fill(0);
    let count = times.len();
    for pick in 0..count {
        times[pick_index(seed, u64::from(draw), pick as u64, count)] += 1;
    }
}

/// Pick number `pick` of draw number `draw`, from 0 to `count - 1`. A function of its arguments
/// only: draws can be made in any order, on any machine, with the same result.
fn pick_index(seed: u64, draw: u64, pick: u64, count: usize) -> usize {
    let word = mix(mix(mix(seed) ^ draw) ^ pick);
    // The high half of word x count is even up to count / 2^64.
    ((u128::from(word) * count as u128) >> 64) as usize
}

/// The output function of `SplitMix64` (Steele, Lea, Flood 2014), one step on.
fn mix(value: u64) -> u64 {
    let mut word = value.wrapping_add(0x9E37_79B9_7F4A_7C15);
    word = (word ^ (word >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    word = (word ^ (word >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    word ^ (word >> 31)
}

fn interval(mut found: Vec<f64>, made: u32) -> Option<Interval> {
    if found.is_empty() {
        return None;
    }
    found.sort_by(f64::total_cmp);
    let draws = found.len() as u32;
    Some(Interval {
        low: quantile(&found, (1.0 - LEVEL) / 2.0),
        high: quantile(&found, f64::midpoint(1.0, LEVEL)),
        draws,
        undefined: made - draws,
    })
}

/// The quantile of values in rising order, linear between neighbours (NumPy's default). `sorted`
/// is not empty.
pub(crate) fn quantile(sorted: &[f64], share: f64) -> f64 {
    let position = share * (sorted.len() - 1) as f64;
    let below = position.floor() as usize;
    let above = (below + 1).min(sorted.len() - 1);
    let part = position - below as f64;
    sorted[below] * (1.0 - part) + sorted[above] * part
}
