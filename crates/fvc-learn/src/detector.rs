//! [`Detector`]: a fitted model with everything that a verdict needs, in memory and on disk.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use fvc_corpus::{
    EvalView, FitScope, Fitted, LeakError, Predictions, StoredError, TrainView, write_atomically,
};
use serde::{Deserialize, Serialize};

use crate::bootstrap::quantile;
use crate::cross_validation::{Chain, Selection};
use crate::{
    Calibration, FittedModel, LearnError, ModelBody, ModelKind, Preprocessor, Thresholds, Verdict,
};

/// Version of the model file.
const FILE_VERSION: u32 = 2;
/// The largest model file that is read, in bytes.
const MAX_FILE: u64 = 256 << 20;

/// What the training originals show of one column.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Seen {
    low: f64,
    high: f64,
    smallest: f64,
    largest: f64,
}

/// A value that no training video has.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Unusual {
    /// The column.
    pub column: String,
    /// The value.
    pub value: f64,
    /// The 1 % quantile of the training originals.
    pub low: f64,
    /// The 99 % quantile.
    pub high: f64,
}

/// What one column did to a verdict.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reason {
    /// The column.
    pub column: String,
    /// How far it moved the calibrated log odds; positive is towards fake.
    pub log_odds: f64,
    /// Standard error of that where it was sampled; nothing where it is exact.
    pub standard_error: Option<f64>,
    /// The column's value; NaN is missing.
    pub value: f64,
}

/// What a detector says of one row.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Assessment {
    /// Calibrated probability of fake.
    pub probability: f64,
    /// Raw log odds.
    pub margin: f64,
    /// real, fake or uncertain.
    pub verdict: Verdict,
    /// What the data can promise.
    pub promise: String,
    /// What each column did to the calibrated log odds, the largest first.
    pub contributions: Vec<Reason>,
    /// Values outside what the training videos show (their range widened by a tenth).
    pub unusual: Vec<Unusual>,
}

/// A fitted model: preprocessing, model, calibration, thresholds, and what it has seen.
///
/// It comes from [`crate::fit_final`] or from a whole file ([`Detector::load`]):
///
/// ```
/// # use fvc_learn::{Detector, LearnError};
/// fn read(path: &std::path::Path) -> Result<Detector, LearnError> {
///     Ok(Detector::load(path)?.0)
/// }
/// ```
///
/// ```compile_fail,E0277
/// # use fvc_learn::Detector;
/// fn read(text: &str) -> serde_json::Result<Detector> {
///     serde_json::from_str(text)
/// }
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Detector {
    parts: Fitted<Parts>,
}

/// All that a verdict depends on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Parts {
    kind: ModelKind,
    preprocessor: Preprocessor,
    fitted: FittedModel,
    calibration: Calibration,
    thresholds: Thresholds,
    selection: Selection,
    seen: Vec<Option<Seen>>,
}

impl Parts {
    fn margin(&self, values: &[f64]) -> f64 {
        self.fitted.body.margin(&self.preprocessor.apply(values))
    }
}

const FORMAT: &str = "fvc detector";

