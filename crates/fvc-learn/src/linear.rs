//! Logistic regression: the model ([`LinearModel`]) and its fit.
//!
//! # The model
//! `margin = b0 + sum_j b_j x_j` is the log odds of fake; the probability is its logistic function.
//!
//! # The fit
//! Minimises, over coefficients b and intercept b0,
//!
//! `C * sum_i w_i log(1 + exp(-s_i margin_i)) + r |b|_1 + (1 - r) / 2 |b|_2^2`
//!
//! with s = +1 for fake and -1 for real, w the row weights (each source weighs 1 in all) times the
//! class weight, and r = 0 for penalty `l2`, 1 for `l1`, `l1_ratio` for `elasticnet`; `none` has no
//! penalty. The intercept is never penalised. This is scikit-learn's objective, C included, so its
//! values carry over; the golden tests hold the coefficients to scikit-learn's.
//!
//! `class_weight = balanced` multiplies a row of class c by `W / (2 W_c)`, with W the weight of all
//! rows and `W_c` that of the class.
//!
//! # The method
//! Proximal Newton (Lee, Sun and Saunders, "Proximal Newton-type methods for minimizing composite
//! functions", SIAM J. Optim. 24, 2014). Each iteration replaces the loss by its second-order
//! model at the current point, which is the iteratively reweighted least squares of classical
//! statistics. Without an L1 part its minimum is one linear system, solved by Cholesky. With one it
//! is found by cyclic coordinate descent with covariance updates and soft thresholding (Friedman,
//! Hastie and Tibshirani, "Regularization paths for generalized linear models via coordinate
//! descent", J. Stat. Softw. 33, 2010), only as exactly as the outer error deserves. A line search
//! with Armijo's rule makes the objective fall in every iteration, whatever the data.
//!
//! It ends when the largest component of the minimum-norm subgradient of the objective divided by
//! `C sum w` is at most `tol`. An end before that is a note (`converged` = 0), an error when
//! `require_convergence` is set. Nothing is random: the seed changes nothing, and the same rows in
//! the same order (views sort them) give the same bits.
//!
//! Cost: O(n p² + p³) time an iteration, O(n p + p²) memory, for n rows of p columns; 5 to 15
//! iterations are usual.
//!
//! # Explanation
//! With independent inputs, the SHAP value of input j is `b_j (x_j - mean_j)`, mean over the
//! training rows by weight, and the base is the margin of that mean (Lundberg and Lee, "A unified
//! approach to interpreting model predictions", 2017, Corollary 1). The sum is exact.

mod solver;

use std::collections::BTreeMap;

use fvc_corpus::TrainView;
use serde::{Deserialize, Serialize};

use self::solver::{Penalty, Problem};
use crate::parameter_reader::ParameterReader;
use crate::training_table::TrainingTable;
use crate::{
    Contributions, Estimator, Fitted, FittedModel, LearnError, ModelBody, ParameterValue,
    Parameters, Preprocessor,
};

/// Most inputs of a stored model.
const MAX_WIDTH: usize = 1 << 20;

/// A weighted sum: in log odds of fake where a logistic regression was fitted, in units of the
/// margin for a linear support vector machine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "StoredLinearModel")]
pub struct LinearModel {
    intercept: f64,
    coefficients: Vec<f64>,
    /// Weighted mean of each input over the training rows: where a contribution is 0.
    means: Vec<f64>,
    /// Weighted standard deviation of each input over the training rows.
    deviations: Vec<f64>,
}

/// [`LinearModel`] as it is read, not yet checked.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredLinearModel {
    intercept: f64,
    coefficients: Vec<f64>,
    means: Vec<f64>,
    deviations: Vec<f64>,
}

impl TryFrom<StoredLinearModel> for LinearModel {
    type Error = String;

    fn try_from(stored: StoredLinearModel) -> Result<Self, String> {
        let StoredLinearModel { intercept, coefficients, means, deviations } = stored;
        let model = Self { intercept, coefficients, means, deviations };
        model.check()?;
        Ok(model)
    }
}

impl LinearModel {
    #[cfg(feature = "svm")]
    pub(crate) fn of(
        intercept: f64,
        coefficients: Vec<f64>,
        means: Vec<f64>,
        deviations: Vec<f64>,
    ) -> Self {
        Self { intercept, coefficients, means, deviations }
    }

    /// Log odds of a row of zeros.
    pub fn intercept(&self) -> f64 {
        self.intercept
    }

