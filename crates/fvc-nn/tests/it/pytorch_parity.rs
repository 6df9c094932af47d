//! Our networks give what PyTorch's give: outputs, gradients, running statistics, optimiser steps. The
//! numbers are of `tools/golden/networks.py`.

use std::collections::BTreeMap;

use burn::backend::{Autodiff, Flex};
use burn::module::{AutodiffModule, Module};
use burn::tensor::Tensor;
use burn::tensor::backend::Backend;
use fvc_nn::{
    AdamW, AdamWConfig, Context, CounterRandom, Engine, Loss, NamedGradients, NetworkConfig,
    Precision, Schedule, Targets, Weights, backward, update_statistics,
};
use serde::Deserialize;

use crate::formula;

type Train = Autodiff<Flex>;

/// What is known of an array.
#[derive(Deserialize)]
struct Digest {
    shape: Vec<usize>,
    norm: f64,
    /// Its product with numbers of the formula: every value counts.
    probe: f64,
    values: Vec<f64>,
}

/// A small network.
#[derive(Deserialize)]
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) config: NetworkConfig,
    pub(crate) shape: [usize; 5],
    pub(crate) sizes: Vec<[usize; 3]>,
    evaluation: Vec<f64>,
    training: Vec<f64>,
    loss: f64,
    gradients: BTreeMap<String, Digest>,
    running: BTreeMap<String, Vec<f64>>,
    /// How far PyTorch's own bf16 turns the gradients: 1 less a cosine.
    pub(crate) bf16_turn: f64,
}

#[derive(Deserialize)]
struct OptimizerSettings {
    backbone_learning_rate: f64,
    head_learning_rate: f64,
    weight_decay: f64,
}

#[derive(Deserialize)]
struct OptimizerCase {
    config: NetworkConfig,
    settings: OptimizerSettings,
    warmup_steps: u64,
    steps: u64,
    factors: Vec<f64>,
    parameters: BTreeMap<String, Digest>,
}

/// A network of the default size.
#[derive(Deserialize)]
struct Whole {
    config: NetworkConfig,
    shape: [usize; 5],
    parameters: usize,
    evaluation: Vec<f64>,
}

/// timm's position embeddings for another grid.
#[derive(Deserialize)]
pub(crate) struct Positions {
    pub(crate) side: usize,
    pub(crate) new: usize,
    pub(crate) values: Vec<f64>,
}

#[derive(Deserialize)]
pub(crate) struct Golden {
    pub(crate) labels: Vec<f32>,
    pub(crate) weights: Vec<f32>,
    pub(crate) cases: Vec<Case>,
    pub(crate) positions: Vec<Positions>,
    optimizer: OptimizerCase,
    whole: Vec<Whole>,
}

pub(crate) fn golden() -> Golden {
    serde_json::from_str(include_str!("../golden/networks.json")).unwrap()
}

pub(crate) fn host<B: Backend, const D: usize>(tensor: Tensor<B, D>) -> Vec<f32> {
    tensor.into_data().convert::<f32>().to_vec().unwrap()
}

/// The length of the difference over the expected length.
fn distance(found: &[f32], expected: &[f64]) -> f64 {
    assert_eq!(found.len(), expected.len());
    let length = |values: &mut dyn Iterator<Item = f64>| {
        values.map(|value| value * value).sum::<f64>().sqrt()
    };
    let difference =
        length(&mut found.iter().zip(expected).map(|(own, other)| f64::from(*own) - other));
    difference / length(&mut expected.iter().copied())
}

/// How far an array is from its digest, over `scale`: of its norm, its product and its values the farthest.
fn digest_distance(name: &str, found: &[f32], expected: &Digest, scale: f64) -> f64 {
    let count = found.len();
    assert_eq!(count, expected.shape.iter().product::<usize>(), "{name}");
    let norm = found.iter().map(|&value| f64::from(value).powi(2)).sum::<f64>().sqrt();
    let probe = formula::both_signs(&format!("probe.{name}"), count, 1.0);
    let product: f64 =
        found.iter().zip(probe).map(|(&own, other)| f64::from(own) * f64::from(other)).sum();
    let taken = count.min(16);
    let values = expected.values.iter().enumerate().map(|(at, value)| {
        let own = f64::from(found[at * count / taken]);
        (own - value).abs()
    });
    [(norm - expected.norm).abs(), (product - expected.probe).abs()]
        .into_iter()
        .chain(values)
        .fold(0.0, f64::max)
        / scale
}

