//! A labelled folder in, a detector and a verdict out.

use std::path::Path;

use crate::footage::{can_make_footage, corpus, encode, run};

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn a_labelled_table_becomes_a_detector_and_a_verdict() {
    if !can_make_footage("a_labelled_table_becomes_a_detector_and_a_verdict") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let table = corpus(&folder.path().join("corpus"), 9);
    let workspace = folder.path().join("workspace");
    let ws = text(&workspace);

    let (code, out, err) = run(&["-w", ws, "--json", "index", text(&table)]);
    assert_eq!(code, 0, "{out}{err}");
    let index: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(
        (&index["real"], &index["fake"], &index["groups"]),
        (&9.into(), &9.into(), &9.into())
    );

    // One decode a source for all four stages; none when nothing has changed.
    let stages = ["-w", ws, "--json", "run", "--stages", "1-4", "--variants", "6", "--size", "64"];
    for expected in [18, 0] {
        let (code, out, err) = run(&stages);
        assert_eq!(code, 0, "{out}{err}");
        let made: serde_json::Value = serde_json::from_str(&out).unwrap();
        assert_eq!(made["stages"]["decodes"]["sources"], expected, "{out}");
        assert_eq!(made["stages"]["completed"], 18);
    }
    // What is asked for later costs one pass more, and says why.
    let (code, out, _) =
        run(&["-w", ws, "--json", "run", "--stages", "1-4", "--variants", "6", "--size", "48"]);
    assert_eq!(code, 0);
    let made: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(made["stages"]["decodes"]["sources"], 18);
    let reasons = made["stages"]["decodes"]["reasons"].as_object().unwrap();
    assert!(reasons.keys().all(|reason| reason.starts_with("asked for later")), "{reasons:?}");

    let training = [
        "--variants",
        "6",
        "--size",
        "48",
        "--folds",
        "3",
        "--test-fraction",
        "0.34",
        "--seed",
        "3",
    ];
    let (code, out, err) = run(&[&["-w", ws, "--json", "train"][..], &training[..]].concat());
    assert_eq!(code, 0, "{out}{err}");
    let trained: serde_json::Value = serde_json::from_str(&out).unwrap();
    let model = trained["train"]["chosen_file"].as_str().unwrap();
    assert_eq!(trained["train"]["sealed"]["opening"], 1);
    let validated = &trained["train"]["models"][0]["cross_validation"];
    assert_eq!(validated["baselines"].as_array().unwrap().len(), 5);
    let scored = validated["predictions"].as_array().unwrap().len() as u64;
    let folds = &trained["train"]["sources"]["folds"];
    assert_eq!(scored, folds[0].as_u64().unwrap() + folds[1].as_u64().unwrap(), "one row a source");
    // The blurred, noisy twins are easy: a detector that cannot tell them is broken.
    let auc = validated["by_source"]["metrics"]["roc_auc_within_folds"].as_f64().unwrap();
    assert!(auc > 0.8, "ROC-AUC {auc}");
    // A second run opens the sealed test again, and the ledger counts it.
    let (_, out, _) = run(&[&["-w", ws, "--json", "train"][..], &training[..]].concat());
    let again: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(again["train"]["sealed"]["opening"], 2);

    let unseen = folder.path().join("unseen.mkv");
    encode("testsrc2=size=200x160:rate=25", &["-t", "2", "-c:v", "libx264"], &unseen);
    let empty = folder.path().join("empty.mp4");
    std::fs::write(&empty, b"").unwrap();
    let learnt = trained["train"]["models"][0]["cross_validation"]["predictions"][0]["content_id"]
        .as_str()
        .unwrap();
    let known = std::fs::read_to_string(workspace.join("index/sources.csv")).unwrap();
    let known = known
        .lines()
        .find(|line| line.starts_with(learnt))
        .unwrap()
        .split(',')
        .nth(1)
        .unwrap()
        .to_owned();
    let (code, out, err) = run(&[
        "-w",
        ws,
        "--json",
        "predict",
        "--model",
        model,
        text(&unseen),
        text(&empty),
        &known,
    ]);
    assert_eq!(code, 3, "{out}{err}");
    let lines: Vec<serde_json::Value> =
        out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines[0]["outcome"], "scored");
    // Six groups cannot carry an error of 5 %.
    assert_eq!(lines[0]["assessment"]["verdict"], "uncertain");
    assert!(lines[0]["assessment"]["promise"].as_str().unwrap().contains("too few groups"));
    assert_eq!(lines[1]["reason"], "empty");
    assert_eq!(lines[2]["outcome"], "in_training_corpus");
    let tolerant = ["-w", ws, "--exit-zero-on-partial", "predict", text(&empty)];
    let (code, out, err) = run(&[&tolerant[..], &[&known]].concat());
    assert_eq!(code, 0, "{out}{err}");
    // What is known to training is no failure.
    assert_eq!(run(&["-w", ws, "predict", &known]).0, 0);
    // It was a partial success when no file at all could be used, and with the option a whole one.
    for arguments in [&tolerant[..], &["-w", ws, "predict", text(&empty), text(&empty)]] {
        let (code, out, err) = run(arguments);
        assert_eq!(code, 1, "{out}{err}");
        assert!(out.contains("error: empty") && err.contains("could"), "{out}{err}");
    }
}

#[test]
fn forged_twins_are_as_long_as_authentic_ones_and_index_as_one_group() {
    if !can_make_footage("forged_twins_are_as_long_as_authentic_ones_and_index_as_one_group") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let clip = folder.path().join("clip.mp4");
    encode("testsrc2=size=320x240:rate=25", &["-t", "6", "-c:v", "libx264"], &clip);
    let out_folder = folder.path().join("forged");
    let (code, out, err) = run(&[
        "forge",
        text(&clip),
        "--out",
        text(&out_folder),
        "--windows",
        "4",
        "--frames",
        "24",
        "--json",
    ]);
    assert_eq!(code, 0, "{out}{err}");
    let made: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(made["manifest"]["decodes"]["sources"], 1);
    let files = made["files"].as_array().unwrap();
    assert_eq!(files.len(), 8);
    for file in files {
        let path = out_folder.join(file["path"].as_str().unwrap());
        let counted = std::process::Command::new("ffprobe")
            .args(["-v", "error", "-count_frames", "-select_streams", "v", "-of", "csv=p=0"])
            .args(["-show_entries", "stream=nb_read_frames"])
            .arg(&path)
            .output()
            .unwrap();
        assert_eq!(String::from_utf8_lossy(&counted.stdout).trim(), "24", "{}", path.display());
    }
    let ws = folder.path().join("ws");
    let (code, out, _) =
        run(&["-w", text(&ws), "--json", "index", text(&out_folder.join("corpus.csv"))]);
    assert_eq!(code, 0);
    let index: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(
        (&index["real"], &index["fake"], &index["groups"]),
        (&4.into(), &4.into(), &1.into())
    );
}
