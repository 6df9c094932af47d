//! [`EnsembleModel`]: base models with what each of them counts.

use serde::{Deserialize, Serialize};

use super::MAX_BASES;
use super::stack::bounded;
use crate::cross_validation::Chain;
use crate::{Calibration, Contributions, ModelBody, ModelKind, Parameters, Preprocessor};

/// Most columns of a stored model.
const MAX_COLUMNS: usize = 1 << 20;

/// A weighted sum of base models' calibrated log odds, in log odds of fake. It takes a row as it
/// is, holes included; every base model preprocesses it in its own way.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "StoredEnsembleModel")]
pub struct EnsembleModel {
    intercept: f64,
    /// Number of columns that the base models' preprocessors were fitted on.
    columns: usize,
    /// Those of them that a row to score has, rising; the others tell nothing on the training side.
    positions: Vec<usize>,
    members: Vec<Member>,
}

/// One base model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Member {
    model: ModelKind,
    weight: f64,
    /// Standard deviation of its log odds over the groups that it was not fitted on.
    spread: f64,
    /// What its search chose.
    chosen: Parameters,
    preprocessor: Preprocessor,
    body: ModelBody,
    calibration: Calibration,
}

/// [`EnsembleModel`] as it is read, not yet checked.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredEnsembleModel {
    intercept: f64,
    columns: usize,
    positions: Vec<usize>,
    members: Vec<Member>,
}

impl TryFrom<StoredEnsembleModel> for EnsembleModel {
    type Error = String;

    fn try_from(stored: StoredEnsembleModel) -> Result<Self, String> {
        let StoredEnsembleModel { intercept, columns, positions, members } = stored;
        let model = Self { intercept, columns, positions, members };
        model.check()?;
        Ok(model)
    }
}

impl Member {
    pub(super) fn of(model: ModelKind, weight: f64, spread: f64, chain: Chain) -> Self {
        let Chain { preprocessor, fitted, calibration, selection } = chain;
        let body = fitted.body;
        Self { model, weight, spread, chosen: selection.chosen, preprocessor, body, calibration }
    }

    fn check(&self, columns: usize, positions: &[usize]) -> Result<(), String> {
        let model = self.model;
        if model == ModelKind::Ensemble || matches!(self.body, ModelBody::Ensemble(_)) {
            return Err("expected base models that are no ensembles, found one".to_owned());
        }
        self.body.check()?;
        let kept = self.preprocessor.kept_columns().len();
        let found = self.preprocessor.input_columns().len();
        if found != columns || self.body.width() != kept {
            return Err(format!(
                "base model {model}: expected {columns} columns and {kept} inputs, found {found} and {}",
                self.body.width()
            ));
        }
        if let Some(at) =
            self.preprocessor.kept_positions().find(|at| positions.binary_search(at).is_err())
        {
            return Err(format!("base model {model}: expected columns of the row, found {at}"));
        }
        let Calibration { slope, intercept, .. } = self.calibration;
        for (what, value, least) in [
            ("weight", self.weight, f64::NEG_INFINITY),
            ("spread", self.spread, 0.0),
            ("slope", slope, 0.0),
            ("intercept", intercept, f64::NEG_INFINITY),
        ] {
            if !(value.is_finite() && value >= least) {
                return Err(format!(
                    "base model {model}: expected a finite {what} of at least {least}, found {value}"
                ));
            }
        }
        Ok(())
    }
}

impl EnsembleModel {
    pub(super) fn of(intercept: f64, preprocessor: &Preprocessor, members: Vec<Member>) -> Self {
        Self {
            intercept,
            columns: preprocessor.input_columns().len(),
            positions: preprocessor.kept_positions().collect(),
            members,
        }
    }

