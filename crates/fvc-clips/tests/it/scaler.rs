//! What holds of every scaler of the registry.

use std::collections::BTreeSet;

use fvc_clips::{RegisteredScaler, SCALER_VERSION, scale_frame};

use crate::picture::{Kind, frame};

#[test]
fn every_registered_scaler_keeps_to_the_contract() {
    let mut names = BTreeSet::new();
    for scaler in RegisteredScaler::all() {
        let plain =
            |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '_';
        assert!(!scaler.name().is_empty() && scaler.name().chars().all(plain), "{scaler}");
        assert!(names.insert(scaler.name()), "two scalers are called {scaler}");
        assert!(!scaler.about().is_empty(), "{scaler}");
        let version = scaler.tag();
        let version = version.strip_prefix(&format!("{}-v", scaler.name())).unwrap();
        let plain = |letter: char| letter.is_ascii_alphanumeric() || letter == '.';
        assert!(!version.is_empty() && version.chars().all(plain), "{version}");
        assert_eq!(scaler.name().parse(), Ok(scaler));
        let json = serde_json::to_string(&scaler).unwrap();
        assert_eq!(serde_json::from_str::<RegisteredScaler>(&json).unwrap(), scaler);
        for (width, height, size) in
            [(64, 48, "32max"), (31, 77, "40min"), (9, 5, "64letterbox"), (1, 1, "2max")]
        {
            let (mut source, size) = (frame(Kind::Scene, width, height, 3), size.parse().unwrap());
            (source.index, source.time) = (11, 0.44);
            let scaled = scaler.scale(&source, size).unwrap();
            assert_eq!((scaled.width(), scaled.height()), size.picture(width, height));
            assert_eq!((scaled.index, scaled.time), (11, 0.44), "{scaler}");
            assert_eq!(scaler.scale(&source, size).unwrap(), scaled, "{scaler}");
        }
    }
}

/// Names of outputs and recipes of models depend on it.
#[test]
fn the_default_is_the_area_mean_and_catmull_rom() {
    let scaler = RegisteredScaler::default();
    assert_eq!(scaler.tag(), format!("area_cubic-v{SCALER_VERSION}"));
    let source = frame(Kind::Scene, 100, 70, 2);
    for size in ["48max", "300max"] {
        let size = size.parse().unwrap();
        assert_eq!(scaler.scale(&source, size).unwrap(), scale_frame(&source, size).unwrap());
    }
}

#[test]
fn only_names_of_the_registry_are_taken() {
    for name in ["", "autoencoder", "area", "AREA_CUBIC", "area_cubic-v2"] {
        let error = name.parse::<RegisteredScaler>().unwrap_err();
        assert!(error.contains("area_cubic") && error.contains(&format!("{name:?}")), "{error}");
    }
}
