//! What every model family must do, whatever it is: run once for each by `conformance!`.
//!
//! That an unfitted model predicts is impossible by type: an [`fvc_learn::Estimator`] has no way
//! to score, and only a fit or a checked file makes a [`ModelBody`].

use std::collections::BTreeMap;

use fvc_corpus::{
    Examples, FeatureMatrix, FeatureRow, GroupEvidence, GroupTable, Label, Predictions,
};
use fvc_learn::{
    Fitted, FittedModel, Grid, LearnError, ModelBody, ModelKind, ParameterValue, Parameters,
    Preprocessor,
};

use crate::corpus::{self, Corpus, Source};

const COLUMNS: [&str; 6] = ["sharpness", "noise", "rate", "blocks", "edges", "motion"];

/// Numbers in (0, 1) that are the same everywhere.
pub(crate) struct Draw(pub(crate) u64);

impl Draw {
    pub(crate) fn next(&mut self) -> f64 {
        // Knuth's MMIX generator; the high bits are good enough for test data.
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 11) as f64 + 0.5) / (1_u64 << 53) as f64
    }

    fn normal(&mut self) -> f64 {
        (0..12).map(|_| self.next()).sum::<f64>() - 6.0
    }
}

/// `sources` sources in groups of two, classes apart in most columns, column 4 with holes if
/// `missing`.
fn corpus_of(sources: usize, missing: bool) -> Corpus {
    let mut draw = Draw(5);
    let shift = [1.5, -1.2, 0.8, 0.5, 0.4, 0.2];
    let sources: Vec<Source> = (0..sources)
        .map(|at| {
            let label = u8::from(draw.next() < 0.45);
            let rows = (0..=at % 3)
                .map(|_| {
                    shift
                        .iter()
                        .enumerate()
                        .map(|(column, by)| {
                            let value =
                                10.0 * column as f64 + f64::from(label) * by + draw.normal();
                            (!(missing && column == 4 && draw.next() < 0.2)).then_some(value)
                        })
                        .collect()
                })
                .collect();
            Source { label, group: at as u32 / 2, rows }
        })
        .collect();
    Corpus::of(&COLUMNS, &sources)
}

/// A fit on the first fold's training side with the family's own preprocessing.
fn fit(
    kind: ModelKind,
    corpus: &Corpus,
    parameters: &Parameters,
    seed: u64,
) -> (Preprocessor, Fitted) {
    let (train, _) = corpus.split.fold(0, &corpus.examples).unwrap();
    let preprocessor = Preprocessor::fit(&train, kind.preprocessing()).unwrap();
    let fitted = kind
        .estimator(parameters, seed)
        .unwrap()
        .fit(&train, &preprocessor)
        .unwrap_or_else(|error| panic!("{kind} {parameters:?}: {error}"));
    assert_eq!(fitted.scope(), train.scope());
    assert_eq!(fitted.body.width(), preprocessor.kept_columns().len());
    (preprocessor, fitted)
}

/// Scores of the held-out side by both parts together, which were fitted on the other side.
fn scores(corpus: &Corpus, preprocessor: &Preprocessor, fitted: &Fitted) -> Predictions {
    let (train, eval) = corpus.split.fold(0, &corpus.examples).unwrap();
    let both = train.fit(|_| Ok::<_, LearnError>((preprocessor, fitted))).unwrap();
    eval.score_with(&both, |(preprocessor, fitted), row| {
        fitted.body.margin(&preprocessor.apply(row))
    })
    .unwrap()
}

/// Margins of the held-out side, through the view.
fn held_out(corpus: &Corpus, preprocessor: &Preprocessor, fitted: &Fitted) -> Vec<f64> {
    let scored = scores(corpus, preprocessor, fitted);
    assert!(!scored.rows.is_empty());
    scored.rows.iter().map(|row| row.score).collect()
}

