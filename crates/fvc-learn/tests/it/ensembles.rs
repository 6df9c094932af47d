//! Ensembles learn from predictions for groups that their base models have not seen.

use std::sync::atomic::AtomicBool;

use fvc_learn::{
    Detector, EnsembleModel, Grid, LearnError, ModelBody, ModelKind, ParameterValue, Parameters,
    Preprocessor, cross_validate, fit_final,
};
use serde_json::{Value, json};

use crate::conformance::Draw;
use crate::corpus::{Corpus, Source};
use crate::simulated::{self, Simulated, roles};

fn set(given: &[(&str, ParameterValue)]) -> Parameters {
    given.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect()
}

/// Groups of four copies that differ by a little noise; a weak signal in stage 2, and in stage 4
/// nothing but what tells the groups apart.
fn corpus_to_remember(seed: u64) -> Corpus {
    let mut draw = Draw(seed);
    let mut normal = move || (0..12).map(|_| draw.next()).sum::<f64>() - 6.0;
    let mut sources = Vec::new();
    for group in 0..60_u32 {
        let label = group % 2;
        let own: Vec<f64> = (0..4).map(|_| normal()).collect();
        let signal = 1.2 * f64::from(label) + normal();
        for _ in 0..4 {
            let mut row = vec![Some(signal + 0.3 * normal())];
            row.extend(own.iter().map(|value| Some(value + 0.02 * normal())));
            sources.push(Source { label: label as u8, group, rows: vec![row] });
        }
    }
    let columns = ["stage2_signal", "stage4_a", "stage4_b", "stage4_c", "stage4_d"];
    Corpus::of(&columns, &sources)
}

fn ensemble(body: &ModelBody) -> &EnsembleModel {
    let ModelBody::Ensemble(model) = body else { panic!("no ensemble") };
    model
}

fn fit(corpus: &Corpus, parameters: &Parameters) -> ModelBody {
    let train = corpus.split.training(&corpus.examples).unwrap();
    let preprocessor = Preprocessor::fit_for(&train, ModelKind::Ensemble).unwrap();
    let estimator = ModelKind::Ensemble.estimator(parameters, 1).unwrap();
    estimator.fit(&train, &preprocessor).unwrap().into_inner().body
}

/// The earlier system stacked on what base models said of their own training rows. Trees that grow
/// until they know every copy by heart are right about all of those; of other groups they know
/// nothing, and the model that sees the signal must be the one that counts.
#[test]
fn who_remembers_its_own_rows_is_not_believed() {
    let corpus = corpus_to_remember(3);
    let memory = [
        ("xgboost.max_depth", 12.0.into()),
        ("xgboost.early_stopping_rounds", 0.0.into()),
        ("xgboost.subsample", 1.0.into()),
        ("xgboost.n_estimators", 200.0.into()),
    ];
    // What would be stacked on in-sample predictions: right about every row.
    let train = corpus.split.training(&corpus.examples).unwrap();
    let alone: Parameters = memory
        .iter()
        .map(|(name, value)| {
            (name.split_once('.').unwrap().1.to_owned(), ParameterValue::clone(value))
        })
        .collect();
    let preprocessor = Preprocessor::fit_for(&train, ModelKind::Xgboost).unwrap();
    let trees =
        ModelKind::Xgboost.estimator(&alone, 1).unwrap().fit(&train, &preprocessor).unwrap();
    for row in train.rows() {
        let margin = trees.body.margin(&preprocessor.apply(row.values));
        assert!((row.label.target() - 0.5) * margin > 0.5, "a row was not learnt by heart");
    }
    for method in ["weighted_average", "meta_learner"] {
        let mut parameters = set(&memory);
        parameters.insert("bases".to_owned(), "logistic_regression_stage2,xgboost".into());
        parameters.insert("method".to_owned(), method.into());
        let body = fit(&corpus, &parameters);
        let weights: Vec<f64> = ensemble(&body).weights().map(|(_, weight)| weight).collect();
        assert!(weights[0] > weights[1], "{method}: {weights:?}");
        if method == "weighted_average" {
            assert!(weights.iter().all(|weight| *weight >= 0.0));
            assert!((weights.iter().sum::<f64>() - 1.0).abs() < 1e-9, "{weights:?}");
        }
        // And it is not surer of what it was fitted on than the signal lets it be.
        let sure = train
            .rows()
            .filter(|row| {
                body.probability(row.values) * row.label.target() > 0.99
                    || (1.0 - body.probability(row.values)) * (1.0 - row.label.target()) > 0.99
            })
            .count();
        assert!(sure * 2 < train.len(), "{method}: sure of {sure} of {}", train.len());
    }
}

