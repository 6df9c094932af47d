//! Models by name: which features they see, ensembles, and the table of the README.

use std::fmt::Write as _;
use std::path::Path;

use fvc_learn::ModelKind;
use serde_json::Value;

use crate::footage::{can_make_footage, corpus, encode, run};

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// An indexed corpus of six origins, authentic and forged.
fn indexed(folder: &Path) -> String {
    let table = corpus(&folder.join("corpus"), 6);
    let workspace = folder.join("workspace").to_str().unwrap().to_owned();
    let (code, out, err) = run(&["-w", &workspace, "index", text(&table)]);
    assert_eq!(code, 0, "{out}{err}");
    workspace
}

const SHORT: [&str; 8] =
    ["--variants", "1", "--folds", "3", "--test-fraction", "0", "--grid", "none"];

/// In the earlier system `svm_stage2_stage4` never loaded a feature and always failed, an ensemble was
/// learnt on rows that its base models had been fitted on, and both had to wait for stage 5 to say so.
#[test]
fn stages_and_ensembles_train_and_predict() {
    if !can_make_footage("stages_and_ensembles_train_and_predict") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let ws = indexed(folder.path());
    let models = ["--model-types", "svm_stage2_stage4,svm_stage2,sklearn_logreg"];
    let ensemble = ["--train-ensemble", "--ensemble-method", "weighted_average"];
    let (code, out, err) =
        run(&[&["-w", &ws, "--json", "run", "--size", "64"][..], &SHORT, &models, &ensemble]
            .concat());
    assert_eq!(code, 0, "{out}{err}");
    let made: Value = serde_json::from_str(&out).unwrap();
    let trained = made["train"]["models"].as_array().unwrap();
    let names: Vec<&str> = trained.iter().map(|model| model["model"].as_str().unwrap()).collect();
    assert_eq!(names, ["svm_stage2_stage4", "svm_stage2", "sklearn_logreg", "ensemble"]);
    for (model, stages) in trained.iter().zip([&["stage2", "stage4"][..], &["stage2"]]) {
        for fold in model["cross_validation"]["folds"].as_array().unwrap() {
            let kept: Vec<&str> = fold["kept_columns"]
                .as_array()
                .unwrap()
                .iter()
                .map(|column| column.as_str().unwrap().split('_').next().unwrap())
                .collect();
            assert!(stages.iter().all(|stage| kept.contains(stage)), "{kept:?}");
            assert!(kept.iter().all(|stage| stages.contains(stage)), "{kept:?}");
        }
    }
    let chosen = &trained[3]["cross_validation"]["folds"][0]["selection"]["chosen"];
    assert_eq!(chosen["bases"], "svm_stage2_stage4,svm_stage2,sklearn_logreg");
    assert_eq!(chosen["method"], "weighted_average");

    let notes = made["train"]["notes"].to_string();
    assert!(notes.contains("weights of the ensemble: svm_stage2_stage4 "), "{notes}");
    let over =
        "the ensemble is a weighted_average over svm_stage2_stage4, svm_stage2, sklearn_logreg\"";
    assert!(notes.contains(over), "{notes}");

    let unseen = folder.path().join("unseen.mkv");
    encode("testsrc2=size=200x160:rate=25", &["-t", "2", "-c:v", "libx264"], &unseen);
    let at = made["train"]["run"].as_str().unwrap();
    for name in names {
        let model = format!("{at}/{name}.model.json");
        let predict = ["-w", &ws, "predict", "--model", &model, text(&unseen)];
        let (code, out, err) = run(&[&["--json"][..], &predict].concat());
        assert_eq!(code, 0, "{out}{err}");
        let scored: Value = serde_json::from_str(out.lines().next().unwrap()).unwrap();
        let assessment = &scored["assessment"];
        assert!(assessment["probability"].as_f64().is_some(), "{name}: {out}");
        let reasons = assessment["contributions"].as_array().unwrap();
        assert!(!reasons.is_empty(), "{name}");
        // What stands in a line is what the README says of it.
        for (object, fields) in [
            (&scored, "assessment checked content_id frames outcome path"),
            (assessment, "contributions margin probability promise unusual verdict"),
            (&reasons[0], "column log_odds standard_error value"),
        ] {
            let mut names: Vec<&str> =
                object.as_object().unwrap().keys().map(String::as_str).collect();
            names.sort_unstable();
            assert_eq!(names.join(" "), fields, "{name}");
            let readme = include_str!("../../../../README.md");
            assert!(names.iter().all(|name| readme.contains(&format!("`{name}`"))), "{fields}");
        }
        // Gaussian kernels are explained by sampling, and every reason says how well.
        for reason in reasons {
            assert_eq!(reason["standard_error"].is_number(), name != "sklearn_logreg", "{name}");
        }
        let (_, out, _) = run(&predict);
        let moved = reasons.iter().any(|reason| reason["log_odds"].as_f64().unwrap().abs() > 0.001);
        if moved && name != "sklearn_logreg" {
            assert!(out.contains(" ± ") && out.contains("standard error of sampling"), "{out}");
        }
    }
}

/// What a model sees must be there before anything is decoded, and what no model sees need not be.
#[test]
fn features_that_a_model_sees_must_be_there() {
    if !can_make_footage("features_that_a_model_sees_must_be_there") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let ws = indexed(folder.path());
    let only = |models: &str| {
        run(&[&["-w", &ws, "run", "--stages", "2,5", "--model-types", models][..], &SHORT].concat())
    };
    for models in ["svm_stage2_stage4", "svm_stage2,logistic_regression", "ensemble"] {
        let (code, out, err) = only(models);
        assert_eq!(code, 1, "{models}: {out}{err}");
        assert!(err.contains("stage4.parquet") && err.contains("fvc scaled-features"), "{err}");
        assert!(!Path::new(&ws).join("units").exists(), "{models}: something was decoded");
    }
    let (code, out, err) = only("svm_stage2,logistic_regression_stage2");
    assert_eq!(code, 0, "{out}{err}");
    // All that the base models see is there.
    let (code, out, err) = run(&[
        &["-w", &ws, "train", "--model-types", "ensemble"][..],
        &["--ensemble-bases", "svm_stage2,lr_stage2"],
        &SHORT,
    ]
    .concat());
    assert_eq!(code, 0, "{out}{err}");
}

