//! Every parameter that the table names does what it says.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use burn::backend::{Autodiff, Flex};
use fvc_learn::{ModelKind, ParameterValue, Parameters};
use fvc_media::Frame;
use fvc_nn::{
    ClipKey, ClipSource, EpochRecord, NetworkError, NetworkSettings, PARAMETERS, Source,
    TrainingEvent, TrainingJob, Weights, train,
};

use crate::training::{corpus, noise};

/// Sources that are learnt from, and held out; each has two windows of six frames.
const LEARNT: usize = 12;
const HELD_OUT: usize = 3;
const WINDOW: usize = 6;

/// Clips that keep who read them.
struct Watched {
    clips: Arc<dyn ClipSource>,
    reads: AtomicUsize,
    now: AtomicUsize,
    most_at_once: AtomicUsize,
    /// Readers wait for so many others, for a while: threads that are there are seen to be.
    expected: usize,
    first_read: Mutex<Vec<ClipKey>>,
}

impl ClipSource for Watched {
    fn windows(&self, key: &ClipKey) -> Result<Vec<usize>, NetworkError> {
        self.clips.windows(key)
    }

    fn size(&self, key: &ClipKey) -> Result<(usize, usize), NetworkError> {
        self.clips.size(key)
    }

    fn window(&self, key: &ClipKey, window: usize) -> Result<Vec<Frame>, NetworkError> {
        self.reads.fetch_add(1, Ordering::SeqCst);
        {
            let mut first = self.first_read.lock().unwrap();
            if first.len() < LEARNT {
                first.push(key.clone());
            }
        }
        let now = self.now.fetch_add(1, Ordering::SeqCst) + 1;
        self.most_at_once.fetch_max(now, Ordering::SeqCst);
        let since = Instant::now();
        while self.most_at_once.load(Ordering::SeqCst) < self.expected
            && since.elapsed() < Duration::from_secs(2)
        {
            std::thread::yield_now();
        }
        let frames = self.clips.window(key, window);
        self.now.fetch_sub(1, Ordering::SeqCst);
        frames
    }
}

/// What a training let be seen.
#[derive(Debug)]
struct Seen {
    steps_an_epoch: u64,
    losses: Vec<f64>,
    /// Whether a checkpoint stood there when each step of the first epoch was told.
    checkpoints: Vec<bool>,
    records: Vec<EpochRecord>,
    weights: Weights,
    first: Weights,
    /// Windows that were read by the end, and when the first step was told.
    reads: usize,
    reads_at_first_step: usize,
    most_at_once: usize,
    /// What the first epoch showed.
    shown: Vec<ClipKey>,
}

fn given(parameters: &[(&str, ParameterValue)]) -> Parameters {
    parameters.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect()
}

/// More real than fake sources, so that balance means something.
fn sources() -> (Vec<Source>, Arc<dyn ClipSource>) {
    let (mut sources, clips) = corpus(
        (LEARNT + HELD_OUT) as u32,
        [WINDOW as u32, 16, 16],
        |fake, source, frame, x, y, colour| {
            noise(&[u64::from(source), u64::from(frame), u64::from(y * 16 + x), u64::from(colour)])
                / 2
                + if fake { 40 } else { 0 }
        },
    );
    for source in &mut sources[..4] {
        source.fake = false;
    }
    (sources, clips)
}

