//! Several ranks that train one network.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use burn::backend::{Autodiff, Flex};
use fvc_media::{ContentId, Frame};
use fvc_nn::{
    Alone, ClipKey, ClipSource, Collective, CollectiveError, CounterRandom, Engine, NetworkConfig,
    NetworkError, Source, ThreadRank, Trained, TrainerConfig, TrainingEvent, TrainingJob, Weights,
    train_together,
};

use crate::training::{Memory, small_networks};

pub(crate) type Train = Autodiff<Flex>;

pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Clips of unlike length and shape, so that ranks pad theirs to unlike grids.
pub(crate) fn unlike_clips(count: u32) -> (Vec<Source>, Arc<dyn ClipSource>) {
    let mut sources = Vec::new();
    let mut clips = BTreeMap::new();
    for number in 0..count {
        let content_id = ContentId::of_bytes(&number.to_le_bytes());
        let fake = number % 2 == 1;
        let (columns, rows) = [(16, 16), (16, 10), (9, 16)][number as usize % 3];
        let frames = 3 + number % 3;
        let frame = |frame: u32| {
            let random = CounterRandom::new(&[u64::from(number), u64::from(frame)]);
            let bright = if fake { 60 } else { 0 };
            let data = (0..u64::from(rows * columns * 3))
                .map(|at| (random.uniform(at) * 120.0) as u8 + bright)
                .collect();
            Frame::new(columns, rows, data, u64::from(frame), f64::from(frame)).unwrap()
        };
        clips.insert(content_id, vec![(0..frames).map(frame).collect::<Vec<_>>()]);
        sources.push(Source { content_id, group: format!("g{number}"), fake, variants: vec![0] });
    }
    (sources, Arc::new(Memory { clips }))
}

/// Without dropout, which draws for the clips of a rank, not of a source.
pub(crate) fn networks() -> Vec<NetworkConfig> {
    let mut networks = small_networks();
    for network in &mut networks {
        match network {
            NetworkConfig::VariableArCnn(config) => config.dropout = 0.0,
            NetworkConfig::NaiveCnn(config) => config.dropout = 0.0,
            NetworkConfig::VitGru(config) => config.dropout = 0.0,
            NetworkConfig::VitTransformer(config) => config.dropout = 0.0,
        }
    }
    networks
}

pub(crate) fn job(
    network: NetworkConfig,
    sources: &[Source],
    batch: usize,
    accumulation: usize,
) -> TrainingJob {
    let mut trainer = TrainerConfig {
        epochs: 4,
        batch,
        accumulation,
        frames: 4,
        warmup_epochs: 1.0,
        patience: 4,
        ..TrainerConfig::default()
    };
    trainer.optimizer.head_learning_rate = 5e-3;
    trainer.optimizer.backbone_learning_rate = 1e-3;
    // AdamW divides a gradient by its own length: one that is nothing but rounding (a bias before a
    // normalisation has no other) would move its parameter as far as any, in a direction of chance.
    trainer.optimizer.epsilon = 1e-3;
    let (training, validation) = sources.split_at(sources.len() - 4);
    TrainingJob { network, trainer, training: training.to_vec(), validation: validation.to_vec() }
}

pub(crate) type Outcome = Result<Trained, NetworkError>;

/// One team at a time: Burn's clean-up behind a backward pass waits for those of all threads, and one that
/// waits for its team must not stand before one that another team waits for.
static ONE_TEAM: Mutex<()> = Mutex::new(());

pub(crate) fn one_team() -> MutexGuard<'static, ()> {
    ONE_TEAM.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs a job by as many ranks; each asks `stop` after each of its steps.
fn by_ranks(
    job: &TrainingJob,
    clips: &Arc<dyn ClipSource>,
    folder: &std::path::Path,
    ranks: Vec<Box<dyn Collective>>,
    stop: &(dyn Fn(usize, u64) -> bool + Sync),
) -> Vec<Outcome> {
    by_shared_ranks(job, clips, folder, ranks, 1, stop)
}

