//! What transformers do between their products, against definitions in `f64`; batches of products.

use fvc_kernels::{
    Engine, PackedHeads, bf16, from_f32, gelu_backward, gelu_forward, gelu_of_product, join_heads,
    layer_norm_backward, layer_norm_forward, matmul_of_batch, onednn, product_of_batch,
    softmax_backward, softmax_forward, split_heads, sum_rows, sum_squares, to_f32,
};
use proptest::prelude::*;

fn numbers(count: usize, seed: u64, bound: f32) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    (0..count)
        .map(|_| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            ((state >> 40) as f32 / 8_388_608.0 - 1.0) * bound
        })
        .collect()
}

/// The share of the normal distribution below x, by the sum of its density in small steps (Simpson).
fn normal_below(x: f64) -> f64 {
    let steps = 4000;
    let width = x / f64::from(steps);
    let density = |at: f64| (-0.5 * at * at).exp() / (2.0 * std::f64::consts::PI).sqrt();
    let sum: f64 = (0..=steps)
        .map(|step| {
            let weight = match step {
                0 => 1.0,
                step if step == steps => 1.0,
                step if step % 2 == 1 => 4.0,
                _ => 2.0,
            };
            weight * density(f64::from(step) * width)
        })
        .sum();
    0.5 + sum * width / 3.0
}

/// From where it is as good as 0 to where it is x itself.
#[test]
fn gelu_and_its_gradient_are_the_definitions() {
    let input: Vec<f32> = (-140..=140).map(|at| at as f32 / 10.0).collect();
    let above = numbers(input.len(), 3, 2.0);
    let mut output = vec![0.0; input.len()];
    let mut gradient = vec![0.0; input.len()];
    gelu_forward(&input, &mut output).unwrap();
    gelu_backward(&input, &above, &mut gradient).unwrap();
    for at in 0..input.len() {
        let x = f64::from(input[at]);
        let below = normal_below(x);
        let density = (-0.5 * x * x).exp() / (2.0 * std::f64::consts::PI).sqrt();
        let expected = x * below;
        let difference = (f64::from(output[at]) - expected).abs();
        assert!(difference < 5e-7 * (1.0 + x.abs()), "{x}: {} {expected}", output[at]);
        let expected = f64::from(above[at]) * (below + x * density);
        let difference = (f64::from(gradient[at]) - expected).abs();
        assert!(difference < 2e-6, "{x}: {} {expected}", gradient[at]);
    }
    let mut lost = [0.0];
    gelu_forward(&[f32::NAN], &mut lost).unwrap();
    assert!(lost[0].is_nan());
}

