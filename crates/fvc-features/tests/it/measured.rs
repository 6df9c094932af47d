//! Helpers: a clip's values by column name.

use std::collections::BTreeMap;

use fvc_features::{ClipFacts, Extractor, FeatureSet, SCALED};
use fvc_media::Frame;

/// Facts of a file that states nothing.
pub(crate) const NO_FACTS: ClipFacts = ClipFacts {
    stream_bit_rate: None,
    frame_rate: None,
    native_width: 0,
    native_height: 0,
    scaled: None,
};

/// The per-frame features of a single frame, by feature name.
pub(crate) fn of_frame(frame: &Frame) -> BTreeMap<&'static str, f64> {
    let mut extractor = Extractor::new(&SCALED);
    extractor.push(frame);
    means(&SCALED, &extractor.finish(&NO_FACTS))
}

/// The clip's means of the per-frame features, by feature name.
pub(crate) fn means(set: &FeatureSet, values: &[f64]) -> BTreeMap<&'static str, f64> {
    let columns = set.columns("x");
    assert_eq!(columns.len(), values.len());
    let value = |name: &str| {
        let at = columns.iter().position(|column| *column == format!("x_{name}_mean"));
        values[at.expect("the column is there")]
    };
    set.specs.iter().filter(|spec| spec.per_frame).map(|s| (s.name, value(s.name))).collect()
}

/// Asserts that two values are the same but for rounding, or both missing.
pub(crate) fn assert_near(what: &str, found: f64, expected: f64, relative: f64) {
    if found.is_nan() && expected.is_nan() {
        return;
    }
    let allowed = relative * expected.abs().max(1e-3);
    assert!((found - expected).abs() <= allowed, "{what}: expected {expected}, found {found}");
}
