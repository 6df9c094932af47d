//! Decision values against scikit-learn's (`tools/golden/learn_svm.py`).

use fvc_learn::{LearnError, ModelBody, ModelKind, Parameters, Preprocessor};
use serde::Deserialize;

use crate::corpus::{self, Corpus};
use crate::golden_logistic::RAW;

#[derive(Deserialize)]
struct Golden {
    rows: Vec<Vec<f64>>,
    labels: Vec<u8>,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    only_originals: bool,
    parameters: Parameters,
    decisions: Vec<f64>,
    roc_auc: f64,
}

fn roc_auc(scores: &[f64], labels: &[u8]) -> f64 {
    let (mut pairs, mut ordered) = (0.0, 0.0);
    for (real, _) in scores.iter().zip(labels).filter(|(_, label)| **label == 0) {
        for (fake, _) in scores.iter().zip(labels).filter(|(_, label)| **label == 1) {
            pairs += 1.0;
            ordered += if fake > real { 1.0 } else { 0.5 * f64::from(u8::from(fake == real)) };
        }
    }
    ordered / pairs
}

fn fit(corpus: &Corpus, parameters: &Parameters) -> ModelBody {
    let train = corpus.split.training(&corpus.examples).unwrap();
    let preprocessor = Preprocessor::fit(&train, RAW).unwrap();
    let estimator = ModelKind::Svm.estimator(parameters, 0).unwrap();
    let fitted = estimator.fit(&train, &preprocessor);
    fitted.unwrap_or_else(|error| panic!("{parameters:?}: {error}")).into_inner().body
}

#[test]
fn decision_values_and_auc_are_those_of_scikit_learn() {
    let golden: Golden = serde_json::from_str(include_str!("../golden/learn_svm.json")).unwrap();
    assert_eq!(golden.cases.len(), 9);
    let all = corpus::golden_columns(&[0, 1, 2, 3]);
    let sources: Vec<corpus::Source> = corpus::golden_sources()
        .into_iter()
        .map(|source| corpus::Source { rows: vec![source.rows[0][..4].to_vec()], ..source })
        .collect();
    let originals = Corpus::of(&["a", "b", "c", "d"], &sources);
    for case in golden.cases {
        let corpus = if case.only_originals { &originals } else { &all };
        let scores = |tolerance: Option<f64>| -> Vec<f64> {
            let mut parameters = case.parameters.clone();
            parameters.extend(tolerance.map(|tolerance| ("tol".to_owned(), tolerance.into())));
            let body = fit(corpus, &parameters);
            golden.rows.iter().map(|row| body.margin(row)).collect()
        };
        for (found, expected) in scores(Some(1e-9)).iter().zip(&case.decisions) {
            assert!(
                (found - expected).abs() <= 1e-5 * expected.abs().max(1.0),
                "{:?}: expected {expected}, found {found}",
                case.parameters
            );
        }
        // By the default tolerance too, what is told apart is the same.
        let found = roc_auc(&scores(None), &golden.labels);
        assert!(
            (found - case.roc_auc).abs() <= 0.002,
            "{:?}: expected {}, found {found}",
            case.parameters,
            case.roc_auc
        );
    }
}

/// In the earlier system a support vector machine was linear with C = 1, whatever was asked for.
#[test]
fn the_kernel_that_is_asked_for_is_fitted() {
    let corpus = corpus::golden_columns(&[0, 1, 2, 3]);
    let kernel = |name: &str| fit(&corpus, &Parameters::from([("kernel".to_owned(), name.into())]));
    assert!(matches!(kernel("linear"), ModelBody::Linear(_)));
    match kernel("rbf") {
        ModelBody::Kernel(model) => {
            assert!(model.support_vectors() > 10 && model.gamma() > 0.0);
        }
        other => panic!("{other:?}"),
    }
    let both = Parameters::from([
        ("kernel".to_owned(), "linear".into()),
        ("gamma".to_owned(), "scale".into()),
    ]);
    match ModelKind::Svm.estimator(&both, 0).err() {
        Some(LearnError::Parameter { name, .. }) => assert_eq!(name, "gamma"),
        other => panic!("{other:?}"),
    }
}

/// The libraries' global state (what prints, `rand`) must not reach from one fit into another.
#[test]
fn fits_beside_one_another_give_the_same_bits() {
    let corpus = corpus::golden_columns(&[0, 1, 2, 3]);
    let points = ModelKind::Svm.grid(fvc_learn::Grid::Reference);
    let alone: Vec<ModelBody> = points.iter().map(|point| fit(&corpus, point)).collect();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for (point, alone) in points.iter().zip(&alone) {
                    assert_eq!(&fit(&corpus, point), alone, "{point:?}");
                }
            });
        }
    });
}
