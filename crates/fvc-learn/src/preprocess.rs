//! [`Preprocessor`]: what is done to a row before a model sees it.
//!
//! Everything here is fitted on one [`TrainView`] and on nothing else: which columns vary, their
//! medians, means and spreads, and which columns say the same thing twice. The earlier system ran
//! its collinearity filter over all rows, the test rows included; here no function takes them.
//!
//! Rows count by their weight, so that a source with ten variants weighs as much as one without.

use std::fmt;

use fvc_corpus::TrainView;
use serde::{Deserialize, Serialize};

use crate::{LearnError, ModelKind};

/// A column whose values differ by less than this share of their size is constant: what is left is
/// rounding, which standardising would blow up to a feature.
const CONSTANT_SHARE: f64 = 1e-12;

/// Added to the diagonal of the correlation matrix before it is inverted, so that columns that are
/// exactly dependent give a very large variance inflation instead of a division by zero. It moves
/// a variance inflation of 10 by about 1e-7.
const RIDGE: f64 = 1e-8;

/// Two columns whose numbers differ by a smaller share than this are equally good to drop: what is
/// left is the order of a sum, and for nearly dependent columns the rounding of the inverse.
const TIE_SHARE: f64 = 1e-6;

/// When two columns say the same thing.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Collinearity {
    /// Of two columns with |Pearson correlation| of at least this (0 to 1) one is dropped.
    pub correlation: Option<f64>,
    /// Columns whose variance inflation factor is above this (at least 1) are dropped, the largest
    /// first, until none is left.
    pub vif: Option<f64>,
}

impl Default for Collinearity {
    fn default() -> Self {
        Self { correlation: Some(0.95), vif: Some(10.0) }
    }
}

impl Collinearity {
    /// Keeps every column that varies.
    pub const OFF: Self = Self { correlation: None, vif: None };
}

/// What a [`Preprocessor`] does.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PreprocessorConfig {
    /// Put the training median in place of a missing value. No column says that it was missing.
    /// Without this a missing value stays NaN (for models that have a rule for it).
    pub impute: bool,
    /// Subtract the training mean and divide by the training standard deviation (population).
    pub scale: bool,
    /// The collinearity filter.
    pub collinearity: Collinearity,
}

impl Default for PreprocessorConfig {
    fn default() -> Self {
        Self { impute: true, scale: true, collinearity: Collinearity::default() }
    }
}

/// Why a column was dropped.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "reason", rename_all = "snake_case")]
pub enum DropReason {
    /// It is of a stage whose features the model does not see.
    OtherStage,
    /// No training row has a value.
    AllMissing,
    /// All values on the training side are the same.
    Constant {
        /// The value.
        value: f64,
    },
    /// Another column says nearly the same.
    Correlated {
        /// The column that was kept at this moment.
        with: String,
        /// Pearson correlation, -1 to 1, over training rows with medians for missing values.
        correlation: f64,
    },
    /// The other columns together say nearly the same.
    Collinear {
        /// Variance inflation factor when it was dropped, 1 or more; capped at about 1e8.
        vif: f64,
    },
}

impl fmt::Display for DropReason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OtherStage => formatter.write_str("of a stage that the model does not see"),
            Self::AllMissing => formatter.write_str("no training row has a value"),
            Self::Constant { value } => {
                write!(formatter, "constant on the training side ({value})")
            }
            Self::Correlated { with, correlation } => {
                write!(formatter, "correlation {correlation:.3} with {with}")
            }
            Self::Collinear { vif } => write!(formatter, "variance inflation factor {vif:.1}"),
        }
    }
}

/// A column that the model does not see.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DroppedColumn {
    /// Its name.
    pub name: String,
    /// Why.
    pub why: DropReason,
}

/// One column that is kept, with what was learnt of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeptColumn {
    /// Position among the input columns.
    at: usize,
    /// Weighted median of the training values.
    median: f64,
    /// Weighted mean of the training values, medians in place of missing ones.
    mean: f64,
    /// Weighted population standard deviation of the same, above 0.
    deviation: f64,
}

