//! Forgeries: what is drawn, what changes and what does not.

use std::collections::BTreeSet;

use fvc_augment::{AugmentError, FORGERY_PARAMETERS, Forgery, ForgeryKind, Region};
use fvc_media::{Frame, FrameSpan};
use proptest::prelude::*;

use crate::clips::{frame, random};

const SPATIAL: [ForgeryKind; 2] = [ForgeryKind::RegionSplice, ForgeryKind::CopyMove];
const TEMPORAL: [ForgeryKind; 2] = [ForgeryKind::FrameDeletion, ForgeryKind::FrameDuplication];

fn inside(region: Region, x: u32, y: u32, margin: u32) -> bool {
    x >= region.x + margin
        && x + margin < region.x + region.width
        && y >= region.y + margin
        && y + margin < region.y + region.height
}

fn pixel(frame: &Frame, x: u32, y: u32) -> &[u8] {
    let at = 3 * (y * frame.width() + x) as usize;
    &frame.data()[at..at + 3]
}

fn feather(forgery: &Forgery) -> u32 {
    let region = forgery.region.unwrap();
    (forgery.parameters["feather"] as u32).min(region.width.min(region.height) / 4)
}

#[test]
fn the_table_covers_every_kind_and_names_are_one() {
    let mut seen = BTreeSet::new();
    for row in FORGERY_PARAMETERS {
        assert!(seen.insert((row.kind, row.parameter.name)), "{row:?} twice");
        assert!(row.parameter.low < row.parameter.high && !row.parameter.meaning.is_empty());
    }
    for &kind in ForgeryKind::ALL {
        assert_eq!(kind.name().parse::<ForgeryKind>().unwrap(), kind);
        assert_eq!(serde_json::to_value(kind).unwrap(), kind.name());
        let drawn = Forgery::draw(kind, 1, 40, 200, 200).unwrap();
        let names: Vec<&str> = drawn.parameters.keys().map(String::as_str).collect();
        let mut rows: Vec<&str> = kind.parameters().map(|parameter| parameter.name).collect();
        rows.sort_unstable();
        assert_eq!(names, rows);
        assert_eq!(drawn.needs_donor(), kind == ForgeryKind::RegionSplice);
        assert_eq!(drawn.region.is_some(), SPATIAL.contains(&kind));
        assert_eq!(drawn.source.is_some(), kind == ForgeryKind::CopyMove);
    }
    let row = serde_json::to_value(FORGERY_PARAMETERS[0]).unwrap();
    assert_eq!((&row["kind"], &row["name"]), (&"region_splice".into(), &"width_share".into()));
    assert!("deepfake".parse::<ForgeryKind>().is_err());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, failure_persistence: None, ..ProptestConfig::default() })]

    /// Every draw lies within its clip, whatever the clip; the same seed draws the same.
    #[test]
    fn draws_fit_their_clip(
        seed: u64, frames in 8_u32..400, width in 64_u32..2000, height in 64_u32..2000,
    ) {
        for &kind in ForgeryKind::ALL {
            let drawn = Forgery::draw(kind, seed, frames, width, height).unwrap();
            prop_assert_eq!(&Forgery::draw(kind, seed, frames, width, height).unwrap(), &drawn);
            let record = serde_json::to_string(&drawn).unwrap();
            prop_assert_eq!(&serde_json::from_str::<Forgery>(&record).unwrap(), &drawn);
            for parameter in kind.parameters() {
                let value = drawn.parameters[parameter.name];
                prop_assert!((parameter.low..=parameter.high).contains(&value));
                prop_assert!(!parameter.whole || value.fract() == 0.0);
            }
            let FrameSpan { first, last } = drawn.span;
            let frames = u64::from(frames);
            prop_assert!(first <= last && last < frames);
            for region in drawn.region.into_iter().chain(drawn.source) {
                prop_assert!(region.width >= 16 && region.height >= 16);
                prop_assert!(region.x + region.width <= width);
                prop_assert!(region.y + region.height <= height);
            }
            if let (Some(a), Some(b)) = (drawn.region, drawn.source) {
                let apart = a.x.abs_diff(b.x) >= a.width || a.y.abs_diff(b.y) >= a.height;
                prop_assert!(apart, "{:?} overlaps {:?}", a, b);
            }
            // The twins are of one length and hold all that was forged.
            let twin = drawn.twin_frames(frames);
            prop_assert!(twin <= frames && twin <= drawn.output_frames(frames));
            let affected = drawn.affected();
            prop_assert!(affected.first <= affected.last && affected.last < twin);
            let length = last - first + 1;
            let output = match kind {
                ForgeryKind::FrameDeletion => frames - length,
                ForgeryKind::FrameDuplication => frames + length,
                _ => frames,
            };
            prop_assert_eq!(drawn.output_frames(frames), output);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_splice_changes_its_region_and_nothing_else(seed: u64) {
        let clip = random(80, 70, 30, 9, 1);
        let donor = random(97, 66, 0, 12, 2);
        let drawn = Forgery::draw(ForgeryKind::RegionSplice, seed, 9, 80, 70).unwrap();
        let forged = drawn.apply(&clip, Some(&donor)).unwrap();
        prop_assert_eq!(&drawn.apply(&clip, Some(&donor)).unwrap(), &forged);
        prop_assert_eq!(forged.len(), clip.len());
        let start = drawn.region.unwrap();
        let moving = drawn.parameters["moving"] == 1.0;
        let feather = feather(&drawn);
        let drift = |share: &str, side: f64| {
            if moving { (drawn.parameters[share] * side).round() } else { 0.0 }
        };
        let (drift_x, drift_y) = (drift("drift_x", 80.0), drift("drift_y", 70.0));
        let FrameSpan { first, last } = drawn.span;
        let length = last - first + 1;
        let offset = |name: &str, room: u64| (drawn.parameters[name] * room as f64).round() as u64;
        let donor_x = offset("donor_x", 97 - u64::from(start.width)) as u32;
        let donor_y = offset("donor_y", 66 - u64::from(start.height)) as u32;
        let donor_start = offset("donor_start", 12 - length);
        for (at, (own, before)) in forged.iter().zip(&clip).enumerate() {
            prop_assert_eq!((own.index, own.time), (before.index, before.time));
            let at = at as u64;
            if !(first..=last).contains(&at) {
                prop_assert_eq!(own, before);
                continue;
            }
            let step = (at - first) as f64 / (length - 1).max(1) as f64;
            let region = Region {
                x: (f64::from(start.x) + (drift_x * step).round()) as u32,
                y: (f64::from(start.y) + (drift_y * step).round()) as u32,
                ..start
            };
            let from = &donor[(donor_start + at - first) as usize];
            let mut changed = 0;
            for y in 0..70 {
                for x in 0..80 {
                    if !inside(region, x, y, 0) {
                        prop_assert_eq!(pixel(own, x, y), pixel(before, x, y), "{} {}", x, y);
                    } else if inside(region, x, y, feather) {
                        let theirs =
                            pixel(from, donor_x + x - region.x, donor_y + y - region.y);
                        prop_assert_eq!(pixel(own, x, y), theirs, "{} {}", x, y);
                    } else {
                        changed += u32::from(pixel(own, x, y) != pixel(before, x, y));
                    }
                }
            }
            prop_assert!(changed > 0, "the soft border shows");
        }
    }

    #[test]
    fn a_copy_move_changes_its_region_and_nothing_else(seed: u64) {
        let clip = random(90, 66, 3, 6, 4);
        let drawn = Forgery::draw(ForgeryKind::CopyMove, seed, 6, 90, 66).unwrap();
        let forged = drawn.apply(&clip, None).unwrap();
        let (region, source) = (drawn.region.unwrap(), drawn.source.unwrap());
        let feather = feather(&drawn);
        for (at, (own, before)) in forged.iter().zip(&clip).enumerate() {
            if !(drawn.span.first..=drawn.span.last).contains(&(at as u64)) {
                prop_assert_eq!(own, before);
                continue;
            }
            for y in 0..66 {
                for x in 0..90 {
                    if !inside(region, x, y, 0) {
                        prop_assert_eq!(pixel(own, x, y), pixel(before, x, y));
                    } else if inside(region, x, y, feather) {
                        let copied =
                            pixel(before, x - region.x + source.x, y - region.y + source.y);
                        prop_assert_eq!(pixel(own, x, y), copied);
                    }
                }
            }
        }
    }

    #[test]
    fn temporal_forgeries_move_exactly_the_recorded_frames(seed: u64, frames in 8_u64..60) {
        let clip = random(5, 4, 100, frames, 5);
        for kind in TEMPORAL {
            let drawn = Forgery::draw(kind, seed, frames as u32, 5, 4).unwrap();
            let forged = drawn.apply(&clip, None).unwrap();
            prop_assert_eq!(forged.len() as u64, drawn.output_frames(frames));
            let (first, last) = (drawn.span.first as usize, drawn.span.last as usize);
            let expected: Vec<&Frame> = if kind == ForgeryKind::FrameDeletion {
                clip[..first].iter().chain(&clip[last + 1..]).collect()
            } else {
                clip[..=last].iter().chain(&clip[first..]).collect()
            };
            for (at, (own, expected)) in forged.iter().zip(expected).enumerate() {
                prop_assert_eq!(own.data(), expected.data());
                prop_assert_eq!(own.index, 100 + at as u64);
                let time = (100.0 + at as f64) * 1001.0 / 30_000.0;
                prop_assert!((own.time - time).abs() < 1e-9, "{} at {}", own.time, at);
            }
            // What `affected` names is where the twins differ for the first time (a deletion one
            // frame after the one before the cut).
            let differs = (0..drawn.twin_frames(frames) as usize)
                .find(|&at| forged[at].data() != clip[at].data())
                .unwrap() as u64;
            let affected = drawn.affected();
            let first_other =
                affected.first + u64::from(kind == ForgeryKind::FrameDeletion);
            prop_assert_eq!(differs, first_other);
        }
    }
}

#[test]
fn a_forgery_that_nobody_could_see_is_refused() {
    let nothing = |result: Result<Vec<Frame>, AugmentError>| {
        assert!(matches!(result, Err(AugmentError::NothingChanged { .. })), "{result:?}");
    };
    let still: Vec<Frame> = (0..12)
        .map(|index| frame(70, 70, index, |x, y| [(3 * x) as u8, (3 * y) as u8, 9]))
        .collect();
    let flat: Vec<Frame> = (0..12).map(|index| frame(70, 70, index, |_, _| [99; 3])).collect();
    for seed in 0..5 {
        for kind in TEMPORAL {
            nothing(Forgery::draw(kind, seed, 12, 70, 70).unwrap().apply(&still, None));
        }
        nothing(Forgery::draw(ForgeryKind::CopyMove, seed, 12, 70, 70).unwrap().apply(&flat, None));
        let splice = Forgery::draw(ForgeryKind::RegionSplice, seed, 12, 70, 70).unwrap();
        nothing(splice.apply(&flat, Some(&flat)));
        splice.apply(&still, Some(&flat)).unwrap();
    }
}

#[test]
fn small_clips_and_donors_are_refused_with_what_they_lack() {
    for kind in TEMPORAL {
        let short = Forgery::draw(kind, 1, 7, 200, 200);
        assert!(matches!(short, Err(AugmentError::Frames { .. })), "{short:?}");
        Forgery::draw(kind, 1, 8, 1, 1).unwrap();
    }
    for kind in SPATIAL {
        for (width, height) in [(63, 200), (200, 63), (0, 0)] {
            let small = Forgery::draw(kind, 1, 20, width, height);
            assert!(matches!(small, Err(AugmentError::Picture { .. })), "{small:?}");
        }
        let none = Forgery::draw(kind, 1, 0, 100, 100);
        assert!(matches!(none, Err(AugmentError::Frames { .. })), "{none:?}");
        Forgery::draw(kind, 1, 1, 64, 64).unwrap();
    }
    let clip = random(80, 80, 0, 10, 1);
    let splice = Forgery::draw(ForgeryKind::RegionSplice, 4, 10, 80, 80).unwrap();
    let length = splice.span.last - splice.span.first + 1;
    assert!(length > 1);
    for donor in [
        None,
        Some(random(15, 80, 0, 10, 2)),
        Some(random(80, 15, 0, 10, 2)),
        Some(random(80, 80, 0, length - 1, 2)),
    ] {
        let refused = splice.apply(&clip, donor.as_deref());
        assert!(matches!(refused, Err(AugmentError::Donor { .. })), "{refused:?}");
    }
    let refused = splice.apply(&clip, Some(&[]));
    assert!(matches!(refused, Err(AugmentError::Frames { .. })), "{refused:?}");
    let refused = splice.apply(&[], Some(&clip));
    assert!(matches!(refused, Err(AugmentError::Frames { .. })), "{refused:?}");
    // Just as many frames as the span, just the region's size.
    let region = splice.region.unwrap();
    let donor = random(region.width, region.height, 0, length, 3);
    splice.apply(&clip, Some(&donor)).unwrap();
}

#[test]
fn tampered_records_are_refused() {
    let clip = random(80, 80, 0, 10, 1);
    let drawn = |kind| Forgery::draw(kind, 7, 10, 80, 80).unwrap();
    let region = Region { x: 0, y: 0, width: 20, height: 20 };
    let span = |first, last| FrameSpan { first, last };
    let copy = drawn(ForgeryKind::CopyMove);
    let splice = drawn(ForgeryKind::RegionSplice);
    let deletion = drawn(ForgeryKind::FrameDeletion);
    let duplication = drawn(ForgeryKind::FrameDuplication);
    let records = [
        Forgery { region: None, ..copy.clone() },
        Forgery { source: None, ..copy.clone() },
        Forgery { region: Some(Region { x: 61, ..region }), source: Some(region), ..copy.clone() },
        Forgery { source: Some(Region { width: u32::MAX, ..region }), ..copy.clone() },
        Forgery { source: Some(Region { x: u32::MAX, ..region }), ..copy.clone() },
        Forgery { region: Some(Region { height: 0, ..region }), ..copy.clone() },
        Forgery {
            region: Some(Region { width: 21, ..region }),
            source: Some(region),
            ..copy.clone()
        },
        Forgery { span: span(3, 2), ..copy.clone() },
        Forgery { span: span(0, 10), ..copy.clone() },
        Forgery { span: span(0, u64::MAX), ..copy.clone() },
        Forgery { region: None, ..splice.clone() },
        Forgery { region: Some(Region { x: 60, y: 61, ..region }), ..splice.clone() },
        Forgery { span: span(0, 2), ..deletion.clone() },
        Forgery { span: span(7, 9), ..deletion.clone() },
        Forgery { span: span(5, 7), ..duplication.clone() },
    ];
    let donor = random(80, 80, 0, 10, 2);
    for record in &records {
        let refused = record.apply(&clip, Some(&donor));
        assert!(matches!(refused, Err(AugmentError::Record { .. })), "{record:?}: {refused:?}");
    }
    // A drift that leaves the picture.
    let mut leaving = splice;
    leaving.parameters.insert("moving".to_owned(), 1.0);
    leaving.parameters.insert("drift_x".to_owned(), -0.15);
    leaving.region = Some(region);
    let refused = leaving.apply(&clip, Some(&donor));
    assert!(matches!(refused, Err(AugmentError::Record { .. })), "{refused:?}");

    let mut unknown = deletion;
    unknown.parameters.insert("feather".to_owned(), 4.0);
    let refused = unknown.apply(&clip, None);
    assert!(matches!(refused, Err(AugmentError::Parameter { .. })), "{refused:?}");
    let mut missing = duplication;
    missing.parameters.clear();
    let refused = missing.apply(&clip, None);
    assert!(matches!(refused, Err(AugmentError::Parameter { .. })), "{refused:?}");
}
