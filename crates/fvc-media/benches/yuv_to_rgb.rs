//! Cost of converting a 720p picture to RGB, one core.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use fvc_media::{Color, HdrTransfer, Layout, Matrix, Plane, YuvPicture, yuv_to_rgb};

const WIDTH: usize = 1280;
const HEIGHT: usize = 720;

/// Samples that differ from pixel to pixel as those of a noisy scene do.
fn samples(count: usize, bits: u32) -> Vec<u8> {
    let values = (0..count as u32).map(|at| at.wrapping_mul(2_654_435_761) >> (32 - bits));
    if bits == 8 {
        values.map(|value| value as u8).collect()
    } else {
        values.flat_map(|value| (value as u16).to_le_bytes()).collect()
    }
}

fn conversion(criterion: &mut Criterion) {
    for (name, bits, hdr) in [
        ("yuv420p/1280x720", 8, None),
        ("yuv420p10/1280x720", 10, None),
        ("yuv420p10_pq/1280x720", 10, Some(HdrTransfer::Pq)),
    ] {
        let bytes = if bits == 8 { 1 } else { 2 };
        let (luma, chroma) = (samples(WIDTH * HEIGHT, bits), samples(WIDTH * HEIGHT / 4, bits));
        let half = Plane { data: &chroma, stride: WIDTH / 2 * bytes };
        let picture = YuvPicture {
            width: WIDTH,
            height: HEIGHT,
            layout: Layout {
                chroma_shift_x: 1,
                chroma_shift_y: 1,
                interleaved_chroma: false,
                bits,
                padding_bits: 0,
            },
            color: Color { matrix: Matrix::Bt709, full_range: false, hdr },
            planes: [Plane { data: &luma, stride: WIDTH * bytes }, half, half],
        };
        criterion.bench_function(name, |bencher| {
            bencher.iter(|| yuv_to_rgb(black_box(&picture)));
        });
    }
}

criterion_group!(benches, conversion);
criterion_main!(benches);
