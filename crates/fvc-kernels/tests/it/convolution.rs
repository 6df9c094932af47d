use fvc_kernels::{
    ConvGeometry, ConvSpec, Element, Engine, KernelError, bf16, convolution_backward_data,
    convolution_backward_weights, convolution_forward, matmul,
};
use proptest::prelude::*;

use crate::support::{distance, elements, floats, has_onednn, noise};

fn axis() -> impl Strategy<Value = (usize, usize, usize, usize, usize)> {
    // Kernel, stride, padding, dilation, and how much larger than it must be the input is.
    (1..=4_usize, 1..=3_usize, 0..=4_usize, 1..=2_usize, 0..=6_usize)
}

fn geometries() -> impl Strategy<Value = ConvGeometry> {
    let channels = prop_oneof![
        (1..=5_usize, 1..=5_usize, 1..=3_usize),
        // Depthwise.
        (Just(1_usize), 1..=2_usize, 2..=17_usize),
        // What oneDNN has its best code for.
        (Just(16_usize), Just(32_usize), 1..=2_usize),
        (Just(64_usize), Just(32_usize), Just(1_usize)),
        (Just(3_usize), Just(32_usize), Just(1_usize)),
    ];
    (1..=2_usize, channels, axis(), axis(), axis()).prop_map(
        |(batch, (ins, outs, groups), d, h, w)| {
            let axes = [d, h, w];
            let kernel = axes.map(|a| a.0);
            let padding = axes.map(|a| a.2);
            let dilation = axes.map(|a| a.3);
            let mut input = [0; 3];
            for at in 0..3 {
                let extent = (kernel[at] - 1) * dilation[at] + 1;
                input[at] = extent.saturating_sub(2 * padding[at]).max(1) + axes[at].4;
            }
            ConvGeometry::new(ConvSpec {
                batch,
                in_channels: ins * groups,
                out_channels: outs * groups,
                input,
                kernel,
                stride: axes.map(|a| a.1),
                padding,
                dilation,
                groups,
            })
            .unwrap()
        },
    )
}

/// The definition, written out.
fn definition(geometry: &ConvGeometry, src: &[f32], weights: &[f32], bias: &[f32]) -> Vec<f32> {
    let spec = geometry.spec();
    let [od, oh, ow] = geometry.output();
    let [id, ih, iw] = spec.input;
    let [kd, kh, kw] = spec.kernel;
    let (ins, outs) = (spec.in_channels / spec.groups, spec.out_channels / spec.groups);
    let mut dst = Vec::new();
    for at in 0..geometry.output_len() {
        let (o, at) = (at % spec.out_channels, at / spec.out_channels);
        let (w, at) = (at % ow, at / ow);
        let (h, at) = (at % oh, at / oh);
        let (d, n) = (at % od, at / od);
        let mut sum = f64::from(bias[o]);
        for tap in 0..kd * kh * kw {
            let place = |axis: usize, result: usize, tap: usize| {
                (result * spec.stride[axis] + tap * spec.dilation[axis])
                    .checked_sub(spec.padding[axis])
                    .filter(|&at| at < spec.input[axis])
            };
            let (Some(sd), Some(sh), Some(sw)) =
                (place(0, d, tap / (kh * kw)), place(1, h, tap / kw % kh), place(2, w, tap % kw))
            else {
                continue;
            };
            for i in 0..ins {
                let from =
                    (((n * id + sd) * ih + sh) * iw + sw) * spec.in_channels + o / outs * ins + i;
                sum +=
                    f64::from(src[from]) * f64::from(weights[(o * ins + i) * kd * kh * kw + tap]);
            }
        }
        dst.push(sum as f32);
    }
    dst
}

struct Case {
    src: Vec<f32>,
    weights: Vec<f32>,
    bias: Vec<f32>,
    gradient: Vec<f32>,
}

impl Case {
    fn new(geometry: &ConvGeometry) -> Self {
        Self {
            src: noise(1, geometry.input_len()),
            weights: noise(2, geometry.weights_len()),
            bias: noise(3, geometry.spec().out_channels),
            gradient: noise(4, geometry.output_len()),
        }
    }
}

