//! Stored models: same bits after a round trip, refused after any change.

use fvc_learn::{LearnError, ModelBody, TreeModel};
use serde_json::{Value, json};

fn trees() -> ModelBody {
    let golden: Value = serde_json::from_str(include_str!("../golden/learn_xgboost.json")).unwrap();
    let bytes = serde_json::to_vec(&golden["cases"][0]["model"]).unwrap();
    ModelBody::Trees(TreeModel::from_xgboost_json(&bytes).unwrap())
}

#[test]
fn every_changed_byte_is_refused_or_means_the_same() {
    let body = trees();
    let bytes = body.to_json().unwrap();
    let mut refused = 0_usize;
    for at in 0..bytes.len() {
        for flip in [0x01, 0x08, 0x80] {
            let mut changed = bytes.clone();
            changed[at] ^= flip;
            match ModelBody::from_json(&changed) {
                Ok(read) => assert_eq!(read, body, "byte {at} changed the model unseen"),
                Err(LearnError::Model { .. }) => refused += 1,
                Err(other) => panic!("{other}"),
            }
        }
    }
    // What may pass is another way of writing the same number.
    assert!(refused > 3 * bytes.len() * 95 / 100, "{refused} of {}", 3 * bytes.len());
    for length in 0..bytes.len() {
        assert!(ModelBody::from_json(&bytes[..length]).is_err(), "cut at {length}");
    }
}

#[test]
fn structural_damage_is_named() {
    let good: Value = serde_json::from_slice(&trees().to_json().unwrap()).unwrap();
    for (path, value, told) in [
        ("/version", json!(2), "version"),
        ("/model/trees/width", json!(0), "inputs"),
        ("/model/trees/width", json!(2), "input below 2"),
        ("/model/trees/trees/0/left/0", json!(0), "children"),
        ("/model/trees/trees/0/left/0", json!(4_000_000), "children"),
        ("/model/trees/trees/0/right/0", json!(u32::MAX), "children"),
        ("/model/trees/trees/0/left/1", json!(u32::MAX), "children"),
        ("/model/trees/trees/0/cover/0", json!(0.0), "cover"),
        ("/model/trees/trees/0/gain", json!([]), "one length"),
        ("/model/trees/base", json!(null), "null"),
        ("/model/trees/trees/0/threshold/0", json!(0.25), "hash"),
        ("/hash", json!("00"), "hash"),
        ("/model", json!({"forest": {}}), "variant"),
    ] {
        let mut changed = good.clone();
        *changed.pointer_mut(path).unwrap_or_else(|| panic!("no {path}")) = value;
        match ModelBody::from_json(&serde_json::to_vec(&changed).unwrap()) {
            Err(error) => assert!(error.to_string().contains(told), "{path}: {error}"),
            Ok(_) => panic!("{path} was not refused"),
        }
    }
    // A chain that would be deeper than the explanation's recursion may go.
    let mut deep = good.clone();
    let depth = 70_u32;
    let nodes = 2 * depth + 1;
    let inner = |node: u32| node.is_multiple_of(2) && node + 2 < nodes;
    let children = |offset: u32| -> Vec<u32> {
        (0..nodes).map(|node| if inner(node) { node + offset } else { u32::MAX }).collect()
    };
    deep["model"]["trees"]["trees"] = json!([{
        "feature": vec![0; nodes as usize], "threshold": vec![0.5; nodes as usize],
        "left": children(1), "right": children(2), "default_left": vec![true; nodes as usize],
        "cover": vec![1.0; nodes as usize], "gain": vec![0.0; nodes as usize],
    }]);
    let error = ModelBody::from_json(&serde_json::to_vec(&deep).unwrap()).unwrap_err();
    assert!(error.to_string().contains("depth"), "{error}");
}

/// Numbers of a machine with Gaussian kernel that do not go together; none of them is a count that
/// memory would be taken for.
#[test]
#[cfg(feature = "svm")]
fn structural_damage_of_a_kernel_model_is_named() {
    let corpus = crate::corpus::golden_columns(&[0, 1, 2, 3]);
    let train = corpus.split.training(&corpus.examples).unwrap();
    let kind = fvc_learn::ModelKind::Svm;
    let preprocessor = fvc_learn::Preprocessor::fit(&train, kind.preprocessing()).unwrap();
    let estimator = kind.estimator(&fvc_learn::Parameters::new(), 0).unwrap();
    let body = estimator.fit(&train, &preprocessor).unwrap().into_inner().body;
    let good: Value = serde_json::from_slice(&body.to_json().unwrap()).unwrap();
    for (path, value, told) in [
        ("/model/kernel/gamma", json!(0.0), "a gamma above 0, found 0"),
        ("/model/kernel/gamma", json!(null), "null"),
        ("/model/kernel/gamma", json!(0.125), "hash"),
        ("/model/kernel/coefficients", json!([]), "support vectors, found 0"),
        ("/model/kernel/coefficients", json!([1.0, 2.0]), "2 support vectors of 4 inputs"),
        ("/model/kernel/support", json!([1.0]), "found 1 numbers"),
        ("/model/kernel/background", json!([]), "background rows"),
        ("/model/kernel/background", json!(vec![0.5; 4 * 33]), "found 132 numbers"),
        ("/model/kernel/background", json!([1.0, 2.0, 3.0]), "found 3 numbers"),
        ("/model/kernel/deviations", json!([]), "inputs, found 0"),
        ("/model/kernel/deviations/0", json!(-1.0), "deviations of at least 0, found -1"),
        ("/model/kernel/rows", json!(1_000_000_000), "unknown field"),
    ] {
        let mut changed = good.clone();
        if let Some(place) = changed.pointer_mut(path) {
            *place = value;
        } else {
            changed["model"]["kernel"]["rows"] = value;
        }
        match ModelBody::from_json(&serde_json::to_vec(&changed).unwrap()) {
            Err(error) => assert!(error.to_string().contains(told), "{path}: {error}"),
            Ok(_) => panic!("{path} was not refused"),
        }
    }
}

#[test]
fn a_body_inside_another_file_is_checked_too() {
    let mut value = serde_json::to_value(trees()).unwrap();
    assert_eq!(serde_json::from_value::<ModelBody>(value.clone()).unwrap(), trees());
    value["model"]["trees"]["trees"][0]["left"][0] = json!(0);
    assert!(serde_json::from_value::<ModelBody>(value).is_err());
}