fn detector(rows: &Simulated, parameters: &Parameters, grid: Grid) -> Detector {
    let settings = simulated::settings(grid, parameters.clone());
    let (examples, split, go) = (rows.examples(), rows.split(0.0), AtomicBool::new(false));
    let kind = ModelKind::Ensemble;
    let found =
        cross_validate(kind, &examples, &roles(), &split, &settings, &go, &mut |_| {}).unwrap();
    for fold in &found.folds {
        assert_eq!(fold.selection.inner_folds, 3);
        assert!(fold.selection.tried.iter().all(|point| point.log_loss.is_some()));
    }
    let auc = found.by_source.estimate(fvc_learn::Metric::RocAucWithinFolds).unwrap();
    assert!(auc.value.unwrap() > 0.75, "{auc:?}");
    fit_final(kind, &examples, &roles(), &split, &settings, &found, &go).unwrap()
}

/// What is fixed for the ensemble and for its base models is what is fitted, and is told.
#[test]
fn parameters_reach_the_base_models() {
    let rows = Simulated::new(40, 2.0, 5);
    let given = set(&[
        ("bases", "lr_stage2, svm".into()),
        ("method", "weighted_average".into()),
        ("svm.kernel", "linear".into()),
        ("svm.C", 0.25.into()),
    ]);
    let own = detector(&rows, &given, Grid::Small);
    let chosen = &own.selection().chosen;
    assert_eq!(chosen["bases"], "logistic_regression_stage2,svm".into());
    assert_eq!(chosen["base_grid"], "small".into());
    assert_eq!(chosen["svm.C"], 0.25.into());
    // One point is left: the method is fixed, and it has no C.
    assert_eq!(own.selection().tried.len(), 1);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.json");
    own.save(&path, &json!(null)).unwrap();
    let file: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    let members = &file["fitted"]["model"]["fitted"]["body"]["model"]["ensemble"]["members"];
    assert_eq!(members[0]["model"], "logistic_regression_stage2");
    assert_eq!(members[1]["chosen"]["C"], 0.25);
    assert!(members[1]["body"]["model"]["linear"].is_object(), "the kernel was not the fixed one");
    // The first sees the columns of its stage only.
    let kept = members[0]["preprocessor"]["kept"].as_array().unwrap();
    assert!(kept.iter().all(|column| column["at"].as_u64().unwrap() < 2), "{kept:?}");
    assert_eq!(Detector::load(&path).unwrap().0, own);
}

#[test]
fn what_makes_no_ensemble_is_refused() {
    let refused = |given: &[(&str, ParameterValue)]| {
        ModelKind::Ensemble.estimator(&set(given), 1).err().map(|error| error.to_string())
    };
    for bases in ["svm", "", "svm,svc", "svm,ensemble", "svm,cnn", "svm;xgboost"] {
        let told = refused(&[("bases", bases.into())]).unwrap();
        assert!(told.contains("parameter bases: expected 2 to 16 different models"), "{told}");
    }
    let told = refused(&[("method", "weighted_average".into()), ("C", 1.0.into())]).unwrap();
    assert!(told.contains("parameter C"), "{told}");
    let told = refused(&[("bases", "svm,xgboost".into()), ("lr.C", 1.0.into())]).unwrap();
    assert!(told.contains("train.parameters.ensemble") && told.contains("found lr.C"), "{told}");
    let told = refused(&[("svm.depth", 3.0.into())]).unwrap();
    assert!(told.contains("train.parameters.svm") && told.contains("found depth"), "{told}");
    let told = refused(&[("svm.C", (-3.0).into())]).unwrap();
    assert!(told.contains("Model svm, parameter C"), "{told}");
}

