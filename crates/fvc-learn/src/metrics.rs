//! [`Metrics`]: what predictions are worth, computed from scores beside labels.
//!
//! The positive class is fake; a score is a probability of fake; 0.5 and above is called fake. A
//! number that is not defined (precision when nothing was called fake, ROC-AUC with one class) is
//! missing, never 0.

use std::collections::BTreeMap;
use std::fmt;

use fvc_corpus::{GroupId, Label, Predictions};
use serde::{Deserialize, Serialize};

use crate::LearnError;

/// Scores of at least this are called fake.
pub const THRESHOLD: f64 = 0.5;

/// Log loss takes probabilities no nearer to 0 and 1 than this (scikit-learn's rule for 64-bit
/// floats), so that one confident error costs 36 nats and not infinity.
pub const LOG_LOSS_CLIP: f64 = f64::EPSILON;

/// Number of bins of the expected calibration error.
pub const CALIBRATION_BINS: usize = 10;

/// What a row counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Weighting {
    /// Every source counts 1: a group of a hundred re-posts counts a hundred.
    Sources,
    /// Every group counts 1: each of its sources counts 1 / (sources of the group).
    Groups,
}

/// One number of [`Metrics`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Metric {
    /// Share of rows called right.
    Accuracy,
    /// Mean of the shares of real and of fake rows called right.
    BalancedAccuracy,
    /// Share of fake ones among the rows called fake.
    Precision,
    /// Share of the fake rows that were called fake.
    Recall,
    /// `2 TP / (2 TP + FP + FN)`.
    F1,
    /// Chance that a fake row scores above a real one, ties counting half, over all pairs.
    RocAuc,
    /// The same over pairs within one outer fold only. Scores of two folds come from two models;
    /// comparing them across folds makes a worthless model look worse than chance, because a fold
    /// with many fakes was learnt from a rest with few. Margins over baselines use this one.
    RocAucWithinFolds,
    /// Average precision: sum over thresholds of (recall gained) x precision.
    PrAuc,
    /// Mean negative log likelihood in nats, see [`LOG_LOSS_CLIP`].
    LogLoss,
    /// Mean squared distance of probability and label.
    Brier,
    /// Expected calibration error over [`CALIBRATION_BINS`] bins of equal weight: rows in order of
    /// score are cut into bins by cumulative weight (rows of one score stay together, in the bin
    /// in which the middle of their weight falls); the mean over bins, by weight, of
    /// |mean probability - share of fakes|. Above 0 for small samples even when calibrated.
    CalibrationError,
}

impl Metric {
    /// All of them, in the order of reports.
    pub const ALL: [Self; 11] = [
        Self::Accuracy,
        Self::BalancedAccuracy,
        Self::Precision,
        Self::Recall,
        Self::F1,
        Self::RocAuc,
        Self::RocAucWithinFolds,
        Self::PrAuc,
        Self::LogLoss,
        Self::Brier,
        Self::CalibrationError,
    ];

    /// The name in tables.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Accuracy => "accuracy",
            Self::BalancedAccuracy => "balanced_accuracy",
            Self::Precision => "precision",
            Self::Recall => "recall",
            Self::F1 => "f1",
            Self::RocAuc => "roc_auc",
            Self::RocAucWithinFolds => "roc_auc_within_folds",
            Self::PrAuc => "pr_auc",
            Self::LogLoss => "log_loss",
            Self::Brier => "brier",
            Self::CalibrationError => "calibration_error",
        }
    }

    /// Whether more is better; otherwise less is.
    pub const fn larger_is_better(self) -> bool {
        !matches!(self, Self::LogLoss | Self::Brier | Self::CalibrationError)
    }

    const fn position(self) -> usize {
        self as usize
    }
}

