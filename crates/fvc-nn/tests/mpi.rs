//! Ranks that are processes, under a real `mpirun`: this program starts itself as them.

// All of this is a test.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::print_stdout,
    clippy::exit
)]

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use burn::backend::{Autodiff, Flex};
use burn::module::AutodiffModule as _;
use fvc_media::{ContentId, Frame};
use fvc_nn::{
    Alone, ClipBatch, ClipKey, ClipSource, Collective, CollectiveError, Context, CounterRandom,
    Engine, Loss, MpiRank, MpiWorld, NamedGradients, Network, NetworkConfig, NetworkError,
    Precision, Source, Targets, TensorGroup, Trained, TrainerConfig, TrainingEvent, TrainingJob,
    VariableArCnnConfig, VisionTransformerConfig, VitTransformerConfig, Weights, backward,
    train_together,
};

const PATIENCE: Duration = Duration::from_secs(60);
/// The number of a case that this process is a rank of.
const CASE: &str = "FVC_MPI_TEST_CASE";

struct Case {
    name: &'static str,
    ranks: usize,
    /// What each rank does.
    rank: fn(&MpiWorld),
    /// Whether all of them end well.
    ends_well: bool,
    /// What is said then, among the rest.
    says: &'static [&'static str],
}

const CASES: [Case; 8] = [
    Case {
        name: "sums_gatherings_and_channels_used_at_once",
        ranks: 3,
        rank: calls,
        ends_well: true,
        says: &["rank 0 well", "rank 1 well", "rank 2 well"],
    },
    Case {
        name: "two_processes_end_as_one_with_the_double_batch",
        ranks: 2,
        rank: training,
        ends_well: true,
        says: &["rank 0 well", "rank 1 well"],
    },
    Case {
        name: "two_processes_that_share_a_network_end_as_one",
        ranks: 2,
        rank: sharing,
        ends_well: true,
        says: &["rank 0 well", "rank 1 well"],
    },
    Case {
        name: "four_processes_are_two_replicas_of_two",
        ranks: 4,
        rank: sharing,
        ends_well: true,
        says: &["rank 0 well", "rank 3 well"],
    },
    Case {
        name: "a_process_that_lags_is_named",
        ranks: 3,
        rank: late,
        ends_well: false,
        says: &["rank 0: Rank 2 of 3 did not come within 1 s"],
    },
    Case {
        name: "processes_that_are_elsewhere_are_named",
        ranks: 2,
        rank: elsewhere,
        ends_well: true,
        says: &["rank 0 well", "rank 1 well"],
    },
    Case {
        name: "a_process_that_fails_is_named_by_the_others",
        ranks: 3,
        rank: fails,
        ends_well: false,
        says: &[
            "rank 0: Rank 1 of 3 has ended: Internal error: the disk is gone",
            "rank 1: Internal error: the disk is gone",
        ],
    },
    Case {
        name: "a_killed_process_ends_the_others",
        ranks: 2,
        rank: killed,
        ends_well: false,
        says: &["rank 1 is killed"],
    },
];

