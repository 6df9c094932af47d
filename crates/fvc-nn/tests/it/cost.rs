//! What networks cost, against networks themselves and against measured peaks of memory.

use std::process::Command;

use burn::backend::Flex;
use fvc_nn::{
    NaiveCnnConfig, Network, NetworkConfig, NetworkError, Precision, TrainingShape,
    VariableArCnnConfig, VisionTransformerConfig, VitGruConfig, VitTransformerConfig, Weights,
};

fn named(name: &str) -> NetworkConfig {
    match name {
        "variable_ar_cnn" => NetworkConfig::VariableArCnn(VariableArCnnConfig::default()),
        "naive_cnn" => NetworkConfig::NaiveCnn(NaiveCnnConfig::default()),
        "vit_gru" => NetworkConfig::VitGru(VitGruConfig::default()),
        "vit_transformer" => NetworkConfig::VitTransformer(VitTransformerConfig::default()),
        _ => panic!("{name}"),
    }
}

fn learnt(config: &NetworkConfig) -> u128 {
    let network: Network<Flex> = config.init(1, &Default::default());
    let weights = Weights::of(&network);
    let counts = weights
        .by_name
        .iter()
        .filter(|(name, _)| !name.ends_with("running_mean") && !name.ends_with("running_var"))
        .map(|(_, weight)| weight.values.len() as u128);
    counts.sum()
}

#[test]
fn parameters_are_those_of_the_network() {
    let backbone = VisionTransformerConfig::small();
    let configs = [
        named("variable_ar_cnn"),
        named("naive_cnn"),
        NetworkConfig::VariableArCnn(VariableArCnnConfig {
            widths: [5, 12, 20],
            ..VariableArCnnConfig::default()
        }),
        NetworkConfig::NaiveCnn(NaiveCnnConfig {
            widths: [3, 5, 7],
            hidden: 11,
            ..NaiveCnnConfig::default()
        }),
        NetworkConfig::VitGru(VitGruConfig {
            backbone: backbone.clone(),
            hidden: 17,
            layers: 3,
            ..VitGruConfig::default()
        }),
        NetworkConfig::VitTransformer(VitTransformerConfig {
            backbone,
            feed_forward: 50,
            layers: 3,
            ..VitTransformerConfig::default()
        }),
    ];
    for config in configs {
        assert_eq!(config.parameters(), learnt(&config), "{config:?}");
    }
    assert_eq!(named("variable_ar_cnn").parameters(), 397_633);
    assert_eq!(named("naive_cnn").parameters(), 102_082);
    // ViT-B/16 without its last layer has 85,798,656, and what reads its vectors comes beside.
    assert!(named("vit_gru").parameters() > 85_798_656);
}

#[test]
fn operations_are_counted_layer_by_layer() {
    let network = named("variable_ar_cnn");
    assert_eq!(network.forward_flop([16, 112, 112]), 159_291_539_712);
    assert_eq!(network.forward_flop([8, 64, 64]), 26_006_782_208);
    // The stem's step leaves a quarter of the positions to the blocks.
    let stepping = NetworkConfig::VariableArCnn(VariableArCnnConfig {
        stem_stride: [1, 2, 2],
        ..VariableArCnnConfig::default()
    });
    let head = 2 * 128;
    let quarter = (network.forward_flop([8, 64, 64]) - head) / 4 + head;
    assert_eq!(stepping.forward_flop([8, 64, 64]), quarter);
    // ViT-B/16 is known for 17.6 billion multiply-adds of a picture (its last layer is 0.8 million).
    let per_frame =
        named("vit_gru").forward_flop([2, 224, 224]) - named("vit_gru").forward_flop([1, 1, 1]);
    let billions = per_frame as f64 / 2e9;
    assert!((17.5..17.7).contains(&billions), "{billions}");
    let naive = named("naive_cnn").layers([2, 8, 8]);
    let found: Vec<u128> = naive.iter().map(|layer| layer.multiply_adds).collect();
    assert_eq!(
        found,
        [27 * 32 * 128, 9 * 32 * 64 * 32, 9 * 64 * 128 * 8, 2 * 128 * 64, 2 * 64 * 2]
    );
}

