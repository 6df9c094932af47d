//! The time of a step by several ranks, for `tools/bench-ranks`.
//!
//! `cargo bench -p fvc-nn --bench ranks -- sums RANKS 1 1 ROUNDS` prints how long the sum of 4 MiB takes;
//! `cargo bench -p fvc-nn --bench ranks -- MODEL RANKS TENSOR_PARALLEL THREADS EPOCHS` trains by RANKS threads with
//! THREADS each, and in a build with `mpi`, under `mpirun`, by its processes. It prints one line of JSON: seconds of
//! a step by epoch (the first is left out), what all ranks had of processors for one, the shares of `EpochRecord`, and the bytes that one rank brought to
//! sums in a step: of the channels of all ranks (gradients, loss) and of those of groups (what tensor
//! parallelism sums inside passes, and gradients of parts).

#![allow(
    missing_docs,
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic
)]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use burn::backend::{Autodiff, Flex};
use fvc_media::{ContentId, Frame};
use fvc_nn::{
    Alone, ClipKey, ClipSource, Collective, CollectiveError, CounterRandom, NetworkConfig,
    NetworkError, Source, ThreadRank, TrainerConfig, TrainingEvent, TrainingJob,
    VariableArCnnConfig, VisionTransformerConfig, VitTransformerConfig, train_together,
};

/// Clips of a step, of 8 frames of 64 x 64.
const CLIPS: usize = 8;
const FRAMES: usize = 8;
const SIDE: u32 = 64;
const PATIENCE: Duration = Duration::from_secs(600);

struct Noise;

impl ClipSource for Noise {
    fn windows(&self, _key: &ClipKey) -> Result<Vec<usize>, NetworkError> {
        Ok(vec![FRAMES])
    }

    fn size(&self, _key: &ClipKey) -> Result<(usize, usize), NetworkError> {
        Ok((SIDE as usize, SIDE as usize))
    }

    fn window(&self, key: &ClipKey, _window: usize) -> Result<Vec<Frame>, NetworkError> {
        let first = u64::from(key.content_id.to_hex().as_bytes()[0]);
        let frame = |number: u64| {
            let random = CounterRandom::new(&[first, number]);
            let data =
                (0..u64::from(SIDE * SIDE * 3) / 8).flat_map(|at| random.bits(at).to_le_bytes());
            Frame::new(SIDE, SIDE, data.collect(), number, number as f64).unwrap()
        };
        Ok((0..FRAMES as u64).map(frame).collect())
    }
}

/// Bytes brought to sums of 32 bits.
#[derive(Debug, Default)]
struct Bytes {
    of_all: AtomicU64,
    of_groups: AtomicU64,
}

#[derive(Debug)]
struct Counted {
    inner: Box<dyn Collective>,
    bytes: Arc<Bytes>,
    of_group: bool,
}

impl Collective for Counted {
    fn rank(&self) -> usize {
        self.inner.rank()
    }

    fn size(&self) -> usize {
        self.inner.size()
    }

    fn engine(&self) -> &'static str {
        self.inner.engine()
    }

    fn shares_process(&self) -> bool {
        self.inner.shares_process()
    }

    fn sum_f32(&self, values: &mut [f32]) -> Result<(), CollectiveError> {
        let count = if self.of_group { &self.bytes.of_groups } else { &self.bytes.of_all };
        count.fetch_add(4 * values.len() as u64, Ordering::Relaxed);
        self.inner.sum_f32(values)
    }

    fn sum_f64(&self, values: &mut [f64]) -> Result<(), CollectiveError> {
        self.inner.sum_f64(values)
    }

    fn gather(&self, bytes: &[u8]) -> Result<Vec<Vec<u8>>, CollectiveError> {
        self.inner.gather(bytes)
    }

    fn duplicate(&self) -> Result<Box<dyn Collective>, CollectiveError> {
        let (inner, bytes) = (self.inner.duplicate()?, Arc::clone(&self.bytes));
        Ok(Box::new(Self { inner, bytes, of_group: self.of_group }))
    }

    fn subset(&self, group: usize) -> Result<Box<dyn Collective>, CollectiveError> {
        let (inner, bytes) = (self.inner.subset(group)?, Arc::clone(&self.bytes));
        Ok(Box::new(Self { inner, bytes, of_group: true }))
    }

    fn abort(&self, why: &str) {
        self.inner.abort(why);
    }
}

/// What this process has had of processors.
fn processor_seconds() -> f64 {
    let line = std::fs::read_to_string("/proc/self/stat").unwrap();
    // Behind the name, which may hold anything, the state and ten numbers.
    let (_, rest) = line.rsplit_once(')').unwrap();
    let ticks = rest.split_whitespace().skip(11).take(2);
    // Linux tells every program hundredths of a second.
    ticks.map(|own| own.parse::<f64>().unwrap() / 100.0).sum()
}

