//! Verdicts err as rarely as they promise, by simulation; where nothing can be promised, nothing
//! is said.

use std::collections::BTreeMap;

use fvc_corpus::{GroupId, Label};
use fvc_learn::{Thresholds, Verdict};

use crate::simulated::{self, Random};

type Row = (GroupId, Label, f64);

/// `groups` groups of each class with 1 to 4 sources; `apart` is the distance of the classes in
/// standard deviations of what a group shares.
fn rows(groups: usize, apart: f64, random: &mut Random) -> Vec<Row> {
    let mut rows = Vec::new();
    for number in 0..2 * groups {
        let fake = number % 2 == 1;
        let shift = random.normal() + if fake { apart / 2.0 } else { -apart / 2.0 };
        for _ in 0..=random.below(4) {
            let odds = shift + 0.7 * random.normal();
            let group = GroupId::new(&format!("{number}"));
            rows.push((group, simulated::label(fake), 1.0 / (1.0 + (-odds).exp())));
        }
    }
    rows
}

fn fit(rows: &[Row], max_error: f64) -> Thresholds {
    Thresholds::fit(rows.iter().map(|(group, label, p)| (group, *label, *p)), max_error)
}

/// Shares of groups with a wrong and with any verdict, among real and among fake ones.
fn errors(thresholds: &Thresholds, rows: &[Row]) -> [[f64; 2]; 2] {
    let mut shares = [[0.0; 2]; 2];
    for label in Label::ALL {
        let own = rows.iter().filter(|row| row.1 == label);
        let mut groups: BTreeMap<&GroupId, [bool; 2]> = BTreeMap::new();
        for (group, _, probability) in own {
            let wrong = if label == Label::Real { Verdict::Fake } else { Verdict::Real };
            let verdict = thresholds.verdict(*probability);
            let known = groups.entry(group).or_default();
            known[0] |= verdict == wrong;
            known[1] |= verdict != Verdict::Uncertain;
        }
        for (at, share) in shares[label.index()].iter_mut().enumerate() {
            let count = groups.values().filter(|group| group[at]).count();
            *share = count as f64 / groups.len() as f64;
        }
    }
    shares
}

/// Thresholds of many corpora, each tried on fresh groups of the same population. The promise is
/// kept for either class, and where the classes overlap it is met nearly exactly: it is no worse
/// than it must be. Thresholds that take every source for a group of its own break it.
#[test]
fn fresh_groups_are_judged_wrong_as_rarely_as_promised() {
    for (groups, max_error, apart) in
        [(29, 0.1, 1.0), (19, 0.05, 2.0), (40, 0.2, 0.5), (29, 0.1, 6.0)]
    {
        const CORPORA: u64 = 1_500;
        let mut random = Random::new(groups as u64);
        let mut grouped = [0.0; 2];
        let mut ungrouped = [0.0; 2];
        for _ in 0..CORPORA {
            let known = rows(groups, apart, &mut random);
            let fresh = rows(10, apart, &mut random);
            let alone: Vec<Row> = known
                .iter()
                .enumerate()
                .map(|(at, row)| (GroupId::new(&format!("{at}")), row.1, row.2))
                .collect();
            let (own, other) =
                (errors(&fit(&known, max_error), &fresh), errors(&fit(&alone, max_error), &fresh));
            for class in 0..2 {
                grouped[class] += own[class][0] / CORPORA as f64;
                ungrouped[class] += other[class][0] / CORPORA as f64;
            }
        }
        let told = format!("{max_error} of {groups} groups, {apart} apart: {grouped:?}");
        // Four standard errors of the simulation.
        let room = 0.08 * max_error;
        for class in 0..2 {
            assert!(grouped[class] <= max_error + room, "{told}");
            if apart <= 2.0 {
                let least = max_error - 1.0 / (groups as f64 + 1.0);
                assert!(grouped[class] >= least - room, "{told}");
                assert!(ungrouped[class] > max_error + room, "{told}, by source {ungrouped:?}");
            }
        }
    }
}