fn shape(grid: [usize; 3], batch: usize, precision: Precision, blocks: bool) -> TrainingShape {
    TrainingShape {
        batch,
        grid,
        precision,
        block_checkpointing: blocks,
        // As the bench has it: the numbers that every round takes.
        prefetch: 1,
        threads: 2,
        sizes: 1,
    }
}

/// Without the best epoch's weights, which the bench does not keep, and the rest of `fvc`, which it has not.
fn estimated(name: &str, shape: &TrainingShape) -> f64 {
    const REST: f64 = 42.0;
    let memory = named(name).training_memory(shape);
    memory.mib() as f64 - memory.best / 1_048_576.0 - REST
}

/// Network, grid, batch, number format, whether block by block, and the peak.
type Measured = (&'static str, [usize; 3], usize, Precision, bool, f64);

/// Peaks of `cargo bench -p fvc-nn --bench training_step -- NETWORK FRAMES ROWS COLUMNS BATCH PRECISION 1`
/// in MiB, the highest of some runs where there were some, on two cores of an x86-64 processor with oneDNN; `true` is its last word `blocks`.
#[rustfmt::skip]
const MEASURED: &[Measured] = &[
    ("variable_ar_cnn", [1, 8, 8], 1, Precision::F32, false, 41.0),
    ("variable_ar_cnn", [8, 64, 64], 1, Precision::F32, false, 118.0),
    ("variable_ar_cnn", [8, 64, 64], 2, Precision::F32, false, 208.0),
    ("variable_ar_cnn", [8, 64, 64], 4, Precision::F32, false, 386.0),
    ("variable_ar_cnn", [4, 112, 112], 4, Precision::F32, false, 578.0),
    ("variable_ar_cnn", [8, 64, 64], 1, Precision::Bf16, false, 126.0),
    ("variable_ar_cnn", [8, 64, 64], 2, Precision::Bf16, false, 173.0),
    ("variable_ar_cnn", [8, 64, 64], 4, Precision::Bf16, false, 270.0),
    ("naive_cnn", [8, 64, 64], 2, Precision::F32, false, 53.0),
    ("naive_cnn", [16, 112, 112], 4, Precision::F32, false, 377.0),
    ("naive_cnn", [16, 112, 112], 8, Precision::F32, false, 711.0),
    ("naive_cnn", [16, 112, 112], 4, Precision::Bf16, false, 294.0),
    ("naive_cnn", [16, 112, 112], 8, Precision::Bf16, false, 491.0),
    ("vit_gru", [1, 224, 224], 1, Precision::F32, false, 1438.0),
    ("vit_gru", [4, 224, 224], 1, Precision::F32, false, 1863.0),
    ("vit_gru", [8, 224, 224], 1, Precision::F32, false, 2662.0),
    ("variable_ar_cnn", [8, 64, 64], 4, Precision::F32, true, 398.0),
    ("naive_cnn", [8, 112, 112], 4, Precision::F32, false, 240.0),
    ("naive_cnn", [8, 112, 112], 4, Precision::F32, true, 261.0),
    ("vit_gru", [2, 224, 224], 1, Precision::F32, false, 1503.0),
    ("vit_gru", [4, 224, 224], 1, Precision::F32, true, 1579.0),
    ("vit_gru", [16, 224, 224], 1, Precision::F32, false, 4309.0),
    ("vit_gru", [16, 224, 224], 1, Precision::F32, true, 1735.0),
    ("vit_gru", [4, 224, 224], 1, Precision::Bf16, false, 1845.0),
    ("vit_transformer", [4, 224, 224], 1, Precision::F32, false, 2022.0),
];

fn holds(name: &str, shape: &TrainingShape, measured: f64) -> Option<String> {
    let estimated = estimated(name, shape);
    let holds = (measured..=measured * 1.3).contains(&estimated);
    (!holds).then(|| format!("{name} {shape:?}: {estimated} MiB estimated, {measured} measured\n"))
}

#[test]
fn memory_is_at_most_a_third_more_than_was_measured() {
    let wrong: String = MEASURED
        .iter()
        .filter_map(|&(name, grid, batch, precision, blocks, measured)| {
            holds(name, &shape(grid, batch, precision, blocks), measured)
        })
        .collect();
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn the_largest_batch_is_the_last_that_fits() {
    let network = named("variable_ar_cnn");
    let at_most = shape([8, 64, 64], 64, Precision::F32, false);
    let needed = |batch| network.training_memory(&TrainingShape { batch, ..at_most }).mib();
    for budget in [needed(1), needed(7), needed(7) + 1, needed(64) - 1] {
        let found = network.largest_batch(&at_most, budget).unwrap();
        assert!(needed(found) <= budget && needed(found + 1) > budget, "{found} for {budget}");
    }
    assert_eq!(network.largest_batch(&at_most, u64::MAX).unwrap(), 64);
    let error = network.largest_batch(&at_most, 10).unwrap_err();
    assert!(matches!(error, NetworkError::Memory { budget_mib: 10, .. }), "{error}");
    assert!(error.to_string().contains("one clip of 8 frames of 64 x 64"), "{error}");
}

#[test]
fn sizes_beyond_reason_are_no_overflow() {
    let config = NetworkConfig::VariableArCnn(VariableArCnnConfig {
        widths: [1 << 40; 3],
        ..VariableArCnnConfig::default()
    });
    assert!(config.forward_flop([1 << 40; 3]) > 1 << 100);
    for mut config in ["variable_ar_cnn", "naive_cnn", "vit_gru", "vit_transformer"].map(named) {
        match &mut config {
            NetworkConfig::VariableArCnn(config) => config.widths = [usize::MAX; 3],
            NetworkConfig::NaiveCnn(config) => config.widths = [usize::MAX; 3],
            NetworkConfig::VitGru(config) => {
                (config.hidden, config.backbone.width) = (usize::MAX, usize::MAX);
                config.backbone.image = usize::MAX;
            }
            NetworkConfig::VitTransformer(config) => {
                (config.feed_forward, config.backbone.width) = (usize::MAX, usize::MAX);
            }
        }
        assert!(config.parameters() > 1 << 100);
        assert!(config.forward_flop([usize::MAX; 3]) > 1 << 100);
    }
    let at_most = shape([1 << 40; 3], 2, Precision::F32, true);
    assert!(matches!(config.largest_batch(&at_most, 1 << 40), Err(NetworkError::Memory { .. })));
}

/// Names the step that a process of its own takes, so that its peak is its own.
const STEP: &str = "FVC_COST_STEP";

/// One training step like that of `benches/training_step.rs`, twice: the second has moments.
fn take_steps(words: &str) {
    use burn::backend::Autodiff;
    use burn::tensor::{Tensor, TensorData};
    use fvc_nn::{
        Activation, AdamW, AdamWConfig, Context, CounterRandom, Engine, Extents, Loss,
        NamedGradients, Targets, backward,
    };
    type Train = Autodiff<Flex>;
    let words: Vec<&str> = words.split(' ').collect();
    let number = |at: usize| words[at].parse::<usize>().unwrap();
    let (grid, batch) = ([number(1), number(2), number(3)], number(4));
    let precision = if words[5] == "bf16" { Precision::Bf16 } else { Precision::F32 };
    let device = Default::default();
    let random = CounterRandom::new(&[1]);
    let shape = [batch, grid[0], grid[1], grid[2], 3];
    let count = shape.iter().product::<usize>() as u64;
    let values: Vec<f32> = (0..count).map(|at| random.normal(at)).collect();
    let mut network: Network<Train> = named(words[0]).init(1, &device);
    let mut optimizer = AdamW::new(AdamWConfig::default());
    for round in 0..2 {
        let clip = Tensor::<Flex, 5>::from_data(TensorData::new(values.clone(), shape), &device);
        let clip = Activation::of_clip(clip, Extents::full(batch, grid));
        let key = CounterRandom::new(&[round]);
        let context = Context::training(precision, Engine::Fast, key);
        let (labels, weights) = (vec![1.0; batch], vec![1.0; batch]);
        let targets =
            Targets { labels: &labels, weights: &weights, loss: Loss::default(), scale: 1.0 };
        let mut sums = NamedGradients::new();
        backward(&network, clip, &targets, &context, words[6] == "blocks", &mut sums);
        network = optimizer.step(network, &sums, 1.0, 1.0);
    }
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM")).unwrap();
    println!("PEAK {} kB", line.split_whitespace().nth(1).unwrap());
}

/// The peak in MiB of a process that runs nothing but the step of this test.
fn peak_of(test: &str, words: &str) -> f64 {
    let output = Command::new(std::env::current_exe().unwrap())
        .args([&format!("cost::{test}"), "--exact", "--nocapture"])
        .env(STEP, words)
        // The estimate is told of as many threads.
        .env("OMP_NUM_THREADS", "2")
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    let peak = told.split_once("PEAK ").and_then(|(_, rest)| rest.split(' ').next());
    let peak = peak.unwrap_or_else(|| panic!("{words}: {told}"));
    peak.parse::<f64>().unwrap() / 1024.0
}

/// What goes into a block is kept instead of all that is in it: twelve blocks of ViT-B/16 over a clip of 16
/// frames need at least two fifths less memory, weights, gradients and moments (1.3 GiB) counted in.
#[test]
fn slow_block_checkpointing_needs_two_fifths_less_on_twelve_blocks() {
    const TEST: &str = "slow_block_checkpointing_needs_two_fifths_less_on_twelve_blocks";
    if let Ok(words) = std::env::var(STEP) {
        return take_steps(&words);
    }
    if std::env::var_os("FVC_SLOW").is_none() {
        return crate::mlflow::skip(TEST, "takes minutes; FVC_SLOW=1 runs it");
    }
    let [whole, blocks] =
        ["whole", "blocks"].map(|how| peak_of(TEST, &format!("vit_gru 16 224 224 1 f32 {how}")));
    eprintln!("whole {whole} MiB, by block {blocks} MiB: {:.2}", blocks / whole);
    assert!(blocks <= 0.6 * whole, "{blocks} MiB by block, {whole} MiB whole");
}

#[test]
fn slow_memory_of_a_process_is_as_estimated() {
    const TEST: &str = "slow_memory_of_a_process_is_as_estimated";
    if let Ok(words) = std::env::var(STEP) {
        return take_steps(&words);
    }
    if std::env::var_os("FVC_SLOW").is_none() {
        return crate::mlflow::skip(TEST, "takes a minute; FVC_SLOW=1 runs it");
    }
    let onednn = fvc_kernels::onednn::status();
    if !onednn.is_available() {
        return crate::mlflow::skip(TEST, &onednn.to_string());
    }
    let mut wrong = String::new();
    for words in [
        "variable_ar_cnn 8 64 64 2 f32 whole",
        "variable_ar_cnn 8 64 64 2 bf16 whole",
        "variable_ar_cnn 8 64 64 4 f32 blocks",
        "naive_cnn 8 112 112 4 f32 whole",
        "naive_cnn 8 112 112 4 f32 blocks",
        "vit_gru 2 224 224 1 f32 whole",
        "vit_gru 4 224 224 1 f32 blocks",
    ] {
        let peak = peak_of(TEST, words);
        let parts: Vec<&str> = words.split(' ').collect();
        let number = |at: usize| parts[at].parse::<usize>().unwrap();
        let precision = if parts[5] == "bf16" { Precision::Bf16 } else { Precision::F32 };
        let grid = [number(1), number(2), number(3)];
        let shape = shape(grid, number(4), precision, parts[6] == "blocks");
        eprintln!("{words}: {peak} MiB");
        wrong.extend(holds(parts[0], &shape, peak));
    }
    assert!(wrong.is_empty(), "{wrong}");
}
