//! Detectors on disk: the same bits after a round trip, refused by path after any change.

use std::fs;
use std::path::Path;
use std::sync::atomic::AtomicBool;

use fvc_learn::{
    Assessment, Detector, Grid, LearnError, ModelKind, Parameters, Verdict, cross_validate,
    fit_final,
};
use serde_json::{Value, json};

use crate::simulated::{self, Simulated, roles};

fn detector(kind: ModelKind, rows: &Simulated) -> Detector {
    let parameters = match kind {
        ModelKind::Xgboost => Parameters::from([("n_estimators".to_owned(), 10.0.into())]),
        ModelKind::Ensemble => Parameters::from([("xgboost.n_estimators".to_owned(), 10.0.into())]),
        _ => Parameters::new(),
    };
    let settings = simulated::settings(Grid::None, parameters);
    let (split, examples, go) = (rows.split(0.0), rows.examples(), AtomicBool::new(false));
    let found =
        cross_validate(kind, &examples, &roles(), &split, &settings, &go, &mut |_| {}).unwrap();
    fit_final(kind, &examples, &roles(), &split, &settings, &found, &go).unwrap()
}

/// Those of a row's values that a detector asks for.
fn picked(detector: &Detector, values: &[f64]) -> Vec<f64> {
    let at = |name: &String| simulated::COLUMNS.iter().position(|known| known == name).unwrap();
    detector.columns().iter().map(|name| values[at(name)]).collect()
}

