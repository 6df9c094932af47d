//! Cost of scaling one frame to the size that is kept, one core.

// Clippy takes the picture's helpers for production code.
#![allow(clippy::expect_used)]

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use fvc_clips::{SizeSpec, scale_frame};

#[expect(dead_code, reason = "the feature tests draw more kinds of pictures")]
#[path = "../../fvc-features/tests/it/picture.rs"]
mod picture;

fn scaling(criterion: &mut Criterion) {
    let sizes = [
        (1280, 720, SizeSpec::max_side(256)),
        (1920, 1080, SizeSpec::max_side(256)),
        (1280, 720, SizeSpec::max_side(224)),
        (160, 120, SizeSpec::max_side(256)),
        (704, 396, SizeSpec::max_side(1280)),
    ];
    for (width, height, size) in sizes {
        let frame = picture::frame(picture::Kind::Scene, width, height, 1);
        criterion.bench_function(&format!("{width}x{height}/{size}"), |bencher| {
            bencher.iter(|| scale_frame(black_box(&frame), size));
        });
    }
}

criterion_group!(benches, scaling);
criterion_main!(benches);
