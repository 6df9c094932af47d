//! Against `OpenCV` and `NumPy` (`tools/golden/features_values.py`).

use fvc_features::{Extractor, NATIVE};
use fvc_media::Frame;
use serde_json::Value;

use crate::measured::{NO_FACTS, assert_near, means, of_frame};
use crate::picture::{Kind, frame, pixels};

/// A picture's kind by its name in the golden file.
fn kind(row: &Value) -> Kind {
    match row["kind"].as_str() {
        Some("scene") => Kind::Scene,
        Some("static") => Kind::Static,
        Some("blocks") => Kind::Blocks,
        Some("flat") => Kind::Flat,
        other => panic!("no picture is called {other:?}"),
    }
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or(f64::NAN)
}

#[test]
fn features_equal_opencv() {
    let golden: Value = serde_json::from_str(include_str!("../golden/values.json")).unwrap();
    let pictures = golden["pictures"].as_array().unwrap();
    assert!(pictures.len() > 50);
    for row in pictures {
        let size = |name: &str| row[name].as_u64().unwrap() as u32;
        let (width, height, seed) = (size("width"), size("height"), size("seed"));
        let found = of_frame(&frame(kind(row), width, height, seed));
        let expected = row["values"].as_object().unwrap();
        assert_eq!(found.len(), expected.len());
        for (name, value) in &found {
            let what = format!("{name} of {} {width}x{height} seed {seed}", row["kind"]);
            // Only the sums of magnitudes are floats; everything else is exact until the end.
            let tolerance = if name.starts_with("gradient") { 1e-6 } else { 1e-10 };
            assert_near(&what, *value, number(&expected[*name]), tolerance);
        }
    }
}

#[test]
fn edges_equal_opencv_pixel_count_for_pixel_count() {
    let golden: Value = serde_json::from_str(include_str!("../golden/values.json")).unwrap();
    let mut with_edges = 0;
    for row in golden["pictures"].as_array().unwrap() {
        let size = |name: &str| row[name].as_u64().unwrap() as u32;
        let (width, height) = (size("width"), size("height"));
        let found = of_frame(&frame(kind(row), width, height, size("seed")))["edge_density"];
        let pixels = f64::from(width * height);
        let expected = (number(&row["values"]["edge_density"]) * pixels).round();
        assert_eq!((found * pixels).round(), expected, "{row}");
        with_edges += usize::from(expected > 0.0);
    }
    assert!(with_edges > 20);
}

#[test]
fn grey_equals_opencv_for_all_colours() {
    let golden: Value = serde_json::from_str(include_str!("../golden/grey.json")).unwrap();
    let by_red = golden["by_red"].as_array().unwrap();
    assert_eq!(by_red.len(), 256);
    let mut extractor = Extractor::new(&NATIVE);
    for (red, row) in (0..=255_u8).zip(by_red) {
        let colours =
            (0..=255_u8).flat_map(|green| (0..=255).flat_map(move |blue| [red, green, blue]));
        let frame = Frame::new(256, 256, colours.collect(), u64::from(red), 0.0).unwrap();
        extractor.push(&frame);
        let found = means(&NATIVE, &extractor.finish(&NO_FACTS));
        // The mean DC is eight times the mean grey: exact, 65536 being a power of two.
        assert_eq!(found["dct_dc_mean"] * 8192.0, number(&row[0]), "sum of grey, red {red}");
        assert_near("Laplacian of grey", found["laplacian_var"], number(&row[1]), 1e-10);
    }
}

#[test]
fn a_colour_alone_gives_its_grey() {
    // Each grey level seen on its own, which sums could hide.
    for ((red, green, blue), grey) in [
        ((255, 0, 0), 76),
        ((0, 255, 0), 150),
        ((0, 0, 255), 29),
        ((255, 255, 255), 255),
        ((1, 2, 3), 2),
    ] {
        let found = of_frame(&Frame::new(1, 1, vec![red, green, blue], 0, 0.0).unwrap());
        assert_eq!(found["dct_dc_mean"], 8.0 * f64::from(grey));
    }
}

#[test]
fn values_are_these_bits_on_every_machine() {
    // FNV-1a over the bits of all values of a clip; recorded once, from a build for plain x86-64.
    // It changes only together with the set's version.
    let mut extractor = Extractor::new(&fvc_features::SCALED);
    for (width, height, seed) in [(97, 61, 1), (224, 126, 2), (1300, 17, 3)] {
        extractor.push(&frame(Kind::Scene, width, height, seed));
        let noise = pixels(Kind::Static, width, height, seed);
        extractor.push(&Frame::new(width, height, noise, 0, 0.0).unwrap());
    }
    let mut hash = 0xCBF2_9CE4_8422_2325_u64;
    for value in extractor.finish(&NO_FACTS) {
        let bits = if value.is_nan() { 0 } else { value.to_bits() };
        for byte in bits.to_le_bytes() {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01B3);
        }
    }
    assert_eq!((fvc_features::SCALED.version, hash), (1, 0x7252_0cff_3672_e884), "{hash:#018x}");
}
