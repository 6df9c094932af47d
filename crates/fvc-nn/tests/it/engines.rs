//! Our kernels, Burn's operators and the low number formats give the same networks.

use burn::backend::{Autodiff, Flex};
use burn::tensor::{Tensor, TensorData};
use fvc_nn::{
    Context, CounterRandom, Engine, Loss, NamedGradients, Network, NetworkBackend, Precision,
    Targets, Window, backward,
};
use proptest::prelude::*;

use crate::formula;
use crate::pytorch_parity::{Case, golden, host, skipped};

type Train = Autodiff<Flex>;

/// Loss, log odds, gradients and the statistics that layers saw, of one training step.
struct Step {
    loss: f64,
    log_odds: Vec<f32>,
    gradients: Vec<(String, Vec<f32>)>,
    statistics: Vec<Vec<f32>>,
}

fn step(case: &Case, shape: [usize; 5], precision: Precision, engine: Engine) -> Step {
    let network: Network<Train> = formula::network(&case.config);
    // Half-precision floats have little range; gradients are divided by this again.
    let scale = if precision == Precision::F16 { 1024.0 } else { 1.0 };
    let golden = golden();
    let targets =
        Targets { labels: &golden.labels, weights: &golden.weights, loss: Loss::default(), scale };
    let context = Context::training(precision, engine, CounterRandom::new(&[1]));
    let mut gradients = NamedGradients::<Flex>::new();
    let clips = formula::clips_on_grid::<Flex>("input", case.shape, &case.sizes, shape);
    let outcome = backward(&network, clips, &targets, &context, false, &mut gradients);
    Step {
        loss: outcome.loss,
        log_odds: outcome.log_odds,
        gradients: gradients
            .into_iter()
            .map(|(name, gradient)| (name, host(gradient / scale)))
            .collect(),
        statistics: outcome
            .statistics
            .into_iter()
            .flat_map(|seen| [host(seen.mean), host(seen.variance)])
            .collect(),
    }
}

fn dot(left: &[f32], right: &[f32]) -> f64 {
    left.iter().zip(right).map(|(&own, &other)| f64::from(own) * f64::from(other)).sum()
}

/// The length of the difference over that of the second.
fn distance(found: &[f32], expected: &[f32]) -> f64 {
    assert_eq!(found.len(), expected.len());
    let difference: Vec<f32> = found.iter().zip(expected).map(|(own, other)| own - other).collect();
    (dot(&difference, &difference) / dot(expected, expected).max(f64::MIN_POSITIVE)).sqrt()
}

fn assert_same(name: &str, found: &Step, expected: &Step, tolerance: f64) {
    assert!((found.loss - expected.loss).abs() < tolerance * expected.loss, "{name}");
    assert!(distance(&found.log_odds, &expected.log_odds) < tolerance, "{name}");
    let total = expected.gradients.iter().map(|(_, own)| dot(own, own)).sum::<f64>().sqrt();
    for ((own, gradient), (other, expected)) in found.gradients.iter().zip(&expected.gradients) {
        assert_eq!(own, other);
        let length = dot(expected, expected).sqrt();
        let difference = distance(gradient, expected) * length;
        // A bias that a normalisation takes away has a gradient of 0 but for rounding.
        let scale = if length < 1e-6 * total { total } else { length };
        assert!(difference < tolerance * scale, "{name}, {own}: {difference} of {length}");
    }
    assert_eq!(found.statistics.len(), expected.statistics.len());
    for (own, other) in found.statistics.iter().zip(&expected.statistics) {
        assert!(distance(own, other) < tolerance, "{name}: {own:?} {other:?}");
    }
}

#[test]
fn both_engines_give_the_same_gradients() {
    for case in golden().cases {
        let fast = step(&case, case.shape, Precision::F32, Engine::Fast);
        let portable = step(&case, case.shape, Precision::F32, Engine::Portable);
        assert_same(&case.name, &fast, &portable, 1e-4);
    }
}

/// More padding around a batch changes nothing in training either: no output, no gradient, and no
/// statistic, which are of the clips alone.
#[test]
fn padding_changes_nothing_in_training() {
    for case in golden().cases {
        let [batch, frames, rows, columns, colours] = case.shape;
        // A vision transformer sees its whole square; only frames are padding there.
        let more = if case.config.backbone().is_some() { 0 } else { 3 };
        let larger = [batch, frames + 2, rows + more, columns + more, colours];
        for engine in [Engine::Fast, Engine::Portable] {
            let tight = step(&case, case.shape, Precision::F32, engine);
            let loose = step(&case, larger, Precision::F32, engine);
            assert_same(&format!("{}, {engine:?}", case.name), &loose, &tight, 1e-4);
        }
    }
}

