//! Variants: how they are drawn, and what each kind does.

use std::collections::{BTreeMap, BTreeSet};

use fvc_augment::{AUGMENT_VERSION, AugmentError, Draw, Kind};
use fvc_media::{ContentId, DecodeCounters, Rational};
use proptest::prelude::*;

use crate::clips::{RATE, apply, draw, frame, moving, psnr, random, window};

/// The kinds that need an encoder: only these are stored, and only their bits are its.
const TRANSCODES: &[Kind] = &[Kind::H264Transcode, Kind::PlatformTranscode];

fn id(number: u64) -> ContentId {
    ContentId::of_bytes(&number.to_le_bytes())
}

/// A draw of this kind, whatever variant it is.
fn drawn(kind: Kind, source: u64) -> Draw {
    Draw::for_variant(&id(source), 1, &[kind]).unwrap()
}

#[test]
fn names_are_one_in_text_and_in_records() {
    let mut names = BTreeSet::new();
    for &kind in Kind::ALL {
        assert_eq!(kind.name().parse::<Kind>().unwrap(), kind);
        assert_eq!(kind.to_string(), kind.name());
        assert_eq!(serde_json::to_value(kind).unwrap(), kind.name());
        assert!(names.insert(kind.name()) && !kind.about().is_empty());
        for parameter in kind.parameters() {
            assert!(parameter.low < parameter.high && !parameter.meaning.is_empty());
        }
    }
    assert_eq!(names.len(), Kind::ALL.len());
    // What is drawn where no kinds are named is what it always was, in the same order.
    assert_eq!(Kind::DEFAULT, &Kind::ALL[..6]);
    assert_eq!(Kind::DEFAULT.last().unwrap().name(), "h264_transcode");
    let unknown = "spin".parse::<Kind>().unwrap_err().to_string();
    assert!(unknown.contains("gaussian_noise") && unknown.contains("spin"), "{unknown}");
}

#[test]
fn a_variant_is_drawn_from_content_id_and_number_alone() {
    let mut turned = Kind::ALL.to_vec();
    turned.reverse();
    turned.push(Kind::Flip);
    for source in 0..20 {
        for variant in 1..20 {
            let draw = Draw::for_variant(&id(source), variant, Kind::ALL).unwrap();
            assert_eq!(draw.variant, variant);
            assert_eq!(Draw::for_variant(&id(source), variant, &turned).unwrap(), draw);
        }
    }
    let nothing = Draw::for_variant(&id(1), 1, &[]);
    assert!(matches!(nothing, Err(AugmentError::NothingEnabled { .. })));
    let original = Draw::for_variant(&id(1), 0, Kind::ALL);
    assert!(matches!(original, Err(AugmentError::Variant { found: 0 })));
}

#[test]
fn variants_take_turns_in_an_order_of_the_source() {
    let mut firsts: BTreeMap<Kind, u32> = BTreeMap::new();
    for source in 0..600 {
        let kinds: Vec<Kind> = (1..=18)
            .map(|variant| Draw::for_variant(&id(source), variant, Kind::DEFAULT).unwrap().kind)
            .collect();
        assert_eq!(kinds[..6].iter().collect::<BTreeSet<_>>().len(), 6);
        assert_eq!(kinds[..6], kinds[6..12]);
        assert_eq!(kinds[..6], kinds[12..]);
        *firsts.entry(kinds[0]).or_default() += 1;
    }
    // Each kind is first for a sixth of the sources: 100, with a standard deviation of 9.
    assert!(Kind::DEFAULT.iter().all(|kind| (60..140).contains(&firsts[kind])), "{firsts:?}");
}

#[test]
fn parameters_fill_their_ranges() {
    for &kind in Kind::ALL {
        let draws: Vec<Draw> = (0..2000).map(|source| drawn(kind, source)).collect();
        let seeds: BTreeSet<u64> = draws.iter().map(|draw| draw.seed).collect();
        assert_eq!(seeds.len(), draws.len());
        for parameter in kind.parameters() {
            let mut values: Vec<f64> =
                draws.iter().map(|draw| draw.parameters[parameter.name]).collect();
            assert!(draws.iter().all(|draw| draw.parameters.len() == kind.parameters().len()));
            values.sort_by(f64::total_cmp);
            let (low, high) = (parameter.low, parameter.high);
            let range = high - low;
            assert!(values[0] >= low && *values.last().unwrap() <= high);
            if parameter.whole {
                assert!(values.iter().all(|value| value.fract() == 0.0));
                assert_eq!((values[0], *values.last().unwrap()), (low, high));
            }
            // Uniform: the quartiles are where they should be (4 standard deviations are 0.04).
            let step = if parameter.whole { 0.5 } else { 0.0 };
            for quarter in 1..4 {
                let expected = low + range * f64::from(quarter) / 4.0;
                let found = values[values.len() * quarter as usize / 4];
                assert!(
                    (found - expected).abs() < 0.04 * range + step,
                    "{kind} {}: {found} for {expected}",
                    parameter.name
                );
            }
        }
    }
}

