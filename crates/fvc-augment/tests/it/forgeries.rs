//! Forgeries: what is drawn, what changes and what does not.

use std::collections::BTreeSet;

use fvc_augment::{
    AugmentError, Extent, FORGERY_PARAMETERS, Forgery, ForgeryKind, MOTION_FLOOR, Region, motion,
};
use fvc_media::{DecodeCounters, Frame, FrameSpan, Rational};
use proptest::prelude::*;

use crate::clips::{RATE, frame, moving, psnr, random};

fn kinds(spatial: bool) -> impl Iterator<Item = ForgeryKind> {
    ForgeryKind::ALL.iter().copied().filter(move |kind| kind.is_spatial() == spatial)
}

fn extent(frames: u64, width: u32, height: u32) -> Extent {
    Extent { frames, width, height, frame_rate: RATE }
}

/// Extent of a clip at 20 frames a second: 8 of them are 0.4 s.
fn slow(frames: u64, width: u32, height: u32) -> Extent {
    Extent { frame_rate: Rational::new(20, 1), ..extent(frames, width, height) }
}

fn apply(
    forgery: &Forgery,
    frames: &[Frame],
    donor: Option<&[Frame]>,
) -> Result<Vec<Frame>, AugmentError> {
    forgery.apply(frames, donor, &DecodeCounters::default())
}

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

/// Rough texture under noise, all of it moving: everything that is done to it shows.
fn textured(width: u32, height: u32, frames: u64, seed: u64) -> Vec<Frame> {
    let noise = random(width, height, 0, frames, seed);
    let draw = |index: u64| {
        let noise = &noise[index as usize];
        frame(width, height, index, |x, y| {
            let (x_moved, step) = (x + 3 * index as u32, seed as u32 % 7 + 5);
            let base = 40 + 90 * ((x_moved / step + y / (step + 3)) % 2) + x_moved % 32;
            let grain = pixel(noise, x, y);
            [0, 1, 2].map(|channel| (base + u32::from(grain[channel] % 24)) as u8)
        })
    };
    (0..frames).map(draw).collect()
}

/// Mean absolute difference of neighbours along rows within a region.
fn roughness(frame: &Frame, region: Region) -> f64 {
    let (mut sum, mut count) = (0_u64, 0_u64);
    for y in region.y..region.y + region.height {
        for x in region.x + 1..region.x + region.width {
            for (a, b) in pixel(frame, x - 1, y).iter().zip(pixel(frame, x, y)) {
                sum += u64::from(a.abs_diff(*b));
                count += 1;
            }
        }
    }
    sum as f64 / count as f64
}

/// The first draw of a kind in whose parameters all of these have these values.
fn drawn_with(kind: ForgeryKind, extent: Extent, wanted: &[(&str, f64)]) -> Forgery {
    (0..500)
        .map(|seed| Forgery::draw(kind, seed, extent).unwrap())
        .find(|drawn| wanted.iter().all(|&(name, value)| drawn.parameters[name] == value))
        .unwrap()
}