pub(crate) fn learns_and_scores_only_what_it_has_not_seen(kind: ModelKind) {
    let corpus = corpus_of(150, true);
    let (preprocessor, fitted) = fit(kind, &corpus, &Parameters::new(), 3);
    let (train, _) = corpus.split.fold(0, &corpus.examples).unwrap();
    let scored = scores(&corpus, &preprocessor, &fitted);
    let right =
        scored.rows.iter().filter(|row| (row.score > 0.0) == (row.label == Label::Fake)).count();
    assert!(right * 10 > scored.rows.len() * 7, "{right} of {}", scored.rows.len());
    for (_, inner_eval) in train.inner_folds(2, 1).unwrap() {
        assert!(inner_eval.score_with(&fitted, |_, _| 0.0).is_err(), "a fitted row was scored");
    }
}

pub(crate) fn wrong_width_is_refused(kind: ModelKind) {
    let (_, fitted) = fit(kind, &corpus_of(60, false), &Parameters::new(), 3);
    let body = &fitted.body;
    for width in [0, 1, body.width() - 1, body.width() + 1] {
        let row = vec![0.5; width];
        match body.score(&row) {
            Err(LearnError::Width { expected, found }) => {
                assert_eq!((expected, found), (body.width(), width));
            }
            other => panic!("{other:?}"),
        }
        assert!(body.margin(&row).is_nan() && body.probability(&row).is_nan());
        assert!(body.contributions(&row).values.iter().all(|value| value.is_nan()));
    }
    assert_eq!(
        body.score(&vec![0.5; body.width()]).unwrap(),
        body.margin(&vec![0.5; body.width()])
    );
}

pub(crate) fn same_seed_same_bits(kind: ModelKind) {
    let corpus = corpus_of(90, true);
    let (preprocessor, first) = fit(kind, &corpus, &Parameters::new(), 8);
    let (_, second) = fit(kind, &corpus, &Parameters::new(), 8);
    assert_eq!(first, second);
    let (one, two) =
        (held_out(&corpus, &preprocessor, &first), held_out(&corpus, &preprocessor, &second));
    assert!(one.iter().zip(&two).all(|(a, b)| a.to_bits() == b.to_bits()));
}

pub(crate) fn save_and_load_same_bits(kind: ModelKind) {
    let corpus = corpus_of(90, true);
    let (preprocessor, fitted) = fit(kind, &corpus, &Parameters::new(), 8);
    let text = serde_json::to_string(&*fitted).unwrap();
    let loaded: FittedModel = serde_json::from_str(&text).unwrap();
    assert_eq!(loaded, *fitted);
    let body = ModelBody::from_json(&fitted.body.to_json().unwrap()).unwrap();
    for row in corpus.split.training(&corpus.examples).unwrap().rows().step_by(4) {
        let values = preprocessor.apply(row.values);
        let expected = fitted.body.contributions(&values);
        assert_eq!(body.margin(&values).to_bits(), fitted.body.margin(&values).to_bits());
        assert_eq!(body.contributions(&values), expected);
        let sum = expected.base + expected.values.iter().sum::<f64>();
        assert!((sum - fitted.body.margin(&values)).abs() < 1e-4, "contributions do not add up");
    }
}

/// With its own preprocessing, a family takes missing values in fit and score. Without imputation,
/// it takes them as they are or names the column: never a silent zero.
pub(crate) fn missing_values_are_handled_or_named(kind: ModelKind) {
    let corpus = corpus_of(90, true);
    let (preprocessor, fitted) = fit(kind, &corpus, &Parameters::new(), 2);
    let margins = held_out(&corpus, &preprocessor, &fitted);
    assert!(margins.iter().all(|margin| margin.is_finite()));

    let (train, _) = corpus.split.fold(0, &corpus.examples).unwrap();
    let raw = Preprocessor::fit(&train, crate::golden_logistic::RAW).unwrap();
    match (kind, kind.estimator(&Parameters::new(), 2).unwrap().fit(&train, &raw)) {
        (ModelKind::Xgboost | ModelKind::Ensemble, Ok(fitted)) => {
            assert!(held_out(&corpus, &raw, &fitted).iter().all(|margin| margin.is_finite()));
            let hole = fitted.body.margin(&[f64::NAN; 6]);
            assert!(hole.is_finite());
        }
        (kind, Err(LearnError::Value { column, found, .. }))
            if kind != ModelKind::Xgboost && kind != ModelKind::Ensemble =>
        {
            assert_eq!(column, "edges");
            assert!(found.is_nan());
        }
        (_, other) => panic!("{other:?}"),
    }
}