impl fmt::Display for Metric {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// Rows by label and by what they were called, in weight (whole numbers for
/// [`Weighting::Sources`]).
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Confusion {
    /// Real, called real.
    pub real_called_real: f64,
    /// Real, called fake: the false alarm.
    pub real_called_fake: f64,
    /// Fake, called real: the miss.
    pub fake_called_real: f64,
    /// Fake, called fake.
    pub fake_called_fake: f64,
}

/// All numbers of one set of predictions under one weighting.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Metrics {
    /// What a row counts.
    pub weighting: Weighting,
    /// Number of sources.
    pub sources: u64,
    /// Number of groups.
    pub groups: u64,
    /// The confusion matrix at [`THRESHOLD`].
    pub confusion: Confusion,
    /// See [`Metric::Accuracy`].
    pub accuracy: Option<f64>,
    /// See [`Metric::BalancedAccuracy`]; missing with one class.
    pub balanced_accuracy: Option<f64>,
    /// See [`Metric::Precision`]; missing when nothing was called fake.
    pub precision: Option<f64>,
    /// See [`Metric::Recall`]; missing without a fake row.
    pub recall: Option<f64>,
    /// See [`Metric::F1`]; missing when nothing is fake and nothing was called fake.
    pub f1: Option<f64>,
    /// See [`Metric::RocAuc`]; missing with one class.
    pub roc_auc: Option<f64>,
    /// See [`Metric::RocAucWithinFolds`]; missing when no fold has both classes.
    pub roc_auc_within_folds: Option<f64>,
    /// See [`Metric::PrAuc`]; missing without a fake row.
    pub pr_auc: Option<f64>,
    /// See [`Metric::LogLoss`].
    pub log_loss: Option<f64>,
    /// See [`Metric::Brier`].
    pub brier: Option<f64>,
    /// See [`Metric::CalibrationError`].
    pub calibration_error: Option<f64>,
}

impl Metrics {
    /// The numbers of `predictions`, which are taken as one fold.
    ///
    /// # Errors
    /// A score is not a probability.
    pub fn of(predictions: &Predictions, weighting: Weighting) -> Result<Self, LearnError> {
        let scored = ScoredRows::new(predictions.rows.iter().map(|row| Scored {
            fold: 0,
            group: &row.group,
            label: row.label,
            score: row.score,
        }))?;
        Ok(scored.metrics(weighting))
    }

    /// One of the numbers.
    pub fn get(&self, metric: Metric) -> Option<f64> {
        match metric {
            Metric::Accuracy => self.accuracy,
            Metric::BalancedAccuracy => self.balanced_accuracy,
            Metric::Precision => self.precision,
            Metric::Recall => self.recall,
            Metric::F1 => self.f1,
            Metric::RocAuc => self.roc_auc,
            Metric::RocAucWithinFolds => self.roc_auc_within_folds,
            Metric::PrAuc => self.pr_auc,
            Metric::LogLoss => self.log_loss,
            Metric::Brier => self.brier,
            Metric::CalibrationError => self.calibration_error,
        }
    }
}

/// A score beside its label, its group and the outer fold that it was scored in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scored<'a> {
    pub(crate) fold: u32,
    pub(crate) group: &'a GroupId,
    pub(crate) label: Label,
    pub(crate) score: f64,
}

/// The values of all metrics, by [`Metric::position`].
pub(crate) type Values = [Option<f64>; Metric::ALL.len()];

/// One row, with all that a thousand bootstrap draws need of it.
#[derive(Clone, Debug)]
struct Row {
    fold: usize,
    group: usize,
    fake: bool,
    score: f64,
    log_loss: f64,
}

/// Rows sorted once by score, so that a draw of the bootstrap is a few linear passes.
#[derive(Clone, Debug)]
pub(crate) struct ScoredRows {
    /// In rising order of score.
    rows: Vec<Row>,
    /// Sources in each group.
    group_sizes: Vec<u32>,
    folds: usize,
}