#[test]
fn the_table_covers_every_kind_and_names_are_one() {
    let mut seen = BTreeSet::new();
    for row in FORGERY_PARAMETERS {
        assert!(seen.insert((row.kind, row.parameter.name)), "{row:?} twice");
        assert!(row.parameter.low < row.parameter.high && !row.parameter.meaning.is_empty());
        if row.parameter.name == "area_share" {
            assert!(row.parameter.high <= 0.15);
        }
        if row.parameter.name == "run_seconds" {
            assert!(row.parameter.low >= 0.4);
        }
    }
    assert!(ForgeryKind::ALL.len() >= 14);
    let mut names = BTreeSet::new();
    for &kind in ForgeryKind::ALL {
        assert!(names.insert(kind.name()) && !kind.about().is_empty());
        assert_eq!(kind.name().parse::<ForgeryKind>().unwrap(), kind);
        assert_eq!(serde_json::to_value(kind).unwrap(), kind.name());
        let drawn = Forgery::draw(kind, 1, extent(40, 200, 200)).unwrap();
        let names: Vec<&str> = drawn.parameters.keys().map(String::as_str).collect();
        let mut rows: Vec<&str> = kind.parameters().map(|parameter| parameter.name).collect();
        rows.sort_unstable();
        assert_eq!(names, rows);
        assert_eq!(drawn.needs_donor(), names.contains(&"donor_start"), "{kind}");
        assert_eq!(drawn.region.is_some(), kind.is_spatial());
        let from_elsewhere = [ForgeryKind::CopyMove, ForgeryKind::Inpainting].contains(&kind);
        assert_eq!(drawn.source.is_some(), from_elsewhere);
        let of_time = !kind.is_spatial() && kind != ForgeryKind::FrameInsertion;
        assert_eq!(kind.needs_motion(), of_time);
    }
    let row = serde_json::to_value(FORGERY_PARAMETERS[0]).unwrap();
    assert_eq!((&row["kind"], &row["name"]), (&"region_splice".into(), &"area_share".into()));
    assert!("deepfake".parse::<ForgeryKind>().is_err());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    /// Every draw lies within its clip, whatever the clip, is as large and as long as was fixed,
    /// and the same seed draws the same.
    #[test]
    fn draws_fit_their_clip(
        seed: u64, frames in 26_u64..400, width in 64_u32..2000, height in 64_u32..2000,
        rate in 2_i64..30,
    ) {
        for &kind in ForgeryKind::ALL {
            let frame_rate = Rational::new(rate, 1);
            let extent = Extent { frames, width, height, frame_rate };
            let drawn = Forgery::draw(kind, seed, extent).unwrap();
            prop_assert_eq!(&Forgery::draw(kind, seed, extent).unwrap(), &drawn);
            let record = serde_json::to_string(&drawn).unwrap();
            prop_assert_eq!(&serde_json::from_str::<Forgery>(&record).unwrap(), &drawn);
            for parameter in kind.parameters() {
                let value = drawn.parameters[parameter.name];
                prop_assert!((parameter.low..=parameter.high).contains(&value));
                prop_assert!(!parameter.whole || value.fract() == 0.0);
            }
            let FrameSpan { first, last } = drawn.span;
            prop_assert!(first <= last && last < frames);
            for region in drawn.region.into_iter().chain(drawn.source) {
                prop_assert!(region.width >= 16 && region.height >= 16);
                prop_assert!(region.x + region.width <= width);
                prop_assert!(region.y + region.height <= height);
                let area = f64::from(region.width * region.height);
                prop_assert!(area <= 0.15 * f64::from(width * height), "{:?}", region);
            }
            if let (Some(a), Some(b)) = (drawn.region, drawn.source) {
                let apart = a.x.abs_diff(b.x) >= a.width || a.y.abs_diff(b.y) >= a.height;
                prop_assert!(apart, "{:?} overlaps {:?}", a, b);
            }
            // The twins are of one length, not much shorter, and hold all that was forged.
            let twin = drawn.twin_frames(frames);
            prop_assert!(twin <= frames && twin <= drawn.output_frames(frames));
            prop_assert!(2 * twin >= frames);
            let affected = drawn.affected();
            prop_assert!(affected.first <= affected.last, "{:?}", drawn);
            if kind == ForgeryKind::FrameDeletion {
                prop_assert!(affected.last < twin);
                prop_assert!((last - first + 1) as f64 >= 0.4 * rate as f64 - 1e-9);
            } else {
                // A speed-up takes frames after it; the clip goes on beyond those of the twin.
                prop_assert!(affected.last < frames);
                let length = affected.last - affected.first + 1;
                prop_assert!(length as f64 >= 0.4 * rate as f64 - 1e-9, "{:?}", drawn);
            }
            if kind.is_spatial() {
                for at in first..=last {
                    let region = drawn.region_at(at, width, height).unwrap();
                    prop_assert!(region.x + region.width <= width);
                    prop_assert!(region.y + region.height <= height);
                }
                prop_assert_eq!(drawn.region_at(last + 1, width, height), None);
            }
            let length = last - first + 1;
            let output = match kind {
                ForgeryKind::FrameDeletion => frames - length,
                ForgeryKind::FrameDuplication | ForgeryKind::FrameInsertion => frames + length,
                ForgeryKind::SpeedChange => frames - length + affected.last - affected.first + 1,
                _ => frames,
            };
            prop_assert_eq!(drawn.output_frames(frames), output);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, failure_persistence: None, ..ProptestConfig::default() })]

    /// Every kind changes what its record says and nothing else, and the same each time.
    #[test]
    fn spatial_kinds_change_their_region_and_nothing_else(seed: u64) {
        let (clip, donor) = (textured(90, 70, 9, 1), textured(97, 72, 12, 2));
        for kind in kinds(true) {
            // Now and then one changes too little, and is drawn again.
            let (drawn, forged) = (0..4)
                .find_map(|again| {
                    let drawn = Forgery::draw(kind, seed ^ again, slow(9, 90, 70)).unwrap();
                    match apply(&drawn, &clip, Some(&donor)) {
                        Err(AugmentError::NothingChanged { .. }) => None,
                        made => Some((drawn, made.unwrap())),
                    }
                })
                .unwrap();
            prop_assert_eq!(&apply(&drawn, &clip, Some(&donor)).unwrap(), &forged, "{}", kind);
            prop_assert_eq!(forged.len(), clip.len());
            for (at, (own, before)) in (0..).zip(forged.iter().zip(&clip)) {
                prop_assert_eq!((own.index, own.time), (before.index, before.time));
                let region = drawn.region_at(at, 90, 70);
                let in_span = (drawn.span.first..=drawn.span.last).contains(&at);
                prop_assert_eq!(region.is_some(), in_span);
                let Some(region) = region else {
                    prop_assert_eq!(own, before);
                    continue;
                };
                let mut changed = 0;
                for y in 0..70 {
                    for x in 0..90 {
                        let differs = pixel(own, x, y) != pixel(before, x, y);
                        prop_assert!(!differs || inside(region, x, y, 0), "{} {} {}", kind, x, y);
                        changed += u32::from(differs);
                    }
                }
                // Of a panel that drowns in its surroundings or a push by nothing little is left.
                prop_assert!(20 * changed > region.width * region.height, "{} {}", kind, changed);
            }
        }
    }

    #[test]
    fn a_splice_shows_its_donor(seed: u64) {
        let (clip, donor) = (random(80, 70, 30, 9, 1), random(97, 66, 0, 12, 2));
        let drawn = Forgery::draw(ForgeryKind::RegionSplice, seed, slow(9, 80, 70)).unwrap();
        let forged = apply(&drawn, &clip, Some(&donor)).unwrap();
        let start = drawn.region.unwrap();
        let FrameSpan { first, last } = drawn.span;
        let offset = |name: &str, room: u64| (drawn.parameters[name] * room as f64).round() as u64;
        let donor_x = offset("donor_x", 97 - u64::from(start.width)) as u32;
        let donor_y = offset("donor_y", 66 - u64::from(start.height)) as u32;
        let donor_start = offset("donor_start", 12 - (last - first + 1));
        // An ellipse holds the rectangle of 0.7 of its sides.
        let round = drawn.parameters["shape"] == 1.0;
        let margin = if round {
            start.width.max(start.height) * 3 / 20 + 1 + 2 * feather(&drawn)
        } else {
            feather(&drawn)
        };
        for at in first..=last {
            let region = drawn.region_at(at, 80, 70).unwrap();
            let from = &donor[(donor_start + at - first) as usize];
            for y in (0..70).filter(|&y| y >= region.y) {
                for x in (0..80).filter(|&x| inside(region, x, y, margin)) {
                    let theirs = pixel(from, donor_x + x - region.x, donor_y + y - region.y);
                    prop_assert_eq!(pixel(&forged[at as usize], x, y), theirs, "{} {}", x, y);
                }
            }
        }
    }

    #[test]
    fn a_copy_move_shows_its_source(seed: u64) {
        let clip = random(90, 66, 3, 8, 4);
        let drawn = Forgery::draw(ForgeryKind::CopyMove, seed, slow(8, 90, 66)).unwrap();
        let forged = apply(&drawn, &clip, None).unwrap();
        let (region, source) = (drawn.region.unwrap(), drawn.source.unwrap());
        let (x, y) = (region.width / 2, region.height / 2);
        for at in drawn.span.first..=drawn.span.last {
            prop_assert_eq!(
                pixel(&forged[at as usize], region.x + x, region.y + y),
                pixel(&clip[at as usize], source.x + x, source.y + y)
            );
        }
    }

    #[test]
    fn temporal_forgeries_move_exactly_the_recorded_frames(seed: u64, frames in 16_u64..60) {
        let (clip, donor) = (random(5, 4, 100, frames, 5), random(5, 4, 0, frames, 6));
        for kind in kinds(false) {
            let drawn = Forgery::draw(kind, seed, slow(frames, 5, 4)).unwrap();
            let forged = apply(&drawn, &clip, Some(&donor)).unwrap();
            prop_assert_eq!(&apply(&drawn, &clip, Some(&donor)).unwrap(), &forged);
            prop_assert_eq!(forged.len() as u64, drawn.output_frames(frames));
            let (first, last) = (drawn.span.first as usize, drawn.span.last as usize);
            let (length, affected) = (last - first + 1, drawn.affected());
            let (before, after) = (&clip[..first], &clip[last + 1..]);
            let run = clip[first..=last].iter();
            let expected: Vec<Option<&Frame>> = match kind {
                ForgeryKind::FrameDeletion => before.iter().chain(after).map(Some).collect(),
                ForgeryKind::FrameDuplication => {
                    clip[..=last].iter().chain(&clip[first..]).map(Some).collect()
                }
                ForgeryKind::FrameInsertion => {
                    let room = frames - length as u64;
                    let start = (drawn.parameters["donor_start"] * room as f64).round() as usize;
                    let other = &donor[start..start + length];
                    before.iter().chain(other).chain(&clip[first..]).map(Some).collect()
                }
                ForgeryKind::FrameReordering if drawn.parameters["reversed"] == 1.0 => {
                    before.iter().chain(run.rev()).chain(after).map(Some).collect()
                }
                ForgeryKind::FrameReordering => {
                    let (front, back) = clip[first..=last].split_at(length / 2);
                    before.iter().chain(back).chain(front).chain(after).map(Some).collect()
                }
                _ => {
                    // Where a shown time is a frame's own, it is that frame; else a mixture.
                    let shown = (affected.last - affected.first + 1) as usize;
                    let run = (0..shown).map(|at| {
                        (at * length % shown == 0).then(|| &clip[first + at * length / shown])
                    });
                    let run: Vec<_> = run.collect();
                    before.iter().map(Some).chain(run).chain(after.iter().map(Some)).collect()
                }
            };
            prop_assert_eq!(forged.len(), expected.len());
            let mut mixtures = 0;
            for (at, (own, expected)) in forged.iter().zip(expected).enumerate() {
                match expected {
                    Some(expected) => prop_assert_eq!(own.data(), expected.data(), "{}", kind),
                    None => mixtures += 1,
                }
                prop_assert_eq!(own.index, 100 + at as u64);
                let time = (100.0 + at as f64) * 1001.0 / 30_000.0;
                prop_assert!((own.time - time).abs() < 1e-9, "{} at {}", own.time, at);
            }
            // Twice as fast is every other frame.
            let in_between = kind == ForgeryKind::SpeedChange
                && length as u64 % (affected.last - affected.first + 1) != 0;
            prop_assert_eq!(mixtures > 0, in_between);
            // The twins differ where `affected` says, and not before.
            let differs = (0..drawn.twin_frames(frames) as usize)
                .find(|&at| forged[at].data() != clip[at].data())
                .unwrap() as u64;
            prop_assert!(differs >= affected.first && differs <= affected.last.max(affected.first + 1));
        }
    }
}

