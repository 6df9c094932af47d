//! Scaling: against OpenCV, against a naive twin, and what must hold of any scaler.

use fvc_clips::{SizeSpec, scale_frame};
use fvc_media::Frame;
use proptest::prelude::*;
use serde::Deserialize;

use crate::picture::{Kind, frame};

#[derive(Deserialize)]
struct Golden {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    kind: String,
    width: u32,
    height: u32,
    seed: u32,
    size: String,
    to_width: u32,
    to_height: u32,
    rgb: String,
}

fn kind(name: &str) -> Kind {
    match name {
        "scene" => Kind::Scene,
        "static" => Kind::Static,
        "blocks" => Kind::Blocks,
        "flat" => Kind::Flat,
        other => panic!("no picture {other}"),
    }
}

/// OpenCV sums in single precision and rounds halves to even, so one level is allowed; it is asked
/// that hardly any pixel makes use of it.
#[test]
fn down_is_the_area_mean_of_opencv() {
    let golden: Golden =
        serde_json::from_str(include_str!("../golden/area.json")).expect("golden file");
    assert_eq!(golden.cases.len(), 9);
    for case in golden.cases {
        let source = frame(kind(&case.kind), case.width, case.height, case.seed);
        let scaled = scale_frame(&source, case.size.parse().unwrap()).unwrap();
        let name = format!("{} {}x{} {}", case.kind, case.width, case.height, case.size);
        assert_eq!((scaled.width(), scaled.height()), (case.to_width, case.to_height), "{name}");
        let expected: Vec<u8> = (0..case.rgb.len() / 2)
            .map(|at| u8::from_str_radix(&case.rgb[2 * at..2 * at + 2], 16).unwrap())
            .collect();
        assert_eq!(expected.len(), scaled.data().len(), "{name}");
        let apart =
            scaled.data().iter().zip(&expected).map(|(&a, &b)| a.abs_diff(b)).collect::<Vec<_>>();
        let other = apart.iter().filter(|&&apart| apart > 0).count() as f64 / apart.len() as f64;
        assert!(apart.iter().all(|&apart| apart <= 1), "{name}: {:?}", apart.iter().max());
        // Only the ratio 2 has many halves.
        let allowed = if case.width == 64 { 0.2 } else { 0.01 };
        assert!(other <= allowed, "{name}: {other} of the samples differ");
    }
}

/// For each target pixel the overlap with each source pixel, in f64, by its definition.
fn area_weights(from: u32, to: u32) -> Vec<Vec<f64>> {
    let ratio = f64::from(from) / f64::from(to);
    let overlap = |target: u32, source: u32| {
        let (start, end) = (f64::from(target) * ratio, f64::from(target + 1) * ratio);
        (end.min(f64::from(source + 1)) - start.max(f64::from(source))).max(0.0) / ratio
    };
    (0..to).map(|target| (0..from).map(|source| overlap(target, source)).collect()).collect()
}

/// Keys' kernel with a = -1/2 at each source pixel's distance; the border repeated.
fn cubic_weights(from: u32, to: u32) -> Vec<Vec<f64>> {
    let kernel = |x: f64| match x.abs() {
        x if x < 1.0 => 1.5 * x.powi(3) - 2.5 * x.powi(2) + 1.0,
        x if x < 2.0 => -0.5 * x.powi(3) + 2.5 * x.powi(2) - 4.0 * x + 2.0,
        _ => 0.0,
    };
    let ratio = f64::from(from) / f64::from(to);
    let row = |target: u32| {
        let centre = (f64::from(target) + 0.5) * ratio - 0.5;
        let mut weights = vec![0.0; from as usize];
        for at in -3..i64::from(from) + 3 {
            weights[at.clamp(0, i64::from(from) - 1) as usize] += kernel(centre - at as f64);
        }
        weights
    };
    (0..to).map(row).collect()
}

/// The scaled picture before rounding.
fn twin(source: &Frame, width: u32, height: u32) -> Vec<f64> {
    let weights = |from, to| {
        if to <= from { area_weights(from, to) } else { cubic_weights(from, to) }
    };
    let (columns, rows) = (weights(source.width(), width), weights(source.height(), height));
    let mut out = Vec::new();
    for row in &rows {
        for column in &columns {
            for channel in 0..3 {
                let mut sum = 0.0;
                for (y, wy) in row.iter().enumerate().filter(|(_, weight)| **weight != 0.0) {
                    for (x, wx) in column.iter().enumerate().filter(|(_, weight)| **weight != 0.0) {
                        let at = 3 * (y * source.width() as usize + x) + channel;
                        sum += wy * wx * f64::from(source.data()[at]);
                    }
                }
                out.push(sum.clamp(0.0, 255.0));
            }
        }
    }
    out
}

/// No sample may be further from the exact value than rounding explains. `slack` is what the f64
/// twin, or the 14 bits of a cubic weight, may be off.
fn assert_rounds(scaled: &Frame, exact: &[f64], slack: f64) {
    assert_eq!(scaled.data().len(), exact.len());
    for (at, (&found, &exact)) in scaled.data().iter().zip(exact).enumerate() {
        let error = f64::from(found) - exact;
        assert!((-0.5 - slack..=0.5 + slack).contains(&error), "sample {at}: {found} for {exact}");
    }
}