/// Imputation, standardisation and column choice, fitted on one training side.
///
/// In this order:
/// 1. a column without any value, or with one value only, is dropped;
/// 2. missing values become the weighted median of the column (also inside the next steps when
///    `impute` is off, where the rows themselves keep their NaN);
/// 3. correlation: the pair with the largest |r| at or above the bound is found, and of the two the
///    one is dropped whose mean |r| with all columns still there is larger (the later one on a
///    tie, which is anything within a millionth); repeated until no pair is left. The rule does
///    not change when a column is measured in other units, as one by raw variance would;
/// 4. variance inflation: `VIF_i = (R^-1)_ii`, R the correlation matrix, which equals
///    `1 / (1 - R_i^2)` of the regression of column i on all others with an intercept; the largest
///    above the bound is dropped (on a tie, as above, the later one) and the rest computed again;
/// 5. standardisation.
///
/// All of it is learnt from a training side, and from nothing else:
///
/// ```
/// # use fvc_corpus::{Examples, Split};
/// # use fvc_learn::{LearnError, Preprocessor, PreprocessorConfig};
/// fn learn(split: &Split, all: &Examples) -> Result<Preprocessor, LearnError> {
///     let (to_learn_from, to_score) = split.fold(0, all)?;
///     Preprocessor::fit(&to_learn_from, PreprocessorConfig::default())
/// }
/// ```
///
/// ```compile_fail,E0308
/// # use fvc_corpus::{Examples, Split};
/// # use fvc_learn::{LearnError, Preprocessor, PreprocessorConfig};
/// fn learn(split: &Split, all: &Examples) -> Result<Preprocessor, LearnError> {
///     let (to_learn_from, to_score) = split.fold(0, all)?;
///     Preprocessor::fit(&to_score, PreprocessorConfig::default())
/// }
/// ```
///
/// ```compile_fail,E0308
/// # use fvc_corpus::{Examples, Split};
/// # use fvc_learn::{LearnError, Preprocessor, PreprocessorConfig};
/// fn learn(split: &Split, all: &Examples) -> Result<Preprocessor, LearnError> {
///     Preprocessor::fit(all, PreprocessorConfig::default())
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "StoredPreprocessor", into = "StoredPreprocessor")]
pub struct Preprocessor {
    config: PreprocessorConfig,
    input_columns: Vec<String>,
    kept: Vec<KeptColumn>,
    kept_columns: Vec<String>,
    dropped: Vec<DroppedColumn>,
}

/// [`Preprocessor`] as it is written, not yet checked when read.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredPreprocessor {
    config: PreprocessorConfig,
    input_columns: Vec<String>,
    kept: Vec<KeptColumn>,
    dropped: Vec<DroppedColumn>,
}

impl From<Preprocessor> for StoredPreprocessor {
    fn from(fitted: Preprocessor) -> Self {
        let Preprocessor { config, input_columns, kept, kept_columns: _, dropped } = fitted;
        Self { config, input_columns, kept, dropped }
    }
}

impl TryFrom<StoredPreprocessor> for Preprocessor {
    type Error = String;

    fn try_from(stored: StoredPreprocessor) -> Result<Self, String> {
        let StoredPreprocessor { config, input_columns, kept, dropped } = stored;
        let mut kept_columns = Vec::with_capacity(kept.len());
        let mut next = 0;
        for column in &kept {
            let name = input_columns.get(column.at).ok_or_else(|| {
                format!(
                    "kept column: expected a position below {}, found {}",
                    input_columns.len(),
                    column.at
                )
            })?;
            if column.at < next {
                return Err(format!(
                    "kept columns: expected rising positions, found {} twice or late",
                    column.at
                ));
            }
            next = column.at + 1;
            let finite = column.median.is_finite() && column.mean.is_finite();
            if !(finite && column.deviation > 0.0 && column.deviation.is_finite()) {
                return Err(format!(
                    "column {name}: expected a finite median and mean and a positive deviation, found {}, {} and {}",
                    column.median, column.mean, column.deviation
                ));
            }
            kept_columns.push(name.clone());
        }
        if kept.is_empty() {
            return Err("preprocessor: expected at least one kept column, found none".to_owned());
        }
        Ok(Self { config, input_columns, kept, kept_columns, dropped })
    }
}