/// Forward, data gradient added to ones, data gradient, weight gradient, bias gradient.
fn all<T: Element>(engine: Engine, geometry: &ConvGeometry, case: &Case) -> [Vec<f32>; 5] {
    let src: Vec<T> = elements(&case.src);
    let gradient: Vec<T> = elements(&case.gradient);
    let mut dst = vec![T::from_f32(9.0); geometry.output_len()];
    convolution_forward(engine, geometry, &src, &case.weights, Some(&case.bias), &mut dst).unwrap();
    let mut added = vec![T::from_f32(1.0); geometry.input_len()];
    convolution_backward_data(engine, geometry, &gradient, &case.weights, &mut added, true)
        .unwrap();
    let mut diff_src = vec![T::from_f32(9.0); geometry.input_len()];
    convolution_backward_data(engine, geometry, &gradient, &case.weights, &mut diff_src, false)
        .unwrap();
    let mut diff_weights = vec![9.0; geometry.weights_len()];
    let mut diff_bias = vec![9.0; geometry.spec().out_channels];
    convolution_backward_weights(
        engine,
        geometry,
        &src,
        &gradient,
        &mut diff_weights,
        Some(&mut diff_bias),
    )
    .unwrap();
    [floats(&dst), floats(&added), floats(&diff_src), diff_weights, diff_bias]
}

const NAMES: [&str; 5] = ["forward", "accumulated", "data", "weights", "bias"];

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_portable_path_is_the_definition_and_its_transposes(geometry in geometries()) {
        let case = Case::new(&geometry);
        let [dst, _, diff_src, diff_weights, diff_bias] = all::<f32>(Engine::Portable, &geometry, &case);
        let expected = definition(&geometry, &case.src, &case.weights, &case.bias);
        prop_assert!(distance(&dst, &expected) < 1e-5);
        // A convolution is linear in its input and in its weights: <g, Ax> = <A'g, x>, <g, Bw> = <B'g, w>.
        let dot = |a: &[f32], b: &[f32]| -> f64 {
            a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
        };
        let nothing = vec![0.0; case.bias.len()];
        let linear = definition(&geometry, &case.src, &case.weights, &nothing);
        let value = dot(&case.gradient, &linear);
        let slack = 1e-4 * (1.0 + dot(&case.gradient, &case.gradient).sqrt() * dot(&linear, &linear).sqrt());
        prop_assert!((dot(&diff_src, &case.src) - value).abs() < slack);
        prop_assert!((dot(&diff_weights, &case.weights) - value).abs() < slack);
        let sum: f64 = case.gradient.iter().map(|value| f64::from(*value)).sum();
        prop_assert!((dot(&diff_bias, &vec![1.0; diff_bias.len()]) - sum).abs() < slack);
    }

    #[test]
    fn onednn_equals_the_portable_path(geometry in geometries()) {
        if !has_onednn("onednn_equals_the_portable_path") {
            return Ok(());
        }
        let case = Case::new(&geometry);
        let portable = all::<f32>(Engine::Portable, &geometry, &case);
        let onednn = all::<f32>(Engine::OneDnn, &geometry, &case);
        for ((name, found), expected) in NAMES.iter().zip(&onednn).zip(&portable) {
            prop_assert!(distance(found, expected) < 1e-4, "{} by {}", name, distance(found, expected));
        }
        let portable = all::<bf16>(Engine::Portable, &geometry, &case);
        let onednn = all::<bf16>(Engine::OneDnn, &geometry, &case);
        for ((name, found), expected) in NAMES.iter().zip(&onednn).zip(&portable) {
            // Activations are rounded to 8 bits; gradients of weights are not.
            let slack = if matches!(*name, "weights" | "bias") { 1e-4 } else { 1.0 / 128.0 };
            prop_assert!(distance(found, expected) < slack, "bf16 {} by {}", name, distance(found, expected));
        }
    }

    #[test]
    fn matrix_products_are_the_definition(
        m in 1..40_usize, n in 1..40_usize, k in 1..40_usize, turn_a: bool, turn_b: bool,
    ) {
        let (a, b) = (noise(1, m * k), noise(2, k * n));
        let expected: Vec<f32> = (0..m * n)
            .map(|at| {
                let (row, column) = (at / n, at % n);
                (0..k)
                    .map(|i| {
                        let left = if turn_a { a[i * m + row] } else { a[row * k + i] };
                        let right = if turn_b { b[column * k + i] } else { b[i * n + column] };
                        left * right
                    })
                    .sum()
            })
            .collect();
        let mut engines = vec![Engine::Portable];
        if has_onednn("matrix_products_are_the_definition") {
            engines.push(Engine::OneDnn);
        }
        for engine in engines {
            let mut c = vec![9.0; m * n];
            matmul(engine, [m, n, k], [turn_a, turn_b], &a, &b, &mut c).unwrap();
            prop_assert!(distance(&c, &expected) < 1e-5);
            let (a, b) = (elements::<bf16>(&a), elements::<bf16>(&b));
            matmul(engine, [m, n, k], [turn_a, turn_b], &a, &b, &mut c).unwrap();
            prop_assert!(distance(&c, &expected) < 0.03);
        }
    }
}

