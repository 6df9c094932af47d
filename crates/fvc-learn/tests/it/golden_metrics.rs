//! Metrics, Platt scaling and preprocessing against scikit-learn's, statsmodels' and NumPy's
//! (`tools/golden/learn_metrics.py`).

use std::collections::BTreeMap;

use fvc_corpus::{GroupId, Label, Prediction, Predictions};
use fvc_learn::{
    Calibration, Collinearity, DropReason, Metric, Metrics, Preprocessor, PreprocessorConfig,
    Weighting,
};
use serde::Deserialize;

use crate::corpus::{self, Corpus, Source, content_id};

#[derive(Deserialize)]
struct Golden {
    metrics: Vec<MetricCase>,
    platt: Vec<PlattCase>,
    preprocessing: Preprocessing,
}

#[derive(Deserialize)]
struct MetricCase {
    name: String,
    groups: Vec<u32>,
    labels: Vec<u8>,
    scores: Vec<f64>,
    by_source: Expected,
    by_group: Expected,
}

#[derive(Deserialize)]
struct Expected {
    confusion: [f64; 4],
    values: BTreeMap<String, Option<f64>>,
}

#[derive(Deserialize)]
struct PlattCase {
    name: String,
    margins: Vec<f64>,
    labels: Vec<u8>,
    slope: f64,
    intercept: f64,
    scikit_learn: [f64; 2],
}

#[derive(Deserialize)]
struct Preprocessing {
    medians: Vec<f64>,
    means: Vec<f64>,
    deviations: Vec<f64>,
    first_rows: Vec<Vec<f64>>,
    correlated: Vec<Dropped<(usize, usize, f64)>>,
    inflated: Vec<Dropped<(usize, f64)>>,
}

#[derive(Deserialize)]
struct Dropped<T> {
    bound: f64,
    dropped: Vec<T>,
}

fn golden() -> Golden {
    serde_json::from_str(include_str!("../golden/learn_metrics.json")).unwrap()
}

fn label(fake: u8) -> Label {
    if fake == 1 { Label::Fake } else { Label::Real }
}

/// `found` is `expected` up to `relative` of its size (of 1, when it is smaller).
fn assert_near(what: &str, expected: f64, found: f64, relative: f64) {
    let room = relative * expected.abs().max(1.0);
    assert!((expected - found).abs() <= room, "{what}: expected {expected}, found {found}");
}

#[test]
fn metrics_are_those_of_scikit_learn() {
    let cases = golden().metrics;
    assert_eq!(cases.len(), 8);
    for case in cases {
        // Rows in an order that the scores do not have; group names whose order is not theirs.
        let rows = (0..case.scores.len())
            .map(|at| Prediction {
                content_id: content_id(at),
                group: GroupId::new(&format!("g{}", case.groups[at])),
                label: label(case.labels[at]),
                score: case.scores[at],
            })
            .collect();
        let predictions = Predictions { rows };
        for (weighting, expected) in
            [(Weighting::Sources, &case.by_source), (Weighting::Groups, &case.by_group)]
        {
            let found = Metrics::of(&predictions, weighting).unwrap();
            let name = |of: &str| format!("{}, {weighting:?}, {of}", case.name);
            assert_eq!(found.sources, case.scores.len() as u64);
            let cells = [
                found.confusion.real_called_real,
                found.confusion.real_called_fake,
                found.confusion.fake_called_real,
                found.confusion.fake_called_fake,
            ];
            for (expected, found) in expected.confusion.iter().zip(cells) {
                assert_near(&name("confusion"), *expected, found, 1e-12);
            }
            let weight = match weighting {
                Weighting::Sources => found.sources,
                Weighting::Groups => found.groups,
            };
            assert_near(&name("sum"), weight as f64, cells.iter().sum(), 1e-12);
            assert_eq!(expected.values.len(), Metric::ALL.len() - 1);
            for metric in Metric::ALL {
                // Of one fold, the pairs within folds are all pairs.
                let key = match metric {
                    Metric::RocAucWithinFolds => Metric::RocAuc.name(),
                    other => other.name(),
                };
                match (expected.values[key], found.get(metric)) {
                    (Some(expected), Some(found)) => {
                        assert_near(&name(metric.name()), expected, found, 1e-12);
                    }
                    (None, None) => {}
                    (expected, found) => {
                        panic!("{}: expected {expected:?}, found {found:?}", name(metric.name()))
                    }
                }
            }
        }
    }
}