    /// Change of the log odds with one unit of each input (one standard deviation of the training
    /// rows, after a preprocessor that scales).
    pub fn coefficients(&self) -> &[f64] {
        &self.coefficients
    }

    pub(crate) fn width(&self) -> usize {
        self.coefficients.len()
    }

    pub(crate) fn margin(&self, row: &[f64]) -> f64 {
        self.coefficients.iter().zip(row).fold(self.intercept, |sum, (b, x)| sum + b * x)
    }

    pub(crate) fn contributions(&self, row: &[f64]) -> Contributions {
        let values = self
            .coefficients
            .iter()
            .zip(row)
            .zip(&self.means)
            .map(|((b, x), mean)| b * (x - mean))
            .collect();
        Contributions { base: self.margin(&self.means), values, standard_errors: None }
    }

    pub(crate) fn importance(&self) -> Vec<f64> {
        self.coefficients.iter().zip(&self.deviations).map(|(b, spread)| b.abs() * spread).collect()
    }

    pub(crate) fn feed(&self, hasher: &mut blake3::Hasher) {
        for numbers in
            [&[self.intercept], self.coefficients.as_slice(), &self.means, &self.deviations]
        {
            hasher.update(&(numbers.len() as u64).to_le_bytes());
            for number in numbers {
                hasher.update(&number.to_le_bytes());
            }
        }
    }

    pub(crate) fn check(&self) -> Result<(), String> {
        let width = self.coefficients.len();
        if !(1..=MAX_WIDTH).contains(&width) {
            return Err(format!("expected 1 to {MAX_WIDTH} coefficients, found {width}"));
        }
        if self.means.len() != width || self.deviations.len() != width {
            return Err(format!(
                "expected {width} means and deviations, found {} and {}",
                self.means.len(),
                self.deviations.len()
            ));
        }
        let numbers = self.coefficients.iter().chain(&self.means).chain(&self.deviations);
        if let Some(found) = numbers.chain([&self.intercept]).find(|value| !value.is_finite()) {
            return Err(format!("expected finite numbers, found {found}"));
        }
        if let Some(found) = self.deviations.iter().find(|value| **value < 0.0) {
            return Err(format!("expected deviations of at least 0, found {found}"));
        }
        Ok(())
    }
}

/// Which penalty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PenaltyKind {
    L1,
    L2,
    ElasticNet,
    None,
}

const PENALTIES: [(&str, PenaltyKind); 4] = [
    ("l1", PenaltyKind::L1),
    ("l2", PenaltyKind::L2),
    ("elasticnet", PenaltyKind::ElasticNet),
    ("none", PenaltyKind::None),
];

const NAMES: [&str; 7] =
    ["C", "penalty", "l1_ratio", "class_weight", "max_iter", "tol", "require_convergence"];

/// Checked parameters of a logistic regression.
#[derive(Clone, Debug)]
pub(crate) struct LogisticRegression {
    name: &'static str,
    /// Inverse strength of the penalty.
    c: f64,
    penalty: PenaltyKind,
    l1_ratio: f64,
    balanced: bool,
    max_iter: u32,
    tol: f64,
    require_convergence: bool,
}

impl LogisticRegression {
    /// # Errors
    /// An unknown name, a value out of range, or one that would have no effect beside the others.
    pub(crate) fn checked(name: &'static str, given: &Parameters) -> Result<Self, LearnError> {
        let read = ParameterReader::new(name, &NAMES, given)?;
        let penalty = read.choice("penalty", PenaltyKind::L2, &PENALTIES)?;
        if penalty != PenaltyKind::ElasticNet && read.is_given("l1_ratio") {
            return Err(read.error("l1_ratio", "none without penalty elasticnet", &"one"));
        }
        if penalty == PenaltyKind::None && read.is_given("C") {
            return Err(read.error("C", "none with penalty none", &"one"));
        }
        Ok(Self {
            name,
            c: read.number("C", 1.0, 1e-6..=1e6)?,
            penalty,
            l1_ratio: read.number("l1_ratio", 0.5, 0.0..=1.0)?,
            balanced: read.choice("class_weight", false, &[("none", false), ("balanced", true)])?,
            max_iter: read.count("max_iter", 1_000, 1..=1_000_000)?,
            tol: read.number("tol", 1e-6, 1e-12..=0.1)?,
            require_convergence: read.flag("require_convergence", false)?,
        })
    }

