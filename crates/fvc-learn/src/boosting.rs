//! Gradient-boosted trees: the model ([`TreeModel`]) and its fit by XGBoost.
//!
//! # The model
//! `margin = base + sum_t tree_t(x)` in log odds of fake. Each tree sends a row left where
//! `x_j < threshold` and right otherwise; a missing value goes the way that the fit found better
//! for the rows that miss it. [`crate::ModelKind::preprocessing`] imputes by default, so that
//! missingness is no feature; the rule counts with a preprocessor that leaves values missing.
//!
//! # The fit
//! XGBoost (Chen and Guestrin, "XGBoost: a scalable tree boosting system", KDD 2016), objective
//! `binary:logistic`, histogram method. Round t adds the tree that minimises, greedily from the
//! root, the second-order model of
//!
//! `sum_i w_i log(1 + exp(-s_i margin_i)) + gamma L + lambda / 2 |v|_2^2 + alpha |v|_1`
//!
//! over its L leaf values v, times `learning_rate`. Row weights come from the view: a source with
//! its variants weighs 1. The base is the log odds of the weighted share of fake rows
//! (`scale_pos_weight` counted in), given to the library and not estimated by it, so that it is the
//! same under every version.
//!
//! One thread and one seed by default: the same rows in the same order give the same bits. Cost of
//! a round: O(n p) on histograms of at most `max_bin` bins a column, O(p `max_bin` 2^depth) memory.
//!
//! # Early stopping
//! With `early_stopping_rounds` = k above 0, the training side is split once more *by group*
//! ([`TrainView::inner_folds`], `early_stopping_folds` folds, of which the first is held out), never
//! row by row: the earlier system stopped on rows whose variants it had fitted on. A preprocessor
//! is fitted anew on the inner side. Rounds are added until the log loss of the held-out originals
//! has not fallen for k rounds or `n_estimators` is reached; the best number of rounds is kept and
//! the model **refitted on all training rows with that number**, so that no group is lost to the
//! stopping. With `early_stopping_rounds` = 0, `n_estimators` rounds are made. A training side
//! whose groups cannot be split once more (fewer than two with each class) is refused unless it
//! is 0.
//!
//! # Scoring
//! Never by the library: its JSON model goes through a bounded parser
//! ([`TreeModel::from_xgboost_json`]) into arrays, which safe Rust walks in the library's own f32
//! arithmetic, O(depth) a tree.
//!
//! # Explanation
//! Exact path-dependent SHAP values; importance is the gain (loss reduction) of the splits on each
//! input.

#[cfg(feature = "xgboost")]
mod library;
mod tree_model;
mod tree_shap;
mod xgboost_json;

use fvc_corpus::TrainView;

pub use self::tree_model::{Tree, TreeModel};
use crate::parameter_reader::ParameterReader;
use crate::{Estimator, Fitted, LearnError, ParameterValue, Parameters, Preprocessor};

/// The name of this family.
pub(crate) const NAME: &str = "xgboost";

/// How much more a fake row weighs.
#[derive(Clone, Copy, Debug, PartialEq)]
enum PositiveWeight {
    /// This many times.
    Times(f64),
    /// As many times as makes both classes weigh the same.
    Balanced,
}

/// The parameters that are plain numbers, with default and range; the last part says whether whole.
const NUMBERS: [(&str, f64, f64, f64, bool); 15] = [
    ("n_estimators", 200.0, 1.0, 10_000.0, true),
    ("max_depth", 5.0, 1.0, 16.0, true),
    ("learning_rate", 0.1, 1e-4, 1.0, false),
    ("subsample", 0.8, 0.01, 1.0, false),
    ("colsample_bytree", 0.8, 0.01, 1.0, false),
    ("colsample_bylevel", 1.0, 0.01, 1.0, false),
    ("colsample_bynode", 1.0, 0.01, 1.0, false),
    ("min_child_weight", 1.0, 0.0, 1e6, false),
    ("max_delta_step", 0.0, 0.0, 1e3, false),
    ("gamma", 0.0, 0.0, 1e6, false),
    ("reg_alpha", 0.0, 0.0, 1e6, false),
    ("reg_lambda", 1.0, 0.0, 1e6, false),
    ("max_bin", 256.0, 2.0, 65_536.0, true),
    ("early_stopping_rounds", 20.0, 0.0, 1_000.0, true),
    ("early_stopping_folds", 5.0, 2.0, 50.0, true),
];

