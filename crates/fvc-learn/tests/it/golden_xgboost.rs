//! Scores, SHAP values, gain and fits against XGBoost (`tools/golden/learn_xgboost.py`).

use fvc_learn::{LearnError, ModelBody, Parameters, TreeModel};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::corpus;

#[derive(Deserialize)]
struct Golden {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    name: String,
    parameters: Parameters,
    model: Value,
    margins: Vec<f64>,
    probabilities: Vec<f64>,
    contributions: Vec<Vec<f64>>,
    gain: Vec<f64>,
}

fn golden() -> Vec<Case> {
    let golden: Golden =
        serde_json::from_str(include_str!("../golden/learn_xgboost.json")).unwrap();
    assert_eq!(golden.cases.len(), 3);
    golden.cases
}

fn read(model: &Value) -> Result<ModelBody, LearnError> {
    TreeModel::from_xgboost_json(&serde_json::to_vec(model).unwrap()).map(ModelBody::Trees)
}

fn rows() -> Vec<Vec<f64>> {
    let corpus = corpus::golden_columns(&[0, 1, 2, 3, 4, 5]);
    let train = corpus.split.training(&corpus.examples).unwrap();
    train.rows().map(|row| row.values.to_vec()).collect()
}

fn assert_near(found: f64, expected: f64, within: f64, what: &str) {
    assert!((found - expected).abs() <= within, "{what}: expected {expected}, found {found}");
}

#[test]
fn scores_are_those_of_the_library() {
    for case in golden() {
        let body = read(&case.model).unwrap();
        for ((row, margin), probability) in
            rows().iter().zip(&case.margins).zip(&case.probabilities)
        {
            assert_near(body.margin(row), *margin, 1e-6, &case.name);
            assert_near(body.probability(row), *probability, 1e-6, &case.name);
        }
    }
}

#[test]
fn shap_values_are_those_of_the_library_and_add_up() {
    for case in golden() {
        let body = read(&case.model).unwrap();
        for (row, expected) in rows().iter().zip(&case.contributions) {
            let found = body.contributions(row);
            for (found, expected) in found.values.iter().chain([&found.base]).zip(expected) {
                assert_near(*found, *expected, 1e-5, &case.name);
            }
            let sum = found.base + found.values.iter().sum::<f64>();
            assert_near(sum, body.margin(row), 1e-5, "sum of contributions");
        }
    }
}

/// Expected value of a tree below `node` when the inputs in the bit set `known` are known.
fn expected(arrays: &[Vec<f64>; 6], node: usize, row: &[f64], known: usize) -> f64 {
    let [left, right, feature, threshold, default_left, cover] = arrays;
    if left[node] < 0.0 {
        return threshold[node];
    }
    let (left, right) = (left[node] as usize, right[node] as usize);
    let value = row[feature[node] as usize] as f32;
    if known & (1 << feature[node] as usize) != 0 {
        let goes_left =
            if value.is_nan() { default_left[node] != 0.0 } else { value < threshold[node] as f32 };
        return expected(arrays, if goes_left { left } else { right }, row, known);
    }
    (cover[left] * expected(arrays, left, row, known)
        + cover[right] * expected(arrays, right, row, known))
        / cover[node]
}

/// The definition, in exponential time: the Shapley value of the game in which a row goes its own
/// way at splits on known inputs and both ways, by cover, at the others.
#[test]
fn shap_values_are_shapley_values() {
    let case = &golden()[2];
    let body = read(&case.model).unwrap();
    let trees = case.model["learner"]["gradient_booster"]["model"]["trees"].as_array().unwrap();
    let numbers = |tree: &Value, name: &str| -> Vec<f64> {
        tree[name].as_array().unwrap().iter().map(|value| value.as_f64().unwrap()).collect()
    };
    let arrays: Vec<[Vec<f64>; 6]> = trees
        .iter()
        .map(|tree| {
            [
                "left_children",
                "right_children",
                "split_indices",
                "split_conditions",
                "default_left",
                "sum_hessian",
            ]
            .map(|name| numbers(tree, name))
        })
        .collect();
    let factorial = |n: u32| (1..=u64::from(n)).product::<u64>() as f64;
    for row in rows().iter().take(12) {
        let game: Vec<f64> = (0..64)
            .map(|known| arrays.iter().map(|tree| expected(tree, 0, row, known)).sum())
            .collect();
        let found = body.contributions(row);
        for input in 0..6 {
            let value: f64 = (0..64_usize)
                .filter(|known| known & (1 << input) == 0)
                .map(|known| {
                    let size = known.count_ones();
                    factorial(size) * factorial(5 - size) / factorial(6)
                        * (game[known | (1 << input)] - game[known])
                })
                .sum();
            assert_near(found.values[input], value, 1e-5, "Shapley value");
        }
    }
}