fn main() {
    if let Ok(number) = std::env::var(CASE) {
        let world = MpiWorld::join().unwrap();
        // A rank that panics would be waited for.
        std::panic::set_hook(Box::new(|info| {
            eprintln!("{info}");
            std::process::abort();
        }));
        (CASES[number.parse::<usize>().unwrap()].rank)(&world);
        println!("rank {} well", world.rank());
        return;
    }
    let only = std::env::args().skip(1).find(|word| !word.starts_with('-'));
    if Command::new("mpirun").arg("--version").stdout(Stdio::null()).status().is_err() {
        let line = "SKIP mpi_ranks: no mpirun program\n";
        eprint!("{line}");
        if let Ok(log) = std::env::var("FVC_SKIP_LOG") {
            let mut log = std::fs::OpenOptions::new().create(true).append(true).open(log).unwrap();
            log.write_all(line.as_bytes()).unwrap();
        }
        return;
    }
    let chosen: Vec<(usize, &Case)> = CASES
        .iter()
        .enumerate()
        .filter(|(_, case)| only.as_ref().is_none_or(|only| case.name.contains(only)))
        .collect();
    println!("\nrunning {} tests", chosen.len());
    let mut failed = 0;
    for (number, case) in chosen {
        let start = Instant::now();
        let problem = run(number, case).err();
        failed += usize::from(problem.is_some());
        let said = if problem.is_some() { "FAILED" } else { "ok" };
        println!("test {} ... {said} ({:.1} s)", case.name, start.elapsed().as_secs_f64());
        if let Some(problem) = problem {
            println!("{problem}");
        }
    }
    println!("\ntest result: {}", if failed == 0 { "ok" } else { "FAILED" });
    std::process::exit(i32::from(failed > 0));
}

/// Starts the ranks of a case and judges how they end.
fn run(number: usize, case: &Case) -> Result<(), String> {
    let mut child = Command::new("mpirun")
        .args(["-n", &case.ranks.to_string()])
        .arg(std::env::current_exe().unwrap())
        .env(CASE, number.to_string())
        .envs([
            // As root in a container, on fewer processors than ranks, without ssh.
            ("OMPI_ALLOW_RUN_AS_ROOT", "1"),
            ("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1"),
            ("OMPI_MCA_rmaps_base_oversubscribe", "1"),
            ("OMPI_MCA_hwloc_base_binding_policy", "none"),
            ("OMPI_MCA_plm", "isolated"),
            ("OMPI_MCA_btl_vader_single_copy_mechanism", "none"),
            ("OMP_NUM_THREADS", "1"),
        ])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let read = |mut from: Box<dyn std::io::Read + Send>| {
        std::thread::spawn(move || {
            let mut bytes = Vec::new();
            drop(from.read_to_end(&mut bytes));
            String::from_utf8_lossy(&bytes).into_owned()
        })
    };
    let out = read(Box::new(child.stdout.take().unwrap()));
    let err = read(Box::new(child.stderr.take().unwrap()));
    let start = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if start.elapsed() > Duration::from_secs(90) {
            child.kill().unwrap();
            return Err("the ranks hang".to_owned());
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    let said = out.join().unwrap() + &err.join().unwrap();
    if status.success() != case.ends_well {
        return Err(format!("ended with {status}:\n{said}"));
    }
    match case.says.iter().find(|words| !said.contains(*words)) {
        Some(words) => Err(format!("expected it to say: {words}\n{said}")),
        None => Ok(()),
    }
}

/// Ends as a program does that has met an error: says it, lets the others say theirs, ends them.
fn end(world: &MpiWorld, error: &dyn std::fmt::Display) -> ! {
    println!("rank {}: {error}", world.rank());
    std::io::stdout().flush().unwrap();
    std::thread::sleep(Duration::from_secs(1));
    world.end_all(1)
}

fn calls(world: &MpiWorld) {
    let main = world.channel(Some(PATIENCE)).unwrap();
    let (rank, size) = (world.rank(), world.size());
    assert_eq!((main.rank(), main.size(), size, world.local_rank()), (rank, size, 3, rank));
    let second = main.duplicate().unwrap();
    let third = second.duplicate().unwrap();
    let mut all = Vec::new();
    for round in 0..60_u64 {
        std::thread::sleep(Duration::from_micros(
            CounterRandom::new(&[round, rank as u64]).below(0, 300),
        ));
        let random = CounterRandom::new(&[7, rank as u64]);
        let mut values: Vec<f32> = (0..9999).map(|at| random.normal(at)).collect();
        // Two channels at the same time, in another order on each rank.
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let mut other = [rank as f64, 1.0];
                third.sum_f64(&mut other).unwrap();
                assert_eq!(other, [3.0, 3.0]);
            });
            second.sum_f32(&mut values).unwrap();
        });
        let told = main.gather(&vec![rank as u8; rank]).unwrap();
        assert_eq!(told, [vec![], vec![1], vec![2, 2]]);
        assert_eq!(main.from_first(&vec![rank as u8; 300_000]).unwrap(), vec![0; 300_000]);
        assert!(main.from_first(&[]).unwrap().is_empty());
        all.push(values);
    }
    // The same bits at every rank, every time.
    let bytes: Vec<u8> = all[0].iter().flat_map(|value| value.to_le_bytes()).collect();
    let of_all = main.gather(&bytes).unwrap();
    assert!(of_all.iter().all(|other| *other == bytes));
    assert!(all.iter().all(|values| *values == all[0]));
    let expected: f32 = (0..3).map(|rank| CounterRandom::new(&[7, rank]).normal(5)).sum();
    assert!((all[0][5] - expected).abs() < 1e-5);
    main.barrier().unwrap();
}

