//! Probabilities of support vector machines come from groups that were held out, never from rows.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicBool;

use fvc_corpus::{
    Examples, FeatureMatrix, FeatureRow, GroupEvidence, GroupTable, Label, Split, SplitConfig,
};
use fvc_learn::{
    Calibration, ColumnRoles, Grid, LearnError, ModelBody, ModelKind, Parameters, Preprocessor,
    cross_validate, fit_final,
};

use crate::corpus::content_id;
use crate::simulated::{self, Random};

const ORIGINS: usize = 60;
const TWINS: usize = 5;
const WIDTH: usize = 6;

/// Copies of one origin each with a little noise; labels are of the origin, by lot, so that there
/// is nothing to learn but the origins themselves. `by_origin` groups the copies, else every copy
/// stands for itself, as LIBSVM's own split sees them.
fn twins(by_origin: bool, seed: u64) -> (Examples, Split) {
    let mut random = Random::new(seed);
    let (mut evidence, mut labels, mut rows) = (Vec::new(), BTreeMap::new(), Vec::new());
    for origin in 0..ORIGINS {
        let own: Vec<f64> = (0..WIDTH).map(|_| random.normal()).collect();
        for twin in 0..TWINS {
            let content_id = content_id(origin * TWINS + twin);
            let group = if by_origin { format!("{origin}") } else { format!("{origin} {twin}") };
            evidence.push(GroupEvidence { content_id, declared: vec![group] });
            labels.insert(content_id, simulated::label(origin % 2 == 1));
            let mut values: Vec<f64> =
                own.iter().map(|value| value + 0.1 * random.normal()).collect();
            values.extend((0..3).map(|_| random.normal()));
            rows.push(FeatureRow { content_id, variant: 0, values });
        }
    }
    let groups = GroupTable::build(&evidence);
    let matrix = FeatureMatrix { columns: columns(), rows };
    let config = SplitConfig { folds: 4, test_fraction: 0.0, seed: 1 };
    let split = Split::plan(&groups, &labels, &config).unwrap();
    (Examples::join(matrix, &labels, &groups).unwrap(), split)
}

fn columns() -> Vec<String> {
    let model = (0..WIDTH).map(|at| format!("stage2_{at}"));
    model.chain(["container", "duration", "size"].map(str::to_owned)).collect()
}

fn roles() -> ColumnRoles {
    let one = |name: &str| vec![name.to_owned()];
    ColumnRoles {
        model: columns()[..WIDTH].to_vec(),
        container: one("container"),
        duration: one("duration"),
        size: one("size"),
    }
}

fn log_loss(rows: &[(f64, Label)]) -> f64 {
    let own = |(p, label): &(f64, Label)| {
        let p = p.clamp(1e-15, 1.0 - 1e-15);
        -if *label == Label::Fake { p.ln() } else { (1.0 - p).ln() }
    };
    rows.iter().map(own).sum::<f64>() / rows.len() as f64
}

/// What LIBSVM's `-b 1` does: Platt's sigmoid on margins of a five-fold split by row.
fn calibrated_by_row(parameters: &Parameters, seed: u64) -> Calibration {
    let (examples, split) = twins(false, seed);
    let examples = examples.with_columns(&roles().model).unwrap();
    let mut margins = Vec::new();
    let train = split.training(&examples).unwrap();
    for (inner, left_out) in train.inner_folds(5, 1).unwrap() {
        let fitted = inner
            .fit(|inner| {
                let preprocessor = Preprocessor::fit(inner, ModelKind::Svm.preprocessing())?;
                let estimator = ModelKind::Svm.estimator(parameters, 1)?;
                let fitted = estimator.fit(inner, &preprocessor)?.into_inner();
                Ok::<_, LearnError>((preprocessor, fitted))
            })
            .unwrap();
        let scored = left_out
            .score_with(&fitted, |(preprocessor, fitted), row| {
                fitted.body.margin(&preprocessor.apply(row))
            })
            .unwrap();
        margins.extend(scored.rows.iter().map(|row| (row.score, row.label)));
    }
    Calibration::fit(&margins)
}

/// The origins hold nothing, and the probabilities say so: log loss of a coin. A sigmoid fitted on a
/// split by row has twins on both sides, finds the machine nearly always right, and is as sure of
/// origins that nobody has seen: far worse than a coin.
#[test]
fn twins_do_not_make_probabilities_sure() {
    for seed in 1..=3 {
        let parameters = Parameters::from([
            ("C".to_owned(), 10.0.into()),
            ("kernel".to_owned(), "rbf".into()),
            ("gamma".to_owned(), 0.3.into()),
        ]);
        let (examples, split) = twins(true, seed);
        let settings = simulated::settings(Grid::None, parameters.clone());
        let go = AtomicBool::new(false);
        let found = cross_validate(
            ModelKind::Svm,
            &examples,
            &roles(),
            &split,
            &settings,
            &go,
            &mut |_| {},
        )
        .unwrap();
        let ours: Vec<(f64, Label)> =
            found.predictions.iter().map(|row| (row.probability, row.label)).collect();
        let by_row = calibrated_by_row(&parameters, seed);
        let theirs: Vec<(f64, Label)> = found
            .predictions
            .iter()
            .map(|row| (by_row.probability(row.margin), row.label))
            .collect();
        let (ours, theirs) = (log_loss(&ours), log_loss(&theirs));
        assert!(ours < 0.8, "expected the loss of a coin (0.69), found {ours}");
        assert!(theirs > 1.1, "a split by row would not be over-confident: {theirs}");
        for fold in &found.folds {
            assert!(by_row.slope > 4.0 * fold.calibration.slope, "{by_row:?} {fold:?}");
        }
    }
}

