//! Intervals over groups hold what they say, by simulation.

use fvc_corpus::{GroupId, Prediction, Predictions};
use fvc_learn::{Evaluation, Interval, LEVEL, Metric, Metrics, Weighting};

use crate::corpus::content_id;
use crate::simulated;

fn interval(evaluation: &Evaluation, metric: Metric) -> Interval {
    evaluation.estimate(metric).unwrap().interval.unwrap()
}

/// The same rows as if none had anything to do with another.
fn ungrouped(predictions: &Predictions) -> Predictions {
    let mut rows = predictions.rows.clone();
    for (at, row) in rows.iter_mut().enumerate() {
        row.group = GroupId::new(&format!("{at}"));
    }
    Predictions { rows }
}

/// 300 corpora of 50 groups from a population whose numbers are known from 40 000 groups: the
/// intervals of how many hold the population's number. A percentile interval of 50 groups is known
/// to hold a little less than it says. Rows drawn one by one hold far less.
#[test]
fn ninety_five_of_a_hundred_intervals_hold_the_truth() {
    const CORPORA: u32 = 300;
    let metrics = [Metric::Accuracy, Metric::RocAuc, Metric::LogLoss, Metric::Brier];
    let population = simulated::predictions(40_000, 0);
    for weighting in [Weighting::Sources, Weighting::Groups] {
        let truth = Metrics::of(&population, weighting).unwrap();
        let mut held = [[0_u32; 2]; 4];
        for corpus in 1..=CORPORA {
            let predictions = simulated::predictions(50, u64::from(corpus));
            for (way, predictions) in [ungrouped(&predictions), predictions].iter().enumerate() {
                let found = Evaluation::of(predictions, weighting, 200, u64::from(corpus)).unwrap();
                for (held, &metric) in held.iter_mut().zip(&metrics) {
                    let Interval { low, high, .. } = interval(&found, metric);
                    let truth = truth.get(metric).unwrap();
                    held[way] += u32::from((low..=high).contains(&truth));
                }
            }
        }
        for (metric, held) in metrics.iter().zip(held) {
            let [by_row, by_group] = held.map(|held| f64::from(held) / f64::from(CORPORA));
            let told = format!("{metric}, {weighting:?}: {by_group} by group, {by_row} by row");
            assert!((LEVEL - 0.06..=0.99).contains(&by_group), "{told}");
            // The simulation can tell the two apart: the groups of its rows do matter.
            if weighting == Weighting::Sources {
                assert!(by_row < LEVEL - 0.08, "{told}");
            }
        }
    }
}

/// Sources that only repeat others of their group add nothing to what is known.
#[test]
fn repeating_every_row_of_every_group_narrows_nothing() {
    let once = simulated::predictions(30, 4);
    let mut rows = Vec::new();
    for row in &once.rows {
        for _ in 0..5 {
            rows.push(Prediction { content_id: content_id(rows.len()), ..row.clone() });
        }
    }
    let often = Predictions { rows };
    for weighting in [Weighting::Sources, Weighting::Groups] {
        let one = Evaluation::of(&once, weighting, 500, 9).unwrap();
        let five = Evaluation::of(&often, weighting, 500, 9).unwrap();
        assert_eq!(five.metrics.sources, 5 * one.metrics.sources);
        for metric in Metric::ALL {
            let (one, five) = (interval(&one, metric), interval(&five, metric));
            for (expected, found) in [(one.low, five.low), (one.high, five.high)] {
                assert!((expected - found).abs() < 1e-9, "{metric}: {expected} became {found}");
            }
        }
    }
    // Row by row it would have: by the square root of five.
    let width = |predictions: &Predictions| {
        let found = Evaluation::of(&ungrouped(predictions), Weighting::Sources, 500, 9).unwrap();
        let found = interval(&found, Metric::Accuracy);
        found.high - found.low
    };
    assert!(width(&often) < 0.6 * width(&once));
}

