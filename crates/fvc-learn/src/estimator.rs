//! [`Estimator`]: checked parameters that fit; [`Fitted`]: what comes of it.

use std::collections::BTreeMap;
use std::fmt;

use fvc_corpus::TrainView;
use serde::{Deserialize, Serialize};

use crate::{LearnError, ModelBody, Preprocessor};

/// The value of a parameter, as a grid varies it and a report prints it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum ParameterValue {
    /// Yes or no.
    Flag(bool),
    /// A number.
    Number(f64),
    /// A choice by name.
    Text(String),
}

impl fmt::Display for ParameterValue {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(value) => write!(formatter, "{value}"),
            Self::Number(value) => write!(formatter, "{value}"),
            Self::Text(value) => formatter.write_str(value),
        }
    }
}

impl From<f64> for ParameterValue {
    fn from(value: f64) -> Self {
        Self::Number(value)
    }
}

impl From<&str> for ParameterValue {
    fn from(value: &str) -> Self {
        Self::Text(value.to_owned())
    }
}

impl From<bool> for ParameterValue {
    fn from(value: bool) -> Self {
        Self::Flag(value)
    }
}

/// Named parameters of a model; what is not named keeps the family's default.
pub type Parameters = BTreeMap<String, ParameterValue>;

/// Checked parameters of one model family, ready to fit.
///
/// Made by [`crate::ModelKind::estimator`] from unchecked [`Parameters`]: only checked ones fit.
///
/// It learns from the training side of a split:
///
/// ```
/// # use fvc_corpus::{Examples, Split};
/// # use fvc_learn::{Estimator, Fitted, LearnError, Preprocessor};
/// fn learn(
///     estimator: &dyn Estimator,
///     preprocessor: &Preprocessor,
///     split: &Split,
///     all: &Examples,
/// ) -> Result<Fitted, LearnError> {
///     let (to_learn_from, to_score) = split.fold(0, all)?;
///     estimator.fit(&to_learn_from, preprocessor)
/// }
/// ```
///
/// not from what will be scored, and not from rows that no split has dealt:
///
/// ```compile_fail,E0308
/// # use fvc_corpus::{Examples, Split};
/// # use fvc_learn::{Estimator, Fitted, LearnError, Preprocessor};
/// fn learn(
///     estimator: &dyn Estimator,
///     preprocessor: &Preprocessor,
///     split: &Split,
///     all: &Examples,
/// ) -> Result<Fitted, LearnError> {
///     let (to_learn_from, to_score) = split.fold(0, all)?;
///     estimator.fit(&to_score, preprocessor)
/// }
/// ```
///
/// ```compile_fail,E0308
/// # use fvc_corpus::{Examples, Split};
/// # use fvc_learn::{Estimator, Fitted, LearnError, Preprocessor};
/// fn learn(
///     estimator: &dyn Estimator,
///     preprocessor: &Preprocessor,
///     split: &Split,
///     all: &Examples,
/// ) -> Result<Fitted, LearnError> {
///     estimator.fit(all, preprocessor)
/// }
/// ```
///
/// What has not been fitted has no way to score:
///
/// ```
/// # use fvc_learn::{Estimator, Fitted};
/// fn say(estimator: &dyn Estimator, fitted: &Fitted, row: &[f64]) -> f64 {
///     fitted.body.margin(row)
/// }
/// ```
///
/// ```compile_fail,E0599
/// # use fvc_learn::{Estimator, Fitted};
/// fn say(estimator: &dyn Estimator, fitted: &Fitted, row: &[f64]) -> f64 {
///     estimator.margin(row)
/// }
/// ```
pub trait Estimator: Send + Sync {
    /// The model's name, such as `logistic_regression`.
    fn family(&self) -> &'static str;

    /// All parameters with their values, defaults included.
    fn parameters(&self) -> Parameters;

    /// Fits on the rows of `train` as `preprocessor` (fitted on the same view) shows them.
    ///
    /// # Errors
    /// Only one class in `train`, a value that the family cannot take, columns that are not the
    /// preprocessor's, or the library's own failure.
    fn fit(&self, train: &TrainView<'_>, preprocessor: &Preprocessor)
    -> Result<Fitted, LearnError>;
}

/// A fitted model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FittedModel {
    /// The model itself, in our own bounded, typed form: prediction needs no library.
    pub body: ModelBody,
    /// How the fit went, for the run folder: iterations, whether it converged, the best round.
    pub notes: BTreeMap<String, f64>,
}

/// A fitted model with the groups and sources that it has seen.
pub type Fitted = fvc_corpus::Fitted<FittedModel>;