impl ScoredRows {
    pub(crate) fn new<'a>(rows: impl Iterator<Item = Scored<'a>>) -> Result<Self, LearnError> {
        let given: Vec<Scored<'a>> = rows.collect();
        // Groups in the order of their names, whatever the order of the rows: two sets of
        // predictions for the same sources number them alike, which pairs their bootstraps.
        let mut group_of: BTreeMap<&GroupId, usize> =
            given.iter().map(|row| (row.group, 0)).collect();
        for (number, at) in group_of.values_mut().enumerate() {
            *at = number;
        }
        let mut fold_of: BTreeMap<u32, usize> = given.iter().map(|row| (row.fold, 0)).collect();
        for (number, at) in fold_of.values_mut().enumerate() {
            *at = number;
        }
        let mut group_sizes = vec![0; group_of.len()];
        let mut rows = Vec::with_capacity(given.len());
        for row in &given {
            if !(0.0..=1.0).contains(&row.score) {
                return Err(LearnError::Score { group: row.group.clone(), found: row.score });
            }
            let group = group_of[row.group];
            group_sizes[group] += 1;
            let fake = row.label == Label::Fake;
            let likelihood = if fake { row.score } else { 1.0 - row.score };
            rows.push(Row {
                fold: fold_of[&row.fold],
                group,
                fake,
                score: row.score,
                log_loss: -likelihood.clamp(LOG_LOSS_CLIP, 1.0 - LOG_LOSS_CLIP).ln(),
            });
        }
        rows.sort_by(|left, right| left.score.total_cmp(&right.score));
        Ok(Self { rows, group_sizes, folds: fold_of.len() })
    }

    pub(crate) fn group_count(&self) -> usize {
        self.group_sizes.len()
    }

    pub(crate) fn metrics(&self, weighting: Weighting) -> Metrics {
        let once = vec![1_u32; self.group_count()];
        let (confusion, values) = self.values(weighting, &once);
        let get = |metric: Metric| values[metric.position()];
        Metrics {
            weighting,
            sources: self.rows.len() as u64,
            groups: self.group_count() as u64,
            confusion,
            accuracy: get(Metric::Accuracy),
            balanced_accuracy: get(Metric::BalancedAccuracy),
            precision: get(Metric::Precision),
            recall: get(Metric::Recall),
            f1: get(Metric::F1),
            roc_auc: get(Metric::RocAuc),
            roc_auc_within_folds: get(Metric::RocAucWithinFolds),
            pr_auc: get(Metric::PrAuc),
            log_loss: get(Metric::LogLoss),
            brier: get(Metric::Brier),
            calibration_error: get(Metric::CalibrationError),
        }
    }

    /// All metrics when group `g` stands in the sample `times[g]` times.
    pub(crate) fn values(&self, weighting: Weighting, times: &[u32]) -> (Confusion, Values) {
        let weight_of: Vec<f64> = times
            .iter()
            .zip(&self.group_sizes)
            .map(|(&times, &size)| match weighting {
                Weighting::Sources => f64::from(times),
                Weighting::Groups => f64::from(times) / f64::from(size),
            })
            .collect();
        let mut confusion = Confusion::default();
        let mut log_loss = 0.0;
        let mut brier = 0.0;
        for row in &self.rows {
            let weight = weight_of[row.group];
            let cell = match (row.fake, row.score >= THRESHOLD) {
                (false, false) => &mut confusion.real_called_real,
                (false, true) => &mut confusion.real_called_fake,
                (true, false) => &mut confusion.fake_called_real,
                (true, true) => &mut confusion.fake_called_fake,
            };
            *cell += weight;
            log_loss += weight * row.log_loss;
            let distance = row.score - f64::from(u8::from(row.fake));
            brier += weight * distance * distance;
        }
        let Confusion { real_called_real, real_called_fake, fake_called_real, fake_called_fake } =
            confusion;
        let real = real_called_real + real_called_fake;
        let fake = fake_called_real + fake_called_fake;
        let share = |part: f64, whole: f64| (whole > 0.0).then(|| part / whole);
        let specificity = share(real_called_real, real);
        let recall = share(fake_called_fake, fake);
        let mut values = [None; Metric::ALL.len()];
        let mut set = |metric: Metric, value: Option<f64>| values[metric.position()] = value;
        set(Metric::Accuracy, share(real_called_real + fake_called_fake, real + fake));
        set(
            Metric::BalancedAccuracy,
            specificity.zip(recall).map(|(specificity, recall)| f64::midpoint(specificity, recall)),
        );
        set(Metric::Precision, share(fake_called_fake, fake_called_fake + real_called_fake));
        set(Metric::Recall, recall);
        set(
            Metric::F1,
            share(
                2.0 * fake_called_fake,
                2.0 * fake_called_fake + real_called_fake + fake_called_real,
            ),
        );
        let (pooled, within) = self.roc_auc(&weight_of);
        set(Metric::RocAuc, pooled);
        set(Metric::RocAucWithinFolds, within);
        set(Metric::PrAuc, self.average_precision(&weight_of, fake));
        set(Metric::LogLoss, share(log_loss, real + fake));
        set(Metric::Brier, share(brier, real + fake));
        set(Metric::CalibrationError, self.calibration_error(&weight_of, real + fake));
        (confusion, values)
    }

    /// Blocks of rows of one score, in rising order of score.
    fn blocks(&self) -> impl DoubleEndedIterator<Item = &[Row]> {
        self.rows.chunk_by(|left, right| left.score == right.score)
    }

    /// Over all pairs, and over pairs within one fold.
    fn roc_auc(&self, weight_of: &[f64]) -> (Option<f64>, Option<f64>) {
        // Per fold, and in the last place for all together: weight of real rows below, of fake
        // rows so far, and of pairs in the right order.
        let mut real_below = vec![0.0; self.folds + 1];
        let mut fakes = vec![0.0; self.folds + 1];
        let mut ordered = vec![0.0; self.folds + 1];
        let mut real_here = vec![0.0; self.folds + 1];
        for block in self.blocks() {
            for row in block.iter().filter(|row| !row.fake) {
                real_here[row.fold] += weight_of[row.group];
                real_here[self.folds] += weight_of[row.group];
            }
            for row in block.iter().filter(|row| row.fake) {
                let weight = weight_of[row.group];
                for at in [row.fold, self.folds] {
                    fakes[at] += weight;
                    ordered[at] += weight * (real_below[at] + 0.5 * real_here[at]);
                }
            }
            for row in block.iter().filter(|row| !row.fake) {
                for at in [row.fold, self.folds] {
                    real_below[at] += real_here[at];
                    real_here[at] = 0.0;
                }
            }
        }
        let pairs = |at: usize| real_below[at] * fakes[at];
        let pooled = (pairs(self.folds) > 0.0).then(|| ordered[self.folds] / pairs(self.folds));
        let all: f64 = (0..self.folds).map(pairs).sum();
        let within = (all > 0.0).then(|| ordered[..self.folds].iter().sum::<f64>() / all);
        (pooled, within)
    }

    fn average_precision(&self, weight_of: &[f64], fake: f64) -> Option<f64> {
        if fake <= 0.0 {
            return None;
        }
        let (mut called, mut right, mut sum) = (0.0, 0.0, 0.0);
        for block in self.blocks().rev() {
            let mut gained = 0.0;
            for row in block {
                let weight = weight_of[row.group];
                called += weight;
                if row.fake {
                    gained += weight;
                }
            }
            right += gained;
            if called > 0.0 {
                sum += gained / fake * (right / called);
            }
        }
        Some(sum)
    }

    fn calibration_error(&self, weight_of: &[f64], total: f64) -> Option<f64> {
        if total <= 0.0 {
            return None;
        }
        // Weight times (probability - label), summed over a bin, is the bin's gap times its weight.
        let mut gaps = [0.0_f64; CALIBRATION_BINS];
        let mut below = 0.0;
        for block in self.blocks() {
            let weight: f64 = block.iter().map(|row| weight_of[row.group]).sum();
            let middle = (below + 0.5 * weight) / total;
            let bin = ((middle * CALIBRATION_BINS as f64) as usize).min(CALIBRATION_BINS - 1);
            for row in block {
                gaps[bin] += weight_of[row.group] * (row.score - f64::from(u8::from(row.fake)));
            }
            below += weight;
        }
        Some(gaps.iter().map(|gap| gap.abs()).sum::<f64>() / total)
    }
}