fn check_case(case: &Case, golden: &Golden, engine: Engine) {
    let Case { name, config, shape, sizes, .. } = case;
    let network = formula::network::<Train>(config);
    let clips = || formula::clips::<Flex>("input", *shape, sizes);
    let context = Context::evaluation(Precision::F32, engine);
    let outputs = host(network.valid().forward(clips(), &context));
    let evaluation = distance(&outputs, &case.evaluation);
    let context = Context::training(Precision::F32, engine, CounterRandom::new(&[1]));
    let outputs = host(network.valid().forward(clips(), &context));
    let training = distance(&outputs, &case.training);
    // Three steps, of which the first gives the gradients.
    let targets = Targets {
        labels: &golden.labels,
        weights: &golden.weights,
        loss: Loss::default(),
        scale: 1.0,
    };
    let mut stepped = network;
    let mut first = None;
    for input in ["input", "input.1", "input.2"] {
        let context = Context::training(Precision::F32, engine, CounterRandom::new(&[1]));
        let mut gradients = NamedGradients::<Flex>::new();
        let clips = formula::clips::<Flex>(input, *shape, sizes);
        let outcome = backward(&stepped, clips, &targets, &context, false, &mut gradients);
        stepped = update_statistics(stepped, outcome.statistics);
        first.get_or_insert((gradients, outcome.loss));
    }
    let (gradients, loss) = first.unwrap();
    let loss = (loss - case.loss).abs() / case.loss;
    assert!(gradients.keys().eq(case.gradients.keys()), "{name}");
    let total = case.gradients.values().map(|own| own.norm * own.norm).sum::<f64>().sqrt();
    let gradients = gradients.into_iter().map(|(name, gradient)| {
        let expected = &case.gradients[&name];
        // A bias that the normalisation behind it takes away has a gradient of 0 but for rounding.
        let scale = if expected.norm > 1e-9 * total { expected.norm } else { total };
        (digest_distance(&name, &host(gradient), expected, scale), name)
    });
    let (gradient, parameter) = gradients.max_by(|own, other| own.0.total_cmp(&other.0)).unwrap();
    let kept = Weights::of(&stepped.valid());
    let mut running = 0.0_f64;
    for (name, expected) in &case.running {
        for (own, other) in kept.by_name[name].values.iter().zip(expected) {
            running = running.max((f64::from(*own) - other).abs() / other.abs().max(1.0));
        }
    }
    eprintln!(
        "{name}, {engine:?}: evaluation {evaluation:.1e}, training {training:.1e}, loss {loss:.1e}, \
         gradients {gradient:.1e} ({parameter}), running statistics {running:.1e}"
    );
    assert!(evaluation < 1e-4 && training < 1e-4 && loss < 1e-4, "{name}, {engine:?}");
    assert!(gradient < 1e-4, "{name}, {engine:?}: {parameter} {gradient}");
    assert!(running < 1e-5, "{name}, {engine:?}");
}

/// Outputs in evaluation and training, the loss, every gradient and the running statistics, of every
/// architecture, padded and not, by either engine.
#[test]
fn networks_give_what_pytorch_gives() {
    let golden = golden();
    for case in &golden.cases {
        for engine in [Engine::Fast, Engine::Portable] {
            check_case(case, &golden, engine);
        }
    }
}

/// The names of a network are those of PyTorch's state dict, and so are the shapes.
#[test]
fn parameters_have_the_names_and_shapes_of_pytorch() {
    for case in golden().cases {
        let weights = Weights::of(&case.config.init::<Flex>(0, &Default::default()));
        let own: BTreeMap<_, _> =
            weights.by_name.iter().map(|(name, own)| (name.as_str(), own.shape.clone())).collect();
        let expected: BTreeMap<_, _> = (case.gradients.iter())
            .map(|(name, gradient)| (name.as_str(), gradient.shape.clone()))
            .chain(case.running.iter().map(|(name, own)| (name.as_str(), vec![own.len()])))
            .collect();
        assert_eq!(own, expected, "{}", case.name);
    }
}