impl Preprocessor {
    /// Learns from the rows of `train`, by their weights.
    ///
    /// # Errors
    /// `train` has no row, no column varies in it, or the bounds of `config` are out of range.
    pub fn fit(train: &TrainView<'_>, config: PreprocessorConfig) -> Result<Self, LearnError> {
        Self::fit_columns(train, config, |_| true)
    }

    /// As a model asks for: its configuration, and only columns of the stages that it sees.
    ///
    /// # Errors
    /// As [`Preprocessor::fit`], or a stage that the model sees has no column.
    pub fn fit_for(train: &TrainView<'_>, kind: ModelKind) -> Result<Self, LearnError> {
        kind.check_stages(train.columns())?;
        Self::fit_columns(train, kind.preprocessing(), |column| kind.sees(column))
    }

    /// Asked for the same on another training side.
    #[cfg(feature = "xgboost")]
    pub(crate) fn fit_again(&self, train: &TrainView<'_>) -> Result<Self, LearnError> {
        let other_stage = |name: &str| {
            self.dropped
                .iter()
                .any(|column| column.name == name && column.why == DropReason::OtherStage)
        };
        Self::fit_columns(train, self.config, |name| !other_stage(name))
    }

    fn fit_columns(
        train: &TrainView<'_>,
        config: PreprocessorConfig,
        wanted: impl Fn(&str) -> bool,
    ) -> Result<Self, LearnError> {
        check_config(&config)?;
        let names = train.columns();
        let rows: Vec<(&[f64], f64)> = train.rows().map(|row| (row.values, row.weight)).collect();
        if rows.is_empty() {
            return Err(LearnError::Nothing { model: "preprocessor", expected: "rows" });
        }
        let total: f64 = rows.iter().map(|&(_, weight)| weight).sum();

        let mut dropped = Vec::new();
        let mut candidates: Vec<(KeptColumn, Vec<f64>)> = Vec::new();
        for (at, name) in names.iter().enumerate() {
            if !wanted(name) {
                dropped.push(DroppedColumn { name: name.clone(), why: DropReason::OtherStage });
                continue;
            }
            let mut present: Vec<(f64, f64)> = rows
                .iter()
                .map(|&(values, weight)| (values[at], weight))
                .filter(|(value, _)| !value.is_nan())
                .collect();
            present.sort_by(|left, right| left.0.total_cmp(&right.0));
            let (Some(&(smallest, _)), Some(&(largest, _))) = (present.first(), present.last())
            else {
                dropped.push(DroppedColumn { name: name.clone(), why: DropReason::AllMissing });
                continue;
            };
            let size = smallest.abs().max(largest.abs());
            // Halved before subtracting: the range of finite values may overflow, half of it not.
            if largest / 2.0 - smallest / 2.0 <= CONSTANT_SHARE * (size / 2.0) {
                let why = DropReason::Constant { value: smallest };
                dropped.push(DroppedColumn { name: name.clone(), why });
                continue;
            }
            let median = weighted_median(&present);
            let filled: Vec<f64> = rows
                .iter()
                .map(|&(values, _)| if values[at].is_nan() { median } else { values[at] })
                .collect();
            let mean = filled
                .iter()
                .zip(&rows)
                .map(|(value, (_, weight))| value * (weight / total))
                .sum::<f64>();
            let variance = filled
                .iter()
                .zip(&rows)
                .map(|(value, (_, weight))| (value - mean) * (value - mean) * (weight / total))
                .sum::<f64>();
            let deviation = variance.sqrt();
            if !(deviation.is_finite() && deviation > 0.0) {
                return Err(LearnError::Value {
                    model: "preprocessor",
                    column: name.clone(),
                    expected: "values whose variance is a positive finite number",
                    found: variance,
                });
            }
            let standard = filled.iter().map(|value| (value - mean) / deviation).collect();
            candidates.push((KeptColumn { at, median, mean, deviation }, standard));
        }

        let columns: Vec<&[f64]> = candidates.iter().map(|(_, values)| values.as_slice()).collect();
        let weights: Vec<f64> = rows.iter().map(|&(_, weight)| weight / total).collect();
        let correlation = correlation_matrix(&columns, &weights);
        let name_of = |candidate: usize| names[candidates[candidate].0.at].clone();
        let mut alive: Vec<usize> = (0..candidates.len()).collect();
        if let Some(bound) = config.collinearity.correlation {
            for (gone, partner, value) in drop_correlated(&correlation, &mut alive, bound) {
                let why = DropReason::Correlated { with: name_of(partner), correlation: value };
                dropped.push(DroppedColumn { name: name_of(gone), why });
            }
        }
        if let Some(bound) = config.collinearity.vif {
            for (gone, vif) in drop_inflated(&correlation, &mut alive, bound)? {
                dropped.push(DroppedColumn {
                    name: name_of(gone),
                    why: DropReason::Collinear { vif },
                });
            }
        }
        if alive.is_empty() {
            return Err(LearnError::Nothing { model: "preprocessor", expected: "columns" });
        }
        let kept: Vec<KeptColumn> = alive.iter().map(|&at| candidates[at].0.clone()).collect();
        let kept_columns = alive.iter().map(|&at| name_of(at)).collect();
        Ok(Self { config, input_columns: names.to_vec(), kept, kept_columns, dropped })
    }