struct Memory {
    clips: BTreeMap<ContentId, Vec<Frame>>,
    /// Windows that can be read before the disk is gone.
    left: AtomicU64,
}

impl ClipSource for Memory {
    fn windows(&self, key: &ClipKey) -> Result<Vec<usize>, NetworkError> {
        Ok(vec![self.clips[&key.content_id].len()])
    }

    fn size(&self, key: &ClipKey) -> Result<(usize, usize), NetworkError> {
        let frame = &self.clips[&key.content_id][0];
        Ok((frame.width() as usize, frame.height() as usize))
    }

    fn window(&self, key: &ClipKey, _window: usize) -> Result<Vec<Frame>, NetworkError> {
        if self.left.fetch_sub(1, Ordering::Relaxed) == 0 {
            return Err(NetworkError::Internal { what: "the disk is gone".to_owned() });
        }
        Ok(self.clips[&key.content_id].clone())
    }
}

/// Clips of unlike shape, and a job over them.
fn job(left: u64, batch: usize, accumulation: usize) -> (TrainingJob, Arc<dyn ClipSource>) {
    let mut sources = Vec::new();
    let mut clips = BTreeMap::new();
    for number in 0..14_u32 {
        let content_id = ContentId::of_bytes(&number.to_le_bytes());
        let fake = number % 2 == 1;
        let (columns, rows) = [(16, 16), (16, 10), (9, 16)][number as usize % 3];
        let frame = |frame: u32| {
            let random = CounterRandom::new(&[u64::from(number), u64::from(frame)]);
            let bright = if fake { 60 } else { 0 };
            let data = (0..u64::from(rows * columns * 3))
                .map(|at| (random.uniform(at) * 120.0) as u8 + bright)
                .collect();
            Frame::new(columns, rows, data, u64::from(frame), f64::from(frame)).unwrap()
        };
        clips.insert(content_id, (0..3 + number % 3).map(frame).collect());
        sources.push(Source { content_id, group: format!("g{number}"), fake, variants: vec![0] });
    }
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
    // A gradient that is nothing but rounding shall not move a weight as far as any.
    trainer.optimizer.epsilon = 1e-3;
    let (training, validation) = sources.split_at(10);
    let network = NetworkConfig::VariableArCnn(VariableArCnnConfig {
        widths: [4, 8, 8],
        stem_stride: [1, 2, 2],
        dropout: 0.0,
    });
    let job = TrainingJob {
        network,
        trainer,
        training: training.to_vec(),
        validation: validation.to_vec(),
    };
    (job, Arc::new(Memory { clips, left: AtomicU64::new(left) }))
}