#[test]
fn the_record_alone_makes_the_same_bits() {
    let clip = window(moving(50, 38, 7, 20));
    for &kind in Kind::ALL {
        let draw = drawn(kind, 5);
        let made = apply(&draw, &clip);
        assert_eq!(apply(&draw, &clip), made, "{kind}");
        let record = serde_json::to_string(&draw).unwrap();
        let replayed: Draw = serde_json::from_str(&record).unwrap();
        assert_eq!(replayed, draw);
        assert_eq!(apply(&replayed, &clip), made, "{kind}");
        assert_ne!(made, clip, "{kind} does something");
        assert_eq!(draw.is_transcode(), TRANSCODES.contains(&kind));
    }
}

/// The hashes of what version 1 makes, on any machine. When one changes on purpose,
/// `AUGMENT_VERSION` changes with it.
#[test]
fn the_bits_are_those_of_this_version() {
    assert_eq!(AUGMENT_VERSION, 1);
    let clip = window(random(37, 23, 4, 3, 1));
    let hash = |kind: Kind| {
        let draw = drawn(kind, 11);
        let mut hasher = blake3::Hasher::new();
        for (name, value) in &draw.parameters {
            hasher.update(name.as_bytes()).update(&value.to_le_bytes());
        }
        for frame in &apply(&draw, &clip).frames {
            hasher.update(frame.data());
        }
        hasher.finalize().to_hex()[..16].to_owned()
    };
    let found: Vec<String> = Kind::ALL
        .iter()
        .filter(|kind| !TRANSCODES.contains(kind))
        .map(|&kind| format!("{kind} {}", hash(kind)))
        .collect();
    assert_eq!(
        found,
        [
            "rotation d8e7d2e79dc522dc",
            "flip 1e882f0a997f4671",
            "brightness b27d4e163fc872f3",
            "contrast 6493da79068a0887",
            "gaussian_noise dce94325359aff06",
            "saturation cebd22ad2b012174",
            "gaussian_blur 1654bdcce2949c2c",
            "affine a8def237cd1e661a",
            "cutout 3f41d556c1c80b95",
            "crop 9ef68fdd5e08c005",
            "resolution_jitter 1382c44348d4ccd6",
            "temporal_drop 3fc35588f966c651",
            "temporal_duplicate 05fd635e2c81640c",
            "temporal_reverse c79112388cd289e5",
            "frame_rate_conversion 9feea50a53ec5a2e",
            "jpeg_recompression beb83994a1ab4a44",
            "elastic 1dcd8268fc7d9409",
        ]
    );
}

#[test]
fn number_order_size_index_and_time_stay() {
    for (width, height, frames) in [(41, 27, 4), (16, 16, 1), (2, 3, 2), (1, 1, 2)] {
        let clip = window(random(width, height, 90, frames, 2));
        for &kind in Kind::ALL {
            let made = apply(&drawn(kind, 3), &clip);
            assert_eq!(made.index, clip.index);
            assert_eq!(made.frames.len(), clip.frames.len(), "{kind}");
            for (own, before) in made.frames.iter().zip(&clip.frames) {
                assert_eq!((own.width(), own.height()), (width, height), "{kind}");
                assert_eq!((own.index, own.time), (before.index, before.time), "{kind}");
            }
        }
    }
}

