//! Cost of the fifteen features on a 720p frame and of the twenty-three on a scaled one, one core.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use fvc_features::{Extractor, NATIVE, SCALED};

#[path = "../tests/it/picture.rs"]
mod picture;

fn features(criterion: &mut Criterion) {
    let frame = picture::frame(1280, 720, 1);
    let mut extractor = Extractor::new(&NATIVE);
    criterion.bench_function("native/1280x720", |bencher| {
        bencher.iter(|| extractor.push(black_box(&frame)));
    });
    let frame = picture::frame(224, 126, 1);
    let mut extractor = Extractor::new(&SCALED);
    criterion.bench_function("scaled/224x126", |bencher| {
        bencher.iter(|| extractor.push(black_box(&frame)));
    });
}

criterion_group!(benches, features);
criterion_main!(benches);