fn train(
    (job, clips): &(TrainingJob, Arc<dyn ClipSource>),
    collective: &dyn Collective,
    tensor_parallel: usize,
    on_step: &mut dyn FnMut(u64),
) -> Result<Trained, NetworkError> {
    // Only rank 0 has one that is written to.
    let folder = tempfile::tempdir().unwrap();
    let mut steps = 0;
    train_together::<Autodiff<Flex>>(
        job,
        None,
        clips,
        &Default::default(),
        folder.path(),
        &AtomicBool::new(false),
        &mut |event| {
            if matches!(event, TrainingEvent::Step { .. }) {
                steps += 1;
                on_step(steps);
            }
        },
        collective,
        tensor_parallel,
    )
    .map(|(trained, _)| trained)
}

/// Twelve steps: two ranks of B are one of 2B.
fn training(world: &MpiWorld) {
    let rank = world.channel(Some(PATIENCE)).unwrap();
    let mut steps = 0;
    let both = train(&job(u64::MAX, 2, 2), &rank, 1, &mut |step| steps = step).unwrap();
    assert_eq!(steps, 12);
    let one = train(&job(u64::MAX, 4, 1), &Alone, 1, &mut |_| {}).unwrap();
    let mut most = 0.0_f32;
    for (name, one) in &one.weights.by_name {
        for (one, both) in one.values.iter().zip(&both.weights.by_name[name].values) {
            most = most.max((one - both).abs() / one.abs().max(1.0));
        }
    }
    assert!(most < 1e-6, "{most}");
    assert_eq!(both.validation.len(), 4);
    for ((_, one), (_, both)) in one.validation.iter().zip(&both.validation) {
        assert!((one - both).abs() < 1e-5, "{one} {both}");
    }
    assert!(both.records.iter().all(|record| record.ranks == 2 && record.exchange_share > 0.0));
}

/// Log odds and each gradient of one batch.
fn parts_have_the_gradients_of_the_whole(
    (job, clips): &(TrainingJob, Arc<dyn ClipSource>),
    rank: &dyn Collective,
) {
    let group = TensorGroup::new(rank.subset(rank.rank() / 2).unwrap());
    let frames = |source: &Source| {
        let key = ClipKey { content_id: source.content_id, variant: 0 };
        clips.window(&key, 0).unwrap()
    };
    let frames = job.training[..3].iter().map(frames).collect();
    let batch = ClipBatch::of(frames, job.network.frame_shape()).unwrap();
    let network: Network<Autodiff<Flex>> = job.network.init(3, &Default::default());
    let pass = |network: &Network<Autodiff<Flex>>, group: Option<&TensorGroup>| {
        let random = CounterRandom::new(&[5]);
        let context = Context::<Flex>::training(Precision::F32, Engine::Fast, random)
            .with_tensor_group(group.map(|group| Arc::clone(group.sums())));
        let loss = Loss::default();
        let targets = Targets { labels: &[0.0, 1.0, 1.0], weights: &[1.0; 3], loss, scale: 1.0 };
        let mut gradients = NamedGradients::new();
        let clips = batch.clone().on::<Flex>(&Default::default(), false);
        let outcome = backward(network, clips, &targets, &context, false, &mut gradients);
        let mut all = Weights::of(&network.valid());
        for (name, weight) in &mut all.by_name {
            weight.values = gradients[name].to_data().to_vec().unwrap();
        }
        (outcome.log_odds, all)
    };
    let (one, gradients) = pass(&network, None);
    let (log_odds, parts) = pass(&network.clone().part_for(&group), Some(&group));
    group.sums().check().unwrap();
    for (one, other) in one.iter().zip(&log_odds) {
        assert!((one - other).abs() < 1e-5, "{one} {other}");
    }
    for (name, whole) in &group.whole_of(&parts).unwrap().by_name {
        let one = &gradients.by_name[name];
        assert_eq!(one.shape, whole.shape, "{name}");
        for (one, whole) in one.values.iter().zip(&whole.values) {
            assert!((one - whole).abs() < 1e-5, "{name}: {one} {whole}");
        }
    }
}

