//! Training on clips that stand in memory.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use burn::backend::{Autodiff, Flex};
use fvc_media::{ContentId, Frame};
use fvc_nn::{
    ClassBalance, ClipKey, ClipSource, CounterRandom, Engine, NaiveCnnConfig, NetworkConfig,
    NetworkError, Precision, Source, TrainerConfig, TrainingEvent, TrainingJob,
    VariableArCnnConfig, VisionTransformerConfig, VitGruConfig, VitTransformerConfig, Weights,
    train,
};

type Train = Autodiff<Flex>;

/// Clips in memory: of each source two windows of frames.
pub(crate) struct Memory {
    pub(crate) clips: BTreeMap<ContentId, Vec<Vec<Frame>>>,
}

impl ClipSource for Memory {
    fn windows(&self, key: &ClipKey) -> Result<Vec<usize>, NetworkError> {
        Ok(self.clips[&key.content_id].iter().map(Vec::len).collect())
    }

    fn size(&self, key: &ClipKey) -> Result<(usize, usize), NetworkError> {
        let first = &self.clips[&key.content_id][0][0];
        Ok((first.width() as usize, first.height() as usize))
    }

    fn window(&self, key: &ClipKey, window: usize) -> Result<Vec<Frame>, NetworkError> {
        Ok(self.clips[&key.content_id][window].clone())
    }
}

/// Sources whose frames are made by `pixel(fake, source, frame, x, y, colour)`.
pub(crate) fn corpus(
    count: u32,
    [frames, rows, columns]: [u32; 3],
    pixel: impl Fn(bool, u32, u32, u32, u32, u32) -> u8,
) -> (Vec<Source>, Arc<dyn ClipSource>) {
    let mut sources = Vec::new();
    let mut clips = BTreeMap::new();
    for number in 0..count {
        let fake = number % 2 == 1;
        let content_id = ContentId::of_bytes(&number.to_le_bytes());
        let window = |window: u32| -> Vec<Frame> {
            (0..frames)
                .map(|frame| {
                    let data = (0..rows * columns * 3)
                        .map(|at| {
                            let (place, colour) = (at / 3, at % 3);
                            pixel(
                                fake,
                                number * 2 + window,
                                frame,
                                place % columns,
                                place / columns,
                                colour,
                            )
                        })
                        .collect();
                    Frame::new(columns, rows, data, u64::from(frame), f64::from(frame) / 8.0)
                        .unwrap()
                })
                .collect()
        };
        clips.insert(content_id, vec![window(0), window(1)]);
        sources.push(Source { content_id, group: format!("g{number}"), fake, variants: vec![0] });
    }
    (sources, Arc::new(Memory { clips }))
}

pub(crate) fn noise(parts: &[u64]) -> u8 {
    (CounterRandom::new(parts).uniform(0) * 255.0) as u8
}

pub(crate) fn small_networks() -> Vec<NetworkConfig> {
    let backbone = VisionTransformerConfig { image: 16, patch: 8, width: 32, depth: 2, heads: 2 };
    vec![
        NetworkConfig::VariableArCnn(VariableArCnnConfig {
            widths: [8, 16, 32],
            ..Default::default()
        }),
        NetworkConfig::NaiveCnn(NaiveCnnConfig {
            widths: [8, 16, 16],
            hidden: 16,
            ..Default::default()
        }),
        NetworkConfig::VitGru(VitGruConfig {
            backbone: backbone.clone(),
            hidden: 24,
            ..Default::default()
        }),
        NetworkConfig::VitTransformer(VitTransformerConfig {
            backbone,
            feed_forward: 48,
            heads: 4,
            ..Default::default()
        }),
    ]
}

pub(crate) fn fast(epochs: u64) -> TrainerConfig {
    let mut config = TrainerConfig {
        epochs,
        batch: 2,
        accumulation: 2,
        frames: 4,
        warmup_epochs: 1.0,
        patience: epochs,
        ..TrainerConfig::default()
    };
    config.optimizer.head_learning_rate = 5e-3;
    config.optimizer.backbone_learning_rate = 1e-3;
    config
}

/// Every network learns for two epochs: real loss, real backward, a model that scores.
#[test]
fn every_network_learns_for_two_epochs() {
    let (sources, clips) = corpus(10, [6, 16, 16], |fake, source, frame, x, y, colour| {
        noise(&[u64::from(source), u64::from(frame), u64::from(y * 16 + x), u64::from(colour)]) / 2
            + if fake { 60 } else { 0 }
    });
    for network in small_networks() {
        let folder = tempfile::tempdir().unwrap();
        let job = TrainingJob {
            network,
            trainer: fast(2),
            training: sources[..7].to_vec(),
            validation: sources[7..].to_vec(),
        };
        let mut losses = Vec::new();
        let mut steps = 0;
        let (trained, report) = train::<Train>(
            &job,
            None,
            &clips,
            &Default::default(),
            folder.path(),
            &AtomicBool::new(false),
            &mut |event| match event {
                TrainingEvent::Epoch(record) => losses.push(record.training_loss),
                TrainingEvent::Step { .. } => steps += 1,
                _ => {}
            },
        )
        .unwrap();
        assert!(report.is_none());
        // Seven sources in steps of four: the tail of three is a step of its own.
        assert_eq!(steps, 4);
        assert_eq!(losses.len(), 2);
        assert!(losses.iter().all(|loss| loss.is_finite() && *loss > 0.0), "{losses:?}");
        assert_eq!(trained.validation.len(), 3);
        assert!(trained.validation.iter().all(|(_, score)| score.is_finite()));
        assert!(trained.best_epoch >= 1);
    }
}