#[test]
fn the_networks_own_shapes_agree() {
    if !has_onednn("the_networks_own_shapes_agree") {
        return;
    }
    for (ins, outs) in [(3, 32), (32, 16), (64, 32)] {
        for k in [1, 3, 5] {
            let geometry =
                ConvGeometry::new(ConvSpec::same(2, ins, outs, [4, 12, 14], [k; 3])).unwrap();
            let case = Case::new(&geometry);
            let expected = all::<f32>(Engine::Portable, &geometry, &case);
            let found = all::<f32>(Engine::OneDnn, &geometry, &case);
            for at in 0..5 {
                assert!(
                    distance(&found[at], &expected[at]) < 1e-4,
                    "{} of {ins}, k {k}",
                    NAMES[at]
                );
            }
            let expected = all::<bf16>(Engine::Portable, &geometry, &case);
            let found = all::<bf16>(Engine::OneDnn, &geometry, &case);
            for at in 0..5 {
                assert!(
                    distance(&found[at], &expected[at]) < 0.01,
                    "bf16 {} of {ins}, k {k}",
                    NAMES[at]
                );
            }
        }
    }
}

#[test]
fn wrong_lengths_are_refused_and_nothing_is_written() {
    let geometry = ConvGeometry::new(ConvSpec::same(1, 2, 3, [2, 3, 4], [3; 3])).unwrap();
    let case = Case::new(&geometry);
    for engine in [Engine::Portable, Engine::OneDnn] {
        let mut dst = vec![7.0_f32; geometry.output_len()];
        let short = &case.src[1..];
        let error = convolution_forward(engine, &geometry, short, &case.weights, None, &mut dst);
        assert_eq!(error, Err(KernelError::Length { what: "src", expected: 48, found: 47 }));
        let error =
            convolution_forward(engine, &geometry, &case.src, &case.weights[1..], None, &mut dst);
        assert!(matches!(error, Err(KernelError::Length { what: "weights", .. })));
        let error = convolution_forward(
            engine,
            &geometry,
            &case.src,
            &case.weights,
            Some(&[0.0]),
            &mut dst,
        );
        assert!(matches!(error, Err(KernelError::Length { what: "bias", .. })));
        let error =
            convolution_forward(engine, &geometry, &case.src, &case.weights, None, &mut dst[1..]);
        assert!(matches!(error, Err(KernelError::Length { what: "dst", .. })));
        assert!(dst.iter().all(|&value| value == 7.0));
        let mut diff = vec![7.0_f32; geometry.input_len() + 1];
        let error = convolution_backward_data(
            engine,
            &geometry,
            &case.gradient,
            &case.weights,
            &mut diff,
            false,
        );
        assert!(matches!(error, Err(KernelError::Length { what: "diff_src", .. })));
        let mut weights = vec![7.0_f32; geometry.weights_len()];
        let error = convolution_backward_weights(
            engine,
            &geometry,
            &case.src,
            &case.gradient,
            &mut weights,
            Some(&mut [0.0]),
        );
        assert!(matches!(error, Err(KernelError::Length { what: "diff_bias", .. })));
        let error = matmul(engine, [2, 2, 2], [false; 2], &[0.0_f32; 4], &[0.0; 3], &mut [0.0; 4]);
        assert!(matches!(error, Err(KernelError::Length { what: "b", .. })));
    }
}