/// Twelve steps of a vision transformer whose layers every two ranks share are those of one rank.
fn sharing(world: &MpiWorld) {
    let rank = world.channel(Some(PATIENCE)).unwrap();
    let replicas = world.size() / 2;
    let of = |batch: usize, accumulation: usize| {
        let (mut job, clips) = job(u64::MAX, batch, accumulation);
        job.trainer.optimizer.backbone_learning_rate = 1e-3;
        job.network = NetworkConfig::VitTransformer(VitTransformerConfig {
            backbone: VisionTransformerConfig {
                image: 16,
                patch: 8,
                width: 32,
                depth: 2,
                heads: 2,
            },
            feed_forward: 48,
            heads: 4,
            dropout: 0.0,
            ..VitTransformerConfig::default()
        });
        (job, clips)
    };
    parts_have_the_gradients_of_the_whole(&of(3, 1), &rank);
    let shared = train(&of(4 / replicas, replicas), &rank, 2, &mut |_| {}).unwrap();
    let one = train(&of(4, 1), &Alone, 1, &mut |_| {}).unwrap();
    let mut most = 0.0_f32;
    for (name, one) in &one.weights.by_name {
        assert_eq!(one.shape, shared.weights.by_name[name].shape, "{name}");
        for (one, shared) in one.values.iter().zip(&shared.weights.by_name[name].values) {
            most = most.max((one - shared).abs() / one.abs().max(1.0));
        }
    }
    assert!(most < 1e-5, "{most}");
    for ((_, one), (_, shared)) in one.validation.iter().zip(&shared.validation) {
        assert!((one - shared).abs() < 1e-4, "{one} {shared}");
    }
    // Groups at once, each with a duplicate, and every number in its place.
    let group = rank.subset(world.rank() % 2).unwrap();
    let again = group.duplicate().unwrap();
    let told = again.gather(&[world.rank() as u8]).unwrap();
    let expected: Vec<Vec<u8>> =
        (0..replicas).map(|at| vec![(2 * at + world.rank() % 2) as u8]).collect();
    assert_eq!(told, expected);
}

fn late(world: &MpiWorld) {
    let rank = world.channel(Some(Duration::from_secs(1))).unwrap();
    rank.barrier().unwrap();
    if world.rank() == 2 {
        std::thread::sleep(Duration::from_secs(60));
    }
    let error = rank.sum_f32(&mut [1.0]).unwrap_err();
    assert_eq!(error, CollectiveError::Late { rank: 2, size: 3, seconds: 1 });
    end(world, &error);
}

fn elsewhere(world: &MpiWorld) {
    let rank = world.channel(Some(PATIENCE)).unwrap();
    let mut values = vec![1.0; 1 + world.rank()];
    let error = rank.sum_f64(&mut values).unwrap_err();
    assert_eq!(
        error.to_string(),
        "Rank 1 of 2 is elsewhere: expected a sum of 1 numbers of 64 bits, call 0, found a sum of 2 \
         numbers of 64 bits, call 0"
    );
}

fn fails(world: &MpiWorld) {
    let rank = world.channel(Some(PATIENCE)).unwrap();
    let left = if world.rank() == 1 { 6 } else { u64::MAX };
    let error = train(&job(left, 1, 4), &rank, 1, &mut |_| {}).unwrap_err();
    end(world, &error);
}

fn killed(world: &MpiWorld) {
    let rank: MpiRank = world.channel(Some(PATIENCE)).unwrap();
    let own = world.rank();
    let outcome = train(&job(u64::MAX, 1, 4), &rank, 1, &mut |step| {
        if own == 1 && step == 3 {
            println!("rank 1 is killed");
            std::io::stdout().flush().unwrap();
            let pid = std::process::id().to_string();
            Command::new("kill").args(["-9", &pid]).status().unwrap();
        }
    });
    if let Err(error) = outcome {
        end(world, &error);
    }
}
