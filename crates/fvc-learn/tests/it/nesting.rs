//! What is scored was never learnt from: not by a fit, a choice, a scaler or a calibration.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::AtomicBool;

use fvc_corpus::{Ledger, Part, Split, SplitConfig, SplitError};
use fvc_learn::{
    Baseline, CrossValidation, Detector, Evaluation, Grid, LearnError, Margin, Metric, ModelKind,
    Parameters, ScoredSource, TrainSettings, cross_validate, evaluate_sealed, fit_final,
};
use fvc_media::ContentId;

use crate::simulated::{self, Random, Simulated, roles};

/// A search over the small grid, of small forests.
fn search(kind: ModelKind) -> TrainSettings {
    let parameters = match kind {
        ModelKind::Xgboost => Parameters::from([
            ("n_estimators".to_owned(), 20.0.into()),
            ("early_stopping_rounds".to_owned(), 3.0.into()),
        ]),
        ModelKind::Ensemble => Parameters::from([
            ("bases".to_owned(), "logistic_regression,svm_stage2,xgboost".into()),
            ("base_grid".to_owned(), "none".into()),
            ("xgboost.n_estimators".to_owned(), 10.0.into()),
            ("xgboost.early_stopping_rounds".to_owned(), 3.0.into()),
        ]),
        _ => Parameters::new(),
    };
    simulated::settings(Grid::Small, parameters)
}

fn validate(
    kind: ModelKind,
    rows: &Simulated,
    split: &Split,
    settings: &TrainSettings,
) -> CrossValidation {
    let go = AtomicBool::new(false);
    cross_validate(kind, &rows.examples(), &roles(), split, settings, &go, &mut |_| {}).unwrap()
}

fn finish(
    kind: ModelKind,
    rows: &Simulated,
    split: &Split,
    settings: &TrainSettings,
    validated: &CrossValidation,
) -> Detector {
    let go = AtomicBool::new(false);
    fit_final(kind, &rows.examples(), &roles(), split, settings, validated, &go).unwrap()
}

fn sources_of(split: &Split, wanted: Part) -> Vec<ContentId> {
    split.iter().filter(|(_, _, part)| *part == wanted).map(|(id, _, _)| *id).collect()
}

/// Margin and probability of every source of a fold, as bits.
fn bits(found: &CrossValidation, fold: u32) -> BTreeMap<ContentId, (u64, u64)> {
    found
        .predictions
        .iter()
        .filter(|row| row.fold == fold)
        .map(|row| (row.content_id, (row.margin.to_bits(), row.probability.to_bits())))
        .collect()
}

/// Every second source of an outer fold gets other values, other holes and the other label: what
/// was chosen, fitted and calibrated for this fold stays the same to the bit, and so do the scores
/// of its other sources. The other folds, which learn from it, change.
#[test]
fn an_outer_fold_is_not_learnt_from() {
    let rows = Simulated::new(36, 1.5, 1);
    let split = rows.split(0.0);
    for kind in ModelKind::ALL {
        let settings = search(kind);
        let before = validate(kind, &rows, &split, &settings);
        for fold in 0..split.folds() {
            let changed: BTreeSet<ContentId> =
                sources_of(&split, Part::Fold(fold)).into_iter().step_by(2).collect();
            let mut other = rows.clone();
            for id in &changed {
                other.distort(*id);
            }
            let after = validate(kind, &other, &split, &settings);
            for (one, two) in before.folds.iter().zip(&after.folds) {
                assert_eq!(one.fold, two.fold);
                if one.fold == fold {
                    assert_eq!(one, two, "{kind}: fold {fold} was chosen by what it scores");
                } else {
                    assert_ne!(one, two, "{kind}: fold {} learns from fold {fold}", one.fold);
                }
            }
            let (one, two) = (bits(&before, fold), bits(&after, fold));
            assert_eq!(one.len(), two.len());
            for (content_id, scores) in &one {
                assert_eq!(scores != &two[content_id], changed.contains(content_id), "{kind}");
            }
        }
    }
}