/// The error's text, after a check that it is a model file's and names `path`.
fn refused(path: &Path) -> String {
    match Detector::load(path) {
        Err(error @ LearnError::ModelFile { .. }) => {
            let text = error.to_string();
            assert!(text.contains(&path.display().to_string()), "{text}");
            text
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_loaded_detector_says_the_same_to_the_bit() {
    let rows = Simulated::new(40, 5.0, 1);
    let folder = tempfile::tempdir().unwrap();
    let recipe = json!({ "stage": "a", "sizes": [1, 0.1, 1e-300, null], "name": "ä\u{0}" });
    for kind in ModelKind::ALL {
        let own = detector(kind, &rows);
        let path = folder.path().join("model.json");
        own.save(&path, &recipe).unwrap();
        let (loaded, read) = Detector::load(&path).unwrap();
        assert_eq!(read, recipe);
        assert_eq!(loaded, own);
        assert_eq!((loaded.kind(), loaded.columns()), (kind, own.columns()));
        let mut verdicts = Vec::new();
        for row in &rows.rows {
            // Far away and with holes too.
            let own_values = picked(&own, &row.values);
            for values in [
                own_values.clone(),
                own_values.iter().map(|value| 100.0 * value).collect(),
                vec![f64::NAN; own_values.len()],
            ] {
                let (one, two) = (own.assess(&values), loaded.assess(&values));
                assert_eq!(one.probability.to_bits(), two.probability.to_bits());
                assert_eq!(one.margin.to_bits(), two.margin.to_bits());
                assert_eq!(format!("{one:?}"), format!("{two:?}"));
                assert_eq!(one.margin.to_bits(), own.margin(&values).to_bits());
                assert_eq!(one.probability, own.probability(one.margin));
                verdicts.push(one.verdict);
            }
        }
        for verdict in [Verdict::Real, Verdict::Fake, Verdict::Uncertain] {
            assert!(verdicts.contains(&verdict), "{kind}: never {verdict}");
        }
        // Written again it is the same file, over the old one.
        let bytes = fs::read(&path).unwrap();
        loaded.save(&path, &recipe).unwrap();
        assert_eq!(fs::read(&path).unwrap(), bytes);
    }
}

#[test]
fn a_row_of_another_width_gets_no_verdict_and_a_strange_one_is_told() {
    let rows = Simulated::new(40, 2.0, 1);
    for kind in ModelKind::ALL {
        let own = detector(kind, &rows);
        for width in [0, 3, 5] {
            let Assessment { probability, verdict, contributions, .. } =
                own.assess(&vec![0.0; width]);
            assert!(probability.is_nan() && contributions.is_empty());
            assert_eq!(verdict, Verdict::Uncertain);
        }
        let usual = own.assess(&picked(&own, &rows.rows[0].values));
        assert!(usual.unusual.is_empty(), "{:?}", usual.unusual);
        let strange = own.assess(&picked(&own, &[1e6, 0.0, f64::NAN, -1e6]));
        let told: Vec<&str> = strange.unusual.iter().map(|of| of.column.as_str()).collect();
        let all = ["stage2_a", "stage4_d"];
        assert_eq!(told, all[..if kind.stages() == ["stage2"] { 1 } else { 2 }]);
        // Contributions go from the largest down and name what the model sees.
        let sizes: Vec<f64> =
            usual.contributions.iter().map(|reason| reason.log_odds.abs()).collect();
        assert!(!sizes.is_empty() && sizes.is_sorted_by(|left, right| left >= right));
    }
}

#[test]
fn a_changed_or_cut_file_is_refused_by_name() {
    let rows = Simulated::new(40, 2.0, 1);
    let folder = tempfile::tempdir().unwrap();
    // One of each form of a model.
    for kind in
        [ModelKind::LogisticRegression, ModelKind::Svm, ModelKind::Xgboost, ModelKind::Ensemble]
    {
        let path = folder.path().join(format!("{kind}.json"));
        let (own, recipe) = (detector(kind, &rows), json!({ "columns": "abc", "rate": 0.25 }));
        own.save(&path, &recipe).unwrap();
        let bytes = fs::read(&path).unwrap();
        let step = (bytes.len() / 400).max(1);
        let mut told = 0;
        for at in (0..bytes.len()).step_by(step) {
            for flip in [0x01, 0x04, 0x80] {
                let mut changed = bytes.clone();
                changed[at] ^= flip;
                fs::write(&path, &changed).unwrap();
                // What may pass is another way of writing the same.
                if let Ok(read) = Detector::load(&path) {
                    assert_eq!(read, (own.clone(), recipe.clone()), "byte {at} changed unseen");
                } else {
                    refused(&path);
                    told += 1;
                }
            }
            fs::write(&path, &bytes[..at]).unwrap();
            refused(&path);
        }
        assert!(told > 3 * 400 * 95 / 100, "{told}");
        fs::write(&path, [bytes.as_slice(), b"}"].concat()).unwrap();
        refused(&path);
        fs::write(&path, &bytes).unwrap();
        assert!(Detector::load(&path).is_ok());
    }
}

#[test]
fn what_is_no_model_file_of_this_version_is_named() {
    let rows = Simulated::new(40, 2.0, 1);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.json");
    assert!(refused(&path).contains("a model file"));
    assert!(refused(folder.path()).contains("a model file"));
    let own = detector(ModelKind::LogisticRegression, &rows);
    own.save(&path, &json!(null)).unwrap();
    let good: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();

    let with = |key: &str, value: Value| {
        let mut changed = good.clone();
        changed[key] = value;
        fs::write(&path, serde_json::to_vec(&changed).unwrap()).unwrap();
        refused(&path)
    };
    assert!(with("version", json!(1)).contains("found fvc detector, version 1"));
    assert!(with("format", json!("other")).contains("found other, version 2"));
    assert!(with("hash", json!("00")).contains("found hash 00"));
    assert!(with("recipe", json!(1)).contains("expected hash"));
    assert!(with("fitted", json!({})).contains("missing field"));
    // A later version may look otherwise in all but its head.
    fs::write(&path, r#"{"format":"fvc detector","version":7,"parts":[]}"#).unwrap();
    assert!(refused(&path).contains("version 7"), "{}", refused(&path));

    // One byte more than is ever read; the file takes no room on the disk.
    fs::File::create(&path).unwrap().set_len((256 << 20) + 1).unwrap();
    assert!(refused(&path).contains("at most 256 MiB"));

    // A folder where the file should go.
    match own.save(folder.path(), &json!(null)) {
        Err(LearnError::ModelFile { path, .. }) => assert_eq!(path, folder.path()),
        other => panic!("{other:?}"),
    }
}

/// A file whose hash is right and whose parts do not fit together was not written by us.
#[test]
fn parts_that_do_not_fit_are_refused_whatever_the_hash_says() {
    let rows = Simulated::new(40, 2.0, 1);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.json");
    detector(ModelKind::LogisticRegression, &rows).save(&path, &json!(null)).unwrap();
    let text = fs::read_to_string(&path).unwrap();
    let (_, body) = text.split_once("\"fitted\":").unwrap();
    let body = &body[..body.len() - 1];
    let write = |body: &str| {
        let hash = blake3::hash(format!("[null,{body}]").as_bytes()).to_hex();
        let head = r#""format":"fvc detector","version":2"#;
        let text = format!(r#"{{{head},"hash":"{hash}","recipe":null,"fitted":{body}}}"#);
        fs::write(&path, text).unwrap();
    };
    write(body);
    assert!(Detector::load(&path).is_ok(), "the hash is another by now");
    let slope = body.split_once("\"slope\":").unwrap().1.split_once(',').unwrap().0;
    let seen = body.split_once("\"seen\":[").unwrap().1.split_once('}').unwrap().0;
    for (from, to, told) in [
        (format!("\"slope\":{slope}"), "\"slope\":-1.0".to_owned(), "parts that do not"),
        (format!("\"seen\":[{seen}}},"), "\"seen\":[".to_owned(), "parts that do not"),
        ("\"at\":1".to_owned(), "\"at\":9".to_owned(), "a position below 4, found 9"),
        ("\"deviation\":".to_owned(), "\"deviation\":-".to_owned(), "a positive deviation"),
    ] {
        assert!(body.contains(&from), "no {from}");
        write(&body.replacen(&from, &to, 1));
        assert!(refused(&path).contains(told), "{from}: {}", refused(&path));
    }
}
