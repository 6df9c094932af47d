//! Ranks that share the layers of one vision transformer.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Instant;

use burn::module::AutodiffModule as _;
use fvc_nn::{
    ClipBatch, ClipKey, ClipSource, Context, CounterRandom, Engine, Graph, Loss, NamedGradients,
    Network, NetworkConfig, NetworkError, Precision, Targets, TensorGroup, Trained, Weight,
    Weights, backward_in_parts,
};

use crate::together::{
    Failing, FailingClips, Outcome, PATIENCE, Train, alone, apart, by_shared_ranks, job, networks,
    one_team, team, unlike_clips,
};

/// The vision transformers among the small networks: two heads each.
fn transformers() -> Vec<NetworkConfig> {
    networks().into_iter().filter(|network| network.backbone().is_some()).collect()
}

type Inner = burn::backend::Flex;

/// Gradients in the shapes of their parameters.
fn shaped(network: &Network<Train>, gradients: &NamedGradients<Inner>) -> Weights {
    let mut all = Weights::of(&network.valid());
    all.by_name.retain(|name, _| gradients.contains_key(name));
    for (name, weight) in &mut all.by_name {
        weight.values = gradients[name].to_data().to_vec().unwrap();
    }
    all
}

/// Log odds and gradients of one batch.
fn pass(
    network: &Network<Train>,
    batch: &ClipBatch,
    engine: Engine,
    graph: Graph,
    group: Option<&TensorGroup>,
) -> (Vec<f32>, Weights) {
    let random = CounterRandom::new(&[5]);
    let context = Context::<Inner>::training(Precision::F32, engine, random)
        .with_tensor_group(group.map(|group| Arc::clone(group.sums())));
    let loss = Loss::default();
    let targets = Targets { labels: &[0.0, 1.0, 1.0], weights: &[1.0, 2.0, 0.5], loss, scale: 1.0 };
    let mut gradients = NamedGradients::new();
    let clips = batch.clone().on::<Inner>(&Default::default(), false);
    let outcome =
        backward_in_parts(network, clips, &targets, &context, graph, &mut gradients, &mut |_| {});
    (outcome.log_odds, shaped(network, &gradients))
}

/// Weights that tell: those of a first draw are so small that a bias which is counted twice (they begin at 0)
/// or a head in another's place would hardly show.
fn large_weights(network: &Network<Train>) -> Weights {
    let mut all = Weights::of(&network.valid());
    for (number, weight) in all.by_name.values_mut().enumerate() {
        let random = CounterRandom::new(&[11, number as u64]);
        let drawn = (0..weight.values.len() as u64).map(|at| 0.2 * random.normal(at));
        weight.values.iter_mut().zip(drawn).for_each(|(value, own)| *value += own);
    }
    all
}

/// Two ranks with half of every block each give the log odds of one and each of its gradients, with dropout
/// too, whatever is kept of the forward pass.
#[test]
fn two_parts_have_the_log_odds_and_gradients_of_the_whole() {
    let _alone = one_team();
    let (sources, clips) = unlike_clips(3);
    let of = |number: usize| {
        let key = ClipKey { content_id: sources[number].content_id, variant: 0 };
        clips.window(&key, 0).unwrap()
    };
    for mut config in networks() {
        match &mut config {
            NetworkConfig::VitGru(config) => config.dropout = 0.3,
            NetworkConfig::VitTransformer(config) => config.dropout = 0.3,
            _ => continue,
        }
        let batch = ClipBatch::of((0..3).map(of).collect(), config.frame_shape()).unwrap();
        let network: Network<Train> = config.init(3, &Default::default());
        let (network, _) = large_weights(&network).apply(network);
        let count = Weights::of(&network.valid()).count();
        for engine in [Engine::Fast, Engine::Portable] {
            for graph in [Graph::Whole, Graph::Blocks, Graph::Again] {
                let (log_odds, gradients) = pass(&network, &batch, engine, graph, None);
                let parts: Vec<(Vec<f32>, Weights, usize)> = std::thread::scope(|scope| {
                    let threads: Vec<_> = team(2)
                        .into_iter()
                        .map(|rank| {
                            let (network, batch) = (&network, &batch);
                            scope.spawn(move || {
                                let group = TensorGroup::new(rank);
                                let own = network.clone().part_for(&group);
                                let count = Weights::of(&own.valid()).count();
                                let (log_odds, parts) =
                                    pass(&own, batch, engine, graph, Some(&group));
                                group.sums().check().unwrap();
                                (log_odds, group.whole_of(&parts).unwrap(), count)
                            })
                        })
                        .collect();
                    threads.into_iter().map(|thread| thread.join().unwrap()).collect()
                });
                let place = format!("{} {engine:?} {graph:?}", config.name());
                for (own, whole, own_count) in &parts {
                    // The wide layers of two blocks, of which each has half: 12 times the width squared, and
                    // the biases of those that widen.
                    let split = 2 * (12 * 32 * 32 + 7 * 32);
                    assert_eq!(*own_count, count - split / 2, "{place}");
                    for (one, other) in log_odds.iter().zip(own) {
                        assert!((one - other).abs() < 1e-5, "{place}: {one} {other}");
                    }
                    let apart = apart(&gradients, whole);
                    assert!(apart.0 < 1e-5, "{place}: {apart:?}");
                }
                // What both have whole has the same gradient on both, to the last bit.
                let both = [&parts[0].1, &parts[1].1];
                assert!(both[0] == both[1], "{place}");
            }
        }
    }
}