/// A short training of a small network with these parameters.
fn seen(kind: ModelKind, own: &[(&str, ParameterValue)]) -> Seen {
    let mut parameters = given(&[
        ("configuration", "small".into()),
        ("epochs", 2.0.into()),
        ("frames", 3.0.into()),
        ("batch", 2.0.into()),
        ("accumulation", 2.0.into()),
        ("precision", "f32".into()),
        ("loader.threads", 1.0.into()),
    ]);
    if matches!(kind, ModelKind::VitGru | ModelKind::VitTransformer) {
        parameters.insert("depth".to_owned(), 1.0.into());
    }
    parameters.extend(given(own));
    let settings = NetworkSettings::of(kind, &parameters, 5).unwrap();
    let (sources, clips) = sources();
    let watched = Arc::new(Watched {
        clips,
        reads: AtomicUsize::new(0),
        now: AtomicUsize::new(0),
        most_at_once: AtomicUsize::new(0),
        expected: settings.trainer.loader.threads,
        first_read: Mutex::default(),
    });
    let clips: Arc<dyn ClipSource> = Arc::clone(&watched) as _;
    let job = TrainingJob {
        network: settings.network,
        trainer: settings.trainer,
        training: sources[..LEARNT].to_vec(),
        validation: sources[LEARNT..].to_vec(),
    };
    let folder = tempfile::tempdir().unwrap();
    let checkpoint = folder.path().join("checkpoint.safetensors");
    let (mut steps_an_epoch, mut losses, mut checkpoints) = (0, Vec::new(), Vec::new());
    let mut reads_at_first_step = 0;
    let mut tell = |event: &TrainingEvent| {
        if let TrainingEvent::Step { epoch, steps, loss, .. } = event {
            steps_an_epoch = *steps;
            if losses.is_empty() {
                reads_at_first_step = settled(&watched.reads);
            }
            losses.push(*loss);
            if *epoch == 1 {
                checkpoints.push(checkpoint.exists());
            }
        }
    };
    let device = Default::default();
    let first = Weights::of(&job.network.init::<Flex>(job.trainer.seed, &device));
    let go = AtomicBool::new(false);
    let trained =
        train::<Autodiff<Flex>>(&job, None, &clips, &device, folder.path(), &go, &mut tell);
    let (trained, _) = trained.unwrap_or_else(|error| panic!("{kind} {parameters:?}: {error}"));
    let shown = watched.first_read.lock().unwrap().clone();
    Seen {
        steps_an_epoch,
        losses,
        checkpoints,
        records: trained.records,
        weights: trained.weights,
        first,
        reads: watched.reads.load(Ordering::SeqCst),
        reads_at_first_step,
        most_at_once: watched.most_at_once.load(Ordering::SeqCst),
        shown,
    }
}

/// The count once nobody counts any more.
fn settled(count: &AtomicUsize) -> usize {
    let (mut known, mut since) = (count.load(Ordering::SeqCst), Instant::now());
    while since.elapsed() < Duration::from_millis(60) {
        std::thread::sleep(Duration::from_millis(5));
        let now = count.load(Ordering::SeqCst);
        if now != known {
            (known, since) = (now, Instant::now());
        }
    }
    known
}

/// Batch, accumulation, frames and threads of the table were read and never used by the earlier system, which
/// trained everything on two clips of sixteen frames. Each is counted here, for every network: steps, windows
/// that are read, batches that are ahead, threads that read at once.
#[test]
fn what_decides_memory_is_used_by_every_network() {
    for kind in ModelKind::NETWORKS {
        for [batch, accumulation, frames, threads] in
            [[2, 2, 3, 1], [3, 2, 3, 1], [2, 3, 3, 1], [2, 2, 6, 1], [2, 2, 3, 3]]
        {
            let number = |value: usize| ParameterValue::from(value as f64);
            let found = seen(
                kind,
                &[
                    ("batch", number(batch)),
                    ("accumulation", number(accumulation)),
                    ("frames", number(frames)),
                    ("loader.threads", number(threads)),
                    ("loader.prefetch", number(threads)),
                    ("epochs", number(1)),
                ],
            );
            let what = format!("{kind}, {:?}", [batch, accumulation, frames, threads]);
            let steps = LEARNT.div_ceil(batch * accumulation);
            assert_eq!(found.steps_an_epoch, steps as u64, "{what}");
            assert_eq!(found.losses.len(), steps, "{what}");
            // Held-out windows are shown whole, in as many excerpts as that takes, after the epoch and in
            // the end.
            let judged = HELD_OUT * 2 * WINDOW.div_ceil(frames);
            assert_eq!(found.reads, LEARNT + 2 * judged, "{what}");
            // A batch that is taken makes room for one more.
            let ahead = (batch * (accumulation + threads)).min(LEARNT);
            assert_eq!(found.reads_at_first_step, ahead, "{what}");
            assert_eq!(found.most_at_once, threads, "{what}");
        }
    }
}

