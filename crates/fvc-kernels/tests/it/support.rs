//! What several tests need.

use std::io::Write as _;

use fvc_kernels::{Element, onednn};

/// Whether oneDNN is there; says that the test is skipped when not.
pub(crate) fn has_onednn(test: &str) -> bool {
    let status = onednn::status();
    if status.is_available() {
        return true;
    }
    let line = format!("SKIP {test}: {status}\n");
    eprint!("{line}");
    if let Ok(log) = std::env::var("FVC_SKIP_LOG") {
        let mut log = std::fs::OpenOptions::new().append(true).create(true).open(log).unwrap();
        log.write_all(line.as_bytes()).unwrap();
    }
    false
}

/// Numbers between -1 and 1 that look random; the same for the same seed.
pub(crate) fn noise(seed: u64, len: usize) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    (0..len)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 40) as f32 / (1 << 23) as f32 - 1.0
        })
        .collect()
}

pub(crate) fn elements<T: Element>(values: &[f32]) -> Vec<T> {
    values.iter().map(|&value| T::from_f32(value)).collect()
}

pub(crate) fn floats<T: Element>(values: &[T]) -> Vec<f32> {
    values.iter().map(|value| value.to_f32()).collect()
}

/// The largest difference, relative to the largest magnitude.
pub(crate) fn distance(found: &[f32], expected: &[f32]) -> f32 {
    assert_eq!(found.len(), expected.len());
    let scale = expected.iter().fold(1e-3_f32, |most, value| most.max(value.abs()));
    let most = found.iter().zip(expected).fold(0.0_f32, |most, (a, b)| {
        let difference = (a - b).abs();
        if difference.is_nan() { f32::INFINITY } else { most.max(difference) }
    });
    most / scale
}
