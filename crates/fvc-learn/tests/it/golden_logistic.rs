//! Coefficients against scikit-learn's (`tools/golden/learn_logistic.py`).

use fvc_learn::{Collinearity, ModelBody, ModelKind, Parameters, Preprocessor, PreprocessorConfig};
use serde::Deserialize;

use crate::corpus;

#[derive(Deserialize)]
struct Golden {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    parameters: Parameters,
    coefficients: Vec<f64>,
    intercept: f64,
    probabilities: Vec<f64>,
}

/// Rows as they are.
pub(crate) const RAW: PreprocessorConfig =
    PreprocessorConfig { impute: false, scale: false, collinearity: Collinearity::OFF };

#[test]
fn coefficients_are_those_of_scikit_learn() {
    let golden: Golden =
        serde_json::from_str(include_str!("../golden/learn_logistic.json")).unwrap();
    assert_eq!(golden.cases.len(), 10);
    let corpus = corpus::golden_columns(&[0, 1, 2, 3]);
    let train = corpus.split.training(&corpus.examples).unwrap();
    let preprocessor = Preprocessor::fit(&train, RAW).unwrap();
    for case in golden.cases {
        let mut parameters = case.parameters.clone();
        parameters.insert("tol".to_owned(), 1e-10.into());
        parameters.insert("require_convergence".to_owned(), true.into());
        let fitted = ModelKind::LogisticRegression
            .estimator(&parameters, 0)
            .unwrap()
            .fit(&train, &preprocessor)
            .unwrap_or_else(|error| panic!("{:?}: {error}", case.parameters));
        let ModelBody::Linear(model) = &fitted.body else { panic!("not linear") };
        let found = [model.coefficients(), &[model.intercept()]].concat();
        let expected = [case.coefficients.as_slice(), &[case.intercept]].concat();
        for (found, expected) in found.iter().zip(&expected) {
            assert!(
                (found - expected).abs() <= 1e-5 * expected.abs().max(1.0),
                "{:?}: expected {expected}, found {found}",
                case.parameters
            );
        }
        // A zero of scikit-learn is a zero here, not something small.
        for (found, expected) in model.coefficients().iter().zip(&case.coefficients) {
            assert_eq!(*found == 0.0, *expected == 0.0, "{:?}", case.parameters);
        }
        for (row, expected) in train.rows().zip(&case.probabilities) {
            let found = fitted.body.probability(&preprocessor.apply(row.values));
            assert!((found - expected).abs() <= 1e-5, "expected {expected}, found {found}");
        }
    }
}

#[test]
fn the_default_tolerance_is_near_the_exact_answer_too() {
    let corpus = corpus::golden_columns(&[0, 1, 2, 3]);
    let train = corpus.split.training(&corpus.examples).unwrap();
    let preprocessor = Preprocessor::fit(&train, RAW).unwrap();
    for parameters in ModelKind::LogisticRegression.grid(fvc_learn::Grid::Reference) {
        let fit = |tolerance: f64| {
            let mut parameters = parameters.clone();
            parameters.insert("tol".to_owned(), tolerance.into());
            parameters.insert("require_convergence".to_owned(), true.into());
            ModelKind::LogisticRegression
                .estimator(&parameters, 0)
                .unwrap()
                .fit(&train, &preprocessor)
                .unwrap()
        };
        let (quick, exact) = (fit(1e-6), fit(1e-12));
        for row in train.rows() {
            let values = preprocessor.apply(row.values);
            let away = (quick.body.probability(&values) - exact.body.probability(&values)).abs();
            assert!(away <= 1e-4, "{parameters:?}: {away}");
        }
    }
}
