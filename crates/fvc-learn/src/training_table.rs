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

    pub(crate) fn rows(&self) -> impl Iterator<Item = &[f64]> {
        self.values.chunks_exact(self.width)
    }

    /// Number of rows.
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