/// An ensemble that was named beside other models was over the default base models all the same, and
/// nothing said over which.
#[test]
fn an_ensemble_is_over_the_models_that_are_named() {
    let bases = |models: &str| {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("fvc.toml");
        std::fs::write(&path, format!("[train]\nmodels = [{models}]\n")).unwrap();
        let config = fvc_pipeline::Config::load(&path).unwrap();
        let settings = config.train.settings(ModelKind::Ensemble);
        let estimator = ModelKind::Ensemble.estimator(&settings.parameters, 1).unwrap();
        estimator.parameters()["bases"].to_string()
    };
    let three = "\"sklearn_logreg\", \"ensemble\", \"svm_stage2\", \"xgboost\"";
    assert_eq!(bases(three), "sklearn_logreg,svm_stage2,xgboost");
    assert_eq!(bases("\"ensemble\", \"xgboost\""), "logistic_regression,svm,xgboost");
    assert_eq!(bases("\"ensemble\""), "logistic_regression,svm,xgboost");

    if !can_make_footage("an_ensemble_is_over_the_models_that_are_named") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let ws = indexed(folder.path());
    let one = ["--model-types", "logistic_regression", "--train-ensemble"];
    let (code, out, err) =
        run(&[&["-w", &ws, "--json", "run", "--size", "64"][..], &SHORT, &one].concat());
    assert_eq!(code, 0, "{out}{err}");
    let made: Value = serde_json::from_str(&out).unwrap();
    let notes = made["train"]["notes"].to_string();
    let over = "over logistic_regression, svm, xgboost, the default: fewer than two other models";
    assert!(notes.contains(over), "{notes}");
}

/// An option about ensembles without one would do nothing.
#[test]
fn options_of_an_ensemble_want_one() {
    for given in [
        &["--ensemble-method", "weighted_average"][..],
        &["--ensemble-bases", "svm,xgboost"],
        &["--train-ensemble", "--ensemble-bases", "svm"],
        &["--train-ensemble", "--ensemble-method", "mean"],
        &["--model-types", "svm,svc"],
    ] {
        let (code, out, err) = run(&[&["-w", "nowhere", "train"][..], given].concat());
        assert_eq!(code, 2, "{given:?}: {out}{err}");
    }
}

/// What is fixed for a model holds inside an ensemble too, unless the ensemble says otherwise; together
/// the two could contradict each other.
#[test]
fn an_ensemble_takes_what_is_fixed_for_its_base_models() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("fvc.toml");
    let fixed = |ensemble: &str| -> Vec<String> {
        let svm = "[train.parameters.svm]\nkernel = \"rbf\"\ngamma = 0.5\n";
        let trees = "[train.parameters.xgb]\nmax_depth = 4.0\n";
        let text = format!("{svm}{trees}[train.parameters.ensemble]\n{ensemble}");
        std::fs::write(&path, text).unwrap();
        let mut config = fvc_pipeline::Config::load(&path).unwrap();
        config.train.add_ensemble();
        assert_eq!(config.train.models.last(), Some(&ModelKind::Ensemble));
        let settings = config.train.settings(ModelKind::Ensemble);
        ModelKind::Ensemble.estimator(&settings.parameters, 1).unwrap();
        settings.parameters.iter().map(|(name, value)| format!("{name} = {value}")).collect()
    };
    let bases = "bases = logistic_regression,xgboost";
    assert_eq!(fixed(""), [bases, "xgboost.max_depth = 4"]);
    assert_eq!(
        fixed("bases = \"svm,lr\"\n"),
        ["bases = svm,lr", "svm.gamma = 0.5", "svm.kernel = rbf"]
    );
    let own = "bases = \"svm,xgboost\"\n\"svc.kernel\" = \"linear\"\n";
    assert_eq!(fixed(own), ["bases = svm,xgboost", "svc.kernel = linear", "xgboost.max_depth = 4"]);
}

const BEGIN: &str = "<!-- models: written by a test from the registry -->\n";
const END: &str = "<!-- models end -->\n";

fn table() -> String {
    let mut rows = "| model | also called | what it is |\n|---|---|---|\n".to_owned();
    for kind in ModelKind::ALL.into_iter().chain(ModelKind::NETWORKS) {
        let aliases: Vec<String> = kind.aliases().iter().map(|name| format!("`{name}`")).collect();
        let _ = writeln!(rows, "| `{kind}` | {} | {} |", aliases.join(", "), kind.about());
    }
    rows
}

/// `FVC_WRITE_MODELS=1` writes the table anew.
#[test]
fn the_table_of_models_is_the_registry() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../README.md");
    let readme = std::fs::read_to_string(path).unwrap();
    let (before, rest) = readme.split_once(BEGIN).unwrap();
    let (written, after) = rest.split_once(END).unwrap();
    if std::env::var_os("FVC_WRITE_MODELS").is_some() {
        std::fs::write(path, format!("{before}{BEGIN}{}{END}{after}", table())).unwrap();
        return;
    }
    assert_eq!(written, table(), "run this test with FVC_WRITE_MODELS=1 to write the table anew");
}