/// A training that is stopped in mid-epoch, again and again, ends with the weights of the undisturbed one,
/// bit for bit.
#[test]
fn a_resumed_training_ends_with_the_same_bits() {
    let (sources, clips) = corpus(9, [5, 16, 12], |fake, source, frame, x, y, colour| {
        noise(&[u64::from(source), u64::from(frame), u64::from(y * 16 + x), u64::from(colour)])
            / if fake { 1 } else { 2 }
    });
    for network in small_networks() {
        let mut trainer = fast(3);
        trainer.checkpoint_steps = 1;
        let job = TrainingJob {
            network,
            trainer,
            training: sources[..6].to_vec(),
            validation: sources[6..].to_vec(),
        };
        let run = |folder: &std::path::Path, stop_after: Option<u64>| {
            let stop = AtomicBool::new(false);
            let mut seen = 0;
            train::<Train>(&job, None, &clips, &Default::default(), folder, &stop, &mut |event| {
                if matches!(event, TrainingEvent::Step { .. }) {
                    seen += 1;
                    stop.store(stop_after.is_some_and(|after| seen >= after), Ordering::Relaxed);
                }
            })
        };
        let undisturbed = tempfile::tempdir().unwrap();
        let (whole, _) = run(undisturbed.path(), None).unwrap();
        let disturbed = tempfile::tempdir().unwrap();
        let mut stops = 0;
        let resumed = loop {
            match run(disturbed.path(), Some(1)) {
                Ok((trained, _)) => break trained,
                Err(NetworkError::Cancelled) => stops += 1,
                Err(error) => panic!("{error}"),
            }
        };
        assert!(stops >= 3, "{stops}");
        assert_eq!(whole.weights, resumed.weights);
        assert_eq!(whole.validation, resumed.validation);
        assert_eq!(whole.best_epoch, resumed.best_epoch);
    }
}

/// Weights written and read again are the same, and loading names what does not match.
#[test]
fn weights_are_read_as_they_were_written_and_differences_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("weights.safetensors");
    let device = Default::default();
    for config in small_networks() {
        let network = config.init::<Flex>(7, &device);
        let weights = Weights::of(&network);
        weights.write(&path, "test").unwrap();
        let mut read = Weights::read(&path).unwrap();
        assert_eq!(read, weights);
        let first = read.by_name.keys().next().unwrap().clone();
        let own = read.by_name.remove(&first).unwrap();
        read.by_name.insert("other.weight".to_owned(), own);
        let last = read.by_name.keys().last().unwrap().clone();
        let last = if last == "other.weight" {
            read.by_name.keys().nth_back(1).unwrap().clone()
        } else {
            last
        };
        let changed = read.by_name.get_mut(&last).unwrap();
        changed.shape.push(1);
        let (_, report) = read.apply(config.init::<Flex>(8, &device));
        assert_eq!(report.missing, [first]);
        assert_eq!(report.unused, ["other.weight"]);
        assert_eq!(report.other_shape.len(), 1);
        assert_eq!(report.other_shape[0].0, last);
        assert_eq!(report.matched.len(), weights.by_name.len() - 2);
    }
}

/// Settings out of range are refused by name.
#[test]
fn settings_out_of_range_are_refused_by_name() {
    let network = &small_networks()[0];
    let cases: [(&str, fn(&mut TrainerConfig)); 6] = [
        ("epochs", |config| config.epochs = 0),
        ("batch", |config| config.batch = 0),
        ("learning_rate", |config| config.optimizer.head_learning_rate = -1.0),
        ("warmup_epochs", |config| config.warmup_epochs = 1e9),
        ("label_smoothing", |config| config.loss.label_smoothing = 1.0),
        ("unfreeze_every", |config| config.unfreeze_every = 2),
    ];
    for (key, spoil) in cases {
        let mut config = TrainerConfig::default();
        spoil(&mut config);
        let error = config.check(network).unwrap_err().to_string();
        assert!(error.starts_with(key), "{error}");
    }
    let _ = (ClassBalance::None, Engine::Fast, Precision::F32);
}

/// Weights of another network would leave this one as it began, at random, and under the name of pretrained:
/// they are refused.
#[test]
fn weights_of_another_network_are_refused() {
    let (sources, clips) = corpus(4, [4, 16, 16], |_, source, frame, x, _, _| {
        noise(&[u64::from(source), u64::from(frame), u64::from(x)])
    });
    let networks = small_networks();
    let try_with = |network: &NetworkConfig, weights: &Weights| {
        let job = TrainingJob {
            network: network.clone(),
            trainer: fast(1),
            training: sources.clone(),
            validation: Vec::new(),
        };
        let folder = tempfile::tempdir().unwrap();
        let device = Default::default();
        let go = AtomicBool::new(false);
        train::<Train>(&job, Some(weights), &clips, &device, folder.path(), &go, &mut |_| {})
            .map(|(_, report)| report.unwrap().matched.len())
            .map_err(|error| error.to_string())
    };
    let of = |network: &NetworkConfig| Weights::of(&network.init::<Flex>(3, &Default::default()));
    let naive = of(&networks[1]);
    let refused = try_with(&networks[0], &naive).unwrap_err();
    assert!(refused.contains("weights") && refused.contains("conv1"), "{refused}");
    let mut part = of(&networks[2]);
    part.by_name.remove("backbone.norm.weight");
    let refused = try_with(&networks[2], &part).unwrap_err();
    assert!(refused.contains("backbone.norm.weight"), "{refused}");
    // The whole backbone, and a new head.
    let mut whole = of(&networks[2]);
    whole.by_name.retain(|name, _| name.starts_with("backbone."));
    assert_eq!(try_with(&networks[2], &whole), Ok(whole.by_name.len()));
}