/// The same, with replicas of so many ranks.
pub(crate) fn by_shared_ranks(
    job: &TrainingJob,
    clips: &Arc<dyn ClipSource>,
    folder: &std::path::Path,
    ranks: Vec<Box<dyn Collective>>,
    tensor_parallel: usize,
    stop: &(dyn Fn(usize, u64) -> bool + Sync),
) -> Vec<Outcome> {
    std::thread::scope(|scope| {
        let threads: Vec<_> = ranks
            .into_iter()
            .map(|collective| {
                scope.spawn(move || {
                    let cancel = AtomicBool::new(false);
                    let mut steps = 0;
                    train_together::<Train>(
                        job,
                        None,
                        clips,
                        &Default::default(),
                        folder,
                        &cancel,
                        &mut |event| {
                            if matches!(event, TrainingEvent::Step { .. }) {
                                steps += 1;
                                if stop(collective.rank(), steps) {
                                    cancel.store(true, Ordering::Relaxed);
                                }
                            }
                        },
                        &*collective,
                        tensor_parallel,
                    )
                    .map(|(trained, _)| trained)
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    })
}

pub(crate) fn team(size: usize) -> Vec<Box<dyn Collective>> {
    let ranks = ThreadRank::team(size, PATIENCE).into_iter();
    ranks.map(|rank| Box::new(rank) as Box<dyn Collective>).collect()
}

pub(crate) fn alone(job: &TrainingJob, clips: &Arc<dyn ClipSource>) -> Trained {
    let folder = tempfile::tempdir().unwrap();
    let ranks: Vec<Box<dyn Collective>> = vec![Box::new(Alone)];
    by_ranks(job, clips, folder.path(), ranks, &|_, _| false).remove(0).unwrap()
}

/// The largest distance of two numbers, of those above 1 by their size, and where it is.
pub(crate) fn apart(one: &Weights, other: &Weights) -> (f32, String) {
    assert_eq!(one.by_name.keys().collect::<Vec<_>>(), other.by_name.keys().collect::<Vec<_>>());
    let mut most = (0.0, String::new());
    for (name, one) in &one.by_name {
        for (one, other) in one.values.iter().zip(&other.by_name[name].values) {
            let apart = (one - other).abs() / one.abs().max(1.0);
            if apart.is_nan() || apart > most.0 {
                most = (apart, name.clone());
            }
        }
    }
    most
}

/// Two replicas with batches of B end as one with batches of 2B, after twelve steps, on either engine, with
/// and without block checkpointing; held-out sources are scored once each.
#[test]
fn two_ranks_end_as_one_with_the_double_batch() {
    let _alone = one_team();
    let (sources, clips) = unlike_clips(14);
    for network in networks() {
        for (engine, blocks) in
            [(Engine::Fast, false), (Engine::Fast, true), (Engine::Portable, false)]
        {
            let mut one = job(network.clone(), &sources, 4, 1);
            let mut two = job(network.clone(), &sources, 2, 2);
            for job in [&mut one, &mut two] {
                job.trainer.engine = engine;
                job.trainer.block_checkpointing = blocks;
            }
            // Burn's sums over positions, in f32, lose more digits the more positions a rank has.
            let limit = if engine == Engine::Fast { 1e-6 } else { 1e-3 };
            let one = alone(&one, &clips);
            let folder = tempfile::tempdir().unwrap();
            let both = by_ranks(&two, &clips, folder.path(), team(2), &|_, _| false);
            for rank in both {
                let rank = rank.unwrap();
                let apart = apart(&one.weights, &rank.weights);
                assert!(apart.0 < limit, "{network:?} {engine:?} {blocks}: {apart:?}");
                assert_eq!(rank.validation.len(), 4);
                for ((one_id, one), (id, score)) in one.validation.iter().zip(&rank.validation) {
                    assert_eq!(one_id, id);
                    assert!((one - score).abs() < 10.0 * f64::from(limit), "{one} {score}");
                }
                let loss = |trained: &Trained| trained.records[3].training_loss;
                assert!((loss(&one) - loss(&rank)).abs() < 1e-5);
                assert!(rank.records.iter().all(|record| record.exchange_share > 0.0));
            }
        }
    }
}

/// The tail of a step may leave ranks without a clip: they run along and count nothing.
#[test]
fn ranks_without_a_clip_count_nothing() {
    let _alone = one_team();
    let (sources, clips) = unlike_clips(11);
    for network in networks() {
        for engine in [Engine::Fast, Engine::Portable] {
            // Seven sources: rounds of 3, 3 and 1 clips.
            let mut one = job(network.clone(), &sources, 3, 3);
            let mut three = job(network.clone(), &sources, 1, 9);
            (one.trainer.engine, three.trainer.engine) = (engine, engine);
            let one = alone(&one, &clips);
            let folder = tempfile::tempdir().unwrap();
            for rank in by_ranks(&three, &clips, folder.path(), team(3), &|_, _| false) {
                let rank = rank.unwrap();
                let apart = apart(&one.weights, &rank.weights);
                let told = |own: &Trained| {
                    let losses = own.records.iter();
                    let losses = losses.map(|own| (own.training_loss, own.validation_loss));
                    format!("best {}, {:?}", own.best_epoch, losses.collect::<Vec<_>>())
                };
                assert!(
                    apart.0 < 1e-6,
                    "{network:?} {engine:?}: {apart:?}\n{}\n{}",
                    told(&one),
                    told(&rank)
                );
            }
        }
    }
}

/// The checkpoint is the training's, not its ranks': stopped by one of two, it goes on with three, and then
/// alone, to the weights of an undisturbed one.
#[test]
fn a_training_goes_on_with_another_number_of_ranks() {
    let _alone = one_team();
    let (sources, clips) = unlike_clips(16);
    // Rounds of a clip a rank would normalise over as many clips as there are ranks: no batch statistics.
    let network = networks().remove(2);
    let job = job(network, &sources, 1, 6);
    let undisturbed = alone(&job, &clips);
    let folder = tempfile::tempdir().unwrap();
    for (size, stopping) in [(2, 1), (3, 2)] {
        let stop = move |rank: usize, steps: u64| rank == stopping && steps == 3;
        for rank in by_ranks(&job, &clips, folder.path(), team(size), &stop) {
            assert!(matches!(rank, Err(NetworkError::Cancelled)), "{rank:?}");
        }
    }
    let ranks: Vec<Box<dyn Collective>> = vec![Box::new(Alone)];
    let last = by_ranks(&job, &clips, folder.path(), ranks, &|_, _| false).remove(0).unwrap();
    let apart = apart(&undisturbed.weights, &last.weights);
    assert!(apart.0 < 1e-6, "{apart:?}");
    assert_eq!(last.records.len(), 4);
}

/// Clips that cannot be read after a while.
#[derive(Debug)]
pub(crate) struct Failing {
    pub(crate) left: AtomicU64,
}

pub(crate) struct FailingClips(pub(crate) Arc<dyn ClipSource>, pub(crate) Failing);

impl ClipSource for FailingClips {
    fn windows(&self, key: &ClipKey) -> Result<Vec<usize>, NetworkError> {
        self.0.windows(key)
    }

    fn size(&self, key: &ClipKey) -> Result<(usize, usize), NetworkError> {
        self.0.size(key)
    }

    fn window(&self, key: &ClipKey, window: usize) -> Result<Vec<Frame>, NetworkError> {
        let left = self
            .1
            .left
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
        match left {
            Ok(_) => self.0.window(key, window),
            Err(_) => Err(NetworkError::Internal { what: "the disk is gone".to_owned() }),
        }
    }
}

/// A rank that fails in mid-training ends the others with an error that names it and says why, at once.
#[test]
fn a_rank_that_fails_is_named_by_the_others() {
    let _alone = one_team();
    let (sources, clips) = unlike_clips(14);
    for network in networks() {
        let job = job(network, &sources, 1, 4);
        let failing: Arc<dyn ClipSource> =
            Arc::new(FailingClips(Arc::clone(&clips), Failing { left: AtomicU64::new(6) }));
        let folder = tempfile::tempdir().unwrap();
        let start = Instant::now();
        let outcomes: Vec<Outcome> = std::thread::scope(|scope| {
            let threads: Vec<_> = team(3)
                .into_iter()
                .map(|rank| {
                    let clips = if rank.rank() == 1 { &failing } else { &clips };
                    let (job, folder) = (&job, folder.path());
                    scope.spawn(move || {
                        by_ranks(job, clips, folder, vec![rank], &|_, _| false).remove(0)
                    })
                })
                .collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert!(start.elapsed() < PATIENCE / 2);
        let said = |at: usize| outcomes[at].as_ref().unwrap_err().to_string();
        assert!(said(1).contains("the disk is gone"), "{}", said(1));
        for other in [0, 2] {
            assert!(
                said(other).contains("Rank 1 of 3 has ended")
                    && said(other).contains("the disk is gone"),
                "{}",
                said(other)
            );
        }
    }
}

#[test]
fn ranks_with_other_jobs_are_refused() {
    let _alone = one_team();
    let (sources, clips) = unlike_clips(14);
    let folder = tempfile::tempdir().unwrap();
    let said: Vec<String> = std::thread::scope(|scope| {
        let threads: Vec<_> = team(2)
            .into_iter()
            .map(|rank| {
                let mut own = job(networks().remove(1), &sources, 2, 2);
                own.trainer.seed += rank.rank() as u64;
                let (clips, folder) = (&clips, folder.path());
                scope.spawn(move || {
                    let mut ended = by_ranks(&own, clips, folder, vec![rank], &|_, _| false);
                    ended.remove(0).unwrap_err().to_string()
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    for said in said {
        assert!(
            said.contains("is elsewhere: expected job ") || said.contains("has ended"),
            "{said}"
        );
    }
}

/// Sums are taken in the order of ranks, whoever comes first: the same bits at all of them, every time.
#[test]
fn sums_have_the_same_bits_at_every_rank() {
    let sums: Vec<Vec<f32>> = std::thread::scope(|scope| {
        let threads: Vec<_> = ThreadRank::team(4, PATIENCE)
            .into_iter()
            .map(|rank| {
                scope.spawn(move || {
                    let second = rank.duplicate().unwrap();
                    let third = second.duplicate().unwrap();
                    let mut all = Vec::new();
                    for round in 0..200_u64 {
                        std::thread::sleep(Duration::from_micros(
                            CounterRandom::new(&[round, rank.rank() as u64]).below(0, 300),
                        ));
                        let random = CounterRandom::new(&[7, rank.rank() as u64]);
                        let mut values: Vec<f32> = (0..9).map(|at| random.normal(at)).collect();
                        // Channels of their own, in another order on each rank.
                        std::thread::scope(|scope| {
                            scope.spawn(|| {
                                let mut other = [rank.rank() as f64];
                                third.sum_f64(&mut other).unwrap();
                                assert_eq!(other, [6.0]);
                            });
                            second.sum_f32(&mut values).unwrap();
                        });
                        let told = rank.gather(&vec![1; rank.rank()]).unwrap();
                        assert_eq!(told.iter().map(Vec::len).collect::<Vec<_>>(), [0, 1, 2, 3]);
                        assert_eq!(rank.from_first(&[rank.rank() as u8; 2]).unwrap(), [0, 0]);
                        all.extend(values);
                    }
                    rank.barrier().unwrap();
                    all
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    for rank in &sums {
        let bits = |values: &[f32]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
        assert_eq!(bits(rank), bits(&sums[0]));
        assert!(rank.chunks(9).all(|round| bits(round) == bits(&rank[..9])));
    }
}

#[test]
fn ranks_that_lag_end_or_are_elsewhere_are_named() {
    let mut ranks = ThreadRank::team(3, Duration::from_millis(300)).into_iter();
    let (first, second, third) = (ranks.next().unwrap(), ranks.next().unwrap(), ranks.next());
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| first.barrier());
        let second = scope.spawn(|| second.barrier());
        let said = [waiting.join().unwrap(), second.join().unwrap()];
        assert!(
            said.contains(&Err(CollectiveError::Late { rank: 2, size: 3, seconds: 0 })),
            "{said:?}"
        );
        assert!(said.iter().all(Result::is_err));
    });
    drop(third);

    let mut ranks = ThreadRank::team(2, PATIENCE);
    let (last, first) = (ranks.remove(1), ranks.remove(0));
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| first.sum_f64(&mut [1.0]));
        drop(last);
        let said = waiting.join().unwrap().unwrap_err().to_string();
        assert_eq!(said, "Rank 1 of 2 has ended: its thread has ended");
    });

    let ranks = ThreadRank::team(2, PATIENCE);
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| ranks[0].sum_f64(&mut [1.0]));
        let other = ranks[1].sum_f64(&mut [1.0, 2.0]);
        for said in [waiting.join().unwrap(), other] {
            assert!(matches!(said, Err(CollectiveError::Elsewhere { .. })), "{said:?}");
        }
    });
}
