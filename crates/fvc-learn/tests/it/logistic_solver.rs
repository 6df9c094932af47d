//! The solver where it is hard: more columns than rows, dependent columns, separated classes.

use fvc_learn::{
    Fitted, LearnError, ModelBody, ModelKind, ParameterValue, Parameters, Preprocessor,
};

use crate::conformance::Draw;
use crate::corpus::{Corpus, Source};
use crate::golden_logistic::RAW;

fn fit(corpus: &Corpus, given: &[(&str, ParameterValue)]) -> Result<Fitted, LearnError> {
    let parameters: Parameters =
        given.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
    let train = corpus.split.training(&corpus.examples).unwrap();
    let preprocessor = Preprocessor::fit(&train, RAW).unwrap();
    ModelKind::LogisticRegression.estimator(&parameters, 0).unwrap().fit(&train, &preprocessor)
}

/// `rows` sources of `columns` numbers, the first of which tells the classes apart by `gap`.
fn corpus(rows: usize, columns: usize, gap: f64) -> Corpus {
    let mut draw = Draw(11);
    let sources: Vec<Source> = (0..rows)
        .map(|at| {
            let label = (at % 2) as u8;
            let mut values: Vec<Option<f64>> =
                (0..columns).map(|_| Some(draw.next() - 0.5)).collect();
            values[0] = values[0].map(|value| value + gap * f64::from(label));
            Source { label, group: at as u32, rows: vec![values] }
        })
        .collect();
    let names: Vec<String> = (0..columns).map(|at| format!("c{at}")).collect();
    Corpus::of(&names.iter().map(String::as_str).collect::<Vec<_>>(), &sources)
}

/// The optimality conditions, from the definition and not from the solver's own arithmetic.
fn assert_optimal(corpus: &Corpus, fitted: &Fitted, c: f64, l1_ratio: f64) {
    let ModelBody::Linear(model) = &fitted.body else { panic!("not linear") };
    let train = corpus.split.training(&corpus.examples).unwrap();
    let total = train.rows().map(|row| row.weight).sum::<f64>();
    let mut slopes = vec![0.0; model.coefficients().len()];
    let mut intercept_slope = 0.0;
    for row in train.rows() {
        let slope = c * row.weight * (fitted.body.probability(row.values) - row.label.target());
        intercept_slope += slope;
        for (own, value) in slopes.iter_mut().zip(row.values) {
            *own += slope * value;
        }
    }
    let within = 1e-6 * c * total;
    assert!(intercept_slope.abs() <= within, "intercept: {intercept_slope}");
    for (slope, b) in slopes.iter().zip(model.coefficients()) {
        let smooth = slope + (1.0 - l1_ratio) * b;
        let off = if *b == 0.0 {
            (smooth.abs() - l1_ratio).max(0.0)
        } else {
            (smooth + l1_ratio * b.signum()).abs()
        };
        assert!(off <= within, "coefficient {b}: off by {off}");
    }
}

#[test]
fn more_columns_than_rows() {
    let corpus = corpus(40, 120, 0.4);
    for (penalty, ratio) in [("l1", 1.0), ("l2", 0.0), ("elasticnet", 0.3)] {
        for c in [0.3, 10.0, 1_000.0] {
            let mut given: Vec<(&str, ParameterValue)> = vec![
                ("penalty", penalty.into()),
                ("C", c.into()),
                ("require_convergence", true.into()),
            ];
            if penalty == "elasticnet" {
                given.push(("l1_ratio", ratio.into()));
            }
            assert_optimal(&corpus, &fit(&corpus, &given).unwrap(), c, ratio);
        }
    }
}

#[test]
fn separated_classes_without_a_penalty_end_and_say_how() {
    let corpus = corpus(60, 3, 5.0);
    let fitted = fit(&corpus, &[("penalty", "none".into())]).unwrap();
    assert!(fitted.notes["gradient"].is_finite());
    let train = corpus.split.training(&corpus.examples).unwrap();
    for row in train.rows() {
        assert_eq!(fitted.body.margin(row.values) > 0.0, row.label.target() == 1.0);
    }
}

#[test]
fn dependent_columns_without_a_penalty_have_a_solution() {
    let mut draw = Draw(3);
    let sources: Vec<Source> = (0..80_u32)
        .map(|at| {
            let value = draw.next() - 0.5;
            let label = u8::from(draw.next() < 0.5 + value);
            Source {
                label,
                group: at,
                rows: vec![vec![Some(value), Some(2.0 * value), Some(draw.next())]],
            }
        })
        .collect();
    let corpus = Corpus::of(&["a", "twice_a", "b"], &sources);
    let fitted =
        fit(&corpus, &[("penalty", "none".into()), ("require_convergence", true.into())]).unwrap();
    let ModelBody::Linear(model) = &fitted.body else { panic!("not linear") };
    // Unpenalised: the gradient is zero whatever the penalty's part would be.
    let alone = Corpus::of(
        &["a", "b"],
        &sources
            .iter()
            .map(|source| Source {
                rows: vec![vec![source.rows[0][0], source.rows[0][2]]],
                ..source.clone()
            })
            .collect::<Vec<_>>(),
    );
    let expected =
        fit(&alone, &[("penalty", "none".into()), ("require_convergence", true.into())]).unwrap();
    let ModelBody::Linear(expected) = &expected.body else { panic!("not linear") };
    let together = model.coefficients()[0] + 2.0 * model.coefficients()[1];
    assert!((together - expected.coefficients()[0]).abs() < 1e-3, "{together}");
}

#[test]
fn an_end_before_the_tolerance_is_a_note_or_an_error() {
    let corpus = corpus(60, 5, 0.3);
    let short: [(&str, ParameterValue); 2] = [("max_iter", 1.0.into()), ("tol", 1e-12.into())];
    let fitted = fit(&corpus, &short).unwrap();
    assert_eq!((fitted.notes["converged"], fitted.notes["iterations"]), (0.0, 1.0));
    let [first, second] = short;
    match fit(&corpus, &[first, second, ("require_convergence", true.into())]) {
        Err(LearnError::NotConverged { iterations: 1, expected, found, .. }) => {
            assert!(found > expected);
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn balanced_classes_ignore_how_many_there_are() {
    // 3 real to 1 fake, same places: without weights the base rate moves the intercept.
    let mut draw = Draw(8);
    let sources: Vec<Source> = (0..400_u32)
        .map(|at| {
            let label = u8::from(at % 4 == 0);
            let value = draw.next() + 0.2 * f64::from(label);
            Source { label, group: at, rows: vec![vec![Some(value)]] }
        })
        .collect();
    let corpus = Corpus::of(&["a"], &sources);
    let mean = |given: &[(&str, ParameterValue)], label: f64| {
        let fitted = fit(&corpus, given).unwrap();
        let train = corpus.split.training(&corpus.examples).unwrap();
        let of: Vec<f64> = train
            .rows()
            .filter(|row| row.label.target() == label)
            .map(|row| fitted.body.probability(row.values))
            .collect();
        of.iter().sum::<f64>() / of.len() as f64
    };
    let balanced = [("class_weight", "balanced".into())];
    // The intercept's condition: mean probability over classes of equal weight is one half.
    assert!((mean(&balanced, 0.0) + mean(&balanced, 1.0) - 1.0).abs() < 1e-5);
    let plain = (3.0 * mean(&[], 0.0) + mean(&[], 1.0)) / 4.0;
    assert!((plain - 0.25).abs() < 1e-5, "{plain}");
}