/// A donor of another size is scaled to cover the picture, and the clip goes on where it stopped.
#[test]
fn inserted_frames_of_another_size_fill_the_picture() {
    let clip = moving(64, 48, 0, 20);
    for (width, height) in [(64, 48), (128, 48), (31, 90), (640, 480)] {
        let donor: Vec<Frame> =
            (0..20).map(|index| frame(width, height, index, |_, _| [200, 100, 50])).collect();
        let drawn = Forgery::draw(ForgeryKind::FrameInsertion, 3, slow(20, 64, 48)).unwrap();
        let forged = apply(&drawn, &clip, Some(&donor)).unwrap();
        let (first, last) = (drawn.span.first as usize, drawn.span.last as usize);
        for own in &forged[first..=last] {
            assert!(own.data().chunks_exact(3).all(|pixel| pixel == [200, 100, 50]));
        }
        assert_eq!(forged[last + 1].data(), clip[first].data());
    }
}

/// Its levels meet those around it, whatever the donor's: on a flat clip a flat donor leaves
/// nothing to be seen, and a donor's own texture is what is left.
#[test]
fn a_poisson_splice_takes_gradients_and_not_levels() {
    let flat = |level: u8| -> Vec<Frame> {
        (0..12).map(|index| frame(96, 80, index, |_, _| [level; 3])).collect()
    };
    let drawn = drawn_with(ForgeryKind::PoissonSplice, slow(12, 96, 80), &[("moving", 0.0)]);
    let refused = apply(&drawn, &flat(60), Some(&flat(220)));
    assert!(matches!(refused, Err(AugmentError::NothingChanged { .. })), "{refused:?}");
    let donor: Vec<Frame> = (0..12)
        .map(|index| frame(96, 80, index, |x, y| [180 + 10 * ((x + y) % 2) as u8; 3]))
        .collect();
    let forged = apply(&drawn, &flat(60), Some(&donor)).unwrap();
    let region = drawn.region.unwrap();
    let own = &forged[drawn.span.first as usize];
    let middle = (region.x + region.width / 2, region.y + region.height / 2);
    let (a, b) = (pixel(own, middle.0, middle.1)[0], pixel(own, middle.0 + 1, middle.1)[0]);
    assert_eq!(a.abs_diff(b), 10, "the donor's texture");
    let mean = u32::from(a).midpoint(u32::from(b));
    assert!(mean.abs_diff(60) <= 6, "{mean}: levels near the clip's own 60, not the donor's 185");
}