/// Labels of the scored side alone move the metrics and nothing else of its fold.
#[test]
fn labels_of_a_scored_fold_move_its_metrics_only() {
    let rows = Simulated::new(36, 1.5, 2);
    let split = rows.split(0.0);
    for kind in ModelKind::ALL {
        let settings = search(kind);
        let before = validate(kind, &rows, &split, &settings);
        let mut other = rows.clone();
        for id in sources_of(&split, Part::Fold(1)) {
            other.labels.entry(id).and_modify(|known| {
                *known = simulated::label(*known == fvc_corpus::Label::Real);
            });
        }
        let after = validate(kind, &other, &split, &settings);
        assert_eq!(before.folds[1], after.folds[1]);
        assert_eq!(bits(&before, 1), bits(&after, 1));
        assert_ne!(before.by_source.metrics, after.by_source.metrics);
        assert_ne!(bits(&before, 0), bits(&after, 0));
    }
}

/// Whatever stands in the sealed part, validation and the final fit are the same to the bit.
#[test]
fn the_sealed_part_is_never_seen() {
    let rows = Simulated::new(45, 1.5, 3);
    let split = rows.split(0.25);
    let sealed = sources_of(&split, Part::Sealed);
    assert!(sealed.len() > 10);
    let mut other = rows.clone();
    for id in &sealed {
        other.distort(*id);
    }
    for kind in ModelKind::ALL {
        let settings = search(kind);
        let before = validate(kind, &rows, &split, &settings);
        assert_eq!(before, validate(kind, &other, &split, &settings));
        assert!(before.predictions.iter().all(|row| !sealed.contains(&row.content_id)));
        let detector = finish(kind, &rows, &split, &settings, &before);
        assert_eq!(detector, finish(kind, &other, &split, &settings, &before));
        assert!(sealed.iter().all(|id| !detector.scope().contains(id)));
        // The same change outside of the sealed part is seen.
        let mut open = rows.clone();
        open.distort(sources_of(&split, Part::Fold(0))[0]);
        assert_ne!(before, validate(kind, &open, &split, &settings));
        assert_ne!(detector, finish(kind, &open, &split, &settings, &before));
    }
}

/// `evaluation` is of these rows: every source counted once, every group weighing one.
fn assert_adds_up(by_source: &Evaluation, by_group: &Evaluation, rows: &[ScoredSource]) {
    let groups: BTreeSet<_> = rows.iter().map(|row| &row.group).collect();
    for (evaluation, weight) in [(by_source, rows.len()), (by_group, groups.len())] {
        let metrics = &evaluation.metrics;
        assert_eq!((metrics.sources, metrics.groups), (rows.len() as u64, groups.len() as u64));
        let cells = metrics.confusion;
        let sum = cells.real_called_real
            + cells.real_called_fake
            + cells.fake_called_real
            + cells.fake_called_fake;
        assert!((sum - weight as f64).abs() < 1e-9, "expected {weight}, found {sum}");
    }
    let cells = by_source.metrics.confusion;
    let count = |fake: bool, called: bool| {
        let own = |row: &&ScoredSource| {
            row.label == simulated::label(fake) && (row.probability >= 0.5) == called
        };
        rows.iter().filter(own).count() as f64
    };
    assert_eq!(
        [cells.real_called_real, cells.real_called_fake],
        [count(false, false), count(false, true)]
    );
    assert_eq!(
        [cells.fake_called_real, cells.fake_called_fake],
        [count(true, false), count(true, true)]
    );
}

/// Over every pair of a real and a fake source of one fold.
fn auc_within_folds(rows: &[ScoredSource]) -> f64 {
    let (mut pairs, mut ordered) = (0.0, 0.0);
    for real in rows.iter().filter(|row| row.label == simulated::label(false)) {
        for fake in rows.iter().filter(|row| row.label == simulated::label(true)) {
            if real.fold == fake.fold {
                pairs += 1.0;
                ordered += match fake.probability.total_cmp(&real.probability) {
                    std::cmp::Ordering::Greater => 1.0,
                    std::cmp::Ordering::Equal => 0.5,
                    std::cmp::Ordering::Less => 0.0,
                };
            }
        }
    }
    ordered / pairs
}