impl Detector {
    pub(crate) fn fit(
        kind: ModelKind,
        train: &TrainView<'_>,
        thresholds: Thresholds,
        fit_chain: impl FnOnce(&TrainView<'_>) -> Result<Chain, LearnError>,
    ) -> Result<Self, LearnError> {
        let parts = train.fit(|train| {
            let chain = fit_chain(train)?;
            let seen = Self::seen(train, &chain);
            let Chain { preprocessor, fitted, calibration, selection } = chain;
            Ok::<_, LearnError>(Parts {
                kind,
                preprocessor,
                fitted,
                calibration,
                thresholds,
                selection,
                seen,
            })
        })?;
        Ok(Self { parts })
    }

    fn seen(train: &TrainView<'_>, chain: &Chain) -> Vec<Option<Seen>> {
        let columns = chain.preprocessor.input_columns().len();
        let mut values: Vec<Vec<f64>> = vec![Vec::new(); columns];
        for row in train.rows().filter(|row| row.variant == 0) {
            for (kept, &value) in values.iter_mut().zip(row.values) {
                if !value.is_nan() {
                    kept.push(value);
                }
            }
        }
        values
            .into_iter()
            .map(|mut values| {
                values.sort_by(f64::total_cmp);
                let (&smallest, &largest) = (values.first()?, values.last()?);
                Some(Seen {
                    low: quantile(&values, 0.01),
                    high: quantile(&values, 0.99),
                    smallest,
                    largest,
                })
            })
            .collect()
    }

    /// Raw log odds of a view's sources, beside their labels.
    pub(crate) fn score(&self, view: &EvalView<'_>) -> Result<Predictions, LeakError> {
        view.score_with(&self.parts, Parts::margin)
    }

    /// The model's name.
    pub fn kind(&self) -> ModelKind {
        self.parts.kind
    }

    /// The columns of a row, in order.
    pub fn columns(&self) -> &[String] {
        self.parts.preprocessor.input_columns()
    }

    /// What it was fitted on.
    pub fn scope(&self) -> &FitScope {
        self.parts.scope()
    }

    /// The chosen parameters and the search that chose them.
    pub fn selection(&self) -> &Selection {
        &self.parts.selection
    }

    /// The fitted model alone, which takes preprocessed rows.
    pub fn body(&self) -> &ModelBody {
        &self.parts.fitted.body
    }

    /// The thresholds of its verdicts.
    pub fn thresholds(&self) -> &Thresholds {
        &self.parts.thresholds
    }

    /// Raw log odds of a row.
    pub fn margin(&self, values: &[f64]) -> f64 {
        self.parts.margin(values)
    }

    /// Calibrated probability of a margin.
    pub fn probability(&self, margin: f64) -> f64 {
        self.parts.calibration.probability(margin)
    }

    /// Probability, verdict, reasons. A row of another width gets no verdict.
    pub fn assess(&self, values: &[f64]) -> Assessment {
        let margin = self.margin(values);
        let probability = self.probability(margin);
        if !probability.is_finite() || values.len() != self.columns().len() {
            return Assessment {
                probability: f64::NAN,
                margin: f64::NAN,
                verdict: Verdict::Uncertain,
                promise: format!(
                    "no verdict: expected {} values, found {}",
                    self.columns().len(),
                    values.len()
                ),
                contributions: Vec::new(),
                unusual: Vec::new(),
            };
        }
        let row = self.parts.preprocessor.apply(values);
        let parts = self.parts.fitted.body.contributions(&row);
        let positions: Vec<usize> = self.parts.preprocessor.kept_positions().collect();
        let slope = self.parts.calibration.slope;
        let mut contributions: Vec<Reason> = self
            .parts
            .preprocessor
            .kept_columns()
            .iter()
            .zip(&positions)
            .zip(&parts.values)
            .enumerate()
            .map(|(place, ((column, &at), part))| Reason {
                column: column.clone(),
                log_odds: slope * part,
                standard_error: parts.standard_errors.as_ref().map(|errors| slope * errors[place]),
                value: values[at],
            })
            .collect();
        contributions.sort_by(|left, right| right.log_odds.abs().total_cmp(&left.log_odds.abs()));
        let unusual = self
            .columns()
            .iter()
            .zip(values)
            .zip(&self.parts.seen)
            .filter_map(|((column, &value), seen)| {
                let seen = (*seen)?;
                let room = 0.1 * (seen.largest - seen.smallest);
                (value < seen.smallest - room || value > seen.largest + room).then(|| Unusual {
                    column: column.clone(),
                    value,
                    low: seen.low,
                    high: seen.high,
                })
            })
            .collect();
        Assessment {
            probability,
            margin,
            verdict: self.parts.thresholds.verdict(probability),
            promise: self.parts.thresholds.promise(),
            contributions,
            unusual,
        }
    }

    /// Writes the detector with its recipe as JSON, with a hash over both, whole or not at all.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn save(&self, path: &Path, recipe: &serde_json::Value) -> Result<(), LearnError> {
        let wrong = |found: String| LearnError::ModelFile {
            path: path.to_owned(),
            expected: "a file that can be written".to_owned(),
            found,
        };
        let bytes = self
            .parts
            .to_json(FORMAT, FILE_VERSION, recipe)
            .map_err(|error| wrong(error.to_string()))?;
        write_atomically(path, &bytes).map_err(|error| wrong(error.to_string()))
    }

    /// Reads a detector and its recipe; checks size, version, hash and that all parts fit together.
    ///
    /// # Errors
    /// The file cannot be read, is larger than 256 MiB, or is not as it was written.
    pub fn load(path: &Path) -> Result<(Self, serde_json::Value), LearnError> {
        let wrong = |expected: &str, found: String| LearnError::ModelFile {
            path: path.to_owned(),
            expected: expected.to_owned(),
            found,
        };
        let file = File::open(path).map_err(|error| wrong("a model file", error.to_string()))?;
        let mut bytes = Vec::new();
        file.take(MAX_FILE + 1)
            .read_to_end(&mut bytes)
            .map_err(|error| wrong("a model file", error.to_string()))?;
        if bytes.len() as u64 > MAX_FILE {
            return Err(wrong("at most 256 MiB", "a larger file".to_owned()));
        }
        let (parts, recipe) = Fitted::<Parts>::from_json(&bytes, FORMAT, FILE_VERSION)
            .map_err(|StoredError { expected, found }| wrong(&expected, found))?;
        let detector = Self { parts };
        let parts = &detector.parts;
        parts.fitted.body.check().map_err(|found| wrong("a sound model", found))?;
        let kept = parts.preprocessor.kept_columns().len();
        let Calibration { slope, intercept, .. } = parts.calibration;
        let numbers_hold = slope.is_finite() && slope >= 0.0 && intercept.is_finite();
        if parts.fitted.body.width() != kept
            || parts.seen.len() != detector.columns().len()
            || !numbers_hold
        {
            return Err(wrong("parts that fit together", "parts that do not".to_owned()));
        }
        Ok((detector, recipe))
    }
}
