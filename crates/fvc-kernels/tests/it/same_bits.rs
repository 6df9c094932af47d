//! A call gives the same bits whatever else the process does at that time, and whatever lay in memory.

use std::sync::atomic::{AtomicBool, Ordering};

use fvc_kernels::{
    ConvGeometry, ConvSpec, Engine, convolution_backward_data, convolution_backward_weights,
    convolution_forward,
};

fn numbers(count: usize, seed: u64) -> Vec<f32> {
    let mut state = seed;
    (0..count)
        .map(|_| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            ((state >> 40) as f32 / 8_388_608.0) - 1.0
        })
        .collect()
}

fn all(geometry: &ConvGeometry) -> Vec<f32> {
    let src = numbers(geometry.input_len(), 1);
    let weights = numbers(geometry.weights_len(), 2);
    let bias = numbers(geometry.spec().out_channels, 3);
    let above = numbers(geometry.output_len(), 4);
    let mut dst = vec![0.0; geometry.output_len()];
    let engine = Engine::best();
    convolution_forward(engine, geometry, &src, &weights, Some(&bias), &mut dst).unwrap();
    let mut of_src = numbers(geometry.input_len(), 5);
    convolution_backward_data(engine, geometry, &above, &weights, &mut of_src, true).unwrap();
    let mut of_weights = vec![0.0; geometry.weights_len()];
    let mut of_bias = vec![0.0; bias.len()];
    convolution_backward_weights(
        engine,
        geometry,
        &src,
        &above,
        &mut of_weights,
        Some(&mut of_bias),
    )
    .unwrap();
    [dst, of_src, of_weights, of_bias].concat()
}

/// A resumed training must end with the weights of the undisturbed one, in another process at another time:
/// each kernel's result is a function of its numbers alone.
#[test]
fn convolutions_give_the_same_bits_beside_other_work() {
    let geometries: Vec<ConvGeometry> =
        [(3, 8, 3), (8, 4, 1), (8, 4, 3), (8, 4, 5), (16, 8, 5), (16, 8, 3)]
            .into_iter()
            .flat_map(|(input, output, kernel)| {
                [[4, 16, 12], [4, 16, 16], [5, 9, 10]].map(|grid| {
                    let spec = ConvSpec::same(2, input, output, grid, [kernel; 3]);
                    ConvGeometry::new(spec).unwrap()
                })
            })
            .collect();
    let alone: Vec<Vec<f32>> = geometries.iter().map(all).collect();
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    for geometry in &geometries {
                        std::hint::black_box(all(geometry));
                    }
                }
            });
        }
        let mut differences = Vec::new();
        for round in 0..20 {
            for (geometry, alone) in geometries.iter().zip(&alone) {
                let found = all(geometry);
                let parts = [
                    geometry.output_len(),
                    geometry.input_len(),
                    geometry.weights_len(),
                    geometry.spec().out_channels,
                ];
                let mut start = 0;
                for (name, length) in ["forward", "data", "weights", "bias"].iter().zip(parts) {
                    if found[start..start + length] != alone[start..start + length] {
                        differences.push(format!("{round}: {name} of {:?}", geometry.spec()));
                    }
                    start += length;
                }
            }
        }
        stop.store(true, Ordering::Relaxed);
        assert!(differences.is_empty(), "{}", differences.join("\n"));
    });
}

/// A kernel of 4 frames on clips of 2, with padding wider than half of it: oneDNN 2.6.3 wrote beyond its
/// memory when it made the weights' gradient, and the process died. Such geometries are ours to compute.
#[test]
fn a_kernel_longer_than_the_clip_ends_no_process() {
    let geometry = ConvGeometry::new(ConvSpec {
        batch: 1,
        in_channels: 2,
        out_channels: 2,
        input: [2, 3, 10],
        kernel: [4; 3],
        stride: [2, 3, 1],
        padding: [3, 2, 1],
        dilation: [1, 1, 2],
        groups: 2,
    })
    .unwrap();
    let first = all(&geometry);
    for _ in 0..50 {
        assert_eq!(all(&geometry), first);
    }
}