/// Two groups a class in a training side are one a class in each half: enough to fit on, not to
/// learn weights by.
#[test]
fn too_few_groups_to_stack_on_are_told() {
    let mut rows = Simulated::new(4, 1.0, 6);
    for item in &rows.evidence {
        let fake = ["g1", "g3"].contains(&item.declared[0].as_str());
        rows.labels.insert(item.content_id, simulated::label(fake));
    }
    let config = fvc_corpus::SplitConfig { folds: 2, test_fraction: 0.0, seed: 1 };
    let split = fvc_corpus::Split::plan(&rows.groups(), &rows.labels, &config).unwrap();
    let settings = simulated::settings(Grid::None, Parameters::new());
    let go = AtomicBool::new(false);
    let (kind, examples) = (ModelKind::Ensemble, rows.examples());
    match cross_validate(kind, &examples, &roles(), &split, &settings, &go, &mut |_| {}) {
        Err(LearnError::Parameter { model, expected, .. }) => {
            assert_eq!(model, "ensemble");
            assert!(expected.contains("two groups of each class to stack on"), "{expected}");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn structural_damage_is_named() {
    let corpus = corpus_to_remember(4);
    let bases = set(&[("bases", "logistic_regression,svm_stage2".into())]);
    let body = fit(&corpus, &bases);
    let good: Value = serde_json::from_slice(&body.to_json().unwrap()).unwrap();
    let one = good["model"]["ensemble"]["members"][0].clone();
    for (path, value, told) in [
        ("/intercept", json!(0.5), "hash"),
        ("/columns", json!(0), "columns"),
        ("/columns", json!(1_000_000_000_000_u64), "columns"),
        ("/columns", json!(9), "expected 9 columns"),
        ("/positions", json!([]), "at most as many in a row"),
        ("/positions", json!([0, 1, 2, 4, 3]), "rising positions"),
        ("/positions", json!([0, 1, 2, 3, 7]), "rising positions below 5"),
        ("/positions", json!([1, 2, 3, 4]), "expected columns of the row, found 0"),
        ("/members", json!([one]), "2 to 16 base models, found 1"),
        ("/members", json!(vec![one.clone(); 17]), "found 17"),
        ("/members/0/weight", json!(null), "null"),
        ("/members/0/spread", json!(-1.0), "a finite spread of at least 0"),
        ("/members/0/calibration/slope", json!(-1.0), "a finite slope of at least 0"),
        ("/members/0/model", json!("ensemble"), "no ensembles"),
        ("/members/0/preprocessor/kept/0/median", json!(17.25), "hash"),
    ] {
        let mut changed = good.clone();
        let place = changed.pointer_mut(&format!("/model/ensemble{path}"));
        *place.unwrap_or_else(|| panic!("no {path}")) = value;
        match ModelBody::from_json(&serde_json::to_vec(&changed).unwrap()) {
            Err(error) => assert!(error.to_string().contains(told), "{path}: {error}"),
            Ok(_) => panic!("{path} was not refused"),
        }
    }
    // An ensemble in an ensemble, as often as somebody likes.
    let mut nested = good.clone();
    for _ in 0..40 {
        let mut outer = good.clone();
        outer["model"]["ensemble"]["members"][0]["body"] = nested;
        nested = outer;
    }
    assert!(ModelBody::from_json(&serde_json::to_vec(&nested).unwrap()).is_err());
}