#[test]
fn a_sigmoid_is_that_of_platt() {
    let cases = golden().platt;
    assert_eq!(cases.len(), 7);
    for case in cases {
        let rows: Vec<(f64, Label)> =
            case.margins.iter().zip(&case.labels).map(|(&m, &fake)| (m, label(fake))).collect();
        let found = Calibration::fit(&rows);
        assert_eq!(found.rows, rows.len());
        if case.slope < 0.0 {
            // Ours never turns a ranking around: the base rate of the targets is left.
            assert_eq!(case.name, "backwards");
            let fakes = rows.iter().filter(|row| row.1 == Label::Fake).count() as f64;
            let reals = rows.len() as f64 - fakes;
            let targets = fakes * (fakes + 1.0) / (fakes + 2.0) + reals / (reals + 2.0);
            let odds = (targets / (rows.len() as f64 - targets)).ln();
            assert_eq!(found.slope, 0.0);
            assert_near(&case.name, odds, found.intercept, 1e-9);
            continue;
        }
        // Compared in log odds over the margins that it was fitted on, whatever their scale.
        for &margin in &case.margins {
            let exact = case.slope * margin + case.intercept;
            assert_near(&case.name, exact, found.log_odds(margin), 1e-8);
            let [slope, intercept] = case.scikit_learn;
            let theirs = slope * margin + intercept;
            assert_near(&case.name, theirs, found.log_odds(margin), 1e-5);
            let probability = 1.0 / (1.0 + (-exact).exp());
            assert_near(&case.name, probability, found.probability(margin), 1e-8);
        }
    }
}

/// The rows of `learn_data.json` with the two columns that the script adds.
fn eight_columns() -> Corpus {
    let sources: Vec<Source> = corpus::golden_sources()
        .into_iter()
        .map(|source| Source {
            rows: source
                .rows
                .iter()
                .map(|row| {
                    let [a, b, c, d] = [0, 1, 2, 3].map(|at| row[at].unwrap());
                    let added = [a + 0.5 * d + 0.1 * (b * c), b - 0.1 * (c * a)].map(Some);
                    row.iter().copied().chain(added).collect()
                })
                .collect(),
            ..source
        })
        .collect();
    Corpus::of(&NAMES, &sources)
}

const NAMES: [&str; 8] = ["a", "b", "c", "d", "e", "f", "g", "h"];

fn fit(corpus: &Corpus, config: PreprocessorConfig) -> Preprocessor {
    Preprocessor::fit(&corpus.split.training(&corpus.examples).unwrap(), config).unwrap()
}

/// Values are seen through [`Preprocessor::apply`]: what a hole becomes is the median, what 0
/// becomes is `-mean / deviation`, what 1 becomes is one deviation's inverse further.
#[test]
fn medians_and_scales_are_those_of_scikit_learn() {
    let golden = golden().preprocessing;
    let corpus = eight_columns();
    let config = PreprocessorConfig { impute: true, scale: true, collinearity: Collinearity::OFF };
    let imputing = fit(&corpus, PreprocessorConfig { scale: false, ..config });
    let both = fit(&corpus, config);
    assert_eq!(both.kept_columns(), NAMES);
    let medians = imputing.apply(&[f64::NAN; 8]);
    let (zeros, ones) = (both.apply(&[0.0; 8]), both.apply(&[1.0; 8]));
    for at in 0..8 {
        assert_near("median", golden.medians[at], medians[at], 1e-12);
        let deviation = 1.0 / (ones[at] - zeros[at]);
        assert_near("deviation", golden.deviations[at], deviation, 1e-12);
        assert_near("mean", golden.means[at], -zeros[at] * deviation, 1e-12);
    }
    let train = corpus.split.training(&corpus.examples).unwrap();
    let mut holes = 0;
    for (row, expected) in train.rows().zip(&golden.first_rows) {
        for (expected, found) in expected.iter().zip(both.apply(row.values)) {
            assert_near("standardised", *expected, found, 1e-12);
        }
        holes += row.values.iter().filter(|value| value.is_nan()).count();
        // Without imputation a hole stays a hole, and nothing else changes.
        let left = fit(&corpus, PreprocessorConfig { impute: false, ..config }).apply(row.values);
        for ((value, left), both) in row.values.iter().zip(left).zip(both.apply(row.values)) {
            assert!(if value.is_nan() { left.is_nan() } else { left == both });
        }
    }
    assert_eq!(golden.first_rows.len(), 25);
    assert!(holes > 0, "no hole was imputed");
}