fn mean(values: impl ExactSizeIterator<Item = f64>) -> f64 {
    let count = values.len() as f64;
    values.sum::<f64>() / count
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn any_scaling_is_its_definition(
        width in 1_u32..90, height in 1_u32..90, side in 2_u32..70, longer in any::<bool>(), seed in 0_u32..50,
    ) {
        let size = if longer { SizeSpec::max_side(side) } else { SizeSpec::min_side(side.min(24)) };
        let source = frame(Kind::Static, width, height, seed);
        let scaled = scale_frame(&source, size).unwrap();
        let (to_width, to_height) = size.target(width, height);
        prop_assert_eq!((scaled.width(), scaled.height()), (to_width, to_height));
        prop_assert_eq!((scaled.index, scaled.time), (source.index, source.time));
        let exact = twin(&source, to_width, to_height);
        let down = to_width <= width && to_height <= height;
        assert_rounds(&scaled, &exact, if down { 1e-9 } else { 0.05 });
        if down {
            // No pixel of the source counts more than another.
            let levels = |frame: &Frame| mean(frame.data().iter().map(|&level| f64::from(level)).collect::<Vec<_>>().into_iter());
            prop_assert!((levels(&source) - levels(&scaled)).abs() <= 0.5);
        }
    }

    #[test]
    fn a_constant_picture_stays_constant(
        width in 1_u32..200, height in 1_u32..200, side in 2_u32..150, longer in any::<bool>(), rgb in any::<[u8; 3]>(),
    ) {
        let size = if longer { SizeSpec::max_side(side) } else { SizeSpec::min_side(side.min(40)) };
        let data = rgb.repeat((width * height) as usize);
        let scaled = scale_frame(&Frame::new(width, height, data, 3, 0.5).unwrap(), size).unwrap();
        prop_assert!(scaled.data().chunks_exact(3).all(|pixel| pixel == rgb));
    }
}

/// Sums of many rows leave 16 bits, of large pictures without a common divisor nearly 32.
#[test]
fn long_sums_do_not_overflow() {
    for (width, height, size) in [
        (10, 60_000, SizeSpec::min_side(256)),
        (60_001, 11, SizeSpec::max_side(16)),
        (11, 60_001, SizeSpec::max_side(16)),
        (3, 2_000_003, SizeSpec::max_side(2)),
        (2_000_003, 3, SizeSpec::max_side(2)),
        (4099, 2053, SizeSpec::max_side(38)),
    ] {
        let white = vec![255; 3 * (width * height) as usize];
        let source = Frame::new(width, height, white, 0, 0.0).unwrap();
        let scaled = scale_frame(&source, size).unwrap();
        assert!(scaled.data().iter().all(|&level| level == 255), "{width}x{height}");
    }
    for (width, height, size, to) in [(4099, 2053, 4, (4, 2)), (2, 1_100_003, 2, (2, 2))] {
        let source = frame(Kind::Static, width, height, 1);
        let scaled = scale_frame(&source, SizeSpec::max_side(size)).unwrap();
        assert_rounds(&scaled, &twin(&source, to.0, to.1), 1e-6);
    }
}

/// Halves go up, on each path of the code alike.
#[test]
fn halves_are_rounded_up() {
    let scaled = |data: &[u8]| {
        let data: Vec<u8> = data.iter().flat_map(|&level| [level; 3]).collect();
        let source = Frame::new(4, 4, data, 0, 0.0).unwrap();
        scale_frame(&source, SizeSpec::max_side(2)).unwrap().into_data()
    };
    // Blocks of 0.25, 0.5, 0.75 and 254.5.
    let levels = [1, 0, 2, 0, 0, 0, 0, 0, 3, 0, 254, 255, 0, 0, 254, 255];
    assert_eq!(scaled(&levels), [0, 0, 0, 1, 1, 1, 1, 1, 1, 255, 255, 255]);
}

#[test]
fn a_picture_of_its_size_already_is_left_alone() {
    let source = frame(Kind::Static, 64, 48, 9);
    assert_eq!(scale_frame(&source, SizeSpec::max_side(64)).unwrap(), source);
}

/// The bits of every path, the same in every build; they change only with `SCALER_VERSION`.
#[test]
fn pictures_are_these_bits_on_every_machine() {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for (width, height, size) in [
        (1280, 720, "256max"),
        (719, 1279, "100min"),
        (50, 37, "224max"),
        (1, 9, "64max"),
        (101, 4, "60max"),
    ] {
        let scaled = scale_frame(&frame(Kind::Scene, width, height, 3), size.parse().unwrap());
        for &level in scaled.unwrap().data() {
            hash = (hash ^ u64::from(level)).wrapping_mul(0x0100_0000_01b3);
        }
    }
    assert_eq!((fvc_clips::SCALER_VERSION, hash), (2, 0xb81b_1c13_bade_0180), "{hash:#018x}");
}