/// A sheet between the borders of a ramp is the ramp itself.
#[test]
fn inpainting_takes_out_what_is_there() {
    let ramp = |x: u32| (60 + x) as u8;
    let drawn =
        drawn_with(ForgeryKind::Inpainting, slow(8, 120, 100), &[("texture", 0.0), ("shape", 0.0)]);
    let region = drawn.region.unwrap();
    let clip: Vec<Frame> = (0..8)
        .map(|index| {
            frame(120, 100, index, |x, y| {
                if inside(region, x, y, 3) { [250, 0, 250] } else { [ramp(x); 3] }
            })
        })
        .collect();
    let forged = apply(&drawn, &clip, None).unwrap();
    let own = &forged[drawn.span.first as usize];
    for y in region.y..region.y + region.height {
        for x in region.x..region.x + region.width {
            for &level in pixel(own, x, y) {
                assert!(level.abs_diff(ramp(x)) <= 4, "{level} at {x} {y}, not {}", ramp(x));
            }
        }
    }
    // The other way leaves the texture of another place.
    let clip = textured(120, 100, 8, 3);
    let healed = drawn_with(ForgeryKind::Inpainting, slow(8, 120, 100), &[("texture", 1.0)]);
    let forged = apply(&healed, &clip, None).unwrap();
    let first = healed.span.first as usize;
    let rough = roughness(&forged[first], healed.region.unwrap());
    assert!(rough > 5.0, "{rough}");
}