#[test]
fn collinear_columns_fall_as_numpy_and_statsmodels_say() {
    let golden = golden().preprocessing;
    let corpus = eight_columns();
    let dropped = |collinearity| {
        let config = PreprocessorConfig { impute: true, scale: true, collinearity };
        let fitted = fit(&corpus, config);
        let mut all: Vec<&str> = fitted.kept_columns().iter().map(String::as_str).collect();
        all.extend(fitted.dropped().iter().map(|column| column.name.as_str()));
        all.sort_unstable();
        assert_eq!(all, NAMES, "every column is kept or dropped, once");
        fitted.dropped().to_vec()
    };
    assert_eq!((golden.correlated.len(), golden.inflated.len()), (3, 3));
    for Dropped { bound, dropped: expected } in golden.correlated {
        let found = dropped(Collinearity { correlation: Some(bound), vif: None });
        assert_eq!(found.len(), expected.len(), "correlation {bound}: {found:?}");
        for (found, (column, partner, value)) in found.iter().zip(expected) {
            assert_eq!(found.name, NAMES[column]);
            let DropReason::Correlated { with, correlation } = &found.why else {
                panic!("{found:?}")
            };
            assert_eq!(with, NAMES[partner]);
            assert_near("correlation", value, *correlation, 1e-12);
        }
    }
    for Dropped { bound, dropped: expected } in golden.inflated {
        let found = dropped(Collinearity { correlation: None, vif: Some(bound) });
        assert_eq!(found.len(), expected.len(), "variance inflation {bound}: {found:?}");
        for (found, (column, value)) in found.iter().zip(expected) {
            assert_eq!(found.name, NAMES[column]);
            let DropReason::Collinear { vif } = found.why else { panic!("{found:?}") };
            // The ridge moves a large one by its square times 1e-8.
            assert_near("variance inflation", value, vif, 1e-8 * value.max(1.0) * 2.0);
        }
    }
}

/// Of a column and its copy the later one falls, wherever both stand. Which of the two fell was
/// once decided by the rounding of sums in another order, so that another column's digits could
/// exchange the names in an explanation.
#[test]
fn of_a_column_and_its_copy_the_later_one_falls() {
    let columns = ["a", "b", "c", "d", "b2"];
    for (turn, by) in [1.0, 0.7, 0.3, 1e-3].into_iter().enumerate() {
        for collinearity in [
            Collinearity { correlation: Some(0.95), vif: None },
            Collinearity { correlation: None, vif: Some(10.0) },
        ] {
            let sources: Vec<Source> = corpus::golden_sources()
                .into_iter()
                .map(|source| Source {
                    rows: source
                        .rows
                        .iter()
                        .map(|row| {
                            let mut four = [0, 1, 2, 3].map(|at| row[at].unwrap());
                            four.rotate_left(turn);
                            let [a, b, c, d] = four;
                            [a, b, c + by * d, by * d, b].map(Some).to_vec()
                        })
                        .collect(),
                    ..source
                })
                .collect();
            let config = PreprocessorConfig { impute: true, scale: true, collinearity };
            let found = fit(&Corpus::of(&columns, &sources), config);
            assert_eq!(found.dropped()[0].name, "b2", "{by}: {:?}", found.dropped());
        }
    }
}