fn close(found: &[f32], expected: &[f64], tolerance: f64) -> Result<(), TestCaseError> {
    prop_assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(expected) {
        let difference = (f64::from(*found) - expected).abs();
        prop_assert!(difference < tolerance * (1.0 + expected.abs()), "{} {}", found, expected);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn softmax_and_its_gradient_are_the_definitions(
        (rows, width) in (1..=40_usize, 1..=90_usize), seed: u64, bound in 0.1..60.0_f32,
    ) {
        let scores = numbers(rows * width, seed, bound);
        let above = numbers(rows * width, seed ^ 1, 1.0);
        let mut weights = vec![0.0_f32; scores.len()];
        softmax_forward(&mut scores.clone(), width, &mut weights).unwrap();
        let mut low = vec![bf16::ZERO; scores.len()];
        softmax_forward(&mut scores.clone(), width, &mut low).unwrap();
        let mut of_scores = vec![0.0_f32; scores.len()];
        softmax_backward(&weights, &mut above.clone(), width, &mut of_scores).unwrap();
        let (mut expected, mut expected_gradient) = (Vec::new(), Vec::new());
        for (scores, above) in scores.chunks(width).zip(above.chunks(width)) {
            let most = scores.iter().copied().fold(f32::MIN, f32::max);
            let powers: Vec<f64> = scores.iter().map(|&own| f64::from(own - most).exp()).collect();
            let total: f64 = powers.iter().sum();
            let own: Vec<f64> = powers.iter().map(|power| power / total).collect();
            let mean: f64 = own.iter().zip(above).map(|(a, &b)| a * f64::from(b)).sum();
            expected_gradient
                .extend(own.iter().zip(above).map(|(a, &b)| a * (f64::from(b) - mean)));
            expected.extend(own);
        }
        close(&weights, &expected, 1e-6)?;
        close(&of_scores, &expected_gradient, 2e-6)?;
        let low: Vec<f32> = low.iter().map(|own| own.to_f32()).collect();
        close(&low, &expected, 1.0 / 256.0)?;
    }

    #[test]
    fn layer_normalisation_and_its_gradients_are_the_definitions(
        (rows, width) in (1..=70_usize, 1..=70_usize), seed: u64, offset in -1000.0..1000.0_f32,
    ) {
        let input: Vec<f32> = numbers(rows * width, seed, 2.0).iter().map(|own| own + offset).collect();
        let (weight, bias) = (numbers(width, seed ^ 1, 1.5), numbers(width, seed ^ 2, 1.0));
        let above = numbers(rows * width, seed ^ 3, 1.0);
        let epsilon = 1e-2_f32;
        let mut output = vec![0.0; input.len()];
        let kept = layer_norm_forward(&input, &weight, &bias, epsilon, &mut output).unwrap();
        let mut of_input = vec![0.0; input.len()];
        let (of_weight, of_bias) =
            layer_norm_backward(&input, &weight, &kept, &above, &mut of_input).unwrap();
        let (mut expected, mut expected_input) = (Vec::new(), Vec::new());
        let (mut expected_weight, mut expected_bias) = (vec![0.0; width], vec![0.0; width]);
        let count = width as f64;
        for (input, above) in input.chunks(width).zip(above.chunks(width)) {
            let mean = input.iter().map(|&own| f64::from(own)).sum::<f64>() / count;
            let variance = input.iter().map(|&own| (f64::from(own) - mean).powi(2)).sum::<f64>() / count;
            let inverse = 1.0 / (variance + f64::from(epsilon)).sqrt();
            let normal: Vec<f64> = input.iter().map(|&own| (f64::from(own) - mean) * inverse).collect();
            let scaled: Vec<f64> =
                above.iter().zip(&weight).map(|(&a, &b)| f64::from(a) * f64::from(b)).collect();
            let plain = scaled.iter().sum::<f64>() / count;
            let product = scaled.iter().zip(&normal).map(|(a, b)| a * b).sum::<f64>() / count;
            for at in 0..width {
                expected.push(normal[at] * f64::from(weight[at]) + f64::from(bias[at]));
                expected_input.push(inverse * (scaled[at] - plain - normal[at] * product));
                expected_weight[at] += f64::from(above[at]) * normal[at];
                expected_bias[at] += f64::from(above[at]);
            }
        }
        // Numbers around 1000 are known to 6e-5 only, and may lie 100 times as far from one another after.
        let tolerance = 1e-5 + f64::from(offset.abs()) * 2e-6;
        close(&output, &expected, tolerance)?;
        close(&of_input, &expected_input, 10.0 * tolerance)?;
        close(&of_weight, &expected_weight, 10.0 * tolerance)?;
        close(&of_bias, &expected_bias, 1e-5)?;
        close(&sum_rows(&above, width).unwrap(), &expected_bias, 1e-5)?;
    }

    /// Each product of a batch is the one that its matrices alone give, in either engine, type and order.
    #[test]
    fn products_of_a_batch_are_the_definitions(
        (batch, m, n, k) in (1..=5_usize, 1..=40_usize, 1..=40_usize, 1..=70_usize),
        turned: [bool; 2], biased: bool, low: bool, seed: u64,
    ) {
        let round = |values: Vec<f32>| -> Vec<f32> {
            values.into_iter().map(|own| bf16::from_f32(own).to_f32()).collect()
        };
        let a = round(numbers(batch * m * k, seed, 1.0));
        let b = round(numbers(batch * k * n, seed ^ 1, 1.0));
        let bias = numbers(n, seed ^ 2, 1.0);
        let mut expected = Vec::new();
        for one in 0..batch {
            for (row, column) in (0..m).flat_map(|row| (0..n).map(move |column| (row, column))) {
                let sum: f64 = (0..k)
                    .map(|inner| {
                        let a = a[one * m * k + if turned[0] { inner * m + row } else { row * k + inner }];
                        let b = b[one * k * n + if turned[1] { column * k + inner } else { inner * n + column }];
                        f64::from(a) * f64::from(b)
                    })
                    .sum();
                expected.push(sum + if biased { f64::from(bias[column]) } else { 0.0 });
            }
        }
        let bias = biased.then_some(&bias[..]);
        let mut engines = vec![Engine::Portable];
        engines.extend(onednn::status().is_available().then_some(Engine::OneDnn));
        for engine in engines {
            let mut c = vec![f32::NAN; batch * m * n];
            if low {
                let mut of_a = vec![bf16::ZERO; a.len()];
                let mut of_b = vec![bf16::ZERO; b.len()];
                from_f32(&a, &mut of_a).unwrap();
                from_f32(&b, &mut of_b).unwrap();
                matmul_of_batch(engine, batch, [m, n, k], turned, &of_a, &of_b, bias, &mut c).unwrap();
                let own = product_of_batch(engine, batch, [m, n, k], turned, &of_a, &of_b, bias).unwrap();
                assert!(own.iter().zip(&c).all(|(own, c)| own.to_bits() == c.to_bits()));
                assert_eq!(own.len(), c.len());
            } else {
                matmul_of_batch(engine, batch, [m, n, k], turned, &a, &b, bias, &mut c).unwrap();
            }
            close(&c, &expected, 2e-5)?;
        }
    }

    /// In one pass or in two: GELU of a product is the same, but for the last place of what is rounded.
    #[test]
    fn gelu_of_a_product_is_that_of_the_two(
        [m, n, k] in [1_usize..40, 1_usize..70, 1_usize..50],
        biased: bool,
        seed: u64,
    ) {
        let (a, b) = (numbers(m * k, seed, 1.0), numbers(n * k, seed ^ 1, 1.0));
        let bias = numbers(n, seed ^ 2, 1.0);
        let bias = biased.then_some(&bias[..]);
        let mut engines = vec![Engine::Portable];
        engines.extend(onednn::status().is_available().then_some(Engine::OneDnn));
        let (mut of_a, mut of_b) = (vec![bf16::ZERO; a.len()], vec![bf16::ZERO; b.len()]);
        from_f32(&a, &mut of_a).unwrap();
        from_f32(&b, &mut of_b).unwrap();
        for engine in engines {
            let turned = [false, true];
            let products = product_of_batch(engine, 1, [m, n, k], turned, &a, &b, bias).unwrap();
            let mut expected = vec![0.0; products.len()];
            gelu_forward(&products, &mut expected).unwrap();
            let own = gelu_of_product(engine, [m, n, k], &a, &b, bias).unwrap();
            prop_assert_eq!(own, expected);
            let products =
                product_of_batch(engine, 1, [m, n, k], turned, &of_a, &of_b, bias).unwrap();
            let mut expected = vec![0.0; products.len()];
            gelu_forward(&products, &mut expected).unwrap();
            let own = gelu_of_product(engine, [m, n, k], &of_a, &of_b, bias).unwrap();
            prop_assert_eq!(own.len(), expected.len());
            for (own, expected) in own.iter().zip(expected) {
                let near = (own.to_f32() - expected).abs() <= 1e-6 + expected.abs() / 128.0;
                prop_assert!(near, "{} {}", own, expected);
            }
        }
    }

    /// Rounded to the nearest, ties to even, as `half` does it; and back.
    #[test]
    fn conversions_are_those_of_half(bits: [u32; 40]) {
        let from = bits.map(f32::from_bits);
        let mut to = [bf16::ZERO; 40];
        from_f32(&from, &mut to).unwrap();
        let mut back = [0.0; 40];
        to_f32(&to, &mut back).unwrap();
        for ((from, to), back) in from.iter().zip(to).zip(back) {
            prop_assert_eq!(to.to_bits(), bf16::from_f32(*from).to_bits());
            prop_assert_eq!(back.to_bits(), u32::from(to.to_bits()) << 16);
        }
    }
}

#[test]
fn slices_of_another_length_are_refused() {
    assert!(gelu_forward(&[0.0; 3], &mut [0.0_f32; 4]).is_err());
    assert!(softmax_forward(&mut [0.0; 5], 2, &mut [0.0_f32; 5]).is_err());
    assert!(softmax_forward(&mut [0.0; 4], 0, &mut [0.0_f32; 4]).is_err());
    assert!(layer_norm_forward(&[0.0; 4], &[1.0; 3], &[0.0; 3], 1e-6, &mut [0.0_f32; 4]).is_err());
    assert!(layer_norm_forward::<f32>(&[], &[], &[], 1e-6, &mut []).is_err());
    assert!(sum_rows(&[0.0; 5], 2).is_err());
    assert!(from_f32(&[0.0; 2], &mut [bf16::ZERO; 3]).is_err());
    let no = matmul_of_batch(
        Engine::Portable,
        2,
        [1, 1, 1],
        [false; 2],
        &[1.0_f32],
        &[1.0],
        None,
        &mut [0.0; 2],
    );
    assert!(no.is_err());
}

/// Each number where its picture, row, part and head say, and back; scaled, and rounded once.
#[test]
fn heads_are_taken_apart_and_joined() {
    for [pictures, tokens, heads, width] in [[1, 1, 1, 1], [2, 3, 4, 5], [3, 17, 2, 8]] {
        let shape = PackedHeads { pictures, tokens, heads, width };
        let each = pictures * tokens * heads * width;
        let packed: Vec<f32> = (0..3 * each).map(|at| (at as f32 * 0.37).sin()).collect();
        let scales = [0.5, 1.0, -2.0];
        let mut parts = vec![vec![f32::NAN; each]; 3];
        let mut slices: Vec<&mut [f32]> = parts.iter_mut().map(Vec::as_mut_slice).collect();
        split_heads(shape, &packed, &scales, &mut slices).unwrap();
        let mut low = vec![bf16::NAN; each];
        let row = heads * width;
        let first: Vec<f32> = packed.chunks(3 * row).flat_map(|own| own[..row].to_vec()).collect();
        split_heads(shape, &first, &scales[..1], &mut [&mut low]).unwrap();
        assert!(low.iter().zip(&parts[0]).all(|(low, own)| *low == bf16::from_f32(*own)));
        for picture in 0..pictures {
            for token in 0..tokens {
                for (part, scale) in scales.iter().enumerate() {
                    for head in 0..heads {
                        for at in 0..width {
                            let column = (part * heads + head) * width + at;
                            let from = packed[(picture * tokens + token) * 3 * row + column];
                            let to = ((picture * heads + head) * tokens + token) * width + at;
                            assert_eq!(parts[part][to], from * scale);
                        }
                    }
                }
            }
        }
        let mut joined = vec![f32::NAN; 3 * each];
        let slices: Vec<&[f32]> = parts.iter().map(Vec::as_slice).collect();
        join_heads(shape, &slices, &[2.0, 1.0, -0.5], &mut joined).unwrap();
        assert_eq!(joined, packed);
    }
    let shape = PackedHeads { pictures: 1, tokens: 2, heads: 2, width: 2 };
    assert!(split_heads(shape, &[0.0; 7], &[1.0], &mut [&mut [0.0_f32; 8]]).is_err());
    assert!(split_heads(shape, &[0.0; 8], &[], &mut [&mut [0.0_f32; 8]]).is_err());
    assert!(join_heads(shape, &[&[0.0; 7]], &[1.0], &mut [0.0; 8]).is_err());
    let none = PackedHeads { heads: 0, ..shape };
    assert!(join_heads(none, &[&[]], &[1.0], &mut []).is_err());
}

/// Burn's own sum takes another order where numbers lie otherwise in memory; gradients of two ranks had lengths
/// that differed in the last bit then, and weights that drifted apart.
#[test]
fn sums_of_squares_have_the_same_bits_wherever_they_lie() {
    let values: Vec<f32> = (0..100_003).map(|at| (at as f32 * 0.11).sin() * 1e3).collect();
    let exact: f64 = values.iter().map(|&value| f64::from(value).powi(2)).sum();
    let first = sum_squares(&values);
    assert!((first - exact).abs() < 1e-12 * exact);
    for shift in 1..16 {
        let mut shifted = vec![0.0; shift];
        shifted.extend_from_slice(&values);
        assert_eq!(sum_squares(&shifted[shift..]).to_bits(), first.to_bits());
    }
    assert_eq!(sum_squares(&[]), 0.0);
    assert_eq!(sum_squares(&[1e30, -1e30]), 2.0 * f64::from(1e30_f32).powi(2));
    assert!(sum_squares(&[1.0, f32::NAN]).is_nan());
}