/// What takes detail away makes neighbours more alike, and noise makes them less so.
#[test]
fn filters_of_a_region_do_what_they_are_named_for() {
    let clip = textured(120, 100, 10, 1);
    let extent = slow(10, 120, 100);
    let change = |kind, wanted: &[(&str, f64)]| {
        let drawn = drawn_with(kind, extent, wanted);
        let at = drawn.span.first as usize;
        let region = drawn.region.unwrap();
        let forged = apply(&drawn, &clip, None).unwrap();
        roughness(&forged[at], region) / roughness(&clip[at], region)
    };
    for (kind, wanted) in [
        (ForgeryKind::LocalBlur, &[][..]),
        (ForgeryKind::LocalDenoise, &[("edges", 0.0)]),
        (ForgeryKind::LocalDenoise, &[("edges", 1.0)]),
        (ForgeryKind::LocalResample, &[("way", 0.0)]),
        (ForgeryKind::LocalResample, &[("way", 1.0)]),
    ] {
        let change = change(kind, wanted);
        assert!(change < 0.97, "{kind} {wanted:?}: {change}");
    }
    for grey in [0.0, 1.0] {
        let change = change(ForgeryKind::LocalNoise, &[("grey", grey)]);
        assert!(change > 1.0, "noise: {change}");
    }
}