/// A machine with a small C decides by small numbers, which are no log odds: taken for such, it would
/// look like a coin beside any other, however well it tells the classes apart.
#[test]
fn a_point_of_the_grid_is_not_judged_by_the_scale_of_its_margins() {
    let rows = simulated::Simulated::new(60, 4.0, 4);
    let (examples, split, go) = (rows.examples(), rows.split(0.0), AtomicBool::new(false));
    let parameters = Parameters::from([("C".to_owned(), 0.001.into())]);
    let settings = simulated::settings(Grid::Small, parameters);
    let roles = simulated::roles();
    let kind = ModelKind::Svm;
    let found =
        cross_validate(kind, &examples, &roles, &split, &settings, &go, &mut |_| {}).unwrap();
    assert!(found.predictions.iter().all(|row| row.margin.abs() < 1.5));
    for point in found.folds.iter().flat_map(|fold| &fold.selection.tried) {
        let loss = point.log_loss.unwrap();
        assert!(loss < 0.35, "{:?}: log loss {loss}", point.parameters);
    }
}

/// Sampled Shapley values add up, do not change, and are as near to the exact ones as their
/// standard errors say.
#[test]
fn sampled_contributions_are_within_their_standard_errors() {
    let rows = simulated::Simulated::new(40, 1.5, 3);
    let (examples, split, go) = (rows.examples(), rows.split(0.0), AtomicBool::new(false));
    let parameters = Parameters::from([("kernel".to_owned(), "rbf".into())]);
    let settings = simulated::settings(Grid::None, parameters.clone());
    let kind = ModelKind::Svm;
    let roles = simulated::roles();
    let found =
        cross_validate(kind, &examples, &roles, &split, &settings, &go, &mut |_| {}).unwrap();
    let detector = fit_final(kind, &examples, &roles, &split, &settings, &found, &go).unwrap();
    let said = detector.assess(&rows.rows[3].values[..4]);
    assert_eq!(said, detector.assess(&rows.rows[3].values[..4]));
    assert!(said.contributions.iter().all(|reason| reason.standard_error.is_some()));

    let inputs = examples.with_columns(&roles.model).unwrap();
    let train = split.training(&inputs).unwrap();
    let preprocessor = Preprocessor::fit(&train, kind.preprocessing()).unwrap();
    let fitted = kind.estimator(&parameters, 1).unwrap().fit(&train, &preprocessor).unwrap();
    let ModelBody::Kernel(_) = &fitted.body else { panic!("no kernel") };
    let background = background(&fitted.body);
    let (mut squares, mut count) = (0.0, 0.0);
    for row in train.rows().step_by(5) {
        let row = preprocessor.apply(row.values);
        let sampled = fitted.body.contributions(&row);
        let errors = sampled.standard_errors.unwrap();
        for ((value, error), exact) in
            sampled.values.iter().zip(&errors).zip(exact_shapley(&fitted.body, &row, &background))
        {
            assert!(*error > 0.0 || (value - exact).abs() < 1e-9, "{value} {exact}");
            if *error > 1e-9 {
                squares += ((value - exact) / error).powi(2);
                count += 1.0;
            }
        }
    }
    // Deviations in units of their standard error have a mean square of about 1.
    let mean = squares / count;
    assert!((0.3..=3.0).contains(&mean), "mean square of {count} standardised deviations: {mean}");
}

/// The rows that explanations compare with, as the model file has them.
fn background(body: &ModelBody) -> Vec<Vec<f64>> {
    let file: serde_json::Value = serde_json::from_slice(&body.to_json().unwrap()).unwrap();
    let numbers: Vec<f64> =
        serde_json::from_value(file["model"]["kernel"]["background"].clone()).unwrap();
    numbers.chunks_exact(body.width()).map(<[f64]>::to_vec).collect()
}

/// Over all subsets of the inputs, by the definition.
fn exact_shapley(body: &ModelBody, row: &[f64], background: &[Vec<f64>]) -> Vec<f64> {
    let width = row.len();
    let value = |subset: usize| -> f64 {
        let mixed = |other: &Vec<f64>| -> f64 {
            let values: Vec<f64> = (0..width)
                .map(|at| if subset >> at & 1 == 1 { row[at] } else { other[at] })
                .collect();
            body.margin(&values)
        };
        background.iter().map(mixed).sum::<f64>() / background.len() as f64
    };
    let factorial = |of: usize| (1..=of).map(|factor| factor as f64).product::<f64>();
    (0..width)
        .map(|input| {
            (0..1_usize << width)
                .filter(|subset| subset >> input & 1 == 0)
                .map(|subset| {
                    let size = subset.count_ones() as usize;
                    let weight = factorial(size) * factorial(width - size - 1) / factorial(width);
                    weight * (value(subset | 1 << input) - value(subset))
                })
                .sum()
        })
        .collect()
}