#[test]
fn one_draw_holds_for_all_frames() {
    let still = frame(40, 30, 0, |x, y| [(6 * x) as u8, (8 * y) as u8, (x ^ y) as u8]);
    let frames = (0..6)
        .map(|index| {
            let mut frame = still.clone();
            frame.index = index;
            frame
        })
        .collect();
    let clip = window(frames);
    // Noise is fresh in every frame, an encoder refines a still picture.
    let moves = [TRANSCODES, &[Kind::GaussianNoise]].concat();
    for &kind in Kind::ALL.iter().filter(|kind| !moves.contains(kind)) {
        for source in 0..10 {
            let made = apply(&drawn(kind, source), &clip);
            let first = made.frames[0].data();
            assert!(made.frames.iter().all(|frame| frame.data() == first), "{kind} flickers");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_does_nothing_is_the_identity(
        width in 1_u32..40, height in 1_u32..40, frames in 1_u64..4, seed: u64,
    ) {
        let clip = window(random(width, height, 0, frames, seed));
        let flip = draw(Kind::Flip, &[]);
        prop_assert_eq!(&apply(&flip, &apply(&flip, &clip)), &clip);
        prop_assert_eq!(&apply(&draw(Kind::Brightness, &[("factor", 1.0)]), &clip), &clip);
        prop_assert_eq!(&apply(&draw(Kind::Contrast, &[("factor", 1.0)]), &clip), &clip);
        prop_assert_eq!(&apply(&draw(Kind::Rotation, &[("angle", 0.0)]), &clip), &clip);
    }

    #[test]
    fn brightness_is_the_rounded_product(factor in 0.7_f64..1.3, seed: u64) {
        let clip = window(random(9, 7, 0, 2, seed));
        let made = apply(&draw(Kind::Brightness, &[("factor", factor)]), &clip);
        for (own, before) in made.frames.iter().zip(&clip.frames) {
            for (&own, &before) in own.data().iter().zip(before.data()) {
                let exact = (f64::from(before) * factor).min(255.0);
                prop_assert!((f64::from(own) - exact).abs() <= 0.5 + 1e-9);
            }
        }
    }
}

#[test]
fn flip_mirrors_left_to_right() {
    let source = frame(3, 2, 0, |x, y| [x as u8, y as u8, 7]);
    let made = apply(&draw(Kind::Flip, &[]), &window(vec![source]));
    let expected = frame(3, 2, 0, |x, y| [2 - x as u8, y as u8, 7]);
    assert_eq!(made.frames[0].data(), expected.data());
}

#[test]
fn contrast_turns_about_one_grey_for_the_whole_window() {
    let clip = window(vec![frame(4, 4, 0, |_, _| [0; 3]), frame(4, 4, 1, |_, _| [255; 3])]);
    // The mean grey is 127.5: black moves 0.3 of the way to it, and so does white.
    let made = apply(&draw(Kind::Contrast, &[("factor", 0.7)]), &clip);
    assert_eq!(made.frames[0].data(), [38; 48]);
    assert_eq!(made.frames[1].data(), [217; 48]);
    // Luma weighs green most: (299 * 10 + 587 * 200 + 114 * 30) / 1000 = 123.81.
    let clip = window(vec![frame(2, 2, 0, |_, _| [10, 200, 30])]);
    let made = apply(&draw(Kind::Contrast, &[("factor", 1.25)]), &clip);
    // 10 - 0.25 * 113.81 is below 0; 200 + 0.25 * 76.19 = 219.05; 30 - 0.25 * 93.81 = 6.55.
    assert_eq!(&made.frames[0].data()[..3], [0, 219, 7]);
}

#[test]
fn noise_has_the_recorded_spread_and_no_pattern() {
    let grey = |index| frame(256, 200, index, |_, _| [128; 3]);
    let clip = window(vec![grey(0), grey(1)]);
    for sigma in [2.0, 5.5, 10.0] {
        let made = apply(&draw(Kind::GaussianNoise, &[("sigma", sigma)]), &clip);
        let noise = |at: usize| -> Vec<f64> {
            made.frames[at].data().iter().map(|&level| f64::from(level) - 128.0).collect()
        };
        let (first, second) = (noise(0), noise(1));
        let count = first.len() as f64;
        let mean = first.iter().sum::<f64>() / count;
        let moment = |power: i32| first.iter().map(|z| z.powi(power)).sum::<f64>() / count;
        let product = |a: &[f64], b: &[f64]| {
            a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>() / (count * moment(2))
        };
        // Standard deviations over 153,600 samples: mean sigma / 392, variance 0.0036 of it,
        // kurtosis 0.0125, correlations 0.0026; rounding adds 1/12 to the variance.
        assert!(mean.abs() < sigma / 80.0, "mean {mean}");
        let variance = sigma * sigma + 1.0 / 12.0;
        assert!((moment(2) / variance - 1.0).abs() < 0.02, "variance {}", moment(2));
        let kurtosis = moment(4) / moment(2).powi(2);
        assert!((kurtosis - 3.0).abs() < 0.1, "kurtosis {kurtosis}");
        for lag in [1, 2, 3, 4, 3 * 256] {
            let correlation = product(&first[lag..], &first);
            assert!(correlation.abs() < 0.013, "lag {lag}: {correlation}");
        }
        assert!(product(&first, &second).abs() < 0.013, "frames are independent");
        let beyond = first.iter().filter(|z| z.abs() > 3.0 * sigma + 0.5).count() as f64 / count;
        assert!((0.000_5..0.003_5).contains(&beyond), "{beyond} beyond three sigma");
    }
}

#[test]
fn a_frame_has_the_same_noise_in_every_window() {
    let frames = random(20, 20, 5, 4, 3);
    let noise = draw(Kind::GaussianNoise, &[("sigma", 7.0)]);
    let whole = apply(&noise, &window(frames.clone()));
    let part = apply(&noise, &window(frames[2..].to_vec()));
    assert_eq!(whole.frames[2..], part.frames);
    let other = apply(&Draw { seed: 1, ..noise }, &window(frames));
    assert_ne!(other, whole);
}

#[test]
fn noise_stops_at_black_and_white() {
    for level in [0_u8, 255] {
        let clip = window(vec![frame(64, 64, 0, |_, _| [level; 3])]);
        let made = apply(&draw(Kind::GaussianNoise, &[("sigma", 10.0)]), &clip);
        let kept: u32 = made.frames[0].data().iter().map(|&own| u32::from(own == level)).sum();
        let share = f64::from(kept) / (3.0 * 64.0 * 64.0);
        assert!((0.45..0.6).contains(&share), "half of the noise is cut off: {share}");
        assert!(made.frames[0].data().iter().all(|own| own.abs_diff(level) < 50));
    }
}

#[test]
fn a_transcode_costs_quality_by_its_crf_and_counts_as_our_own_decode() {
    for (width, height) in [(96, 64), (97, 65)] {
        let clip = window(moving(width, height, 20, 16));
        let counters = DecodeCounters::default();
        let mut last = f64::INFINITY;
        for crf in [23.0, 29.0, 35.0] {
            let parameters = [("crf", crf), ("preset", 2.0), ("gop", 12.0)];
            let transcode = draw(Kind::H264Transcode, &parameters);
            let made = transcode.apply(&clip, RATE, &counters).unwrap();
            let found = psnr(&clip.frames, &made.frames);
            assert!(found > 24.0, "crf {crf}: {found} dB");
            assert!(found < last, "crf {crf}: {found} dB");
            last = found;
        }
        assert_eq!((counters.own(), counters.sources()), (3, 0));
    }
    let clip = window(moving(32, 32, 0, 2));
    let transcode = drawn(Kind::H264Transcode, 1);
    let no_rate = transcode.apply(&clip, Rational::new(0, 0), &DecodeCounters::default());
    assert!(matches!(no_rate, Err(AugmentError::Encode(_))), "{no_rate:?}");
}

#[test]
fn records_that_were_not_drawn_are_refused() {
    let clip = window(random(8, 8, 0, 1, 1));
    let good = [("crf", 30.0), ("preset", 2.0), ("gop", 12.0)];
    let with = |name: &'static str, value: f64| {
        draw(
            Kind::H264Transcode,
            &good.map(|pair| if pair.0 == name { (name, value) } else { pair }),
        )
    };
    let mut extra = draw(Kind::Flip, &[("angle", 1.0)]);
    let wrong = [
        with("crf", 30.5),
        with("crf", 22.0),
        with("preset", 6.0),
        with("gop", f64::NAN),
        with("gop", f64::INFINITY),
        with("gop", -12.0),
        draw(Kind::H264Transcode, &good[1..]),
        draw(Kind::Brightness, &[("factor", 1.31)]),
        draw(Kind::Brightness, &[("Factor", 1.0)]),
        draw(Kind::Rotation, &[]),
        draw(Kind::Rotation, &[("angle", 90.0)]),
        extra.clone(),
    ];
    for draw in &wrong {
        let refused = draw.apply(&clip, RATE, &DecodeCounters::default());
        assert!(matches!(refused, Err(AugmentError::Parameter { .. })), "{draw:?}: {refused:?}");
    }
    extra.parameters.clear();
    apply(&extra, &clip);

    let empty = extra.apply(&window(Vec::new()), RATE, &DecodeCounters::default());
    assert!(matches!(empty, Err(AugmentError::Frames { .. })));
    let mixed = window([random(8, 8, 0, 1, 1), random(8, 9, 1, 1, 1)].concat());
    let mixed = extra.apply(&mixed, RATE, &DecodeCounters::default());
    assert!(matches!(mixed, Err(AugmentError::Frames { .. })));
    let record = r#"{"variant":1,"kind":"flip","seed":1,"parameters":{},"angle":3}"#;
    assert!(serde_json::from_str::<Draw>(record).is_err(), "unknown fields are refused");
}
