//! [`TrainingTable`]: the rows of a [`TrainView`] as a preprocessor shows them, checked.

use fvc_corpus::TrainView;

use crate::{LearnError, Preprocessor};

/// Preprocessed rows with targets and weights.
pub(crate) struct TrainingTable {
    /// Number of inputs.
    pub(crate) width: usize,
    /// Row-major, `rows x width`.
    pub(crate) values: Vec<f64>,
    /// 1 for fake, 0 for real.
    pub(crate) targets: Vec<f64>,
    /// Weight of each row; the rows of a source add up to 1.
    pub(crate) weights: Vec<f64>,
}

impl TrainingTable {
    /// # Errors
    /// Other columns than the preprocessor's, no columns kept, or only one class.
    pub(crate) fn build(
        model: &'static str,
        train: &TrainView<'_>,
        preprocessor: &Preprocessor,
    ) -> Result<Self, LearnError> {
        check_columns(preprocessor.input_columns(), train.columns())?;
        let [real, fake] = train.source_counts();
        if real == 0 || fake == 0 {
            return Err(LearnError::OneClass { model, real, fake });
        }
        let width = preprocessor.kept_columns().len();
        if width == 0 {
            return Err(LearnError::Nothing { model, expected: "columns" });
        }
        let mut values = Vec::with_capacity(train.len() * width);
        let mut targets = Vec::with_capacity(train.len());
        let mut weights = Vec::with_capacity(train.len());
        for row in train.rows() {
            values.extend(preprocessor.apply(row.values));
            targets.push(row.label.target());
            weights.push(row.weight);
        }
        Ok(Self { width, values, targets, weights })
    }

    /// [`TrainingTable::build`] for a family that takes finite values only.
    ///
    /// # Errors
    /// A value that is missing or infinite, too.
    pub(crate) fn finite(
        model: &'static str,
        train: &TrainView<'_>,
        preprocessor: &Preprocessor,
    ) -> Result<Self, LearnError> {
        let table = Self::build(model, train, preprocessor)?;
        match table.values.iter().position(|value| !value.is_finite()) {
            None => Ok(table),
            Some(at) => Err(LearnError::Value {
                model,
                column: preprocessor.kept_columns()[at % table.width].clone(),
                expected: "finite values (a preprocessor that imputes)",
                found: table.values[at],
            }),
        }
    }

    /// Weights of the classes, real first, under which both weigh the same in all and the table
    /// what it weighs without: `W / (2 W_c)`.
    pub(crate) fn balance(&self) -> [f64; 2] {
        let total: f64 = self.weights.iter().sum();
        let fake: f64 = self.weights.iter().zip(&self.targets).map(|(w, y)| w * y).sum();
        [total / (2.0 * (total - fake)), total / (2.0 * fake)]
    }

    /// Mean and population standard deviation of each input by row weight, class weights left out:
    /// they describe the data, not the loss.
    pub(crate) fn moments(&self) -> (Vec<f64>, Vec<f64>) {
        let total: f64 = self.weights.iter().sum();
        let mut means = vec![0.0; self.width];
        for (row, weight) in self.rows().zip(&self.weights) {
            for (mean, value) in means.iter_mut().zip(row) {
                *mean += value * (weight / total);
            }
        }
        let mut deviations = vec![0.0; self.width];
        for (row, weight) in self.rows().zip(&self.weights) {
            for ((deviation, value), mean) in deviations.iter_mut().zip(row).zip(&means) {
                *deviation += (value - mean) * (value - mean) * (weight / total);
            }
        }
        (means, deviations.into_iter().map(f64::sqrt).collect())
    }

    /// At most `count` rows by position, spread evenly over the weight of all.
    #[cfg(feature = "svm")]
    pub(crate) fn spread(&self, count: usize) -> Vec<usize> {
        let total: f64 = self.weights.iter().sum();
        let (mut wanted, mut passed) = (0.5, 0.0);
        let mut rows = Vec::new();
        for (at, weight) in self.weights.iter().enumerate() {
            passed += weight;
            if passed * count as f64 >= wanted * total {
                rows.push(at);
                while passed * count as f64 >= wanted * total {
                    wanted += 1.0;
                }
            }
        }
        rows
    }

    #[cfg(feature = "svm")]
    pub(crate) fn row(&self, at: usize) -> &[f64] {
        &self.values[at * self.width..(at + 1) * self.width]
    }

    pub(crate) fn rows(&self) -> impl Iterator<Item = &[f64]> {
        self.values.chunks_exact(self.width)
    }

    /// Number of rows.
    #[cfg_attr(
        not(any(feature = "svm", feature = "xgboost")),
        allow(dead_code, reason = "for the libraries")
    )]
    pub(crate) fn len(&self) -> usize {
        self.targets.len()
    }
}

/// Columns must be the same in the same order: a model knows its inputs by position.
pub(crate) fn check_columns(expected: &[String], found: &[String]) -> Result<(), LearnError> {
    let length = expected.len().max(found.len());
    for at in 0..length {
        let name = |columns: &[String]| {
            columns.get(at).cloned().unwrap_or_else(|| "no further column".to_owned())
        };
        if expected.get(at) != found.get(at) {
            return Err(LearnError::Columns { at, expected: name(expected), found: name(found) });
        }
    }
    Ok(())
}
