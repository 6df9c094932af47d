//! The time of one training step, for `tools/bench-training-step`, which sets it beside PyTorch's.
//!
//! `cargo bench -p fvc-nn --bench training_step -- MODEL FRAMES ROWS COLUMNS BATCH PRECISION ROUNDS
//! [forward|blocks]` prints one line of JSON: the median of the rounds in seconds and the peak resident memory.
//! `forward` stops before the backward pass; `blocks` runs each block a second time for its gradients.

#![allow(missing_docs, clippy::print_stdout, clippy::unwrap_used, clippy::expect_used)]

use std::time::Instant;

use burn::backend::{Autodiff, Flex};
use burn::tensor::{Tensor, TensorData};
use fvc_nn::{
    Activation, AdamW, AdamWConfig, Context, CounterRandom, Engine, Extents, Loss, NaiveCnnConfig,
    NamedGradients, Network, NetworkConfig, Precision, Targets, VariableArCnnConfig, VitGruConfig,
    VitTransformerConfig, backward,
};

type Train = Autodiff<Flex>;

fn peak_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmHWM"));
    line.and_then(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok()).unwrap_or(0) / 1024
}

fn main() {
    let given: Vec<String> =
        std::env::args().skip(1).filter(|own| !own.starts_with("--")).collect();
    let words: Vec<&str> = given.iter().map(String::as_str).collect();
    let words = if words.len() < 7 {
        vec!["variable_ar_cnn", "8", "64", "64", "2", "f32", "3"]
    } else {
        words
    };
    let number = |at: usize| words[at].parse::<usize>().expect("a number");
    let config = match words[0] {
        "naive_cnn" => NetworkConfig::NaiveCnn(NaiveCnnConfig::default()),
        "vit_gru" => NetworkConfig::VitGru(VitGruConfig::default()),
        "vit_transformer" => NetworkConfig::VitTransformer(VitTransformerConfig::default()),
        _ => NetworkConfig::VariableArCnn(VariableArCnnConfig::default()),
    };
    let (grid, batch) = ([number(1), number(2), number(3)], number(4));
    let precision = match words[5] {
        "bf16" => Precision::Bf16,
        _ => Precision::F32,
    };
    let forward_only = words.get(7) == Some(&"forward");
    let by_block = words.get(7) == Some(&"blocks");
    let device = burn::backend::flex::FlexDevice;
    let random = CounterRandom::new(&[1]);
    let shape = [batch, grid[0], grid[1], grid[2], 3];
    let values: Vec<f32> =
        (0..shape.iter().product::<usize>() as u64).map(|at| random.normal(at)).collect();
    let clip = || {
        let tensor = Tensor::<Flex, 5>::from_data(TensorData::new(values.clone(), shape), &device);
        Activation::of_clip(tensor, Extents::full(batch, grid))
    };
    let labels: Vec<f32> = (0..batch).map(|at| (at % 2) as f32).collect();
    let weights = vec![1.0; batch];
    let mut network: Network<Train> = config.init(1, &device);
    let mut optimizer = AdamW::new(AdamWConfig::default());
    let mut seconds = Vec::new();
    let mut scoring = None;
    for round in 0..=number(6) {
        let input = clip();
        let start = Instant::now();
        if forward_only {
            use burn::module::AutodiffModule;
            let context = Context::evaluation(precision, Engine::Fast);
            let scoring = scoring.get_or_insert_with(|| network.valid().for_scoring(precision));
            let output = scoring.forward(input, &context);
            std::hint::black_box(output.into_data());
        } else {
            let key = CounterRandom::new(&[round as u64]);
            let context = Context::training(precision, Engine::Fast, key);
            let targets =
                Targets { labels: &labels, weights: &weights, loss: Loss::default(), scale: 1.0 };
            let mut sums = NamedGradients::new();
            let outcome = backward(&network, input, &targets, &context, by_block, &mut sums);
            std::hint::black_box(outcome.loss);
            network = optimizer.step(network, &sums, 1.0, 1.0);
        }
        if round > 0 {
            seconds.push(start.elapsed().as_secs_f64());
        }
    }
    seconds.sort_by(f64::total_cmp);
    println!(
        "{{\"model\": \"{}\", \"seconds\": {:.4}, \"spread\": [{:.4}, {:.4}], \"peak_mib\": {}}}",
        words[0],
        seconds[seconds.len() / 2],
        seconds[0],
        seconds[seconds.len() - 1],
        peak_mib()
    );
}