#[test]
fn every_count_adds_up() {
    let rows = Simulated::new(40, 1.0, 4);
    let split = rows.split(0.2);
    let sealed = sources_of(&split, Part::Sealed).len();
    for kind in ModelKind::ALL {
        let settings = search(kind);
        let mut told = Vec::new();
        let go = AtomicBool::new(false);
        let found = cross_validate(
            kind,
            &rows.examples(),
            &roles(),
            &split,
            &settings,
            &go,
            &mut |event| told.push(format!("{event:?}")),
        )
        .unwrap();
        assert_eq!(told.len(), 3);

        // One prediction a source, in the fold that the split put it in; all that is not sealed.
        let mut seen = BTreeSet::new();
        for row in &found.predictions {
            assert!(seen.insert(row.content_id), "scored twice");
            assert_eq!(split.part(&row.content_id), Some(Part::Fold(row.fold)));
            assert_eq!(row.label, rows.labels[&row.content_id]);
            assert_eq!(Some(&row.group), rows.groups().group(&row.content_id));
            let calibration = found.folds[row.fold as usize].calibration;
            assert_eq!(row.probability, calibration.probability(row.margin));
        }
        assert_eq!(seen.len() + sealed, rows.labels.len());
        let table = found.prediction_rows();
        assert_eq!(table.len(), found.predictions.len());
        for (row, cell) in found.predictions.iter().zip(&table) {
            assert_eq!((i64::from(row.fold), row.content_id), (cell.fold, cell.content_id));
            assert_eq!((row.margin, row.probability), (cell.margin, cell.probability));
        }

        assert_adds_up(&found.by_source, &found.by_group, &found.predictions);
        let within = found.by_source.metrics.roc_auc_within_folds.unwrap();
        assert!((within - auc_within_folds(&found.predictions)).abs() < 1e-12);

        for (number, fold) in found.folds.iter().enumerate() {
            assert_eq!(fold.fold as usize, number);
            let scored = sources_of(&split, Part::Fold(fold.fold)).len();
            assert_eq!(fold.calibration.rows, seen.len() - scored, "calibrated on every other");
            // The chosen point is the best of those tried, and all were tried.
            let Some(best) =
                fold.selection.tried.iter().filter_map(|point| point.log_loss).reduce(f64::min)
            else {
                panic!("nothing was tried")
            };
            let first =
                fold.selection.tried.iter().find(|point| point.log_loss == Some(best)).unwrap();
            assert_eq!(first.parameters, fold.selection.chosen);
            assert_eq!(fold.selection.tried.len(), kind.grid(Grid::Small).len());
        }

        assert_eq!(found.baselines.len(), 5);
        for baseline in &found.baselines {
            assert_eq!(baseline.evaluation.metrics.sources, seen.len() as u64, "{}", baseline.name);
        }
        assert_margins_add_up(&found.by_source, &found.baselines, &found.margins);
    }
}

/// Every margin is over the baseline that is hardest to beat by its own number.
fn assert_margins_add_up(model: &Evaluation, baselines: &[Baseline], margins: &[Margin]) {
    assert_eq!(margins.len(), 3);
    for margin in margins {
        let own = model.metrics.get(margin.metric).unwrap();
        let smallest = baselines
            .iter()
            .map(|baseline| {
                let other = baseline.evaluation.metrics.get(margin.metric).unwrap();
                let gain = if margin.metric.larger_is_better() { own - other } else { other - own };
                (gain, baseline.name.as_str())
            })
            .min_by(|left, right| left.0.total_cmp(&right.0))
            .unwrap();
        assert!((margin.value - smallest.0).abs() < 1e-12, "{margin:?}, not {smallest:?}");
        assert_eq!(margin.baseline, smallest.1, "{margin:?}");
        let interval = margin.interval.unwrap();
        assert!(interval.low <= margin.value && margin.value <= interval.high, "{margin:?}");
    }
}

/// The best baseline by ROC-AUC stood for all three numbers. Baselines are not calibrated: of few
/// groups the one that happens to rank best is confident and often wrong, and a model that says
/// nothing was told to be ahead of it in log loss, where it is level with the majority.
#[test]
fn a_confident_baseline_does_not_hide_the_majority() {
    let kind = ModelKind::LogisticRegression;
    let mut hidden = 0;
    for seed in 0..16 {
        let rows = Simulated::new(24, 0.0, seed);
        let found = validate(kind, &rows, &rows.split(0.0), &search(kind));
        assert_margins_add_up(&found.by_source, &found.baselines, &found.margins);
        let over = |metric| found.margins.iter().find(|margin| margin.metric == metric).unwrap();
        let log_loss = |name: &str| {
            let baseline = found.baselines.iter().find(|baseline| baseline.name == name).unwrap();
            baseline.evaluation.metrics.log_loss.unwrap()
        };
        let ranks_best = over(Metric::RocAucWithinFolds).baseline.as_str();
        if log_loss(ranks_best) > log_loss("majority") + 0.01 {
            hidden += 1;
            assert_ne!(over(Metric::LogLoss).baseline, ranks_best);
        }
    }
    assert!(hidden > 1, "only {hidden} corpora show anything");
}

