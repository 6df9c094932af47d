//! Cost of a variant of a window of 16 frames of 720p, one core, kind by kind: a sixteenth of it is
//! the cost of a frame.

// Clippy takes the picture's helpers for production code.
#![allow(clippy::expect_used)]

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use fvc_augment::{Draw, Kind, PLATFORM_PROFILES};
use fvc_media::{DecodeCounters, Rational, Window};

#[expect(dead_code, reason = "the feature tests draw more kinds of pictures")]
#[path = "../../fvc-features/tests/it/picture.rs"]
mod picture;

const FRAMES: u64 = 16;

fn window() -> Window {
    let frames = (0..FRAMES).map(|index| {
        let mut frame = picture::frame(picture::Kind::Scene, 1280, 720, 1);
        // A pan of two pixels a frame, so that an encoder has something to do.
        frame.data_mut().rotate_left(6 * index as usize);
        (frame.index, frame.time) = (index, index as f64 / 30.0);
        frame
    });
    Window { index: 0, frames: frames.collect() }
}

fn kinds(criterion: &mut Criterion) {
    let window = window();
    let mut bench = |name: &str, draw: &Draw| {
        criterion.bench_function(&format!("16x1280x720/{name}"), |bencher| {
            let counters = DecodeCounters::default();
            bencher.iter(|| draw.apply(black_box(&window), Rational::new(30, 1), &counters));
        });
    };
    // Each parameter in the middle of its range.
    for &kind in Kind::ALL.iter().filter(|kind| **kind != Kind::PlatformTranscode) {
        let middle = |low: f64, high: f64, whole: bool| {
            if whole { f64::midpoint(low, high).round() } else { f64::midpoint(low, high) }
        };
        let parameters = kind.parameters().iter().map(|parameter| {
            let value = middle(parameter.low, parameter.high, parameter.whole);
            (parameter.name.to_owned(), value)
        });
        let draw = Draw { variant: 1, kind, seed: 1, parameters: parameters.collect() };
        bench(kind.name(), &draw);
    }
    for (number, profile) in PLATFORM_PROFILES.iter().enumerate() {
        let parameters = [("profile".to_owned(), number as f64)].into();
        let draw = Draw { variant: 1, kind: Kind::PlatformTranscode, seed: 1, parameters };
        bench(&format!("platform_transcode/{}", profile.name), &draw);
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2));
    targets = kinds
}
criterion_main!(benches);
