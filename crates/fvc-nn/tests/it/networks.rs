//! Networks as a whole: sizes, padding, gradients block by block.

use burn::backend::{Autodiff, Flex};
use burn::module::Module;
use burn::tensor::{Tensor, TensorData};
use fvc_nn::{
    Activation, Context, CounterRandom, Engine, Extents, Graph, Loss, NaiveCnnConfig,
    NamedGradients, Network, NetworkConfig, Precision, Targets, VariableArCnnConfig,
    VisionTransformerConfig, VitGruConfig, VitTransformerConfig, backward, backward_in_parts,
    log_odds,
};

type Train = Autodiff<Flex>;

fn small_backbone() -> VisionTransformerConfig {
    VisionTransformerConfig { image: 16, patch: 8, width: 24, depth: 3, heads: 2 }
}

/// Every architecture, small.
fn small() -> Vec<NetworkConfig> {
    vec![
        NetworkConfig::VariableArCnn(VariableArCnnConfig {
            widths: [4, 8, 12],
            ..VariableArCnnConfig::default()
        }),
        NetworkConfig::NaiveCnn(NaiveCnnConfig {
            widths: [4, 6, 8],
            hidden: 5,
            ..NaiveCnnConfig::default()
        }),
        NetworkConfig::VitGru(VitGruConfig {
            backbone: small_backbone(),
            hidden: 10,
            ..VitGruConfig::default()
        }),
        NetworkConfig::VitTransformer(VitTransformerConfig {
            backbone: small_backbone(),
            feed_forward: 20,
            heads: 3,
            ..VitTransformerConfig::default()
        }),
    ]
}

fn clips<B: fvc_nn::NetworkBackend>(shape: [usize; 5], extents: &Extents) -> Activation<B> {
    let random = CounterRandom::new(&[11]);
    let [batch, t, h, w, c] = shape;
    let mut values = vec![0.0; shape.iter().product()];
    for n in 0..batch {
        let [vt, vh, vw] = extents.valid()[n];
        for (f, y, x, k) in itertools(t, h, w, c) {
            if f < vt && y < vh && x < vw {
                // A value depends on its place in its own clip only.
                let at = ((((n * 64 + f) * 64 + y) * 64 + x) * 4 + k) as u64;
                values[(((n * t + f) * h + y) * w + x) * c + k] = random.normal(at);
            }
        }
    }
    let tensor = Tensor::from_data(TensorData::new(values, shape), &B::Device::default());
    Activation::of_clip(tensor, extents.clone())
}

fn itertools(
    t: usize,
    h: usize,
    w: usize,
    c: usize,
) -> impl Iterator<Item = (usize, usize, usize, usize)> {
    (0..t * h * w * c).map(move |at| (at / (h * w * c), at / (w * c) % h, at / c % w, at % c))
}

#[test]
fn default_networks_have_as_many_parameters_as_the_reference() {
    let count = |config: NetworkConfig| {
        let network: Network<Flex> = config.init(1, &Default::default());
        let running = match config {
            NetworkConfig::VariableArCnn(_) => 2 * (32 + 64 + 128),
            NetworkConfig::NaiveCnn(_) => 2 * (32 + 64 + 128),
            _ => 0,
        };
        network.num_params() - running
    };
    assert_eq!(count(NetworkConfig::VariableArCnn(VariableArCnnConfig::default())), 397_633);
    assert_eq!(count(NetworkConfig::NaiveCnn(NaiveCnnConfig::default())), 102_082);
}

/// A clip alone and the same clip padded into a batch with larger ones score the same.
#[test]
fn a_clip_scores_the_same_alone_and_in_a_padded_batch() {
    for config in small() {
        let network: Network<Flex> = config.init(3, &Default::default());
        let square = matches!(config, NetworkConfig::VitGru(_) | NetworkConfig::VitTransformer(_));
        let sizes: [[usize; 3]; 3] = if square {
            [[2, 16, 16], [5, 16, 16], [3, 16, 16]]
        } else {
            [[2, 7, 12], [5, 12, 6], [3, 9, 9]]
        };
        let context = Context::evaluation(Precision::F32, Engine::Portable);
        let extents = Extents::new(sizes.to_vec());
        let [t, h, w] = extents.grid();
        let together: Vec<f32> =
            log_odds(network.forward(clips([3, t, h, w, 3], &extents), &context))
                .into_data()
                .to_vec()
                .unwrap();
        let batch: Vec<f32> =
            clips::<Flex>([3, t, h, w, 3], &extents).clip().into_data().to_vec().unwrap();
        for (n, size) in sizes.iter().enumerate() {
            let [vt, vh, vw] = *size;
            let mut own = Vec::new();
            for (f, y, x, k) in itertools(vt, vh, vw, 3) {
                own.push(batch[(((n * t + f) * h + y) * w + x) * 3 + k]);
            }
            let tensor = Tensor::<Flex, 5>::from_data(
                TensorData::new(own, [1, vt, vh, vw, 3]),
                &Default::default(),
            );
            let alone = Activation::of_clip(tensor, Extents::new(vec![*size]));
            let alone: Vec<f32> =
                log_odds(network.forward(alone, &context)).into_data().to_vec().unwrap();
            assert!(
                (alone[0] - together[n]).abs() < 1e-5,
                "{config:?}: {} {}",
                alone[0],
                together[n]
            );
        }
    }
}