/// Parts put together are the whole, with as many ranks as there are heads.
#[test]
fn parts_of_weights_make_up_the_whole() {
    let names = ["attn.qkv.weight", "attn.qkv.bias", "attn.proj.weight", "attn.proj.bias"];
    let mut weights = Weights::default();
    for (number, name) in names.iter().enumerate() {
        let shape = [vec![9, 3], vec![9], vec![3, 3], vec![3]][number].clone();
        let count: usize = shape.iter().product();
        let values = (0..count).map(|at| at as f32).collect();
        weights.by_name.insert(format!("backbone.blocks.0.{name}"), Weight { shape, values });
    }
    std::thread::scope(|scope| {
        for rank in team(3) {
            let weights = &weights;
            scope.spawn(move || {
                let group = TensorGroup::new(rank);
                let own = group.part_of(weights);
                let at = group.position() as f32;
                let bias = &own.by_name["backbone.blocks.0.attn.qkv.bias"];
                // Its query, key and value.
                assert_eq!(
                    (&bias.shape[..], &bias.values[..]),
                    (&[3][..], &[at, 3.0 + at, 6.0 + at][..])
                );
                let proj = &own.by_name["backbone.blocks.0.attn.proj.weight"];
                assert_eq!(
                    (&proj.shape[..], &proj.values[..]),
                    (&[3, 1][..], &[at, 3.0 + at, 6.0 + at][..])
                );
                assert_eq!(group.whole_of(&own).unwrap(), *weights);
            });
        }
    });
}

fn end_alike(one: &Trained, other: &Trained, place: &str) {
    let apart = apart(&one.weights, &other.weights);
    assert!(apart.0 < 1e-5, "{place}: {apart:?}");
    assert_eq!(one.validation.len(), other.validation.len());
    for ((one_id, one), (id, score)) in one.validation.iter().zip(&other.validation) {
        assert_eq!(one_id, id);
        assert!((one - score).abs() < 1e-4, "{place}: {one} {score}");
    }
    for (one, other) in one.records.iter().zip(&other.records) {
        assert!((one.training_loss - other.training_loss).abs() < 1e-5, "{place}");
    }
}

/// Two ranks that share a network, and two replicas of two ranks each, end after twelve steps with the weights
/// of one rank that has as large batches, with gradients shortened and layers opened one by one.
#[test]
fn replicas_of_two_ranks_end_as_one_rank() {
    let _alone = one_team();
    let (sources, clips) = unlike_clips(14);
    for network in transformers() {
        for (engine, blocks, unfreeze) in
            [(Engine::Fast, false, 1), (Engine::Fast, true, 0), (Engine::Portable, false, 0)]
        {
            let with = |batch: usize, accumulation: usize| {
                let mut job = job(network.clone(), &sources, batch, accumulation);
                job.trainer.engine = engine;
                job.trainer.block_checkpointing = blocks;
                job.trainer.unfreeze_every = unfreeze;
                // Shorter than any gradient, so that a part that counts twice, or not, shows.
                job.trainer.clip_norm = 0.05;
                job
            };
            let one = alone(&with(4, 1), &clips);
            for (ranks, job) in [(2, with(4, 1)), (4, with(2, 2))] {
                let folder = tempfile::tempdir().unwrap();
                let all =
                    by_shared_ranks(&job, &clips, folder.path(), team(ranks), 2, &|_, _| false);
                for rank in all {
                    let rank = rank.unwrap();
                    let place = format!("{} {engine:?} {blocks} {ranks}", network.name());
                    end_alike(&one, &rank, &place);
                    assert!(rank.records.iter().all(|own| own.ranks == ranks as u64));
                    assert!(rank.records.iter().all(|own| own.ranks_waiting_share > 0.0));
                }
            }
        }
    }
}

