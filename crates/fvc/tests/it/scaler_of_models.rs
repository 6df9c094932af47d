//! A model's recipe names the scaler and the size of its inputs.

use std::path::Path;

use fvc_learn::Detector;
use fvc_pipeline::{LoadedModel, PipelineError};
use serde_json::Value;

use crate::footage::{can_make_footage, corpus, encode, run};

/// Pictures of another scaler are other pictures: its model's scores on ours would say nothing.
#[test]
fn a_model_of_another_scaler_is_refused() {
    if !can_make_footage("a_model_of_another_scaler_is_refused") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let table = corpus(&folder.path().join("corpus"), 3);
    let ws = folder.path().join("ws");
    let ws = ws.to_str().unwrap();
    assert_eq!(run(&["-w", ws, "index", table.to_str().unwrap()]).0, 0);
    let settings = ["--variants", "0", "--sizes", "48max,32min", "--feature-size", "32min"];
    let training = ["--folds", "3", "--test-fraction", "0", "--grid", "none"];
    let models = ["--model-types", "logistic_regression"];
    let own = ["-w", ws, "--json", "run"];
    let (code, out, err) = run(&[&own[..], &settings, &training, &models].concat());
    assert_eq!(code, 0, "{out}{err}");
    let made: Value = serde_json::from_str(&out).unwrap();
    let model = Path::new(made["train"]["chosen_file"].as_str().unwrap()).to_owned();
    let (detector, recipe) = Detector::load(&model).unwrap();
    assert_eq!(recipe["recipe"]["scaler"], "area_cubic-v2");
    assert_eq!(recipe["recipe"]["size"], "32min");
    LoadedModel::load(&model).unwrap();

    let other = folder.path().join("other.model.json");
    for scaler in ["area_cubic-v1", "autoencoder-v1-0123456789abcdef", "area_cubic", ""] {
        let mut recipe = recipe.clone();
        recipe["recipe"]["scaler"] = scaler.into();
        detector.save(&other, &recipe).unwrap();
        let error = LoadedModel::load(&other).unwrap_err();
        assert!(matches!(error, PipelineError::Recipe { .. }), "{error:?}");
        let text = error.to_string();
        assert!(text.contains(&format!("made with scaler {scaler}")), "{text}");
        assert!(text.contains("this program has area_cubic-v2"), "{text}");
    }
    let unseen = folder.path().join("unseen.mp4");
    encode("testsrc2=size=160x120:rate=25", &["-t", "1", "-c:v", "libx264"], &unseen);
    let predict = |model: &Path| {
        let arguments = ["predict", "--model", model.to_str().unwrap(), unseen.to_str().unwrap()];
        run(&[&["-w", ws, "--json"][..], &arguments].concat())
    };
    let (code, _, err) = predict(&other);
    assert_eq!(code, 1, "{err}");
    // Under its own recipe it is scored, in the size that it was made with.
    let (code, out, err) = predict(&model);
    assert_eq!(code, 0, "{out}{err}");
    let mut recipe = recipe.clone();
    recipe["recipe"]["size"] = "224mid".into();
    detector.save(&other, &recipe).unwrap();
    assert!(LoadedModel::load(&other).is_err());
}