#[test]
fn a_recompressed_region_is_another_generation_and_counted_as_our_own() {
    let clip = textured(120, 100, 10, 1);
    let counters = DecodeCounters::default();
    let drawn = Forgery::draw(ForgeryKind::RecompressedRegion, 5, slow(10, 120, 100)).unwrap();
    let forged = drawn.apply(&clip, None, &counters).unwrap();
    assert_eq!((counters.own(), counters.sources()), (1, 0));
    // It is still the same picture.
    let psnr = psnr(&forged, &clip);
    assert!((20.0..60.0).contains(&psnr), "{psnr}");
}

fn disc(index: u64, centre: u32) -> Frame {
    frame(160, 64, index, |x, y| {
        let away = x.abs_diff(centre).pow(2) + y.abs_diff(32).pow(2);
        if away < 400 { [230; 3] } else { [20 + (x / 4 + y / 3) as u8; 3] }
    })
}

/// A disc that moves by 4 pixels a frame is between two frames nearly where it would have been;
/// mixed without motion it is in two places.
#[test]
fn slow_motion_follows_what_moves() {
    let clip: Vec<Frame> = (0..30).map(|index| disc(index, 20 + 4 * index as u32)).collect();
    let truth = disc(0, 20 + 4 * 4 + 2);
    let wrong_by = |motion: f64| {
        let wanted = [("slower", 1.0), ("motion", motion)];
        let mut drawn = drawn_with(ForgeryKind::SpeedChange, slow(30, 160, 64), &wanted);
        drawn.parameters.insert("factor".to_owned(), 2.0);
        drawn.span = FrameSpan { first: 4, last: 12 };
        let forged = apply(&drawn, &clip, None).unwrap();
        assert_eq!(forged[4].data(), clip[4].data());
        assert_eq!(forged[6].data(), clip[5].data());
        let levels = forged[5].data().iter().zip(truth.data());
        levels.map(|(own, truth)| u64::from(own.abs_diff(*truth))).sum::<u64>()
    };
    let (along, still) = (wrong_by(1.0), wrong_by(0.0));
    assert!(3 * along < 2 * still, "{along} against {still}");
}

#[test]
fn motion_is_of_what_moves_and_not_of_noise() {
    let still: Vec<Frame> =
        (0..12).map(|index| frame(128, 96, index, |x, y| [x as u8, y as u8, 90])).collect();
    assert_eq!(motion(&still), 0.0);
    assert_eq!(motion(&still[..1]), 0.0);
    assert_eq!(motion(&[]), 0.0);
    let noise = random(128, 96, 0, 12, 7);
    let noisy: Vec<Frame> = (0..12)
        .map(|index| {
            let noise = &noise[index as usize];
            // Even within 12 levels either way: a standard deviation of 7.
            frame(128, 96, index, |x, y| {
                [0, 1, 2].map(|channel| 100 + pixel(noise, x, y)[channel] % 24)
            })
        })
        .collect();
    assert!(motion(&noisy) < MOTION_FLOOR, "{}", motion(&noisy));
    // A cut is one step of eleven.
    let mut cut = still.clone();
    for later in &mut cut[6..] {
        later.data_mut().fill(250);
    }
    assert!(motion(&cut) < MOTION_FLOOR, "{}", motion(&cut));
    assert!(motion(&textured(128, 96, 12, 1)) > MOTION_FLOOR);
    let moving: Vec<Frame> = (0..12).map(|index| disc(index, 30 + 3 * index as u32)).collect();
    assert!(motion(&moving) > MOTION_FLOOR, "{}", motion(&moving));
}