/// Ranks of one replica drop the same: two of them end as one rank does with dropout.
#[test]
fn ranks_of_one_replica_drop_the_same() {
    let _alone = one_team();
    let (sources, clips) = unlike_clips(14);
    let mut network = transformers().remove(1);
    if let NetworkConfig::VitTransformer(config) = &mut network {
        config.dropout = 0.4;
    }
    let job = job(network, &sources, 2, 2);
    let one = alone(&job, &clips);
    let folder = tempfile::tempdir().unwrap();
    for rank in by_shared_ranks(&job, &clips, folder.path(), team(2), 2, &|_, _| false) {
        end_alike(&one, &rank.unwrap(), "with dropout");
    }
}

/// The checkpoint is whole: stopped under replicas of two ranks a training goes on alone, and the other way
/// round, and then as two replicas of two.
#[test]
fn a_training_goes_on_with_another_number_of_parts() {
    let _alone = one_team();
    let (sources, clips) = unlike_clips(16);
    for network in transformers() {
        let mut job = job(network, &sources, 1, 6);
        job.trainer.checkpoint_steps = 1;
        let undisturbed = alone(&job, &clips);
        for shares in [[(2, 2), (1, 1), (4, 2), (2, 1)], [(1, 1), (2, 2), (1, 1), (4, 2)]] {
            let folder = tempfile::tempdir().unwrap();
            let steps = shares.len() - 1;
            for (at, (ranks, parts)) in shares.into_iter().enumerate() {
                let stop =
                    move |rank: usize, done: u64| at < steps && rank == ranks - 1 && done == 2;
                let folder = folder.path();
                let ended = by_shared_ranks(&job, &clips, folder, team(ranks), parts, &stop);
                for rank in ended {
                    if at < steps {
                        assert!(matches!(rank, Err(NetworkError::Cancelled)), "{rank:?}");
                    } else {
                        end_alike(&undisturbed, &rank.unwrap(), &format!("{shares:?}"));
                    }
                }
            }
        }
    }
}

/// A rank that fails ends those that share its network and those of other replicas, at once, by its number
/// among all.
#[test]
fn a_rank_that_fails_ends_its_replica_and_the_others() {
    let _alone = one_team();
    let (sources, clips) = unlike_clips(14);
    let job = job(transformers().remove(0), &sources, 1, 4);
    for fails in [0, 3] {
        let failing: Arc<dyn ClipSource> =
            Arc::new(FailingClips(Arc::clone(&clips), Failing { left: AtomicU64::new(6) }));
        let folder = tempfile::tempdir().unwrap();
        let start = Instant::now();
        let outcomes: Vec<Outcome> = std::thread::scope(|scope| {
            let threads: Vec<_> = team(4)
                .into_iter()
                .map(|rank| {
                    let clips = if rank.rank() == fails { &failing } else { &clips };
                    let (job, folder) = (&job, folder.path());
                    scope.spawn(move || {
                        by_shared_ranks(job, clips, folder, vec![rank], 2, &|_, _| false).remove(0)
                    })
                })
                .collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert!(start.elapsed() < PATIENCE / 2);
        for (rank, outcome) in outcomes.iter().enumerate() {
            let said = outcome.as_ref().unwrap_err().to_string();
            assert!(said.contains("the disk is gone"), "{said}");
            let told = said.contains(&format!("Rank {fails} of 4 has ended"));
            assert_eq!(told, rank != fails, "{said}");
        }
    }
}

#[test]
fn networks_and_ranks_that_do_not_go_together_are_refused() {
    let _alone = one_team();
    let (sources, clips) = unlike_clips(14);
    let folder = tempfile::tempdir().unwrap();
    for (network, ranks, parts, says) in [
        (
            0,
            2,
            2,
            "only vision transformers (vit_gru, vit_transformer) are shared by ranks, found 2 for variable_ar_cnn",
        ),
        (1, 2, 2, "found 2 for naive_cnn"),
        (2, 3, 2, "a divisor of the number of ranks, which is 3, found 2"),
        (3, 4, 4, "a divisor of the 2 heads of vit_transformer, found 4"),
        (2, 1, 0, "1 at least, found 0"),
    ] {
        let job = job(networks().remove(network), &sources, 1, 4);
        for rank in by_shared_ranks(&job, &clips, folder.path(), team(ranks), parts, &|_, _| false)
        {
            let error = rank.unwrap_err();
            assert!(matches!(error, NetworkError::Setting { .. }), "{error:?}");
            assert!(error.to_string().contains(says), "{error}");
        }
    }
}