const NAMES: [&str; 17] = [
    "n_estimators",
    "max_depth",
    "learning_rate",
    "subsample",
    "colsample_bytree",
    "colsample_bylevel",
    "colsample_bynode",
    "min_child_weight",
    "max_delta_step",
    "gamma",
    "reg_alpha",
    "reg_lambda",
    "max_bin",
    "early_stopping_rounds",
    "early_stopping_folds",
    "scale_pos_weight",
    "threads",
];

/// Checked parameters of boosted trees.
#[derive(Clone, Debug)]
pub(crate) struct GradientBoosting {
    /// In the order of [`NUMBERS`].
    numbers: [f64; NUMBERS.len()],
    positive_weight: PositiveWeight,
    threads: u32,
    #[cfg_attr(not(feature = "xgboost"), allow(dead_code, reason = "only a fit reads it"))]
    seed: u64,
}

impl GradientBoosting {
    /// # Errors
    /// An unknown name, a value out of range, or one that would have no effect beside the others.
    pub(crate) fn checked(given: &Parameters, seed: u64) -> Result<Self, LearnError> {
        let read = ParameterReader::new(NAME, &NAMES, given)?;
        let mut numbers = [0.0; NUMBERS.len()];
        for (value, (name, default, low, high, whole)) in numbers.iter_mut().zip(NUMBERS) {
            *value = if whole {
                f64::from(read.count(name, default as u32, low as u32..=high as u32)?)
            } else {
                read.number(name, default, low..=high)?
            };
        }
        let positive_weight = match read.get("scale_pos_weight") {
            None => PositiveWeight::Times(1.0),
            Some(ParameterValue::Text(text)) if text == "balanced" => PositiveWeight::Balanced,
            Some(ParameterValue::Number(times)) if (1e-3..=1e3).contains(times) => {
                PositiveWeight::Times(*times)
            }
            Some(other) => {
                return Err(read.error(
                    "scale_pos_weight",
                    "balanced, or a number from 0.001 to 1000",
                    other,
                ));
            }
        };
        let checked =
            Self { numbers, positive_weight, threads: read.count("threads", 1, 1..=1_024)?, seed };
        if checked.number("early_stopping_rounds") == 0.0 && read.is_given("early_stopping_folds") {
            return Err(read.error(
                "early_stopping_folds",
                "none with early_stopping_rounds 0",
                &"one",
            ));
        }
        Ok(checked)
    }

    /// A number by its name; [`NUMBERS`] has every name that is asked for here.
    fn number(&self, name: &str) -> f64 {
        NUMBERS
            .iter()
            .zip(self.numbers)
            .find(|((known, ..), _)| *known == name)
            .map_or(f64::NAN, |(_, value)| value)
    }
}

impl Estimator for GradientBoosting {
    fn family(&self) -> &'static str {
        NAME
    }

    fn parameters(&self) -> Parameters {
        let mut parameters: Parameters = NUMBERS
            .iter()
            .zip(self.numbers)
            .map(|((name, ..), value)| ((*name).to_owned(), value.into()))
            .collect();
        if self.number("early_stopping_rounds") == 0.0 {
            parameters.remove("early_stopping_folds");
        }
        let positive_weight = match self.positive_weight {
            PositiveWeight::Times(times) => times.into(),
            PositiveWeight::Balanced => "balanced".into(),
        };
        parameters.insert("scale_pos_weight".to_owned(), positive_weight);
        parameters.insert("threads".to_owned(), f64::from(self.threads).into());
        parameters
    }

    #[cfg(feature = "xgboost")]
    fn fit(
        &self,
        train: &TrainView<'_>,
        preprocessor: &Preprocessor,
    ) -> Result<Fitted, LearnError> {
        train.fit(|train| library::fit(self, train, preprocessor))
    }

    #[cfg(not(feature = "xgboost"))]
    fn fit(&self, _: &TrainView<'_>, _: &Preprocessor) -> Result<Fitted, LearnError> {
        Err(LearnError::NotBuilt { model: NAME, feature: "xgboost" })
    }
}