#[test]
fn impossible_geometries_are_refused() {
    let spec = ConvSpec::same(1, 4, 4, [4, 4, 4], [3; 3]);
    assert!(ConvGeometry::new(spec).is_ok());
    for wrong in [
        ConvSpec { batch: 0, ..spec },
        ConvSpec { groups: 3, ..spec },
        ConvSpec { stride: [1, 0, 1], ..spec },
        ConvSpec { kernel: [7, 3, 3], ..spec },
        ConvSpec { dilation: [1, 1, 3], ..spec },
        ConvSpec { input: [4, usize::MAX / 2, 4], ..spec },
        ConvSpec { padding: [usize::MAX, 0, 0], ..spec },
    ] {
        assert!(matches!(ConvGeometry::new(wrong), Err(KernelError::Geometry(_))), "{wrong:?}");
    }
}

/// Asserts that oneDNN's path gives the portable one's numbers in both types.
fn agree(geometry: &ConvGeometry) {
    let case = Case::new(geometry);
    let expected = all::<f32>(Engine::Portable, geometry, &case);
    let found = all::<f32>(Engine::OneDnn, geometry, &case);
    for at in 0..5 {
        assert!(distance(&found[at], &expected[at]) < 1e-4, "{} of {geometry:?}", NAMES[at]);
    }
    let expected = all::<bf16>(Engine::Portable, geometry, &case);
    let found = all::<bf16>(Engine::OneDnn, geometry, &case);
    for at in 0..5 {
        assert!(distance(&found[at], &expected[at]) < 0.01, "bf16 {} of {geometry:?}", NAMES[at]);
    }
}

/// Input and output channels, input, kernel, stride, padding, dilation, groups.
type Row = (usize, usize, [usize; 3], [usize; 3], [usize; 3], [usize; 3], [usize; 3], usize);

/// Each of these came out wrong, or broke the heap, when given to oneDNN 2.6.3 as it is.
#[test]
fn what_onednn_gets_wrong_is_not_left_to_it() {
    if !has_onednn("what_onednn_gets_wrong_is_not_left_to_it") {
        return;
    }
    let rows: [Row; 8] = [
        (1, 1, [10, 6, 1], [3, 3, 3], [1, 1, 2], [1, 0, 1], [1, 1, 1], 1),
        (6, 9, [8, 1, 3], [1, 3, 4], [1, 2, 2], [0, 1, 2], [2, 1, 1], 3),
        (64, 64, [12, 7, 3], [3, 3, 2], [2, 1, 1], [0, 1, 2], [1, 1, 1], 1),
        (8, 8, [9, 10, 31], [2, 2, 2], [2, 2, 1], [0, 2, 0], [1, 2, 2], 1),
        (192, 96, [8, 4, 28], [2, 4, 2], [1, 1, 1], [1, 1, 1], [1, 1, 2], 3),
        (64, 32, [5, 3, 30], [2, 3, 2], [2, 1, 1], [1, 2, 1], [1, 2, 1], 1),
        (96, 32, [14, 10, 31], [5, 3, 3], [2, 1, 2], [0, 0, 1], [1, 1, 1], 2),
        (8, 8, [6, 5, 33], [1, 5, 1], [2, 1, 2], [0, 1, 0], [1, 1, 1], 1),
    ];
    for (in_channels, out_channels, input, kernel, stride, padding, dilation, groups) in rows {
        let spec = ConvSpec {
            batch: 2,
            in_channels,
            out_channels,
            input,
            kernel,
            stride,
            padding,
            dilation,
            groups,
        };
        agree(&ConvGeometry::new(spec).unwrap());
    }
}

#[test]
fn several_threads_may_share_a_plan() {
    if !has_onednn("several_threads_may_share_a_plan") {
        return;
    }
    std::thread::scope(|scope| {
        for thread in 0..4 {
            scope.spawn(move || {
                for round in 0..5 {
                    let size = [3, 5 + (thread + round) % 2, 6];
                    agree(&ConvGeometry::new(ConvSpec::same(1, 16, 16, size, [3; 3])).unwrap());
                }
            });
        }
    });
}