    /// The row as the model sees it: the kept columns in their order, imputed and standardised as
    /// configured. `row` has one value for each of [`Preprocessor::input_columns`], NaN for a
    /// missing one; a row of another length gives NaN for all, so that it can never look like a
    /// measured one.
    pub fn apply(&self, row: &[f64]) -> Vec<f64> {
        if row.len() != self.input_columns.len() {
            return vec![f64::NAN; self.kept.len()];
        }
        self.kept
            .iter()
            .map(|column| {
                let mut value = row[column.at];
                if value.is_nan() && self.config.impute {
                    value = column.median;
                }
                if self.config.scale { (value - column.mean) / column.deviation } else { value }
            })
            .collect()
    }

    /// The columns of a row before preprocessing: those of the view it was fitted on.
    pub fn input_columns(&self) -> &[String] {
        &self.input_columns
    }

    /// The columns that the model sees, in their order.
    pub fn kept_columns(&self) -> &[String] {
        &self.kept_columns
    }

    /// Where each kept column stands among the input columns.
    pub fn kept_positions(&self) -> impl Iterator<Item = usize> + '_ {
        self.kept.iter().map(|column| column.at)
    }

    /// The columns that the model does not see, in the order in which they fell.
    pub fn dropped(&self) -> &[DroppedColumn] {
        &self.dropped
    }

    /// What it was asked to do.
    pub fn config(&self) -> &PreprocessorConfig {
        &self.config
    }
}

fn check_config(config: &PreprocessorConfig) -> Result<(), LearnError> {
    let out_of_range = |name: &'static str, expected: &str, found: f64| LearnError::Parameter {
        model: "preprocessor",
        name,
        expected: expected.to_owned(),
        found: found.to_string(),
    };
    if let Some(bound) = config.collinearity.correlation
        && !(bound > 0.0 && bound <= 1.0)
    {
        return Err(out_of_range("correlation", "above 0 and at most 1", bound));
    }
    if let Some(bound) = config.collinearity.vif
        && !(bound >= 1.0 && bound.is_finite())
    {
        return Err(out_of_range("vif", "a number of at least 1", bound));
    }
    Ok(())
}

/// The weighted median of values in rising order: where half of the weight is reached; the mean of
/// both neighbours when it is reached exactly between two. With equal weights, the usual median.
fn weighted_median(sorted: &[(f64, f64)]) -> f64 {
    let half = sorted.iter().map(|&(_, weight)| weight).sum::<f64>() / 2.0;
    let mut below = 0.0;
    for (at, &(value, weight)) in sorted.iter().enumerate() {
        below += weight;
        if below >= half * (1.0 - 1e-12) {
            // Weights such as 1/3 do not add up exactly: half is reached within rounding.
            let exactly = below <= half * (1.0 + 1e-12);
            return match sorted.get(at + 1) {
                Some(&(next, _)) if exactly => value / 2.0 + next / 2.0,
                _ => value,
            };
        }
    }
    // Only an empty slice gets here; the caller has at least one value.
    f64::NAN
}