#[test]
fn well_separated_classes_get_verdicts() {
    let mut random = Random::new(3);
    let thresholds = fit(&rows(50, 8.0, &mut random), 0.05);
    let [real, fake] = errors(&thresholds, &rows(200, 8.0, &mut random));
    assert!(real[1] > 0.8 && fake[1] > 0.8, "{real:?} {fake:?}");
    assert_eq!(thresholds.verdict(0.0), Verdict::Real);
    assert_eq!(thresholds.verdict(1.0), Verdict::Fake);
    assert_eq!(thresholds.groups, [50, 50]);
    assert!(thresholds.promise().contains("at most 5.0 %"), "{}", thresholds.promise());
}

/// The error that a promise names can be asked for as it is printed, and no smaller one can. One
/// of three groups was printed as 33.3 %, which is less than a third and cannot be promised.
#[test]
fn the_smallest_promise_is_one_that_holds() {
    for groups in 1..60 {
        let rows = rows(groups, 4.0, &mut Random::new(7));
        let small = fit(&rows, 0.01);
        let all = [0.0, 0.3, 0.5, 0.7, 1.0];
        assert!(all.iter().all(|&p| small.verdict(p) == Verdict::Uncertain), "{groups}");
        let promise = small.promise();
        let percent: f64 = promise
            .rsplit_once(" is ")
            .and_then(|(_, rest)| rest.strip_suffix(" %"))
            .unwrap_or_else(|| panic!("{promise}"))
            .parse()
            .unwrap();
        let asked = fit(&rows, percent / 100.0);
        assert!(asked.fake_above.is_some() && asked.real_below.is_some(), "{groups}: {promise}");
        let less = fit(&rows, (percent - 0.1001) / 100.0);
        assert!(less.fake_above.is_none() && less.real_below.is_none(), "{groups}: {promise}");
    }
}

#[test]
fn one_class_many_ties_and_missing_numbers_never_give_a_verdict_that_is_not_promised() {
    let mut random = Random::new(11);
    let both = rows(40, 3.0, &mut random);
    for label in Label::ALL {
        let one: Vec<Row> = both.iter().filter(|row| row.1 == label).cloned().collect();
        let thresholds = fit(&one, 0.1);
        for probability in [0.0, 0.2, 0.5, 0.8, 1.0] {
            assert_eq!(thresholds.verdict(probability), Verdict::Uncertain);
        }
        assert!(thresholds.promise().contains("no promise"), "{}", thresholds.promise());
    }
    let none = fit(&[], 0.1);
    assert_eq!((none.fake_above, none.real_below, none.groups), (None, None, [0, 0]));

    // A model that knows nothing says one thing of everything.
    let tied: Vec<Row> = both.iter().map(|row| (row.0.clone(), row.1, 0.5)).collect();
    assert_eq!(fit(&tied, 0.1).verdict(0.5), Verdict::Uncertain);

    // Errors that nobody can mean are promised to nobody.
    for max_error in [0.0, -1.0, f64::NAN, 1.0, f64::INFINITY] {
        let thresholds = fit(&both, max_error);
        for probability in [0.0, 0.5, 1.0] {
            assert_eq!(thresholds.verdict(probability), Verdict::Uncertain, "{max_error}");
        }
    }

    // A source without a number is not judged, and is no evidence, whatever the NaN's sign.
    let known = fit(&both, 0.1);
    for hole in [f64::NAN, -f64::NAN] {
        assert_eq!(known.verdict(hole), Verdict::Uncertain);
        let mut holes = both.clone();
        for (at, label) in Label::ALL.into_iter().enumerate() {
            holes.insert(0, (GroupId::new("0"), Label::Real, hole));
            holes.push((GroupId::new("1"), Label::Fake, hole));
            holes.push((GroupId::new(&format!("hole {at}")), label, hole));
        }
        assert_eq!(fit(&holes, 0.1), known);
    }
}
