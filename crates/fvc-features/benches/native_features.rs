//! Cost of the fifteen features on a 720p frame, of the forensic ones with the summing-up of the clip, and of the
//! twenty-three on a scaled frame; one core.

// Clippy takes the picture's helpers for production code.
#![allow(clippy::expect_used)]

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use fvc_features::{Extractor, ForensicExtractor, NATIVE, SCALED};
use fvc_media::Frame;

#[expect(dead_code, reason = "the tests draw more kinds of pictures")]
#[path = "../tests/it/picture.rs"]
mod picture;

fn features(criterion: &mut Criterion) {
    let frame = picture::frame(picture::Kind::Scene, 1280, 720, 1);
    let mut extractor = Extractor::new(&NATIVE);
    criterion.bench_function("native/1280x720", |bencher| {
        bencher.iter(|| extractor.push(black_box(&frame)));
    });
    // A pan of two pixels a frame over a scene that is wider than the picture. As many frames as a segment
    // has, so that each iteration sums up one clip of the default sampling.
    let scene = picture::pixels(picture::Kind::Scene, 1280 + 2 * 64, 720, 1);
    let clip: Vec<Frame> = (0..64_u64)
        .map(|time| {
            let row = |y: usize| 3 * ((1280 + 2 * 64) * y + 2 * time as usize);
            let pixels = (0..720).flat_map(|y| scene[row(y)..row(y) + 3 * 1280].to_vec());
            Frame::new(1280, 720, pixels.collect(), time, 0.0).expect("whole rows")
        })
        .collect();
    let mut extractor = ForensicExtractor::new();
    criterion.bench_function("forensic/64 frames of 1280x720", |bencher| {
        bencher.iter(|| {
            for frame in &clip {
                extractor.push(black_box(frame));
            }
            extractor.finish()
        });
    });
    let frame = picture::frame(picture::Kind::Scene, 224, 126, 1);
    let mut extractor = Extractor::new(&SCALED);
    criterion.bench_function("scaled/224x126", |bencher| {
        bencher.iter(|| extractor.push(black_box(&frame)));
    });
}

criterion_group!(benches, features);
criterion_main!(benches);