    /// Row weights times class weights.
    fn loss_weights(&self, table: &TrainingTable) -> Vec<f64> {
        if !self.balanced {
            return table.weights.clone();
        }
        let class_weight = table.balance();
        table
            .weights
            .iter()
            .zip(&table.targets)
            .map(|(weight, &target)| weight * class_weight[usize::from(target > 0.5)])
            .collect()
    }
}

impl Estimator for LogisticRegression {
    fn family(&self) -> &'static str {
        self.name
    }

    fn parameters(&self) -> Parameters {
        let penalty = PENALTIES.iter().find(|(_, kind)| *kind == self.penalty);
        let mut parameters = Parameters::from([
            ("class_weight".to_owned(), (if self.balanced { "balanced" } else { "none" }).into()),
            ("max_iter".to_owned(), f64::from(self.max_iter).into()),
            ("tol".to_owned(), self.tol.into()),
            ("require_convergence".to_owned(), self.require_convergence.into()),
        ]);
        if let Some((name, _)) = penalty {
            parameters.insert("penalty".to_owned(), (*name).into());
        }
        if self.penalty != PenaltyKind::None {
            parameters.insert("C".to_owned(), ParameterValue::Number(self.c));
        }
        if self.penalty == PenaltyKind::ElasticNet {
            parameters.insert("l1_ratio".to_owned(), self.l1_ratio.into());
        }
        parameters
    }

    fn fit(
        &self,
        train: &TrainView<'_>,
        preprocessor: &Preprocessor,
    ) -> Result<Fitted, LearnError> {
        train.fit(|train| self.learn(train, preprocessor))
    }
}

/// Intercept and coefficients of a logistic regression with L2 penalty on rows that weigh the same:
/// for small problems, such as a meta-learner's. `values` is row-major, `rows x width`.
pub(crate) fn logistic_coefficients(
    width: usize,
    values: &[f64],
    targets: &[f64],
    c: f64,
) -> (f64, Vec<f64>) {
    let count = targets.len().max(1) as f64;
    let weights = vec![1.0 / count; targets.len()];
    let penalty = Penalty { l1: 0.0, l2: 1.0 / (c * count) };
    let problem = Problem { width, values, targets, weights: &weights, penalty };
    let solution = problem.solve(1e-9, 1_000);
    (solution.intercept, solution.coefficients)
}

impl LogisticRegression {
    fn learn(
        &self,
        train: &TrainView<'_>,
        preprocessor: &Preprocessor,
    ) -> Result<FittedModel, LearnError> {
        let table = TrainingTable::finite(self.name, train, preprocessor)?;
        let mut weights = self.loss_weights(&table);
        let total: f64 = weights.iter().sum();
        for weight in &mut weights {
            *weight /= total;
        }
        // The objective divided by C times the total weight: a mean loss, whose gradient has the
        // same size whatever C and the number of rows.
        let strength = 1.0 / (self.c * total);
        let penalty = match self.penalty {
            PenaltyKind::L1 => Penalty { l1: strength, l2: 0.0 },
            PenaltyKind::L2 => Penalty { l1: 0.0, l2: strength },
            PenaltyKind::ElasticNet => {
                Penalty { l1: strength * self.l1_ratio, l2: strength * (1.0 - self.l1_ratio) }
            }
            PenaltyKind::None => Penalty { l1: 0.0, l2: 0.0 },
        };
        let problem = Problem {
            width: table.width,
            values: &table.values,
            targets: &table.targets,
            weights: &weights,
            penalty,
        };
        let solution = problem.solve(self.tol, self.max_iter);
        if self.require_convergence && !solution.converged {
            return Err(LearnError::NotConverged {
                model: self.name,
                iterations: solution.iterations,
                expected: self.tol,
                found: solution.gradient,
            });
        }
        let notes = BTreeMap::from([
            ("iterations".to_owned(), f64::from(solution.iterations)),
            ("converged".to_owned(), f64::from(u8::from(solution.converged))),
            ("gradient".to_owned(), solution.gradient),
            (
                "nonzero_coefficients".to_owned(),
                solution.coefficients.iter().filter(|b| **b != 0.0).count() as f64,
            ),
        ]);
        let (means, deviations) = table.moments();
        let body = ModelBody::Linear(LinearModel {
            intercept: solution.intercept,
            coefficients: solution.coefficients,
            means,
            deviations,
        });
        body.check().map_err(|found| LearnError::Library {
            library: "the logistic solver",
            doing: "fit finite coefficients",
            message: found,
        })?;
        Ok(FittedModel { body, notes })
    }
}
