//! Names and grids of the registry.

use std::collections::BTreeSet;

use fvc_learn::{Grid, LearnError, ModelKind, Parameters};

#[test]
fn names_and_aliases_are_understood_and_belong_to_one_model() {
    let mut seen = BTreeSet::new();
    for kind in ModelKind::ALL {
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
            assert_eq!(
                (expected.as_str(), found.as_str()),
                ("logistic_regression, xgboost", "svn")
            );
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn grids_have_the_documented_sizes_and_only_distinct_points() {
    for (kind, reference, small) in
        [(ModelKind::LogisticRegression, 20, 8), (ModelKind::Xgboost, 64, 4)]
    {
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
