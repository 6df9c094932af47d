//! What a device computes, against the processor. GPU.md says how to run these and what they last gave.

use std::io::Write as _;
use std::sync::atomic::{AtomicBool, Ordering};

use burn::backend::{Autodiff, Cuda, Flex};
use burn::module::AutodiffModule as _;
use burn::tensor::{Tensor, TensorData};
use fvc_nn::{
    Activation, Context, CounterRandom, Engine, Extents, Loss, NamedGradients, Network,
    NetworkBackend, NetworkConfig, NetworkError, Precision, Targets, TrainBackend, TrainerConfig,
    TrainingEvent, TrainingJob, Weights, backward, log_odds, train,
};

use crate::training::{corpus, small_networks};

type OnDevice = Autodiff<Cuda>;
type OnProcessor = Autodiff<Flex>;

/// Whether there is a device; says that the test is skipped when not.
fn has_device(test: &str) -> bool {
    if std::path::Path::new("/dev/nvidia0").exists() {
        return true;
    }
    let line = format!("SKIP {test}: no NVIDIA device\n");
    eprint!("{line}");
    if let Ok(log) = std::env::var("FVC_SKIP_LOG") {
        let mut log = std::fs::OpenOptions::new().append(true).create(true).open(log).unwrap();
        log.write_all(line.as_bytes()).unwrap();
    }
    false
}

const GRID: [usize; 3] = [4, 16, 16];

/// Three clips, of which one is shorter.
fn clips<B: NetworkBackend>() -> Activation<B> {
    let extents = Extents::new(vec![GRID, [2, GRID[1], GRID[2]], GRID]);
    let random = CounterRandom::new(&[17]);
    let mask = extents.mask(GRID);
    let shape = [3, GRID[0], GRID[1], GRID[2], 3];
    let values: Vec<f32> = (0..shape.iter().product::<usize>())
        .map(|at| mask[at / 3] * random.normal(at as u64))
        .collect();
    Activation::of_clip(
        Tensor::from_data(TensorData::new(values, shape), &B::Device::default()),
        extents,
    )
}

fn scores<B: NetworkBackend>(config: &NetworkConfig) -> Vec<f32> {
    let network: Network<B> = config.init(3, &B::Device::default());
    let context = Context::evaluation(Precision::F32, Engine::Fast);
    let scores = log_odds(network.forward(clips(), &context)).into_data();
    scores.convert::<f32>().to_vec().unwrap()
}

/// Loss, and gradients one after the other.
fn gradients<B: TrainBackend>(
    config: &NetworkConfig,
    precision: Precision,
    by_block: bool,
) -> (f64, Vec<f32>) {
    let network: Network<B> = config.init(3, &B::Device::default());
    let context = Context::training(precision, Engine::Fast, CounterRandom::new(&[9]));
    let scale = if precision == Precision::F16 { 1024.0 } else { 1.0 };
    let targets =
        Targets { labels: &[0.0, 1.0, 1.0], weights: &[1.0; 3], loss: Loss::default(), scale };
    let mut sums = NamedGradients::new();
    let outcome = backward(&network, clips(), &targets, &context, by_block, &mut sums);
    let values = sums
        .into_values()
        .flat_map(|own| own.into_data().convert::<f32>().to_vec::<f32>().unwrap())
        .map(|value| value / scale as f32)
        .collect();
    (outcome.loss, values)
}

/// The length of the difference over the length of the first.
fn apart(first: &[f32], second: &[f32]) -> f64 {
    assert_eq!(first.len(), second.len());
    let length = |values: &mut dyn Iterator<Item = f32>| {
        values.map(|value| f64::from(value).powi(2)).sum::<f64>().sqrt()
    };
    let difference = length(&mut first.iter().zip(second).map(|(first, second)| first - second));
    difference / length(&mut first.iter().copied()).max(1e-12)
}

#[test]
fn cuda_scores_as_the_processor_does() {
    if !has_device("cuda_scores_as_the_processor_does") {
        return;
    }
    for config in small_networks() {
        let apart = apart(&scores::<Flex>(&config), &scores::<Cuda>(&config));
        eprintln!("{apart:.2e} {config:?}");
        assert!(apart < 1e-3, "{apart}: {config:?}");
    }
}

