//! From frames and facts to a clip's row.

use fvc_features::{ClipFacts, Extractor, FeatureSet, NATIVE, SCALED};

use crate::measured::{NO_FACTS, assert_near, of_frame};
use crate::picture::{Kind, frame};

fn column(set: &FeatureSet, values: &[f64], name: &str) -> f64 {
    let columns = set.columns("c");
    values[columns.iter().position(|column| column == name).expect("the column is there")]
}

#[test]
fn mean_and_population_spread_over_frames() {
    let mut extractor = Extractor::new(&SCALED);
    let frames: Vec<_> = (0..7).map(|seed| frame(Kind::Scene, 80, 60, seed)).collect();
    for frame in &frames {
        extractor.push(frame);
    }
    assert_eq!(extractor.frames(), 7);
    let values = extractor.finish(&NO_FACTS);
    assert_eq!(extractor.frames(), 0);
    let by_frame: Vec<_> = frames.iter().map(of_frame).collect();
    for spec in SCALED.specs.iter().filter(|spec| spec.per_frame) {
        let mean = by_frame.iter().map(|found| found[spec.name]).sum::<f64>() / 7.0;
        let variance =
            by_frame.iter().map(|found| (found[spec.name] - mean).powi(2)).sum::<f64>() / 7.0;
        let found = |suffix: &str| column(&SCALED, &values, &format!("c_{}_{suffix}", spec.name));
        assert_near(spec.name, found("mean"), mean, 1e-12);
        assert_near(spec.name, found("spread"), variance.sqrt(), 1e-9);
    }
}

#[test]
fn one_frame_or_equal_frames_have_no_spread() {
    let picture = frame(Kind::Scene, 80, 60, 2);
    for copies in [1, 3, 10] {
        let mut extractor = Extractor::new(&NATIVE);
        for _ in 0..copies {
            extractor.push(&picture);
        }
        let values = extractor.finish(&NO_FACTS);
        for (name, value) in NATIVE.columns("c").iter().zip(values) {
            assert!(!name.ends_with("_spread") || value == 0.0, "{name} {value}");
        }
    }
}

#[test]
fn frames_that_lack_a_value_are_left_out_of_its_mean() {
    let (small, large) = (frame(Kind::Scene, 8, 8, 1), frame(Kind::Scene, 64, 48, 1));
    let mut extractor = Extractor::new(&NATIVE);
    for frame in [&small, &large, &small] {
        extractor.push(frame);
    }
    let values = extractor.finish(&NO_FACTS);
    let expected = of_frame(&large)["boundary_inconsistency"];
    assert_eq!(column(&NATIVE, &values, "c_boundary_inconsistency_mean"), expected);
    assert_eq!(column(&NATIVE, &values, "c_boundary_inconsistency_spread"), 0.0);
    // The others were there on all three.
    let expected = (2.0 * of_frame(&small)["noise_mean"] + of_frame(&large)["noise_mean"]) / 3.0;
    assert_near("noise_mean", column(&NATIVE, &values, "c_noise_mean_mean"), expected, 1e-12);
}

#[test]
fn a_clip_without_frames_or_facts_has_no_values() {
    for set in [&NATIVE, &SCALED] {
        assert!(Extractor::new(set).finish(&NO_FACTS).iter().all(|value| value.is_nan()));
    }
}

#[test]
fn facts_are_taken_as_they_are_and_missing_ones_stay_missing() {
    let facts = ClipFacts {
        stream_bit_rate: Some(1_234_567.0),
        frame_rate: Some(30_000.0 / 1001.0),
        native_width: 1920,
        native_height: 1080,
        scaled: Some((224, 126)),
    };
    let fact = |set: &'static FeatureSet, facts: &ClipFacts, name: &str| {
        column(set, &Extractor::new(set).finish(facts), name)
    };
    assert_eq!(fact(&NATIVE, &facts, "c_codec_bitrate"), 1_234_567.0);
    assert_eq!(fact(&NATIVE, &facts, "c_codec_fps"), 30_000.0 / 1001.0);
    assert_eq!(fact(&NATIVE, &facts, "c_codec_resolution"), 2_073_600.0);
    assert_eq!(fact(&SCALED, &facts, "c_codec_resolution"), 28_224.0);
    for nothing in [None, Some(0.0), Some(-1.0), Some(f64::NAN), Some(f64::INFINITY)] {
        let facts = ClipFacts { stream_bit_rate: nothing, frame_rate: nothing, ..facts };
        assert!(fact(&NATIVE, &facts, "c_codec_bitrate").is_nan());
        assert!(fact(&SCALED, &facts, "c_codec_fps").is_nan());
    }
}

#[test]
fn up_and_down_compare_the_longer_sides() {
    let flags = |native: (u32, u32), scaled: Option<(u32, u32)>| {
        let facts =
            ClipFacts { native_width: native.0, native_height: native.1, scaled, ..NO_FACTS };
        let values = Extractor::new(&SCALED).finish(&facts);
        (column(&SCALED, &values, "c_is_upscaled"), column(&SCALED, &values, "c_is_downscaled"))
    };
    assert_eq!(flags((1920, 1080), Some((224, 126))), (0.0, 1.0));
    assert_eq!(flags((120, 160), Some((168, 224))), (1.0, 0.0));
    assert_eq!(flags((224, 126), Some((126, 224))), (0.0, 0.0));
    for (native, scaled) in
        [((1920, 1080), None), ((0, 0), Some((224, 126))), ((64, 64), Some((0, 9)))]
    {
        let (up, down) = flags(native, scaled);
        assert!(up.is_nan() && down.is_nan());
    }
}