/// The same rows with labels that are all of one class; the split was planned with the true ones,
/// since it would refuse these.
pub(crate) fn one_class_is_refused(kind: ModelKind) {
    let corpus = corpus_of(40, false);
    let (train, _) = corpus.split.fold(0, &corpus.examples).unwrap();
    let preprocessor = Preprocessor::fit(&train, kind.preprocessing()).unwrap();
    for label in Label::ALL {
        let mut evidence = Vec::new();
        let mut labels = BTreeMap::new();
        let mut rows = Vec::new();
        for row in corpus.split.training(&corpus.examples).unwrap().rows() {
            labels.insert(row.content_id, label);
            evidence.push(GroupEvidence {
                content_id: row.content_id,
                declared: vec![row.group.to_string()],
            });
            rows.push(FeatureRow {
                content_id: row.content_id,
                variant: row.variant,
                values: row.values.to_vec(),
            });
        }
        let matrix = FeatureMatrix { columns: COLUMNS.map(str::to_owned).to_vec(), rows };
        let examples = Examples::join(matrix, &labels, &GroupTable::build(&evidence)).unwrap();
        let (one_class, _) = corpus.split.fold(0, &examples).unwrap();
        let result = kind.estimator(&Parameters::new(), 1).unwrap().fit(&one_class, &preprocessor);
        match result {
            Err(LearnError::OneClass { model, real, fake }) => {
                assert_eq!(model, kind.name());
                assert_eq!(real == 0, label == Label::Fake);
                assert_eq!(fake == 0, label == Label::Real);
            }
            other => panic!("{other:?}"),
        }
    }
}

pub(crate) fn column_order_is_checked(kind: ModelKind) {
    let corpus = corpus_of(40, false);
    let (train, _) = corpus.split.fold(0, &corpus.examples).unwrap();
    let preprocessor = Preprocessor::fit(&train, kind.preprocessing()).unwrap();
    for names in [
        vec!["noise", "sharpness", "rate", "blocks", "edges", "motion"],
        vec!["sharpness", "noise", "rate", "blocks", "edges"],
        vec!["sharpness", "noise", "rate", "blocks", "motion", "edges"],
    ] {
        let names: Vec<String> = names.into_iter().map(str::to_owned).collect();
        let other = corpus.examples.with_columns(&names).unwrap();
        let (other, _) = corpus.split.fold(0, &other).unwrap();
        match kind.estimator(&Parameters::new(), 1).unwrap().fit(&other, &preprocessor) {
            Err(LearnError::Columns { at, expected, found }) => {
                assert_eq!(expected, COLUMNS[at]);
                assert_ne!(found, expected);
            }
            other => panic!("{other:?}"),
        }
    }
}

/// In the earlier system grid values never reached the models.
pub(crate) fn every_grid_value_changes_the_model(kind: ModelKind) {
    let corpus = corpus_of(600, false);
    for grid in [Grid::Reference, Grid::Small] {
        let mut seen: Vec<(Parameters, ModelBody)> = Vec::new();
        for parameters in kind.grid(grid) {
            let (_, fitted) = fit(kind, &corpus, &parameters, 4);
            let used = kind.estimator(&parameters, 4).unwrap().parameters();
            for (name, value) in &parameters {
                assert_eq!(used.get(name), Some(value), "{name} was not taken");
            }
            for (other, body) in &seen {
                assert_ne!(body, &fitted.body, "{other:?} and {parameters:?} fit the same model");
            }
            seen.push((parameters, fitted.into_inner().body));
        }
        assert!(seen.len() > 1);
    }
    assert_eq!(kind.grid(Grid::None), [Parameters::new()]);
}