/// The low formats come close to f32: a loss within two parts of a hundred, gradients in the same
/// direction.
fn assert_close_to_f32(precision: Precision, engine: Engine) {
    for case in golden().cases {
        let exact = step(&case, case.shape, Precision::F32, engine);
        let low = step(&case, case.shape, precision, engine);
        let loss = (low.loss - exact.loss).abs() / exact.loss;
        let all = |step: &Step| -> Vec<f32> {
            step.gradients.iter().flat_map(|(_, own)| own.iter().copied()).collect()
        };
        let (low, exact) = (all(&low), all(&exact));
        let cosine = dot(&low, &exact) / (dot(&low, &low) * dot(&exact, &exact)).sqrt();
        let name = &case.name;
        let turn = 1.0 - cosine;
        eprintln!("{name}, {precision:?}, {engine:?}: loss {loss:.1e}, 1 - cosine {turn:.1e}");
        assert!(loss < 0.02, "{name}, {engine:?}: {loss}");
        // Of a network as small as these, few maxima that fall otherwise are much: where bf16 turns
        // PyTorch's gradients further, ours may turn as far.
        let most = if precision == Precision::Bf16 { 1.2 * case.bf16_turn } else { 0.0 };
        assert!(turn < most.max(0.01), "{name}, {engine:?}: {turn}");
        // It is another format indeed.
        assert_ne!(low, exact, "{name}");
    }
}

#[test]
fn bf16_is_close_to_f32() {
    assert_close_to_f32(Precision::Bf16, Engine::Fast);
    assert_close_to_f32(Precision::Bf16, Engine::Portable);
}

#[test]
fn f16_is_close_to_f32() {
    assert_close_to_f32(Precision::F16, Engine::Portable);
}

/// Batch, channels of a group in and out, groups, and the input's grid.
type Sizes = (usize, usize, usize, usize, [usize; 3]);

fn windows() -> impl Strategy<Value = (Sizes, Window)> {
    let sizes = (
        1..=2_usize,
        1..=3_usize,
        1..=3_usize,
        1..=3_usize,
        [1..=4_usize, 1..=8_usize, 1..=8_usize],
    );
    let window = (
        [1..=3_usize, 1..=4_usize, 1..=4_usize],
        [1..=2_usize, 1..=3_usize, 1..=3_usize],
        [0..=2_usize, 0..=2_usize, 0..=2_usize],
        [1..=2_usize, 1..=2_usize, 1..=2_usize],
    );
    (sizes, window)
        .prop_map(|(sizes, (kernel, stride, padding, dilation))| {
            let window = Window { kernel, stride, padding, dilation, groups: sizes.3 };
            (sizes, window)
        })
        .prop_filter("the window fits into the padded input", |((_, _, _, _, grid), window)| {
            (0..3).all(|axis| window.reach()[axis] <= grid[axis] + 2 * window.padding[axis])
        })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    /// A convolution and its three gradients, through Burn's automatic differentiation.
    #[test]
    fn convolutions_are_those_of_the_portable_engine(
        ((batch, input, output, groups, grid), window) in windows(),
        biased: bool,
    ) {
        if !fvc_kernels::onednn::status().is_available() {
            skipped("convolutions_are_those_of_the_portable_engine", "no oneDNN: one engine only");
            return Ok(());
        }
        let [input, output] = [input * groups, output * groups];
        let random = |name: &str, shape: &[usize]| {
            let count = shape.iter().product();
            TensorData::new(formula::both_signs(name, count, 1.0), shape.to_vec())
        };
        let device = Default::default();
        let [frames, rows, columns] = grid;
        let [depth, height, width] = window.kernel;
        let run = |engine: Engine| {
            let leaf = |name: &str, shape: [usize; 5]| {
                Tensor::<Train, 5>::from_data(random(name, &shape), &device).require_grad()
            };
            let clip = leaf("clip", [batch, frames, rows, columns, input]);
            let weight = leaf("weight", [output, input / groups, depth, height, width]);
            let bias =
                Tensor::<Train, 1>::from_data(random("bias", &[output]), &device).require_grad();
            let given = biased.then(|| bias.clone());
            let result = Train::convolution(clip.clone(), weight.clone(), given, window, engine);
            let above = Tensor::from_data(random("above", &result.dims()), &device);
            let gradients = (result.clone() * above).sum().backward();
            let mut found = vec![
                host(result),
                host(clip.grad(&gradients).unwrap()),
                host(weight.grad(&gradients).unwrap()),
            ];
            found.extend(bias.grad(&gradients).map(host));
            found
        };
        let (fast, portable) = (run(Engine::Fast), run(Engine::Portable));
        prop_assert_eq!(fast.len(), portable.len());
        prop_assert_eq!(fast.len(), if biased { 4 } else { 3 });
        for (own, other) in fast.iter().zip(&portable) {
            prop_assert_eq!(own.len(), other.len());
            // A gradient may be all 0, where a stride leaps over everything but padding.
            for (own, other) in own.iter().zip(other) {
                prop_assert!((own - other).abs() < 1e-4 * (1.0 + other.abs()), "{} {}", own, other);
            }
        }
    }
}