/// Five steps through warm-up and cosine, with a rate for the backbone, another for the rest, and decay
/// for weights only, move parameters as `torch.optim.AdamW` moves them.
#[test]
fn the_optimiser_moves_parameters_as_pytorch_does() {
    let case = golden().optimizer;
    let config = AdamWConfig {
        backbone_learning_rate: case.settings.backbone_learning_rate,
        head_learning_rate: case.settings.head_learning_rate,
        weight_decay: case.settings.weight_decay,
        ..AdamWConfig::default()
    };
    let schedule = Schedule { warmup_steps: case.warmup_steps, steps: case.steps, last_share: 0.0 };
    let mut network = formula::network::<Train>(&case.config);
    let mut optimizer = AdamW::<Flex>::new(config);
    let shapes = Weights::of(&network.valid());
    for (step, expected) in case.factors.iter().enumerate() {
        let factor = schedule.factor(step as u64);
        assert!((factor - expected).abs() < 1e-8, "{step}: {factor} {expected}");
        let mut gradients = NamedGradients::<Flex>::new();
        for (name, weight) in &shapes.by_name {
            let count = weight.values.len();
            let values = formula::both_signs(&format!("gradient.{step}.{name}"), count, 1.0);
            let row = Tensor::from_floats(values.as_slice(), &Default::default());
            gradients.insert(name.clone(), row);
        }
        network = optimizer.step(network, &gradients, 1.0, factor);
    }
    let moved = Weights::of(&network.valid());
    let mut farthest = 0.0_f64;
    for (name, expected) in &case.parameters {
        let own = &moved.by_name[name];
        assert_eq!(own.shape, expected.shape);
        farthest = farthest.max(digest_distance(name, &own.values, expected, expected.norm));
    }
    eprintln!("AdamW: {farthest:.1e}");
    assert!(farthest < 1e-5, "{farthest}");
}

/// Networks of the default size have as many parameters as their twins in PyTorch and timm, and score a
/// clip as they do.
#[test]
fn slow_networks_of_the_default_size_score_as_in_pytorch() {
    if std::env::var_os("FVC_SLOW").is_none() {
        let test = "slow_networks_of_the_default_size_score_as_in_pytorch";
        skipped(test, "slow: run by `make test-slow`");
        return;
    }
    for case in golden().whole {
        let network = formula::network::<Flex>(&case.config);
        let weights = Weights::of(&network);
        let is_parameter = |name: &str| !name.contains("running_");
        let count = (weights.by_name.iter().filter(|(name, _)| is_parameter(name)))
            .map(|(_, weight)| weight.values.len())
            .sum::<usize>();
        assert_eq!(count, case.parameters, "{:?}", case.config);
        assert!(network.num_params() >= count);
        let [batch, frames, rows, columns, _] = case.shape;
        for engine in [Engine::Fast, Engine::Portable] {
            let clips =
                formula::clips::<Flex>("input", case.shape, &vec![[frames, rows, columns]; batch]);
            let context = Context::evaluation(Precision::F32, engine);
            let found = distance(&host(network.forward(clips, &context)), &case.evaluation);
            eprintln!("{:?}, {engine:?}: {found:.1e}", case.config);
            assert!(found < 1e-4, "{:?}, {engine:?}: {found}", case.config);
        }
    }
}

/// Says that a test was not run.
pub(crate) fn skipped(test: &str, why: &str) {
    let line = format!("SKIP {test}: {why}\n");
    eprint!("{line}");
    if let Ok(log) = std::env::var("FVC_SKIP_LOG") {
        use std::io::Write as _;
        let mut log = std::fs::OpenOptions::new().create(true).append(true).open(log).unwrap();
        log.write_all(line.as_bytes()).unwrap();
    }
}
