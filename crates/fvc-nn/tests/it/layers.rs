//! What transformers are made of, by either engine: outputs and gradients.

use burn::backend::{Autodiff, Flex};
use burn::tensor::{DType, Tensor, TensorData};
use fvc_nn::{
    Context, Engine, Initial, LayerNorm, Linear, NetworkBackend, Precision, attention, gelu,
};
use proptest::prelude::*;

use crate::formula;
use crate::pytorch_parity::{host, skipped};

type Train = Autodiff<Flex>;

fn leaf<const D: usize>(name: &str, shape: [usize; D], bound: f64) -> Tensor<Train, D> {
    let values = formula::both_signs(name, shape.iter().product(), bound);
    Tensor::from_data(TensorData::new(values, shape), &Default::default()).require_grad()
}

/// The length of the difference over that of the second.
fn distance(found: &[f32], expected: &[f32]) -> f64 {
    assert_eq!(found.len(), expected.len());
    let length = |values: &mut dyn Iterator<Item = f64>| {
        values.map(|value| value * value).sum::<f64>().sqrt()
    };
    let apart = length(&mut found.iter().zip(expected).map(|(&a, &b)| f64::from(a) - f64::from(b)));
    let whole = length(&mut expected.iter().map(|&own| f64::from(own)));
    if whole > 1e-12 { apart / whole } else { apart }
}

/// The result of `layer` and the gradients of `leaves` for a made-up gradient from above.
fn run<const D: usize>(output: Tensor<Train, D>, leaves: &[Leaf]) -> Vec<Vec<f32>> {
    assert_eq!(output.dtype(), DType::F32);
    let shape = output.dims();
    let above = formula::both_signs("above", shape.iter().product(), 1.0);
    let above = Tensor::from_data(TensorData::new(above, shape), &Default::default());
    let gradients = (output.clone() * above).sum().backward();
    let mut found = vec![host(output)];
    for leaf in leaves {
        found.push(match leaf {
            Leaf::Row(own) => host(own.grad(&gradients).unwrap()),
            Leaf::Matrix(own) => host(own.grad(&gradients).unwrap()),
        });
    }
    found
}

enum Leaf {
    Row(Tensor<Train, 1>),
    Matrix(Tensor<Train, 2>),
}

fn linear(sizes: [usize; 3], biased: bool, format: DType, engine: Engine) -> Vec<Vec<f32>> {
    let [rows, width, out] = sizes;
    let input = leaf("input", [rows, width], 1.0);
    let weight = leaf("weight", [out, width], 0.5);
    let bias = leaf("bias", [out], 1.0);
    let given = biased.then(|| bias.clone());
    let output = Train::affine(input.clone(), weight.clone(), given, format, engine);
    let mut leaves = vec![Leaf::Matrix(input), Leaf::Matrix(weight)];
    leaves.extend(biased.then_some(Leaf::Row(bias)));
    run(output, &leaves)
}

/// Small and odd sizes, and one that is large enough for oneDNN in f32 too. The portable engine rounds its
/// results to bf16 once more, and so is off by a part in 256.
#[test]
fn linear_layers_of_both_engines_agree() {
    for sizes in [[1, 1, 1], [3, 5, 7], [17, 24, 1], [9, 33, 40], [200, 130, 170]] {
        for biased in [false, true] {
            for (format, tolerance) in [(DType::F32, 1e-4), (DType::BF16, 0.01)] {
                let fast = linear(sizes, biased, format, Engine::Fast);
                let portable = linear(sizes, biased, format, Engine::Portable);
                let exact = linear(sizes, biased, DType::F32, Engine::Portable);
                assert_eq!(fast.len(), if biased { 4 } else { 3 });
                for (at, (fast, portable)) in fast.iter().zip(&portable).enumerate() {
                    let apart = distance(fast, portable);
                    assert!(apart < tolerance, "{sizes:?}, {format:?}, {at}: {apart}");
                    assert!(distance(fast, &exact[at]) < tolerance, "{sizes:?}, {format:?}, {at}");
                }
            }
        }
    }
}