pub(crate) fn parameters_are_checked(kind: ModelKind) {
    let error = |name: &str, value: ParameterValue| {
        kind.estimator(&Parameters::from([(name.to_owned(), value)]), 0).err()
    };
    match error("no_such_parameter", 1.0.into()) {
        Some(LearnError::UnknownParameter { model, expected, found }) => {
            assert_eq!((model, found.as_str()), (kind.name(), "no_such_parameter"));
            // Everything that the estimator reports can be given.
            for name in kind.estimator(&Parameters::new(), 0).unwrap().parameters().keys() {
                assert!(expected.split(", ").any(|known| known == name), "{name}");
            }
        }
        other => panic!("{other:?}"),
    }
    let estimator = kind.estimator(&Parameters::new(), 0).unwrap();
    assert_eq!(estimator.family(), kind.name());
    for (name, value) in estimator.parameters() {
        let wrong: Vec<ParameterValue> = match value {
            ParameterValue::Number(_) => vec![
                f64::NAN.into(),
                f64::INFINITY.into(),
                (-1.0).into(),
                1e12.into(),
                "much".into(),
                true.into(),
            ],
            ParameterValue::Text(_) => vec!["no_such_choice".into(), (-3.0).into()],
            ParameterValue::Flag(_) => vec![1.0.into(), "true".into()],
        };
        for wrong in wrong {
            match error(&name, wrong.clone()) {
                Some(LearnError::Parameter { model, name: told, expected, found }) => {
                    assert_eq!((model, told), (kind.name(), name.as_str()));
                    assert_eq!(found, wrong.to_string());
                    assert!(!expected.is_empty());
                }
                other => panic!("{name} = {wrong}: {other:?}"),
            }
        }
    }
    // What it reports, it takes back.
    let again = kind.estimator(&estimator.parameters(), 0).unwrap();
    assert_eq!(again.parameters(), estimator.parameters());
}

pub(crate) fn corrupt_files_are_refused(kind: ModelKind) {
    let corpus = corpus_of(60, false);
    let (_, fitted) = fit(kind, &corpus, &Parameters::new(), 8);
    let bytes = fitted.body.to_json().unwrap();
    let step = (bytes.len() / 2_000).max(1);
    for at in (0..bytes.len()).step_by(step) {
        let mut changed = bytes.clone();
        changed[at] ^= 0x02;
        match ModelBody::from_json(&changed) {
            Ok(read) => assert_eq!(read, fitted.body, "byte {at} changed the model unseen"),
            Err(error) => assert!(matches!(error, LearnError::Model { .. }), "{error}"),
        }
        assert!(ModelBody::from_json(&bytes[..at]).is_err());
    }
}

pub(crate) fn importance_is_a_share(kind: ModelKind) {
    let corpus = corpus_of(150, false);
    let (preprocessor, fitted) = fit(kind, &corpus, &Parameters::new(), 8);
    let importance = fitted.body.importance();
    assert_eq!(importance.len(), fitted.body.width());
    assert!((importance.iter().sum::<f64>() - 1.0).abs() < 1e-9);
    let first = importance.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1)).unwrap().0;
    assert!(["sharpness", "noise"].contains(&preprocessor.kept_columns()[first].as_str()));
}