fn job(model: &str, epochs: u64) -> TrainingJob {
    let network = match model {
        "variable_ar_cnn" => NetworkConfig::VariableArCnn(VariableArCnnConfig::default()),
        "vit" => NetworkConfig::VitTransformer(VitTransformerConfig {
            backbone: VisionTransformerConfig {
                image: 64,
                patch: 8,
                width: 192,
                depth: 4,
                heads: 6,
            },
            feed_forward: 384,
            heads: 6,
            ..VitTransformerConfig::default()
        }),
        other => panic!("expected variable_ar_cnn or vit, found {other}"),
    };
    let source = |number: usize| Source {
        content_id: ContentId::of_bytes(&[number as u8]),
        group: format!("g{number}"),
        fake: number % 2 == 1,
        variants: vec![0],
    };
    let mut trainer = TrainerConfig {
        epochs,
        // The clips at once are as many whoever has them.
        batch: CLIPS / 2,
        accumulation: 2,
        frames: FRAMES,
        warmup_epochs: 0.0,
        patience: epochs,
        checkpoint_steps: 1_000_000,
        ..TrainerConfig::default()
    };
    trainer.loader.threads = 1;
    let training = (0..2 * CLIPS).map(source).collect();
    TrainingJob { network, trainer, training, validation: Vec::new() }
}

fn main() {
    let words: Vec<String> =
        std::env::args().skip(1).filter(|own| !own.starts_with("--")).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    // Without words it is run once by whatever runs all benches.
    let words = if words.len() < 5 { vec!["vit", "2", "2", "1", "2"] } else { words };
    let number = |at: usize| words[at].parse::<usize>().expect("a number");
    let (model, ranks, parts, threads) = (words[0], number(1), number(2), number(3));
    if model == "sums" {
        return all_ranks(ranks, &|rank| sums(&*rank, number(4)));
    }
    let job = job(model, number(4) as u64);
    all_ranks(ranks, &|rank| run(&job, rank, parts, threads, model));
}

/// Runs as one rank of those that `mpirun` started, or by a thread a rank.
fn all_ranks(ranks: usize, work: &(dyn Fn(Box<dyn Collective>) + Sync)) {
    #[cfg(feature = "mpi")]
    if std::env::var_os("OMPI_COMM_WORLD_SIZE").is_some() {
        let world = fvc_nn::MpiWorld::join().unwrap();
        assert_eq!(world.size(), ranks);
        let rank = world.channel(Some(PATIENCE)).unwrap();
        work(Box::new(rank));
        return;
    }
    let team: Vec<Box<dyn Collective>> = if ranks == 1 {
        vec![Box::new(Alone)]
    } else {
        let team = ThreadRank::team(ranks, PATIENCE).into_iter();
        team.map(|rank| Box::new(rank) as Box<dyn Collective>).collect()
    };
    std::thread::scope(|scope| {
        for rank in team {
            scope.spawn(move || work(rank));
        }
    });
}

/// The time of the sum of 4 MiB, the median of so many.
fn sums(rank: &dyn Collective, count: usize) {
    let mut values = vec![0.0; 1 << 20];
    let mut milliseconds: Vec<f64> = (0..count)
        .map(|_| {
            rank.barrier().unwrap();
            let start = Instant::now();
            rank.sum_f32(&mut values).unwrap();
            1000.0 * start.elapsed().as_secs_f64()
        })
        .collect();
    milliseconds.sort_by(f64::total_cmp);
    if rank.rank() == 0 {
        println!("{{\"milliseconds\": {:.4}}}", milliseconds[count / 2]);
    }
}

fn run(job: &TrainingJob, rank: Box<dyn Collective>, parts: usize, threads: usize, model: &str) {
    let bytes = Arc::new(Bytes::default());
    let rank = Counted { inner: rank, bytes: Arc::clone(&bytes), of_group: false };
    let folder = tempfile::tempdir().unwrap();
    let clips: Arc<dyn ClipSource> = Arc::new(Noise);
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
    let mut processor = Vec::new();
    let (trained, _) = pool
        .install(|| {
            train_together::<Autodiff<Flex>>(
                job,
                None,
                &clips,
                &burn::backend::flex::FlexDevice,
                folder.path(),
                &AtomicBool::new(false),
                &mut |event| {
                    if matches!(event, TrainingEvent::Epoch(_)) {
                        processor.push(processor_seconds());
                    }
                },
                &rank,
                parts,
            )
        })
        .unwrap();
    let later = (job.training.len() / CLIPS * (trained.records.len() - 1)) as f64;
    // Of this process: all ranks, where they are its threads.
    let mut own = [processor[processor.len() - 1] - processor[0]];
    if !rank.shares_process() {
        rank.sum_f64(&mut own).unwrap();
    }
    if rank.rank() != 0 {
        return;
    }
    let steps = (job.training.len() / CLIPS * trained.records.len()) as u64;
    let records = trained.records.iter().skip(1);
    let seconds: Vec<f64> =
        records.clone().map(|own| CLIPS as f64 / own.clips_per_second).collect();
    let mean = |values: Vec<f64>| values.iter().sum::<f64>() / values.len().max(1) as f64;
    println!(
        "{{\"model\": \"{model}\", \"engine\": \"{}\", \"ranks\": {}, \"parts\": {parts}, \"threads\": {threads}, \
         \"seconds\": {seconds:?}, \"processor\": {:.4}, \"exchange_share\": {:.4}, \"waiting_share\": {:.4}, \"loader_share\": {:.4}, \
         \"parameters\": {}, \"bytes_of_all\": {}, \"bytes_of_groups\": {}}}",
        rank.engine(),
        rank.size(),
        own[0] / later,
        mean(records.clone().map(|own| own.exchange_share).collect()),
        mean(records.clone().map(|own| own.ranks_waiting_share).collect()),
        mean(records.map(|own| own.waiting_share).collect()),
        job.network.parameters(),
        bytes.of_all.load(Ordering::Relaxed) / steps,
        bytes.of_groups.load(Ordering::Relaxed) / steps,
    );
}