/// `engine = "portable"` reaches linear layers: in bf16 Burn rounds the sums to bf16, oneDNN does not, and
/// that is how one knows who computed. Before, oneDNN did either way.
#[test]
fn the_portable_engine_reaches_linear_layers() {
    if !fvc_kernels::onednn::status().is_available() {
        skipped("the_portable_engine_reaches_linear_layers", "no oneDNN: one engine only");
        return;
    }
    let output = |engine: Engine| {
        let layer = Linear::<Flex>::new([64, 32], 0.3, &mut Initial::new(3), &Default::default());
        let context = Context::<Flex>::evaluation(Precision::Bf16, engine);
        let values = formula::both_signs("input", 16 * 64, 1.0);
        let input =
            Tensor::<Flex, 2>::from_data(TensorData::new(values, [16, 64]), &Default::default());
        host(layer.forward(input, &context))
    };
    let are_bf16 =
        |values: &[f32]| values.iter().all(|value| value.to_bits().trailing_zeros() >= 16);
    assert!(are_bf16(&output(Engine::Portable)));
    assert!(!are_bf16(&output(Engine::Fast)));
}

fn attended(
    [count, heads, tokens, width]: [usize; 4],
    precision: Precision,
    engine: Engine,
) -> Vec<Vec<f32>> {
    let packed = leaf("packed", [count * tokens, 3 * heads * width], 2.0);
    let context = Context::<Train>::evaluation(precision, engine);
    let rows = packed.clone().reshape([count, tokens, 3 * heads * width]);
    let output = attention(rows, heads, None, 0.0, &context);
    run(output, &[Leaf::Matrix(packed)])
}

#[test]
fn attention_of_both_engines_agrees() {
    for shape in [[1, 1, 1, 1], [2, 3, 5, 8], [1, 2, 17, 12], [2, 3, 50, 16]] {
        for (precision, tolerance) in [(Precision::F32, 1e-4), (Precision::Bf16, 0.02)] {
            let fast = attended(shape, precision, Engine::Fast);
            let portable = attended(shape, precision, Engine::Portable);
            let exact = attended(shape, Precision::F32, Engine::Portable);
            for at in 0..2 {
                let apart = distance(&fast[at], &portable[at]);
                assert!(apart < tolerance, "{shape:?}, {precision:?}, {at}: {apart}");
                assert!(distance(&fast[at], &exact[at]) < tolerance, "{shape:?}, {precision:?}");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn row_layers_of_both_engines_agree(rows in 1..=20_usize, width in 1..=50_usize, bound in 0.1..9.0) {
        let gelus = [Engine::Fast, Engine::Portable].map(|engine| {
            let input = leaf("input", [rows, width], bound);
            let context = Context::<Train>::evaluation(Precision::F32, engine);
            run(gelu(input.clone(), &context), &[Leaf::Matrix(input)])
        });
        let norms = [Engine::Fast, Engine::Portable].map(|engine| {
            let input = leaf("input", [rows, width], bound);
            let context = Context::<Train>::evaluation(Precision::F32, engine);
            let mut norm = LayerNorm::<Train>::new(width, 0.01, &Default::default());
            let (weight, bias) = (leaf("norm.weight", [width], 1.5), leaf("norm.bias", [width], 1.0));
            norm.weight = norm.weight.map(|_| weight.clone());
            norm.bias = norm.bias.map(|_| bias.clone());
            let output = norm.forward(input.clone(), &context);
            run(output, &[Leaf::Matrix(input), Leaf::Row(weight), Leaf::Row(bias)])
        });
        for [fast, portable] in [gelus, norms] {
            prop_assert_eq!(fast.len(), portable.len());
            for (fast, portable) in fast.iter().zip(&portable) {
                for (own, other) in fast.iter().zip(portable) {
                    prop_assert!((own - other).abs() < 1e-4 * (1.0 + other.abs()), "{} {}", own, other);
                }
            }
        }
    }
}