#[test]
fn a_forgery_that_nobody_could_see_is_refused() {
    let nothing = |result: Result<Vec<Frame>, AugmentError>| {
        assert!(matches!(result, Err(AugmentError::NothingChanged { .. })), "{result:?}");
    };
    let still: Vec<Frame> = (0..16)
        .map(|index| frame(70, 70, index, |x, y| [(3 * x) as u8, (3 * y) as u8, 9]))
        .collect();
    let flat: Vec<Frame> = (0..16).map(|index| frame(70, 70, index, |_, _| [99; 3])).collect();
    for seed in 0..5 {
        for kind in kinds(false).filter(|kind| kind.needs_motion()) {
            nothing(apply(&Forgery::draw(kind, seed, slow(16, 70, 70)).unwrap(), &still, None));
        }
        for kind in [
            ForgeryKind::CopyMove,
            ForgeryKind::Inpainting,
            ForgeryKind::LocalResample,
            ForgeryKind::LocalWarp,
            ForgeryKind::LocalBlur,
            ForgeryKind::LocalDenoise,
            ForgeryKind::RegionSplice,
            ForgeryKind::PoissonSplice,
            ForgeryKind::ObjectSwap,
        ] {
            let drawn = Forgery::draw(kind, seed, slow(16, 70, 70)).unwrap();
            nothing(apply(&drawn, &flat, Some(&flat)));
        }
        let splice = Forgery::draw(ForgeryKind::RegionSplice, seed, slow(16, 70, 70)).unwrap();
        apply(&splice, &still, Some(&flat)).unwrap();
    }
}

#[test]
fn small_clips_and_donors_are_refused_with_what_they_lack() {
    for kind in kinds(false) {
        // 0.4 s of 20 frames a second are 8 frames; a run is at most half of the clip.
        let short = Forgery::draw(kind, 1, slow(15, 200, 200));
        assert!(matches!(short, Err(AugmentError::Frames { .. })), "{short:?}");
        Forgery::draw(kind, 1, slow(16, 1, 1)).unwrap();
        let rate = Rational::new(1, 1);
        let few = Forgery::draw(kind, 1, Extent { frame_rate: rate, ..slow(7, 9, 9) });
        assert!(matches!(few, Err(AugmentError::Frames { .. })), "{few:?}");
    }
    for kind in kinds(true) {
        for (width, height) in [(63, 200), (200, 63), (0, 0)] {
            let small = Forgery::draw(kind, 1, slow(20, width, height));
            assert!(matches!(small, Err(AugmentError::Picture { .. })), "{small:?}");
        }
        for frames in [0, 7] {
            let short = Forgery::draw(kind, 1, slow(frames, 100, 100));
            assert!(matches!(short, Err(AugmentError::Frames { .. })), "{short:?}");
        }
        Forgery::draw(kind, 1, slow(8, 64, 64)).unwrap();
    }
    for &kind in ForgeryKind::ALL {
        for rate in [Rational::new(0, 1), Rational::new(25, 0), Rational::new(-25, 1)] {
            let none = Forgery::draw(kind, 1, Extent { frame_rate: rate, ..slow(20, 99, 99) });
            assert!(matches!(none, Err(AugmentError::Frames { .. })), "{none:?}");
        }
    }
    let clip = random(80, 80, 0, 16, 1);
    for kind in ForgeryKind::ALL.iter().copied().filter(|kind| kind.needs_donor()) {
        let drawn = Forgery::draw(kind, 4, slow(16, 80, 80)).unwrap();
        let length = drawn.span.last - drawn.span.first + 1;
        let mut donors = vec![None, Some(random(80, 80, 0, length - 1, 2))];
        if kind.is_spatial() {
            donors.extend([Some(random(9, 80, 0, 16, 2)), Some(random(80, 9, 0, 16, 2))]);
        }
        for donor in donors {
            let refused = apply(&drawn, &clip, donor.as_deref());
            assert!(matches!(refused, Err(AugmentError::Donor { .. })), "{refused:?}");
        }
        let refused = apply(&drawn, &clip, Some(&[]));
        assert!(matches!(refused, Err(AugmentError::Frames { .. })), "{refused:?}");
    }
    let splice = Forgery::draw(ForgeryKind::RegionSplice, 4, slow(10, 80, 80)).unwrap();
    let refused = apply(&splice, &[], Some(&clip));
    assert!(matches!(refused, Err(AugmentError::Frames { .. })), "{refused:?}");
    // Just as many frames as the span, just the region's size.
    let region = splice.region.unwrap();
    let length = splice.span.last - splice.span.first + 1;
    let donor = random(region.width, region.height, 0, length, 3);
    apply(&splice, &clip[..10], Some(&donor)).unwrap();
}