/// Gradients block by block are those of the whole graph, dropout and batch statistics included, and
/// the statistics are told once.
#[test]
fn gradients_block_by_block_are_those_of_the_whole_graph() {
    for config in small() {
        let network: Network<Train> = config.init(5, &Default::default());
        let square = matches!(config, NetworkConfig::VitGru(_) | NetworkConfig::VitTransformer(_));
        let size = if square { [3, 16, 16] } else { [3, 9, 10] };
        let mut valid = vec![size; 3];
        valid[1][0] = 2;
        let extents = Extents::new(valid);
        let targets = Targets {
            labels: &[0.0, 1.0, 1.0],
            weights: &[1.0, 0.5, 2.0],
            loss: Loss::default(),
            scale: 1.0,
        };
        let run = |engine: Engine, graph: Graph| {
            let context = Context::training(Precision::F32, engine, CounterRandom::new(&[9]));
            let mut sums = NamedGradients::<Flex>::new();
            let input = clips::<Flex>([3, size[0], size[1], size[2], 3], &extents);
            let outcome = backward_in_parts(
                &network,
                input,
                &targets,
                &context,
                graph,
                &mut sums,
                &mut |_| {},
            );
            (sums, outcome)
        };
        let ways = [Engine::Fast, Engine::Portable]
            .into_iter()
            .flat_map(|engine| [(engine, Graph::Again), (engine, Graph::Blocks)]);
        for (engine, graph) in ways {
            let (whole, first) = run(engine, Graph::Whole);
            let (blocks, second) = run(engine, graph);
            // Products of matrices round otherwise where their memory lies otherwise.
            for (whole, block) in first.log_odds.iter().zip(&second.log_odds) {
                assert!((whole - block).abs() < 1e-6);
            }
            assert_eq!(first.statistics.len(), second.statistics.len());
            assert_eq!(whole.keys().collect::<Vec<_>>(), blocks.keys().collect::<Vec<_>>());
            let length = |values: &[f32]| {
                values.iter().map(|&own| f64::from(own).powi(2)).sum::<f64>().sqrt()
            };
            let values = |gradient: &Tensor<Flex, 1>| gradient.to_data().to_vec::<f32>().unwrap();
            let all = whole.values().map(|own| length(&values(own)).powi(2)).sum::<f64>().sqrt();
            for (name, gradient) in &whole {
                let (whole, block) = (values(gradient), values(&blocks[name]));
                let apart: Vec<f32> = whole.iter().zip(&block).map(|(a, b)| a - b).collect();
                // What is nothing but rounding (a bias before a normalisation) has no digits to agree in.
                let limit = 1e-6 * length(&whole).max(1e-3 * all);
                let apart = length(&apart);
                assert!(
                    apart <= limit,
                    "{engine:?} {graph:?} {name}: {apart:e} apart, at most {limit:e}"
                );
            }
        }
    }
}

/// Normalisation let go of the nodes that it read before its own stood on them: a backward pass of another
/// thread at that instant swept away all layers below, whose weights then had no gradient for a batch, in
/// silence.
#[test]
fn gradients_are_whole_while_other_threads_go_backward() {
    let size = [3, 9, 10];
    let gradients = || {
        let network: Network<Train> = small()[0].init(5, &Default::default());
        let targets = Targets {
            labels: &[0.0, 1.0],
            weights: &[1.0, 1.0],
            loss: Loss::default(),
            scale: 1.0,
        };
        let context = Context::training(Precision::F32, Engine::Fast, CounterRandom::new(&[9]));
        let mut sums = NamedGradients::<Flex>::new();
        let extents = Extents::full(2, size);
        let input = clips::<Flex>([2, size[0], size[1], size[2], 3], &extents);
        backward(&network, input, &targets, &context, false, &mut sums);
        let stem: Vec<f32> = sums["stem.weight"].to_data().to_vec().unwrap();
        (sums.len(), stem)
    };
    let alone = gradients();
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                for _ in 0..60 {
                    assert_eq!(gradients(), alone);
                }
            });
        }
    });
}