/// The sealed part opens for a recorded opening of its own split and for a model that has not seen
/// it; what is scored then is all of it, once.
#[test]
fn sealed_openings_are_counted_and_score_every_sealed_source_once() {
    let rows = Simulated::new(45, 1.5, 5);
    let split = rows.split(0.25);
    let sealed: BTreeSet<ContentId> = sources_of(&split, Part::Sealed).into_iter().collect();
    let kind = ModelKind::LogisticRegression;
    let settings = search(kind);
    let validated = validate(kind, &rows, &split, &settings);
    let detector = finish(kind, &rows, &split, &settings, &validated);

    let folder = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(&folder.path().join("ledger.sqlite")).unwrap();
    assert_eq!(ledger.openings(split.hash()).unwrap(), 0);
    for number in 1..=3 {
        let opening = ledger.record_opening(&split, "run", "test").unwrap();
        assert_eq!((opening.number(), opening.split_hash()), (number, split.hash()));
        let found =
            evaluate_sealed(&detector, &rows.examples(), &roles(), &split, &opening, &settings)
                .unwrap();
        let scored: Vec<ContentId> = found.predictions.iter().map(|row| row.content_id).collect();
        assert_eq!(scored.len(), sealed.len());
        assert_eq!(scored.into_iter().collect::<BTreeSet<_>>(), sealed);
        assert_adds_up(&found.by_source, &found.by_group, &found.predictions);
        assert_eq!(found.baselines.len(), 5);
        for baseline in &found.baselines {
            assert_eq!(baseline.evaluation.metrics.sources, sealed.len() as u64);
        }
        assert_margins_add_up(&found.by_source, &found.baselines, &found.margins);
        assert_eq!(ledger.openings(split.hash()).unwrap(), number);
    }

    let open = |detector: &Detector, split: &Split, opened: &Split| {
        let opening = ledger.record_opening(opened, "run", "test").unwrap();
        evaluate_sealed(detector, &rows.examples(), &roles(), split, &opening, &settings)
    };
    let whole = rows.split(0.0);
    match open(&detector, &split, &whole) {
        Err(LearnError::Split(SplitError::WrongOpening { expected, found })) => {
            assert_eq!((expected.as_str(), found.as_str()), (split.hash(), whole.hash()));
        }
        other => panic!("{other:?}"),
    }
    match open(&detector, &whole, &whole) {
        Err(LearnError::Split(SplitError::NothingSealed)) => {}
        other => panic!("{other:?}"),
    }
    // A model that learnt from everything may not score what is sealed from another.
    let validated = validate(kind, &rows, &whole, &settings);
    let seen = finish(kind, &rows, &whole, &settings, &validated);
    match open(&seen, &split, &split) {
        Err(LearnError::Leak(leak)) => assert!(sealed.contains(&leak.content_id)),
        other => panic!("{other:?}"),
    }
    assert_eq!(ledger.openings(split.hash()).unwrap(), 4);
}