/// How a parameter shows.
struct Case {
    kind: ModelKind,
    /// What else must be set for it to mean something.
    with: Vec<(&'static str, ParameterValue)>,
    /// Values that all show otherwise.
    values: Vec<ParameterValue>,
    /// What of a training shows it, as a text to compare.
    shows: fn(&Seen) -> String,
}

/// The weights, to the last bit.
fn weights(seen: &Seen) -> String {
    let mut hash = blake3::Hasher::new();
    for (name, weight) in &seen.weights.by_name {
        hash.update(name.as_bytes());
        for value in &weight.values {
            hash.update(&value.to_le_bytes());
        }
    }
    hash.finalize().to_hex().to_string()
}

fn shapes(seen: &Seen) -> String {
    format!("{:?}", seen.weights.by_name.values().map(|own| &own.shape).collect::<Vec<_>>())
}

fn learning_rates(seen: &Seen) -> String {
    format!("{:?}", seen.records.iter().map(|own| own.learning_rate).collect::<Vec<_>>())
}

fn blocks_that_learnt(seen: &Seen) -> String {
    let learnt = |name: &&String| seen.first.by_name[*name] != seen.weights.by_name[*name];
    let names = seen.weights.by_name.keys().filter(|name| name.starts_with("backbone.blocks"));
    format!("{:?}", names.filter(learnt).collect::<Vec<_>>())
}

/// How each parameter of the table shows in a training; none for those that stage 5 uses before or beside it.
fn case(name: &str) -> Option<Case> {
    use ModelKind::{NaiveCnn, VariableArCnn, VitGru, VitTransformer};
    let numbers = |values: &[f64]| values.iter().map(|&value| value.into()).collect::<Vec<_>>();
    let words = |values: &[&str]| values.iter().map(|&value| value.into()).collect::<Vec<_>>();
    let flags = || vec![false.into(), true.into()];
    let of = |kind, with: &[(&'static str, ParameterValue)], values, shows| {
        Some(Case { kind, with: with.to_vec(), values, shows })
    };
    match name {
        "configuration" => of(NaiveCnn, &[], words(&["reference", "small"]), shapes),
        "stem_stride" => of(VariableArCnn, &[], numbers(&[1.0, 2.0, 4.0]), weights),
        "dropout" => of(NaiveCnn, &[], numbers(&[0.0, 0.3, 0.9]), weights),
        "positions" => of(VitTransformer, &[], flags(), weights),
        "batch" => of(NaiveCnn, &[], numbers(&[2.0, 3.0]), |seen| {
            format!("{} {}", seen.steps_an_epoch, seen.reads_at_first_step)
        }),
        "accumulation" => {
            of(NaiveCnn, &[], numbers(&[1.0, 2.0, 3.0]), |seen| seen.steps_an_epoch.to_string())
        }
        "frames" => of(NaiveCnn, &[], numbers(&[2.0, 3.0, 6.0]), |seen| seen.reads.to_string()),
        "loader.threads" => {
            let with = [("loader.prefetch", 4.0.into())];
            of(NaiveCnn, &with, numbers(&[1.0, 2.0, 4.0]), |seen| seen.most_at_once.to_string())
        }
        "loader.prefetch" => of(NaiveCnn, &[], numbers(&[1.0, 2.0, 3.0]), |seen| {
            seen.reads_at_first_step.to_string()
        }),
        "epochs" => of(NaiveCnn, &[("patience", 9.0.into())], numbers(&[1.0, 3.0]), |seen| {
            seen.records.len().to_string()
        }),
        "warmup_epochs" => of(NaiveCnn, &[], numbers(&[0.0, 1.0, 2.0]), weights),
        "last_share" => of(NaiveCnn, &[], numbers(&[0.0, 0.5, 1.0]), learning_rates),
        "learning_rate" => of(NaiveCnn, &[], numbers(&[1e-4, 1e-3]), learning_rates),
        "backbone_learning_rate" => of(VitGru, &[], numbers(&[1e-5, 1e-3]), weights),
        "weight_decay" => of(NaiveCnn, &[], numbers(&[0.0, 0.5]), weights),
        "clip_norm" => of(NaiveCnn, &[], numbers(&[0.0, 0.01]), weights),
        "loss" => of(NaiveCnn, &[], words(&["binary_cross_entropy", "focal"]), |seen| {
            format!("{:?}", seen.losses)
        }),
        "focal_gamma" => of(NaiveCnn, &[("loss", "focal".into())], numbers(&[0.5, 2.0]), |seen| {
            format!("{:?}", seen.losses)
        }),
        "focal_alpha" => of(NaiveCnn, &[("loss", "focal".into())], numbers(&[0.2, 0.8]), |seen| {
            format!("{:?}", seen.losses)
        }),
        "label_smoothing" => {
            of(NaiveCnn, &[], numbers(&[0.0, 0.2]), |seen| format!("{:?}", seen.losses))
        }
        "class_balance" => of(NaiveCnn, &[], words(&["sampler", "weights", "none"]), |seen| {
            let sources: BTreeSet<&ClipKey> = seen.shown.iter().collect();
            format!("{} {:?}", sources.len() == LEARNT, seen.losses)
        }),
        "patience" => {
            // A training that stands still: nothing is better than the first epoch.
            let with = [
                ("learning_rate", 1e-12.into()),
                ("backbone_learning_rate", 1e-12.into()),
                ("stop_metric", "roc_auc".into()),
                ("epochs", 6.0.into()),
            ];
            of(VitGru, &with, numbers(&[1.0, 3.0]), |seen| seen.records.len().to_string())
        }
        "stop_metric" => {
            let metrics = words(&["log_loss", "roc_auc", "balanced_accuracy"]);
            of(NaiveCnn, &[("learning_rate", 5e-3.into())], metrics, |seen| {
                format!("{:?}", seen.records[0].stop_metric)
            })
        }
        "unfreeze_every" => {
            let with = [("depth", 2.0.into()), ("patience", 9.0.into())];
            // Of two epochs the second opens the last block, or none.
            of(VitGru, &with, numbers(&[0.0, 1.0, 2.0]), blocks_that_learnt)
        }
        "precision" => of(NaiveCnn, &[], words(&["f32", "bf16", "f16"]), weights),
        "engine" => of(NaiveCnn, &[], words(&["fast", "portable"]), weights),
        // Shows in nothing but memory: `blocks_that_are_run_twice_need_less_memory`.
        "block_checkpointing" => None,
        "checkpoint_steps" => {
            of(NaiveCnn, &[], numbers(&[0.0, 1.0, 2.0]), |seen| format!("{:?}", seen.checkpoints))
        }
        "depth" => of(VitGru, &[], numbers(&[1.0, 2.0]), shapes),
        "width" => of(VitTransformer, &[], numbers(&[48.0, 96.0]), shapes),
        // Refused where there is no device, and seen by no number where there is one.
        "loader.pinned" => {
            let error = NetworkSettings::of(NaiveCnn, &given(&[(name, true.into())]), 0);
            assert!(error.unwrap_err().to_string().starts_with(name));
            None
        }
        "random_backbone" => {
            assert!(NetworkSettings::of(VitGru, &given(&[(name, false.into())]), 0).is_err());
            let random = |with: &[(&str, ParameterValue)]| {
                let own: Vec<_> = with.iter().cloned().chain([(name, true.into())]).collect();
                NetworkSettings::of(VitGru, &given(&own), 0).map_err(|error| error.to_string())
            };
            assert!(random(&[]).unwrap().random_backbone);
            // What has no effect, or contradicts, is refused.
            let small = random(&[("configuration", "small".into())]).unwrap_err();
            assert!(small.starts_with("random_backbone: ") && small.contains("small"), "{small}");
            let both = random(&[("weights", "some.pt".into())]).unwrap_err();
            assert!(both.starts_with("random_backbone: ") && both.contains("some.pt"), "{both}");
            None
        }
        "device" => {
            let found = NetworkSettings::of(NaiveCnn, &given(&[(name, "cuda:0".into())]), 0);
            assert_eq!(found.is_ok(), cfg!(feature = "cuda"));
            None
        }
        // What they do is tested with the ranks: `devices` of the binary, and of the collective.
        "devices" | "rank_patience" => {
            let value = if name == "devices" { "cpu,cuda:0".into() } else { 0.0.into() };
            let error = NetworkSettings::of(NaiveCnn, &given(&[(name, value)]), 0);
            assert!(error.is_err(), "{name}");
            None
        }
        // That it changes nothing but rounding is tested with the ranks, in `tensor_parallel`.
        "tensor_parallel" => {
            let with = |kind, ranks: f64| {
                let own = [("devices", "cpu,cpu,cpu".into()), (name, ranks.into())];
                let own = [&own[..], &[("configuration", "small".into())]].concat();
                NetworkSettings::of(kind, &given(&own), 0)
            };
            assert_eq!(with(VitGru, 3.0).unwrap().tensor_parallel, 3);
            for (kind, ranks, says) in [
                (NaiveCnn, 3.0, "nothing for naive_cnn"),
                (VitGru, 0.0, "1 at least"),
                (VitGru, 2.0, "a divisor of the 3 heads of vit_gru, found 2"),
            ] {
                let error = with(kind, ranks).unwrap_err().to_string();
                assert!(error.starts_with(name) && error.contains(says), "{error}");
            }
            None
        }
        // Through the binary: `parameters_of_stage_5_change_what_is_trained`.
        "size" | "weights" | "memory" | "variants" => None,
        unseen => panic!("nothing shows what {unseen} does"),
    }
}

/// In the earlier system `learning_rate`, `dropout` and the names of half of the other settings were taken and
/// never looked at. A parameter that stands in the table has a case above, in which each value shows otherwise.
#[test]
fn every_parameter_of_the_table_shows_in_a_training() {
    for (name, _) in PARAMETERS {
        let Some(Case { kind, with, values, shows }) = case(name) else { continue };
        let mut known: Vec<(ParameterValue, String)> = Vec::new();
        for value in values {
            let own: Vec<(&str, ParameterValue)> =
                with.iter().cloned().chain([(name, value.clone())]).collect();
            let shown = shows(&seen(kind, &own));
            for (other, before) in &known {
                assert_ne!(*before, shown, "{name} = {other} and {value} show the same for {kind}");
            }
            known.push((value, shown));
        }
        // One value alone says nothing.
        assert!(known.len() > 1, "{name}");
    }
}

/// What shows above could be chance: the same parameters twice show the same.
#[test]
fn the_same_parameters_show_the_same() {
    let (one, two) = (seen(ModelKind::NaiveCnn, &[]), seen(ModelKind::NaiveCnn, &[]));
    assert_eq!(weights(&one), weights(&two));
    assert_eq!(one.losses, two.losses);
    assert_eq!(one.shown.len(), LEARNT);
}

/// What a run reports of a training is what it was done with, by the names of the report.
#[test]
fn what_is_given_is_what_is_reported() {
    let parameters = given(&[
        ("batch", 3.0.into()),
        ("accumulation", 5.0.into()),
        ("frames", 7.0.into()),
        ("loader.threads", 4.0.into()),
        ("memory", 900.0.into()),
        ("variants", false.into()),
        ("size", "48max".into()),
    ]);
    for kind in ModelKind::NETWORKS {
        let mut parameters = parameters.clone();
        if matches!(kind, ModelKind::VitGru | ModelKind::VitTransformer) {
            parameters.insert("random_backbone".to_owned(), true.into());
        }
        let reported = NetworkSettings::of(kind, &parameters, 1).unwrap().parameters();
        for (name, value) in &parameters {
            let of_trainer = format!("trainer.{name}");
            let found = [name.as_str(), &of_trainer, "memory_mib"]
                .into_iter()
                .filter(|own| name == "memory" || *own != "memory_mib")
                .find_map(|own| reported.get(own));
            assert_eq!(found, Some(value), "{kind}: {name} in {reported:?}");
        }
    }
}

/// What `block_checkpointing` is for. Gradients are the same to the last bit, so only the most memory that a
/// process had shows it: this test, run once more as a process of its own for each value.
#[test]
fn blocks_that_are_run_twice_need_less_memory() {
    const VALUE: &str = "FVC_TEST_BLOCK_CHECKPOINTING";
    if let Ok(value) = std::env::var(VALUE) {
        let own = [
            ("block_checkpointing", (value == "true").into()),
            ("depth", 12.0.into()),
            ("frames", 6.0.into()),
            ("batch", 6.0.into()),
            ("accumulation", 1.0.into()),
            ("loader.prefetch", 1.0.into()),
            ("epochs", 1.0.into()),
        ];
        drop(seen(ModelKind::VitGru, &own));
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        println!("{}", status.lines().find(|line| line.starts_with("VmHWM:")).unwrap());
        return;
    }
    let most = |value: &str| -> u64 {
        let output = std::process::Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "settings::blocks_that_are_run_twice_need_less_memory",
                "--nocapture",
            ])
            .env(VALUE, value)
            .output()
            .unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let (_, rest) = text.split_once("VmHWM:").unwrap_or_else(|| panic!("{text}"));
        rest.split_whitespace().next().unwrap().parse().unwrap()
    };
    let (whole, by_block) = (most("false"), most("true"));
    assert!(by_block * 3 < whole * 2, "{by_block} kB block by block, {whole} kB whole");
}