    /// The base models with their weights.
    pub fn weights(&self) -> impl Iterator<Item = (ModelKind, f64)> + '_ {
        self.members.iter().map(|member| (member.model, member.weight))
    }

    pub(crate) fn width(&self) -> usize {
        self.positions.len()
    }

    /// The row as the base models' preprocessors know it. Columns that the row does not have are
    /// the same everywhere on the training side, and no base model looks at them.
    fn whole(&self, row: &[f64]) -> Vec<f64> {
        let mut whole = vec![f64::NAN; self.columns];
        for (&at, value) in self.positions.iter().zip(row) {
            whole[at] = *value;
        }
        whole
    }

    pub(crate) fn margin(&self, row: &[f64]) -> f64 {
        let whole = self.whole(row);
        self.members.iter().fold(self.intercept, |sum, member| {
            let margin = member.body.margin(&member.preprocessor.apply(&whole));
            sum + member.weight * bounded(member.calibration.log_odds(margin))
        })
    }

    pub(crate) fn contributions(&self, row: &[f64]) -> Contributions {
        let whole = self.whole(row);
        let mut base = self.intercept;
        let mut values = vec![0.0; self.width()];
        let mut errors: Option<Vec<f64>> = None;
        for member in &self.members {
            let own = member.body.contributions(&member.preprocessor.apply(&whole));
            let Calibration { slope, .. } = member.calibration;
            let said: f64 = own.base + own.values.iter().sum::<f64>();
            let (before, after) =
                (member.calibration.log_odds(own.base), member.calibration.log_odds(said));
            base += member.weight * bounded(before);
            // Where the bound cuts log odds off, what is left is shared out in proportion.
            let share = if (after - before).abs() > 0.0 {
                (bounded(after) - bounded(before)) / (after - before)
            } else {
                1.0
            };
            let factor = member.weight * slope * share;
            // A member's columns are among the row's: `check` has seen to it.
            let places = member.preprocessor.kept_positions();
            let places: Vec<usize> =
                places.filter_map(|at| self.positions.binary_search(&at).ok()).collect();
            for (&place, value) in places.iter().zip(&own.values) {
                values[place] += factor * value;
            }
            if let Some(sampled) = own.standard_errors {
                let errors = errors.get_or_insert_with(|| vec![0.0; self.positions.len()]);
                for (&place, error) in places.iter().zip(sampled) {
                    errors[place] += factor.abs() * error;
                }
            }
        }
        Contributions { base, values, standard_errors: errors }
    }

    /// The base models' importances, each counting by its weight and the spread of its log odds.
    pub(crate) fn importance(&self) -> Vec<f64> {
        let mut shares = vec![0.0; self.width()];
        for member in &self.members {
            let count = member.weight.abs() * member.spread;
            let own = member.body.importance();
            for (at, share) in member.preprocessor.kept_positions().zip(own) {
                if let Ok(place) = self.positions.binary_search(&at) {
                    shares[place] += count * share;
                }
            }
        }
        shares
    }

    pub(crate) fn feed(&self, hasher: &mut blake3::Hasher) {
        // Everything that is stored, as it is stored: numbers are written so that they come back
        // bit for bit, and base models with hashes of their own.
        if let Ok(bytes) = serde_json::to_vec(self) {
            hasher.update(&bytes);
        }
    }

    pub(crate) fn check(&self) -> Result<(), String> {
        let (columns, positions) = (self.columns, self.positions.len());
        if !(1..=MAX_COLUMNS).contains(&columns) || !(1..=columns).contains(&positions) {
            return Err(format!(
                "expected 1 to {MAX_COLUMNS} columns and at most as many in a row, found {columns} and {positions}"
            ));
        }
        if !self.positions.is_sorted_by(|left, right| left < right)
            || self.positions.last().is_some_and(|last| *last >= columns)
        {
            return Err(format!("expected rising positions below {columns}, found others"));
        }
        if !(2..=MAX_BASES).contains(&self.members.len()) {
            return Err(format!(
                "expected 2 to {MAX_BASES} base models, found {}",
                self.members.len()
            ));
        }
        if !self.intercept.is_finite() {
            return Err(format!("expected a finite intercept, found {}", self.intercept));
        }
        self.members.iter().try_for_each(|member| member.check(columns, &self.positions))
    }
}
