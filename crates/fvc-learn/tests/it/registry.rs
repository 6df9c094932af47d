//! Names and grids of the registry.

use std::collections::BTreeSet;

use fvc_learn::{Grid, LearnError, ModelKind, Parameters};

#[test]
fn names_and_aliases_are_understood_and_belong_to_one_model() {
    let mut seen = BTreeSet::new();
    for kind in ModelKind::ALL.into_iter().chain(ModelKind::NETWORKS) {
        assert_eq!(kind.to_string(), kind.name());
        assert!(!kind.about().is_empty());
        for name in kind.aliases().iter().chain([&kind.name()]) {
            assert!(seen.insert(*name), "{name} is taken twice");
            assert_eq!(name.parse::<ModelKind>().unwrap(), kind);
            let other = format!(" {} ", name.to_uppercase().replace('_', "-"));
            assert_eq!(other.parse::<ModelKind>().unwrap(), kind);
        }
        let json = serde_json::to_string(&kind).unwrap();
        assert_eq!(json, format!("\"{}\"", kind.name()));
    }
    match "svn".parse::<ModelKind>() {
        Err(LearnError::UnknownModel { expected, found }) => {
            let names: Vec<&str> =
                ModelKind::ALL.iter().chain(&ModelKind::NETWORKS).map(|kind| kind.name()).collect();
            assert_eq!((expected.as_str(), found.as_str()), (names.join(", ").as_str(), "svn"));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn grids_have_the_documented_sizes_and_only_distinct_points() {
    for kind in ModelKind::ALL {
        let (reference, small) = match kind {
            ModelKind::Xgboost => (64, 4),
            ModelKind::Ensemble => (5, 2),
            ModelKind::Svm | ModelKind::SvmStage2 | ModelKind::SvmStage2Stage4 => (6, 4),
            _ => (20, 8),
        };
        for (grid, size) in [(Grid::Reference, reference), (Grid::Small, small), (Grid::None, 1)] {
            let points = kind.grid(grid);
            assert_eq!(points.len(), size);
            for (at, point) in points.iter().enumerate() {
                assert!(!points[..at].contains(point));
                kind.estimator(point, 0).unwrap();
            }
        }
    }
}

#[test]
fn parameters_without_effect_are_refused() {
    let refused = |kind: ModelKind, given: &[(&str, fvc_learn::ParameterValue)]| {
        let parameters: Parameters =
            given.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        match kind.estimator(&parameters, 0) {
            Err(LearnError::Parameter { name, .. }) => Some(name),
            _ => None,
        }
    };
    let linear = ModelKind::LogisticRegression;
    assert_eq!(refused(linear, &[("l1_ratio", 0.5.into())]), Some("l1_ratio"));
    assert_eq!(refused(linear, &[("penalty", "none".into()), ("C", 1.0.into())]), Some("C"));
    assert_eq!(
        refused(linear, &[("penalty", "elasticnet".into()), ("l1_ratio", 0.5.into())]),
        None
    );
    let stopping = [("early_stopping_rounds", 0.0.into()), ("early_stopping_folds", 3.0.into())];
    assert_eq!(refused(ModelKind::Xgboost, &stopping), Some("early_stopping_folds"));
}

fn set(given: &[(&str, fvc_learn::ParameterValue)]) -> Parameters {
    given.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect()
}

/// "What is fixed is not searched", says the example configuration. What is fixed was laid over the
/// points of the grid: `penalty = "l2"` kept the ratio of the elastic net and `penalty = "none"`
/// kept C, which both are refused, so that the whole run failed.
#[test]
fn what_is_fixed_by_hand_is_kept_and_what_contradicts_it_is_not_searched() {
    let linear = ModelKind::LogisticRegression;
    let trees = ModelKind::Xgboost;
    for (kind, given, [reference, small, none]) in [
        (linear, set(&[("penalty", "l2".into())]), [4, 4, 1]),
        (linear, set(&[("penalty", "none".into())]), [1, 1, 1]),
        (linear, set(&[("penalty", "elasticnet".into())]), [16, 8, 1]),
        (linear, set(&[("l1_ratio", 0.3.into())]), [4, 4, 0]),
        (linear, set(&[("C", 0.5.into())]), [5, 2, 1]),
        (linear, set(&[("max_iter", 50.0.into())]), [20, 8, 1]),
        (trees, set(&[("early_stopping_folds", 3.0.into())]), [64, 4, 1]),
        (trees, set(&[("early_stopping_rounds", 5.0.into())]), [64, 4, 1]),
        (trees, set(&[("max_depth", 4.0.into())]), [32, 2, 1]),
    ] {
        for (grid, size) in [(Grid::Reference, reference), (Grid::Small, small), (Grid::None, none)]
        {
            let Ok(points) = kind.points(grid, &given) else {
                assert_eq!(size, 0, "{given:?}");
                continue;
            };
            assert_eq!(points.len(), size, "{grid:?} beside {given:?}: {points:?}");
            for point in points {
                kind.estimator(&point, 0).unwrap();
                assert!(given.iter().all(|(name, value)| point.get(name) == Some(value)));
            }
        }
    }
    // What is wrong in itself is the user's to know.
    for (given, wrong) in [
        (set(&[("penalty", "none".into()), ("C", 1.0.into())]), "C"),
        (set(&[("penalty", "l2".into()), ("l1_ratio", 0.5.into())]), "l1_ratio"),
        (set(&[("C", (-1.0).into())]), "C"),
    ] {
        match linear.points(Grid::Small, &given) {
            Err(LearnError::Parameter { name, .. }) => assert_eq!(name, wrong),
            other => panic!("{given:?}: {other:?}"),
        }
    }
    let unknown = linear.points(Grid::Small, &set(&[("depth", 1.0.into())]));
    assert!(matches!(unknown, Err(LearnError::UnknownParameter { .. })), "{unknown:?}");
}

#[test]
fn a_name_says_which_stages_are_seen() {
    let columns: Vec<String> =
        ["stage2_a", "stage4_a", "stage20_a", "a_stage2_"].map(str::to_owned).to_vec();
    for (kind, seen) in [
        (ModelKind::Svm, &columns[..]),
        (ModelKind::Ensemble, &columns[..]),
        (ModelKind::SvmStage2, &columns[..1]),
        (ModelKind::LogisticRegressionStage2, &columns[..1]),
        (ModelKind::SvmStage2Stage4, &columns[..2]),
        (ModelKind::SklearnLogreg, &columns[..2]),
    ] {
        assert_eq!(kind.columns(&columns).unwrap(), seen, "{kind}");
    }
    match ModelKind::SvmStage2Stage4.columns(&columns[..1]) {
        Err(LearnError::NoFeatures { model, stage }) => {
            assert_eq!((model, stage), ("svm_stage2_stage4", "stage4"));
        }
        other => panic!("{other:?}"),
    }
}

/// The earlier system announced its collinearity filter for logistic regression and ran it over all
/// rows, the test rows included, or not at all. Here each name has its own, fitted inside.
#[test]
fn sklearn_logreg_drops_columns_by_correlation_alone() {
    let mut rows = crate::simulated::Simulated::new(40, 1.0, 8);
    // The last is the sum of two others: no pair is alike, and together they say one thing twice.
    for row in &mut rows.rows {
        row.values[2] = row.values[4];
        row.values[3] = row.values[0] + row.values[2];
    }
    let (examples, split) = (rows.examples(), rows.split(0.0));
    let inputs = examples.with_columns(&crate::simulated::roles().model).unwrap();
    let (train, _) = split.fold(0, &inputs).unwrap();
    let kept = |kind: ModelKind| {
        let fitted = fvc_learn::Preprocessor::fit_for(&train, kind).unwrap();
        fitted.kept_columns().to_vec()
    };
    assert_eq!(kept(ModelKind::LogisticRegression).len(), 3);
    assert_eq!(kept(ModelKind::SklearnLogreg).len(), 4);
    assert_eq!(kept(ModelKind::LogisticRegressionStage2), ["stage2_a", "stage2_b"]);
}