#[test]
fn draws_are_counted_and_depend_on_the_seed_alone() {
    let rows = simulated::predictions(12, 3);
    let of = |predictions: &Predictions, seed| {
        Evaluation::of(predictions, Weighting::Sources, 400, seed).unwrap()
    };
    let first = of(&rows, 5);
    assert_eq!(first, of(&rows, 5));
    assert_ne!(first.estimates, of(&rows, 6).estimates);
    let mut turned = rows.clone();
    turned.rows.reverse();
    let turned = of(&turned, 5);
    for metric in Metric::ALL {
        let (one, two) = (interval(&first, metric), interval(&turned, metric));
        assert!((one.low - two.low).abs() < 1e-12 && (one.high - two.high).abs() < 1e-12);
        assert!(one.low <= one.high);
        assert_eq!(one.draws + one.undefined, first.draws);
    }
    assert_eq!(first.draws, 400);
    assert_eq!(first.estimates.len(), Metric::ALL.len());
}

/// Of two groups with one class each, half of the draws hold one class, and say nothing of an AUC.
#[test]
fn what_a_draw_does_not_define_is_counted_and_left_out() {
    let row = |at: usize, fake: bool, score: f64| Prediction {
        content_id: content_id(at),
        group: GroupId::new(&format!("{at}")),
        label: simulated::label(fake),
        score,
    };
    let two = Predictions { rows: vec![row(0, false, 0.2), row(1, true, 0.4)] };
    let found = Evaluation::of(&two, Weighting::Sources, 1_000, 1).unwrap();
    assert!((420..=580).contains(&found.one_class_draws), "{}", found.one_class_draws);
    let auc = interval(&found, Metric::RocAuc);
    assert_eq!((auc.low, auc.high), (1.0, 1.0));
    assert_eq!((auc.undefined, auc.draws), (found.one_class_draws, 1_000 - auc.undefined));
    assert_eq!(interval(&found, Metric::Accuracy).undefined, 0);
    // Nothing is called fake: there is no precision, and no draw has one.
    let precision = found.estimate(Metric::Precision).unwrap();
    assert_eq!((precision.value, precision.interval), (None, None));

    let one = Predictions { rows: vec![row(0, false, 0.2)] };
    let found = Evaluation::of(&one, Weighting::Sources, 1_000, 1).unwrap();
    assert_eq!(found.draws, 0);
    assert!(found.estimates.iter().all(|estimate| estimate.interval.is_none()));
    let none = Evaluation::of(&Predictions::default(), Weighting::Groups, 1_000, 1).unwrap();
    assert!(none.estimates.iter().all(|of| of.value.is_none() && of.interval.is_none()));
}

#[test]
fn what_is_not_defined_is_missing_and_what_is_no_probability_is_refused() {
    let row = |at: usize, fake: bool, score: f64| Prediction {
        content_id: content_id(at),
        group: GroupId::new("one"),
        label: simulated::label(fake),
        score,
    };
    for fake in [false, true] {
        let rows = vec![row(0, fake, 0.1), row(1, fake, 0.5), row(2, fake, 0.9)];
        let found = Metrics::of(&Predictions { rows }, Weighting::Sources).unwrap();
        // 0.5 is called fake.
        let fakes_called = f64::from(u8::from(fake)) * 2.0 / 3.0;
        let reals_called = f64::from(u8::from(!fake)) / 3.0;
        assert!((found.accuracy.unwrap() - fakes_called - reals_called).abs() < 1e-12);
        assert_eq!([found.roc_auc, found.roc_auc_within_folds, found.balanced_accuracy], [None; 3]);
        assert_eq!(found.recall.is_some(), fake);
        assert_eq!(found.pr_auc, fake.then_some(1.0));
        assert_eq!(found.precision, Some(f64::from(u8::from(fake))));
    }
    for score in [f64::NAN, f64::INFINITY, -0.001, 1.001] {
        let error =
            Metrics::of(&Predictions { rows: vec![row(0, true, score)] }, Weighting::Groups)
                .unwrap_err();
        assert!(error.to_string().contains("expected a probability"), "{error}");
    }
}