#[test]
fn tampered_records_are_refused() {
    let clip = random(80, 80, 0, 20, 1);
    let drawn = |kind| Forgery::draw(kind, 7, slow(20, 80, 80)).unwrap();
    let region = Region { x: 0, y: 0, width: 20, height: 20 };
    let span = |first, last| FrameSpan { first, last };
    let copy = drawn(ForgeryKind::CopyMove);
    let splice = drawn(ForgeryKind::RegionSplice);
    let deletion = drawn(ForgeryKind::FrameDeletion);
    let duplication = drawn(ForgeryKind::FrameDuplication);
    let insertion = drawn(ForgeryKind::FrameInsertion);
    let slower = drawn_with(ForgeryKind::SpeedChange, slow(20, 80, 80), &[("slower", 1.0)]);
    let mut records = vec![
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
        Forgery { span: span(0, 20), ..copy.clone() },
        Forgery { span: span(0, u64::MAX), ..copy },
        Forgery { region: Some(Region { x: 60, y: 61, ..region }), ..splice.clone() },
        Forgery { span: span(0, 2), ..deletion.clone() },
        Forgery { span: span(17, 19), ..deletion.clone() },
        Forgery { span: span(14, 17), ..duplication.clone() },
        Forgery { span: span(0, 3), ..insertion.clone() },
        Forgery { span: span(17, 19), ..insertion },
        Forgery { span: span(2, 19), ..slower },
    ];
    records.extend(kinds(true).map(|kind| Forgery { region: None, ..drawn(kind) }));
    let donor = random(80, 80, 0, 20, 2);
    for record in &records {
        let refused = apply(record, &clip, Some(&donor));
        assert!(matches!(refused, Err(AugmentError::Record { .. })), "{record:?}: {refused:?}");
    }
    // A drift that leaves the picture.
    let mut leaving = splice;
    leaving.parameters.insert("moving".to_owned(), 1.0);
    leaving.parameters.insert("drift_x".to_owned(), -0.15);
    leaving.region = Some(region);
    let refused = apply(&leaving, &clip, Some(&donor));
    assert!(matches!(refused, Err(AugmentError::Record { .. })), "{refused:?}");

    let mut unknown = deletion;
    unknown.parameters.insert("feather".to_owned(), 4.0);
    let refused = apply(&unknown, &clip, None);
    assert!(matches!(refused, Err(AugmentError::Parameter { .. })), "{refused:?}");
    let mut missing = duplication;
    missing.parameters.clear();
    let refused = apply(&missing, &clip, None);
    assert!(matches!(refused, Err(AugmentError::Parameter { .. })), "{refused:?}");
}
