//! The fit by either library: rows, weights and checks that both need.

use std::collections::BTreeMap;

use fvc_corpus::TrainView;

use super::whole_weights::WholeWeights;
use super::{Gamma, Kernel, KernelModel, SupportVectorMachine, liblinear, libsvm};
use crate::training_table::TrainingTable;
use crate::{FittedModel, LearnError, LinearModel, ModelBody, Preprocessor};

/// Most rows, repetitions counted: the libraries count in 32 bits.
const MAX_ROWS: usize = 1 << 24;

/// What both libraries are asked for.
pub(super) struct Problem<'a> {
    pub(super) table: &'a TrainingTable,
    /// Rows of the table, each as often as it weighs.
    pub(super) rows: &'a [usize],
    /// C of a real and of a fake row.
    pub(super) cost: [f64; 2],
    pub(super) tol: f64,
}

pub(super) fn fit(
    estimator: &SupportVectorMachine,
    train: &TrainView<'_>,
    preprocessor: &Preprocessor,
) -> Result<FittedModel, LearnError> {
    let name = estimator.name;
    let table = TrainingTable::finite(name, train, preprocessor)?;
    let weights = WholeWeights::of(name, &table.weights)?;
    let rows = weights.rows();
    if rows.len() > MAX_ROWS || rows.len().saturating_mul(table.width + 2) > i32::MAX as usize {
        return Err(LearnError::Weights {
            model: name,
            expected: format!("at most {MAX_ROWS} rows and {} values", i32::MAX),
            found: format!("{} rows of {} values", rows.len(), table.width),
        });
    }
    let class_weights = if estimator.balanced { table.balance() } else { [1.0, 1.0] };
    let problem = Problem {
        table: &table,
        rows: &rows,
        cost: class_weights.map(|weight| estimator.c * weights.unit() * weight),
        tol: estimator.tol,
    };
    let (means, deviations) = table.moments();
    let mut notes = BTreeMap::from([("rows_repeated".to_owned(), rows.len() as f64)]);
    let body = match estimator.kernel {
        Kernel::Linear => {
            let (intercept, coefficients) = liblinear::fit(&problem)?;
            ModelBody::Linear(LinearModel::of(intercept, coefficients, means, deviations))
        }
        Kernel::Gaussian(gamma) => {
            let gamma = width_of_gaussian(gamma, &table);
            let dual = libsvm::fit(&problem, gamma)?;
            notes.insert("support_vectors".to_owned(), dual.support.len() as f64);
            notes.insert("gamma".to_owned(), gamma);
            let support = dual.support.iter().flat_map(|&(at, _)| table.row(at)).copied().collect();
            let coefficients = dual.support.iter().map(|&(_, coefficient)| coefficient).collect();
            ModelBody::Kernel(KernelModel::of(
                gamma,
                dual.intercept,
                coefficients,
                support,
                &table,
                deviations,
            ))
        }
    };
    body.check().map_err(|found| LearnError::Library {
        library: if estimator.kernel == Kernel::Linear { "LIBLINEAR" } else { "LIBSVM" },
        doing: "fit a model within the bounds of a model file",
        message: found,
    })?;
    Ok(FittedModel { body, notes })
}

/// scikit-learn's rule, with the variance by row weight.
fn width_of_gaussian(gamma: Gamma, table: &TrainingTable) -> f64 {
    let width = table.width as f64;
    match gamma {
        Gamma::Value(value) => value,
        Gamma::Auto => 1.0 / width,
        Gamma::Scale => {
            let total: f64 = table.weights.iter().sum::<f64>() * width;
            let mean_of = |of: &dyn Fn(f64) -> f64| -> f64 {
                table
                    .rows()
                    .zip(&table.weights)
                    .map(|(row, weight)| {
                        weight / total * row.iter().map(|&value| of(value)).sum::<f64>()
                    })
                    .sum()
            };
            let mean = mean_of(&|value| value);
            let variance = mean_of(&|value| (value - mean) * (value - mean));
            // A preprocessor keeps no constant column, so that there is a variance.
            if variance > 0.0 { 1.0 / (width * variance) } else { 1.0 / width }
        }
    }
}

/// Two classes that overlap, in three inputs.
#[cfg(test)]
pub(super) fn table() -> TrainingTable {
    let value = |at: usize| ((at * 7919 % 1009) as f64 / 1009.0 - 0.5) * 4.0;
    let targets: Vec<f64> = (0..80).map(|row| f64::from(u8::from(row % 3 == 1))).collect();
    let shift = |at: usize| if at.is_multiple_of(3) { targets[at / 3] } else { 0.0 };
    TrainingTable {
        width: 3,
        values: (0..240).map(|at| value(at) + shift(at)).collect(),
        weights: vec![1.0; 80],
        targets,
    }
}
