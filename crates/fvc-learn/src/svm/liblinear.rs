//! The fit of a linear machine by LIBLINEAR.

use std::fmt::Display;
use std::sync::Once;

use liblinear::util::TrainingInput;
use liblinear::{Builder, LibLinearModel, SolverType};

use super::library::Problem;
use crate::LearnError;

/// The label of a fake row; a real one has -1.
const FAKE: i32 = 1;

fn failed(error: impl Display) -> LearnError {
    LearnError::Library {
        library: "LIBLINEAR",
        doing: "fit a linear machine",
        message: error.to_string(),
    }
}

fn train(problem: &Problem<'_>) -> Result<impl LibLinearModel, LearnError> {
    static SILENT: Once = Once::new();
    SILENT.call_once(|| liblinear::toggle_liblinear_stdout_output(false));
    let table = problem.table;
    let mut labels = Vec::with_capacity(problem.rows.len());
    let mut features = Vec::with_capacity(problem.rows.len());
    for &at in problem.rows {
        labels.push(if table.targets[at] > 0.5 { f64::from(FAKE) } else { -f64::from(FAKE) });
        // Sparse, although they are not: the crate takes the number of rows for that of columns
        // where rows are dense.
        features.push((1..).zip(table.row(at).iter().copied()).collect());
    }
    let input = TrainingInput::from_sparse_features(labels, features).map_err(failed)?;
    let mut builder = Builder::new();
    builder.problem().input_data(input).bias(1.0);
    builder
        .parameters()
        // In the primal, by trust region: the dual solvers draw from the process's one `rand()`.
        .solver_type(SolverType::L2R_L2LOSS_SVC)
        .stopping_criterion(problem.tol)
        .constraints_violation_cost(1.0)
        .cost_penalty_labels(vec![-FAKE, FAKE])
        .cost_penalty_weights(problem.cost.to_vec());
    builder.build_model().map_err(failed)
}

/// Intercept and coefficients.
pub(super) fn fit(problem: &Problem<'_>) -> Result<(f64, Vec<f64>), LearnError> {
    let table = problem.table;
    let model = train(problem)?;
    if model.num_classes() != 2 || model.num_features() != table.width {
        return Err(failed(format!(
            "expected 2 classes and {} features, found {} and {}",
            table.width,
            model.num_classes(),
            model.num_features()
        )));
    }
    // The first class is the positive one.
    let sign = if model.labels().first() == Some(&FAKE) { 1.0 } else { -1.0 };
    let coefficients =
        (1..=table.width).map(|at| sign * model.feature_coefficient(at as i32, 0)).collect();
    Ok((sign * model.label_bias(0), coefficients))
}

#[cfg(test)]
mod tests {
    use liblinear::util::PredictionInput;

    use super::super::library::table;
    use super::*;

    #[test]
    fn our_scores_are_the_librarys() {
        let table = table();
        let rows: Vec<usize> = (0..table.len()).chain(0..10).collect();
        for cost in [[1.0, 1.0], [10.0, 20.0], [0.01, 0.01]] {
            let problem = Problem { table: &table, rows: &rows, cost, tol: 1e-3 };
            let (intercept, coefficients) = fit(&problem).unwrap();
            let theirs = train(&problem).unwrap();
            let sign = if theirs.labels()[0] == FAKE { 1.0 } else { -1.0 };
            for row in table.rows() {
                let input = PredictionInput::from_dense_features(row.to_vec()).unwrap();
                let expected = sign * theirs.predict_values(input).unwrap().0[0];
                let found = coefficients.iter().zip(row).fold(intercept, |sum, (b, x)| sum + b * x);
                assert!((found - expected).abs() < 1e-9, "expected {expected}, found {found}");
            }
        }
    }
}
