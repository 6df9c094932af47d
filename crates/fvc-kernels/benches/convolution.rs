//! The operations of one training step of a network with blocks of parallel 1x1x1, 3x3x3 and 5x5x5
//! convolutions and a max-pool, at batch 2 and two sizes of clips, in both number types.
//!
//! `OMP_WAIT_POLICY=passive` matters here as it does elsewhere; see the notes on `fvc_kernels::onednn`.

#![allow(missing_docs)] // criterion's macros make functions without any

use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use fvc_kernels::{
    ConvGeometry, ConvSpec, Element, Engine, NormalizeMode, PoolGeometry, PoolSpec, affine, bf16,
    channel_statistics, convolution_backward_data, convolution_backward_weights,
    convolution_forward, max_pool_backward, max_pool_forward, normalize_backward,
    normalize_forward,
};

const SIZES: [[usize; 3]; 2] = [[8, 64, 64], [16, 112, 112]];

/// Input channels, output channels, kernel.
const CONVOLUTIONS: [(usize, usize, usize); 7] =
    [(3, 32, 3), (32, 16, 1), (32, 16, 3), (32, 16, 5), (64, 32, 1), (64, 32, 3), (64, 32, 5)];

/// Numbers between -1 and 1; no zeros and no denormals, which some instructions treat apart.
fn numbers<T: Element>(len: usize) -> Vec<T> {
    (0..len).map(|at| T::from_f32((at * 7919 % 1009) as f32 / 504.5 - 1.0 + 1e-3)).collect()
}

fn convolutions<T: Element>(criterion: &mut Criterion, name: &str) {
    for size in SIZES {
        let [d, h, w] = size;
        let mut group = criterion.benchmark_group(format!("{name} {d}x{h}x{w}"));
        group.sample_size(10).warm_up_time(Duration::from_millis(300));
        group.measurement_time(Duration::from_secs(1));
        for (ins, outs, k) in CONVOLUTIONS {
            let Ok(geometry) = ConvGeometry::new(ConvSpec::same(2, ins, outs, size, [k; 3])) else {
                continue;
            };
            let engine = Engine::best();
            let src: Vec<T> = numbers(geometry.input_len());
            let mut dst: Vec<T> = numbers(geometry.output_len());
            let diff: Vec<T> = numbers(geometry.output_len());
            let mut diff_src: Vec<T> = numbers(geometry.input_len());
            let weights: Vec<f32> = numbers(geometry.weights_len());
            let mut diff_weights = weights.clone();
            let bias: Vec<f32> = numbers(outs);
            let mut diff_bias = bias.clone();
            let label = format!("{ins}->{outs} k{k}");
            group.bench_function(format!("{label} forward"), |bencher| {
                bencher.iter(|| {
                    convolution_forward(engine, &geometry, &src, &weights, Some(&bias), &mut dst)
                });
            });
            // The stem's input is data, which needs no gradient.
            if ins > 3 {
                for accumulate in [false, true] {
                    let kind = if accumulate { "data added" } else { "data" };
                    group.bench_function(format!("{label} {kind}"), |bencher| {
                        bencher.iter(|| {
                            convolution_backward_data(
                                engine,
                                &geometry,
                                &diff,
                                &weights,
                                &mut diff_src,
                                accumulate,
                            )
                        });
                    });
                }
            }
            group.bench_function(format!("{label} weights"), |bencher| {
                bencher.iter(|| {
                    convolution_backward_weights(
                        engine,
                        &geometry,
                        &src,
                        &diff,
                        &mut diff_weights,
                        Some(&mut diff_bias),
                    )
                });
            });
        }
        group.finish();
    }
}

fn others<T: Element>(criterion: &mut Criterion, name: &str) {
    for size in SIZES {
        let [d, h, w] = size;
        let mut group = criterion.benchmark_group(format!("{name} {d}x{h}x{w}"));
        group.sample_size(10).warm_up_time(Duration::from_millis(300));
        group.measurement_time(Duration::from_secs(1));
        for channels in [32, 64] {
            let spec = PoolSpec {
                batch: 2,
                channels,
                input: size,
                kernel: [3; 3],
                stride: [1; 3],
                padding: [1; 3],
            };
            let Ok(geometry) = PoolGeometry::new(spec) else { continue };
            let src: Vec<T> = numbers(geometry.input_len());
            let mut dst = src.clone();
            let mut record = vec![0; src.len()];
            group.bench_function(format!("max-pool {channels} forward"), |bencher| {
                bencher.iter(|| max_pool_forward(&geometry, &src, &mut dst, &mut record));
            });
            group.bench_function(format!("max-pool {channels} backward"), |bencher| {
                bencher.iter(|| max_pool_backward(&geometry, &src, &record, &mut dst, false));
            });
        }
        for (parts, each) in [(4, 16), (4, 32)] {
            let (shape, extents) = ([2, d, h, w], [size, size]);
            let part: Vec<T> = numbers(2 * d * h * w * each);
            let whole: Vec<T> = numbers(part.len() * parts);
            let mut dst = whole.clone();
            let mut diffs = vec![part.clone(); parts];
            let views: Vec<(&[T], usize)> = vec![(&part[..], each); parts];
            let total = parts * each;
            let (mean, inverse) = (vec![0.0; total], vec![1.7; total]);
            let (scale, shift) = affine(&mean, &inverse, &inverse, &mean);
            group.bench_function(format!("statistics {parts}x{each}"), |bencher| {
                bencher.iter(|| {
                    views
                        .iter()
                        .map(|(part, _)| channel_statistics(part, shape, each, &extents))
                        .collect::<Vec<_>>()
                });
            });
            group.bench_function(format!("normalize {parts}x{each} forward"), |bencher| {
                bencher.iter(|| {
                    normalize_forward(&views, shape, &extents, &scale, &shift, true, &mut dst)
                });
            });
            group.bench_function(format!("normalize {parts}x{each} backward"), |bencher| {
                bencher.iter(|| {
                    let mut targets: Vec<&mut [T]> =
                        diffs.iter_mut().map(|diff| &mut diff[..]).collect();
                    normalize_backward(
                        &views,
                        shape,
                        &extents,
                        &mean,
                        &inverse,
                        &inverse,
                        &mean,
                        true,
                        &whole,
                        NormalizeMode::Batch,
                        &mut targets,
                    )
                });
            });
        }
        group.finish();
    }
}

fn all(criterion: &mut Criterion) {
    convolutions::<f32>(criterion, "f32");
    convolutions::<bf16>(criterion, "bf16");
    others::<f32>(criterion, "f32");
    others::<bf16>(criterion, "bf16");
}

criterion_group!(benches, all);
criterion_main!(benches);