/// The same features with labels dealt out anew over groups hold nothing: a search that looked at
/// what it scores, a scaler or a calibration would lift the mean above chance, and so would copies
/// on two sides. (What a selection gained inside shows in `tried`, not here.)
#[test]
fn permuted_labels_are_worth_a_coin() {
    const CORPORA: u64 = 12;
    // Names that differ in the stages that they see only are fitted alike.
    let kinds = ModelKind::ALL.into_iter().filter(|kind| kind.stages().is_empty());
    for kind in kinds {
        let settings = search(kind);
        let (mut sum, mut held, mut margins) = (0.0, 0, 0.0);
        for seed in 0..CORPORA {
            let mut rows = Simulated::new(40, 2.0, 100 + seed);
            let mut random = Random::new(seed);
            let groups = rows.groups();
            let mut of_group = BTreeMap::new();
            for (id, label) in &rows.labels {
                of_group.insert(groups.group(id).unwrap().clone(), *label);
            }
            let mut labels: Vec<_> = of_group.values().copied().collect();
            for at in (1..labels.len()).rev() {
                labels.swap(at, random.below(at + 1));
            }
            for (known, label) in of_group.values_mut().zip(labels) {
                *known = label;
            }
            for (id, label) in &mut rows.labels {
                *label = of_group[groups.group(id).unwrap()];
            }
            let found = validate(kind, &rows, &rows.split(0.0), &settings);
            let auc = found.by_source.estimate(Metric::RocAucWithinFolds).unwrap();
            let interval = auc.interval.unwrap();
            sum += auc.value.unwrap();
            held += u64::from((interval.low..=interval.high).contains(&0.5));
            margins += found.margins[0].value;
        }
        let mean = sum / CORPORA as f64;
        assert!((0.4..=0.6).contains(&mean), "{kind}: mean ROC-AUC {mean} of labels by lot");
        assert!(held * 4 >= CORPORA * 3, "{kind}: {held} of {CORPORA} intervals hold 0.5");
        assert!(margins <= 0.0, "{kind}: ahead of the best baseline by {margins}");
    }
    // The same without the permutation is learnt.
    let rows = Simulated::new(40, 2.0, 100);
    let kind = ModelKind::LogisticRegression;
    let found = validate(kind, &rows, &rows.split(0.0), &search(kind));
    let auc = found.by_source.estimate(Metric::RocAucWithinFolds).unwrap();
    assert!(auc.interval.unwrap().low > 0.6, "{auc:?}");
}

/// With two groups a class every training side holds one a class: nothing can be held out inside.
/// The run said "0 inner folds of the 3 asked for", and not what came of it.
#[test]
fn a_model_that_was_neither_searched_nor_calibrated_says_so() {
    let mut rows = Simulated::new(4, 1.0, 6);
    for item in &rows.evidence {
        let fake = ["g1", "g3"].contains(&item.declared[0].as_str());
        rows.labels.insert(item.content_id, simulated::label(fake));
    }
    let config = SplitConfig { folds: 2, test_fraction: 0.0, seed: 1 };
    let split = Split::plan(&rows.groups(), &rows.labels, &config).unwrap();
    let settings = search(ModelKind::LogisticRegression);
    let found = validate(ModelKind::LogisticRegression, &rows, &split, &settings);
    assert_eq!(found.notes.len(), 2, "{:?}", found.notes);
    for (fold, note) in found.folds.iter().zip(&found.notes) {
        assert_eq!(fold.selection.inner_folds, 0);
        assert_eq!(fold.calibration, fvc_learn::Calibration::IDENTITY);
        assert!(note.contains("not searched") && note.contains("not calibrated"), "{note}");
    }
    let detector = finish(ModelKind::LogisticRegression, &rows, &split, &settings, &found);
    let short = detector.selection().shortfall(&settings).unwrap();
    assert!(short.contains("2 inner folds of the 3 asked for"), "{short}");
}

/// The story is in `registry.rs`; this is the run that failed.
#[test]
fn a_run_with_parameters_fixed_by_hand_keeps_them() {
    let rows = Simulated::new(30, 1.0, 7);
    let split = rows.split(0.0);
    let fixed = |name: &str, value: fvc_learn::ParameterValue| {
        let mut small = Parameters::from([(name.to_owned(), value)]);
        if name == "early_stopping_folds" {
            small.insert("n_estimators".to_owned(), 5.0.into());
            small.insert("max_depth".to_owned(), 2.0.into());
            small.insert("learning_rate".to_owned(), 0.3.into());
        }
        small
    };
    for (kind, grid, fixed) in [
        (ModelKind::LogisticRegression, Grid::Small, fixed("penalty", "l2".into())),
        (ModelKind::LogisticRegression, Grid::Small, fixed("penalty", "none".into())),
        (ModelKind::LogisticRegression, Grid::Small, fixed("l1_ratio", 0.2.into())),
        (ModelKind::Xgboost, Grid::Reference, fixed("early_stopping_folds", 2.0.into())),
    ] {
        let settings = simulated::settings(grid, fixed.clone());
        let found = validate(kind, &rows, &split, &settings);
        for fold in &found.folds {
            for point in &fold.selection.tried {
                assert_eq!(point.failure, None);
                assert!(
                    fixed.iter().all(|(name, value)| point.parameters.get(name) == Some(value))
                );
            }
        }
    }
}