/// A source with its variants weighs as much as one without.
pub(crate) fn repeated_variants_change_nothing_much(kind: ModelKind) {
    let sources: Vec<Source> = corpus::golden_sources()
        .into_iter()
        .map(|source| Source { rows: vec![source.rows[0][..4].to_vec()], ..source })
        .collect();
    let copied: Vec<Source> = sources
        .iter()
        .enumerate()
        .map(|(at, source)| {
            let rows = vec![source.rows[0].clone(); if at % 2 == 0 { 5 } else { 1 }];
            Source { rows, ..source.clone() }
        })
        .collect();
    // Without sampling of rows and with a bin for each value, weights are all that is left.
    let parameters = match kind {
        ModelKind::Xgboost => Parameters::from([
            ("subsample".to_owned(), 1.0.into()),
            ("max_bin".to_owned(), 1024.0.into()),
        ]),
        ModelKind::Ensemble => Parameters::from([
            ("bases".to_owned(), "logistic_regression,svm".into()),
            ("logistic_regression.tol".to_owned(), 1e-10.into()),
            ("svm.tol".to_owned(), 1e-10.into()),
        ]),
        _ => Parameters::from([("tol".to_owned(), 1e-10.into())]),
    };
    let plain = Corpus::of(&COLUMNS[..4], &sources);
    let (preprocessor, one) = fit(kind, &plain, &parameters, 5);
    let (_, two) = fit(kind, &Corpus::of(&COLUMNS[..4], &copied), &parameters, 5);
    for row in plain.split.training(&plain.examples).unwrap().rows() {
        let values = preprocessor.apply(row.values);
        let (one, two) = (one.body.margin(&values), two.body.margin(&values));
        assert!((one - two).abs() < 1e-3, "expected {one}, found {two}");
    }
}

macro_rules! conformance {
    ($family:ident, $kind:expr, [$($check:ident),+ $(,)?]) => {
        mod $family {
            $(
                #[test]
                fn $check() {
                    super::$check($kind);
                }
            )+
        }
    };
}

macro_rules! conformance_of {
    ($family:ident, $kind:expr) => {
        conformance!(
            $family,
            $kind,
            [
                learns_and_scores_only_what_it_has_not_seen,
                wrong_width_is_refused,
                same_seed_same_bits,
                save_and_load_same_bits,
                missing_values_are_handled_or_named,
                one_class_is_refused,
                column_order_is_checked,
                every_grid_value_changes_the_model,
                parameters_are_checked,
                corrupt_files_are_refused,
                importance_is_a_share,
                repeated_variants_change_nothing_much,
            ]
        );
    };
}

conformance_of!(logistic_regression, fvc_learn::ModelKind::LogisticRegression);
conformance_of!(logistic_regression_stage2, fvc_learn::ModelKind::LogisticRegressionStage2);
conformance_of!(
    logistic_regression_stage2_stage4,
    fvc_learn::ModelKind::LogisticRegressionStage2Stage4
);
conformance_of!(sklearn_logreg, fvc_learn::ModelKind::SklearnLogreg);
#[cfg(feature = "svm")]
conformance_of!(svm, fvc_learn::ModelKind::Svm);
#[cfg(feature = "svm")]
conformance_of!(svm_stage2, fvc_learn::ModelKind::SvmStage2);
#[cfg(feature = "svm")]
conformance_of!(svm_stage2_stage4, fvc_learn::ModelKind::SvmStage2Stage4);
#[cfg(feature = "xgboost")]
conformance_of!(xgboost, fvc_learn::ModelKind::Xgboost);
#[cfg(all(feature = "svm", feature = "xgboost"))]
conformance_of!(ensemble, fvc_learn::ModelKind::Ensemble);

/// A family that is added to the registry must be added above.
#[test]
fn every_family_is_here() {
    let text: String =
        include_str!("conformance.rs").chars().filter(|c| !c.is_whitespace()).collect();
    let above: Vec<&str> = text
        .split(");")
        .filter_map(|line| line.rsplit_once("conformance_of!("))
        .filter_map(|(_, line)| line.split_once(",fvc_learn::ModelKind::"))
        .map(|(_, variant)| variant)
        .filter(|variant| variant.chars().all(char::is_alphanumeric))
        .collect();
    let variants: Vec<String> = ModelKind::ALL.iter().map(|kind| format!("{kind:?}")).collect();
    assert_eq!(above, variants);
}

