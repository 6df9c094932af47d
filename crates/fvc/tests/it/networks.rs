//! Networks through the binary: trained on the clip store, judged like every model, asked for verdicts.

use std::path::Path;

use serde_json::Value;

use crate::footage::{can_make_footage, corpus, run};

/// A configuration with small networks, and an indexed corpus of six origins.
fn prepared(folder: &Path) -> (String, String) {
    let table = corpus(&folder.join("corpus"), 6);
    let workspace = folder.join("workspace").to_str().unwrap().to_owned();
    let config = folder.join("fvc.toml");
    std::fs::write(
        &config,
        "[augment]\nvariants = 1\nkinds = [\"flip\"]\n[scale]\nsizes = [\"48max\"]\n\
         [split]\nfolds = 2\ntest_fraction = 0.3\n[train]\ninner_folds = 2\nbootstrap_draws = 100\n\
         [train.parameters.naive_cnn]\nconfiguration = \"small\"\nepochs = 2\nframes = 4\nbatch = 2\n\
         accumulation = 2\n\
         [train.parameters.variable_ar_cnn]\nconfiguration = \"small\"\nepochs = 2\nframes = 4\n\
         [train.parameters.vit_gru]\nconfiguration = \"small\"\nepochs = 1\nframes = 4\ndepth = 1\n\
         [train.parameters.vit_transformer]\nconfiguration = \"small\"\nepochs = 1\nframes = 4\ndepth = 1\n",
    )
    .unwrap();
    let config = config.to_str().unwrap().to_owned();
    let (code, out, err) =
        run(&["-w", &workspace, "--config", &config, "index", table.to_str().unwrap()]);
    assert_eq!(code, 0, "{out}{err}");
    (workspace, config)
}

/// In the earlier system no network ever gave a result: two thousand clips of zeros were learnt from, folds
/// failed and were left out of the averages. Here every network trains from the clip store (nothing is
/// decoded for it), stands in the same tables beside the same baselines, is saved, loaded, and says of a video
/// what it said when it was judged.
#[test]
fn networks_train_and_predict_like_every_model() {
    if !can_make_footage("networks_train_and_predict_like_every_model") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (ws, config) = prepared(folder.path());
    let models = "naive_cnn,variable_ar_cnn,vit_gru,vit_transformer,logistic_regression";
    let (code, out, err) =
        run(&["-w", &ws, "--config", &config, "--json", "run", "--model-types", models]);
    assert_eq!(code, 0, "{out}{err}");
    let made: Value = serde_json::from_str(&out).unwrap();
    let trained = made["train"]["models"].as_array().unwrap();
    assert_eq!(trained.len(), 5);
    let run_folder = Path::new(made["train"]["run"].as_str().unwrap());
    for model in trained {
        let name = model["model"].as_str().unwrap();
        let rows = model["cross_validation"]["predictions"].as_array().unwrap();
        let (sealed, folds) = (&made["train"]["sources"]["sealed"], rows.len() as u64);
        let sealed = sealed[0].as_u64().unwrap() + sealed[1].as_u64().unwrap();
        assert_eq!(folds + sealed, 12, "{name}");
        assert!(rows.iter().all(|row| row["probability"].as_f64().is_some()), "{name}");
        assert_eq!(model["cross_validation"]["baselines"].as_array().unwrap().len(), 5, "{name}");
    }
    // What trainings needed to be resumed is gone once the run is whole.
    let left = std::fs::read_dir(Path::new(&ws).join("networks")).map_or(0, Iterator::count);
    assert_eq!(left, 0);

    // A model file has its weights beside it, says the same twice, and knows what it has learnt from.
    let model = run_folder.join("naive_cnn.model.json");
    let clip = folder.path().join("unseen.mp4");
    crate::footage::encode(
        "testsrc2=size=160x120:rate=25",
        &["-t", "1.2", "-c:v", "libx264", "-pix_fmt", "yuv420p"],
        &clip,
    );
    let ask = |path: &Path| {
        let (code, out, err) = run(&[
            "-w",
            &ws,
            "--json",
            "predict",
            "--model",
            model.to_str().unwrap(),
            path.to_str().unwrap(),
        ]);
        (code, out, err)
    };
    let (code, first, err) = ask(&clip);
    assert_eq!(code, 0, "{first}{err}");
    assert_eq!(ask(&clip).1, first);
    let said: Value = serde_json::from_str(first.lines().next().unwrap()).unwrap();
    let probability = said["assessment"]["probability"].as_f64().unwrap();
    assert!((0.0..=1.0).contains(&probability));
    let (_, known, _) = ask(&folder.path().join("corpus/real/clip0.mp4"));
    assert!(known.contains("in_training_corpus") || known.contains("scored"), "{known}");

    // Without its weights, or with others, it gives no verdict.
    let weights = std::fs::read_dir(run_folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| path.to_str().unwrap().contains("naive_cnn-"))
        .unwrap();
    let mut bytes = std::fs::read(&weights).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&weights, &bytes).unwrap();
    let (code, out, err) = ask(&clip);
    assert_eq!(code, 1, "{out}{err}");
    assert!(err.contains("naive_cnn-") && err.contains("hash"), "{err}");
}

/// The earlier system trained vision transformers from random weights where the pretrained ones could not be
/// fetched, and reported them under the same name.
#[test]
fn a_backbone_that_is_meant_to_be_pretrained_is_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let workspace = folder.path().join("workspace");
    let clip = folder.path().join("corpus/real/a.mp4");
    std::fs::create_dir_all(clip.parent().unwrap()).unwrap();
    std::fs::write(&clip, b"no video").unwrap();
    let ws = workspace.to_str().unwrap();
    let corpus = folder.path().join("corpus");
    drop(run(&["-w", ws, "index", corpus.to_str().unwrap()]));
    let (code, _, err) = run(&["-w", ws, "train", "--model-types", "vit_gru"]);
    assert_eq!(code, 2, "{err}");
    assert!(err.contains("vit_base_patch16_224") && err.contains("--random-backbone"), "{err}");
    let none = ["-w", ws, "train", "--model-types", "vit_gru", "--weights", "none.pt"];
    let (code, _, err) = run(&none);
    assert_eq!(code, 2, "{err}");
    assert!(err.contains("none.pt"), "{err}");
    for (option, value) in [("--precision", "f8"), ("--device", "cuda:0"), ("--epochs", "0")] {
        let (code, _, err) = run(&["-w", ws, "train", "--model-types", "naive_cnn", option, value]);
        assert_eq!(code, 2, "{option}: {err}");
        assert!(err.contains(&option[2..]), "{option}: {err}");
    }
    // An option of networks without one is no silence.
    let (code, _, err) =
        run(&["-w", ws, "train", "--model-types", "xgboost", "--precision", "bf16"]);
    assert_eq!(code, 2, "{err}");
    assert!(err.contains("variable_ar_cnn"), "{err}");
}