/// Pearson correlations of standardised columns; `weights` add up to 1.
fn correlation_matrix(columns: &[&[f64]], weights: &[f64]) -> Vec<Vec<f64>> {
    let mut matrix = vec![vec![1.0; columns.len()]; columns.len()];
    for left in 0..columns.len() {
        for right in 0..left {
            let sum: f64 = columns[left]
                .iter()
                .zip(columns[right])
                .zip(weights)
                .map(|((a, b), weight)| a * b * weight)
                .sum();
            let value = sum.clamp(-1.0, 1.0);
            matrix[left][right] = value;
            matrix[right][left] = value;
        }
    }
    matrix
}

/// Drops one of each pair at or above `bound`; gives (dropped, kept partner, correlation).
fn drop_correlated(
    correlation: &[Vec<f64>],
    alive: &mut Vec<usize>,
    bound: f64,
) -> Vec<(usize, usize, f64)> {
    let mut gone = Vec::new();
    loop {
        let mut worst: Option<(usize, usize, f64)> = None;
        for (at, &left) in alive.iter().enumerate() {
            for &right in &alive[at + 1..] {
                let size = correlation[left][right].abs();
                if size >= bound && worst.is_none_or(|(_, _, known)| size > known) {
                    worst = Some((left, right, size));
                }
            }
        }
        let Some((left, right, _)) = worst else { return gone };
        let mean_of = |column: usize| {
            alive
                .iter()
                .filter(|&&other| other != column)
                .map(|&other| correlation[column][other].abs())
                .sum::<f64>()
        };
        let earlier_says_less = mean_of(left) > mean_of(right) * (1.0 + TIE_SHARE);
        let (dropped, kept) = if earlier_says_less { (left, right) } else { (right, left) };
        alive.retain(|&column| column != dropped);
        gone.push((dropped, kept, correlation[dropped][kept]));
    }
}

/// Drops the column of largest variance inflation while that is above `bound`.
fn drop_inflated(
    correlation: &[Vec<f64>],
    alive: &mut Vec<usize>,
    bound: f64,
) -> Result<Vec<(usize, f64)>, LearnError> {
    let mut gone = Vec::new();
    while alive.len() > 1 {
        let inflation = variance_inflation(correlation, alive)?;
        let largest = inflation.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let worst = inflation.iter().rposition(|&vif| vif >= largest * (1.0 - TIE_SHARE));
        let Some(worst) = worst.filter(|_| largest > bound) else { break };
        gone.push((alive.remove(worst), inflation[worst]));
    }
    Ok(gone)
}

/// The diagonal of the inverse of the correlation matrix of `alive`, by Cholesky: with R = L L^T,
/// `(R^-1)_ii` is the squared norm of column i of `L^-1`.
fn variance_inflation(correlation: &[Vec<f64>], alive: &[usize]) -> Result<Vec<f64>, LearnError> {
    let size = alive.len();
    let mut lower = vec![vec![0.0; size]; size];
    for row in 0..size {
        for column in 0..=row {
            let mut value = correlation[alive[row]][alive[column]];
            if row == column {
                value += RIDGE;
            }
            for (left, right) in lower[row].iter().zip(&lower[column]).take(column) {
                value -= left * right;
            }
            if row == column {
                // A correlation matrix is positive semi-definite up to rounding, which is far
                // below the ridge; anything else is a fault of ours and must not pass as a number.
                if value.is_nan() || value <= 0.0 {
                    return Err(LearnError::Library {
                        library: "the collinearity filter",
                        doing: "invert a correlation matrix",
                        message: format!("expected a positive pivot, found {value}"),
                    });
                }
                lower[row][column] = value.sqrt();
            } else {
                lower[row][column] = value / lower[column][column];
            }
        }
    }
    let mut inflation = vec![0.0; size];
    let mut solved = vec![0.0; size];
    for (unit, result) in inflation.iter_mut().enumerate() {
        // Forward substitution of a unit vector: column `unit` of L^-1.
        for row in unit..size {
            let mut value = if row == unit { 1.0 } else { 0.0 };
            for at in unit..row {
                value -= lower[row][at] * solved[at];
            }
            solved[row] = value / lower[row][row];
        }
        *result = solved[unit..size].iter().map(|value| value * value).sum();
    }
    Ok(inflation)
}