#[cfg(feature = "xgboost")]
mod seeds_and_stopping {
    use super::*;

    #[test]
    fn another_seed_samples_other_rows() {
        let corpus = corpus_of(90, false);
        let (_, one) = fit(ModelKind::Xgboost, &corpus, &Parameters::new(), 1);
        let (_, two) = fit(ModelKind::Xgboost, &corpus, &Parameters::new(), 2);
        assert_ne!(one.body, two.body);
    }

    #[test]
    fn stopping_keeps_the_best_round_and_refits_on_every_group() {
        let corpus = corpus_of(150, false);
        let given = |name: &str, value: f64| (name.to_owned(), ParameterValue::Number(value));
        let parameters =
            Parameters::from([given("n_estimators", 400.0), given("early_stopping_rounds", 10.0)]);
        let (_, fitted) = fit(ModelKind::Xgboost, &corpus, &parameters, 1);
        let rounds = fitted.notes["rounds"];
        let ModelBody::Trees(model) = &fitted.body else { panic!("no trees") };
        assert_eq!(model.trees().len() as f64, rounds);
        assert!(rounds + 10.0 <= fitted.notes["stopping_rounds_tried"]);
        assert!(fitted.notes["stopping_rounds_tried"] < 400.0, "{:?}", fitted.notes);
        assert!(fitted.notes["stopping_log_loss"] < 0.69);
        // A fifth of the 100 sources of the training side.
        assert!((10.0..=30.0).contains(&fitted.notes["stopping_sources"]), "{:?}", fitted.notes);
        // The same as a fit of that many rounds without stopping: all rows were used.
        let parameters =
            Parameters::from([given("n_estimators", rounds), given("early_stopping_rounds", 0.0)]);
        let (_, plain) = fit(ModelKind::Xgboost, &corpus, &parameters, 1);
        assert_eq!(plain.body, fitted.body);
    }

    #[test]
    fn class_weight_moves_the_base() {
        let corpus = corpus_of(150, false);
        let base = |weight: ParameterValue| {
            let parameters = Parameters::from([("scale_pos_weight".to_owned(), weight)]);
            let (_, fitted) = fit(ModelKind::Xgboost, &corpus, &parameters, 1);
            fitted.into_inner().body
        };
        assert_ne!(base(1.0.into()), base(4.0.into()));
        assert_ne!(base(1.0.into()), base("balanced".into()));
    }

    #[test]
    fn too_few_groups_to_stop_on_is_an_error_that_says_so() {
        let mut sources = corpus::golden_sources();
        for (at, source) in sources.iter_mut().enumerate() {
            source.group = at as u32 % 3;
        }
        let names = ["a", "b", "c", "d", "e", "f"];
        let corpus = Corpus::of(&names, &sources);
        // Three outer folds of one group each: two remain, which can be split once more.
        let (_, fitted) = fit(ModelKind::Xgboost, &corpus, &Parameters::new(), 1);
        assert!(fitted.notes["stopping_sources"] > 0.0);
        // One group remains inside of that.
        let (train, _) = corpus.split.fold(0, &corpus.examples).unwrap();
        let (inner, _) = train.inner_folds(2, 1).unwrap().remove(0);
        let preprocessor = Preprocessor::fit(&inner, ModelKind::Xgboost.preprocessing()).unwrap();
        let stopping = ModelKind::Xgboost.estimator(&Parameters::new(), 1).unwrap();
        match stopping.fit(&inner, &preprocessor) {
            Err(LearnError::Parameter { name, expected, .. }) => {
                assert_eq!(name, "early_stopping_rounds");
                assert!(expected.contains("two groups of each class"), "{expected}");
            }
            other => panic!("{other:?}"),
        }
        let off = Parameters::from([("early_stopping_rounds".to_owned(), 0.0.into())]);
        assert!(ModelKind::Xgboost.estimator(&off, 1).unwrap().fit(&inner, &preprocessor).is_ok());
    }
}