#[test]
fn importance_is_the_share_of_gain() {
    for case in golden() {
        let found = read(&case.model).unwrap().importance();
        let total: f64 = case.gain.iter().sum();
        assert!(total > 0.0);
        for (found, expected) in found.iter().zip(&case.gain) {
            assert_near(*found, expected / total, 1e-5, &case.name);
        }
    }
}

#[cfg(feature = "xgboost")]
#[test]
fn fits_are_those_of_the_library_under_python() {
    use fvc_learn::{ModelKind, Preprocessor};
    let corpus = corpus::golden_columns(&[0, 1, 2, 3, 4, 5]);
    let train = corpus.split.training(&corpus.examples).unwrap();
    let preprocessor = Preprocessor::fit(&train, crate::golden_logistic::RAW).unwrap();
    for case in golden() {
        let mut parameters = case.parameters.clone();
        parameters.insert("early_stopping_rounds".to_owned(), 0.0.into());
        let fitted = ModelKind::Xgboost
            .estimator(&parameters, 42)
            .unwrap()
            .fit(&train, &preprocessor)
            .unwrap();
        for (row, margin) in train.rows().zip(&case.margins) {
            assert_near(fitted.body.margin(row.values), *margin, 1e-5, &case.name);
        }
    }
}

#[test]
fn base_score_may_be_a_number_or_an_array() {
    let case = &golden()[0];
    let margin = |base: &str| {
        let mut model = case.model.clone();
        model["learner"]["learner_model_param"]["base_score"] = json!(base);
        read(&model).map(|body| body.margin(&rows()[0]))
    };
    let expected = margin("[4E-1]").unwrap();
    assert_eq!(margin("4E-1").unwrap(), expected);
    assert_eq!(margin(" [ 0.4 ] ").unwrap(), expected);
    for refused in ["", "[]", "[4E-1,4E-1]", "0", "1", "NaN", "[4E-1", "x"] {
        assert!(margin(refused).is_err(), "{refused:?}");
    }
}

#[test]
fn corrupt_or_foreign_library_models_are_refused() {
    let good = golden()[0].model.clone();
    assert!(read(&good).is_ok());
    let change = |path: &str, value: Value| {
        let mut model = good.clone();
        *model.pointer_mut(path).unwrap_or_else(|| panic!("no {path}")) = value;
        model
    };
    let tree = "/learner/gradient_booster/model/trees/0";
    let learner = "/learner";
    for (path, value) in [
        (format!("{tree}/left_children/0"), json!(0)),
        (format!("{tree}/left_children/0"), json!(99)),
        (format!("{tree}/left_children/0"), json!(-1)),
        (format!("{tree}/left_children/0"), json!(-7)),
        (format!("{tree}/right_children/0"), json!(1)),
        (format!("{tree}/right_children/1"), json!(0)),
        (format!("{tree}/split_indices/0"), json!(6)),
        (format!("{tree}/split_indices/0"), json!(-1)),
        (format!("{tree}/split_conditions/0"), json!(null)),
        (format!("{tree}/split_conditions/0"), json!(1e300)),
        (format!("{tree}/sum_hessian/0"), json!(0.0)),
        (format!("{tree}/sum_hessian/0"), json!(-1.0)),
        (format!("{tree}/sum_hessian"), json!([])),
        (format!("{tree}/split_type/0"), json!(1)),
        (format!("{tree}/categories"), json!([1])),
        (format!("{tree}/left_children"), json!([])),
        (format!("{learner}/gradient_booster/name"), json!("dart")),
        (format!("{learner}/gradient_booster/model/tree_info/0"), json!(1)),
        (format!("{learner}/gradient_booster/model/tree_info"), json!([])),
        (format!("{learner}/objective/name"), json!("reg:squarederror")),
        (format!("{learner}/learner_model_param/num_feature"), json!("0")),
        (format!("{learner}/learner_model_param/num_feature"), json!("2")),
        (format!("{learner}/learner_model_param/num_feature"), json!("99999999999")),
        (format!("{learner}/learner_model_param/num_class"), json!("3")),
    ] {
        let error = read(&change(&path, value.clone()));
        assert!(matches!(error, Err(LearnError::Model { .. })), "{path} = {value}: {error:?}");
    }
    let bytes = serde_json::to_vec(&good).unwrap();
    for length in (0..bytes.len()).step_by(97) {
        assert!(TreeModel::from_xgboost_json(&bytes[..length]).is_err(), "cut at {length}");
    }
}