#[test]
fn cuda_has_the_processors_gradients() {
    if !has_device("cuda_has_the_processors_gradients") {
        return;
    }
    for config in small_networks() {
        let (loss, processor) = gradients::<OnProcessor>(&config, Precision::F32, false);
        let (other, device) = gradients::<OnDevice>(&config, Precision::F32, false);
        let apart = apart(&processor, &device);
        eprintln!("{apart:.2e} {config:?}");
        assert!((loss - other).abs() < 1e-3 * loss, "{loss} {other}: {config:?}");
        assert!(apart < 1e-2, "{apart}: {config:?}");
    }
}

#[test]
fn cuda_in_low_precision_has_gradients_near_those_in_f32() {
    if !has_device("cuda_in_low_precision_has_gradients_near_those_in_f32") {
        return;
    }
    for config in small_networks() {
        let (loss, full) = gradients::<OnDevice>(&config, Precision::F32, false);
        for precision in [Precision::Bf16, Precision::F16] {
            let (other, low) = gradients::<OnDevice>(&config, precision, false);
            let apart = apart(&full, &low);
            eprintln!("{apart:.2e} {precision:?} {config:?}");
            assert!((loss - other).abs() < 0.05 * loss, "{precision:?} {loss} {other}: {config:?}");
            assert!(apart < 0.2, "{precision:?} {apart}: {config:?}");
        }
    }
}

#[test]
fn cuda_has_the_same_gradients_block_by_block() {
    if !has_device("cuda_has_the_same_gradients_block_by_block") {
        return;
    }
    for config in small_networks() {
        let (_, whole) = gradients::<OnDevice>(&config, Precision::F32, false);
        let (_, blocks) = gradients::<OnDevice>(&config, Precision::F32, true);
        let apart = apart(&whole, &blocks);
        eprintln!("{apart:.2e} {config:?}");
        assert!(apart < 1e-4, "{apart}: {config:?}");
    }
}

/// On a device sums come in any order: a resumed training ends near the undisturbed one, not at its bits.
#[test]
fn cuda_resumes_near_the_undisturbed_training() {
    if !has_device("cuda_resumes_near_the_undisturbed_training") {
        return;
    }
    let (sources, clips) = corpus(9, [5, 16, 12], |fake, source, frame, x, y, colour| {
        let key = [source, frame, y * 16 + x, colour].map(u64::from);
        (CounterRandom::new(&key).uniform(0) * if fake { 255.0 } else { 127.0 }) as u8
    });
    for network in small_networks() {
        let mut trainer = TrainerConfig {
            epochs: 3,
            accumulation: 2,
            frames: 4,
            warmup_epochs: 1.0,
            checkpoint_steps: 1,
            ..TrainerConfig::default()
        };
        trainer.optimizer.head_learning_rate = 5e-3;
        let job = TrainingJob {
            network,
            trainer,
            training: sources[..6].to_vec(),
            validation: sources[6..].to_vec(),
        };
        let run = |folder: &std::path::Path, stops: bool| {
            let stop = AtomicBool::new(false);
            let device = Default::default();
            train::<OnDevice>(&job, None, &clips, &device, folder, &stop, &mut |event| {
                if matches!(event, TrainingEvent::Step { .. }) {
                    stop.store(stops, Ordering::Relaxed);
                }
            })
        };
        let (whole, _) = run(tempfile::tempdir().unwrap().path(), false).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let resumed = loop {
            match run(folder.path(), true) {
                Ok((trained, _)) => break trained,
                Err(NetworkError::Cancelled) => {}
                Err(error) => panic!("{error}"),
            }
        };
        let values = |weights: &Weights| -> Vec<f32> {
            weights.by_name.values().flat_map(|own| own.values.clone()).collect()
        };
        let apart = apart(&values(&whole.weights), &values(&resumed.weights));
        eprintln!("{apart:.2e} {:?}", job.network);
        assert!(apart < 1e-2, "{apart}: {:?}", job.network);
    }
}

/// The first values come from the seed alone, on any backend.
#[test]
fn cuda_begins_with_the_processors_weights() {
    if !has_device("cuda_begins_with_the_processors_weights") {
        return;
    }
    for config in small_networks() {
        let device: Network<OnDevice> = config.init(3, &Default::default());
        let processor: Network<OnProcessor> = config.init(3, &Default::default());
        assert_eq!(Weights::of(&device.valid()), Weights::of(&processor.valid()));
    }
}
