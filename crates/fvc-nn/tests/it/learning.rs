//! What networks can learn: eight clips by heart, and the order of frames.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use burn::backend::{Autodiff, Flex};
use fvc_learn::{ModelKind, Parameters};
use fvc_media::{ContentId, Frame};
use fvc_nn::{
    ClipSource, CounterRandom, Loader, NetworkConfig, NetworkReader, NetworkSettings, SavedNetwork,
    Source, StopMetric, Trained, TrainerConfig, TrainingJob, VisionTransformerConfig, VitGruConfig,
    VitTransformerConfig, Weights, score_sources, train,
};

use crate::mlflow::skip;
use crate::training::{Memory, corpus, noise};

pub(crate) fn train_to_the_end(job: &TrainingJob, clips: &Arc<dyn ClipSource>) -> Trained {
    let folder = tempfile::tempdir().unwrap();
    let go = AtomicBool::new(false);
    let device = Default::default();
    train::<Autodiff<Flex>>(job, None, clips, &device, folder.path(), &go, &mut |_| {}).unwrap().0
}

/// A trained network as stage 5 keeps it: weights in `folder`, the rest by value.
pub(crate) fn saved(
    network: &NetworkConfig,
    trainer: &TrainerConfig,
    weights: &Weights,
    folder: &std::path::Path,
) -> SavedNetwork {
    let weights_file = "weights.safetensors".to_owned();
    let path = folder.join(&weights_file);
    weights.write(&path, "a test").unwrap();
    SavedNetwork {
        network: network.clone(),
        trainer: trainer.clone(),
        size: "16max".to_owned(),
        weights_file,
        weights_hash: blake3_of(&path),
        parameters: weights.count(),
        best_epoch: 1,
        random_backbone: false,
    }
}

fn blake3_of(path: &std::path::Path) -> String {
    blake3::hash(&std::fs::read(path).unwrap()).to_hex().to_string()
}

/// Log odds by a model that is read from its files, as `fvc predict` does.
pub(crate) fn scores_when_read(
    saved: &SavedNetwork,
    folder: &std::path::Path,
    clips: &Arc<dyn ClipSource>,
    sources: &[ContentId],
) -> Vec<f64> {
    let reader = NetworkReader::new(Arc::clone(clips), Arc::new(AtomicBool::new(false)));
    reader.knows(saved, folder);
    reader.score(saved, sources).unwrap()
}

/// A network that cannot learn eight clips by heart has a fault in its backward pass, and one that says
/// something else once it is read again has one in its files. Noise leaves nothing to learn but the clips
/// themselves.
#[test]
fn slow_every_network_learns_eight_clips_by_heart_and_says_the_same_once_read() {
    const TEST: &str = "slow_every_network_learns_eight_clips_by_heart_and_says_the_same_once_read";
    if std::env::var_os("FVC_SLOW").is_none() {
        return skip(TEST, "takes minutes; FVC_SLOW=1 runs it");
    }
    let (sources, clips) = corpus(8, [4, 16, 16], |_, source, frame, x, y, colour| {
        noise(&[
            // Both windows of a source show the same.
            u64::from(source / 2),
            u64::from(frame),
            u64::from(y * 16 + x),
            u64::from(colour),
        ])
    });
    for kind in ModelKind::NETWORKS {
        let mut parameters = Parameters::from([
            ("configuration".to_owned(), "small".into()),
            ("dropout".to_owned(), 0.0.into()),
            ("weight_decay".to_owned(), 0.0.into()),
            ("batch".to_owned(), 8.0.into()),
            ("accumulation".to_owned(), 1.0.into()),
            ("frames".to_owned(), 4.0.into()),
            ("epochs".to_owned(), 100.0.into()),
            ("patience".to_owned(), 100.0.into()),
            ("learning_rate".to_owned(), 5e-3.into()),
            ("class_balance".to_owned(), "none".into()),
            ("precision".to_owned(), "f32".into()),
        ]);
        if matches!(kind, ModelKind::VitGru | ModelKind::VitTransformer) {
            for (name, value) in [
                ("backbone_learning_rate", 1e-3),
                ("learning_rate", 2e-3),
                ("depth", 1.0),
                ("epochs", 160.0),
                ("patience", 160.0),
            ] {
                parameters.insert(name.to_owned(), value.into());
            }
        }
        let NetworkSettings { network, trainer, .. } =
            NetworkSettings::of(kind, &parameters, 3).unwrap();
        let job = TrainingJob {
            network,
            trainer,
            training: sources.clone(),
            // Judged on what was learnt: by heart is what is asked.
            validation: sources.clone(),
        };
        let trained = train_to_the_end(&job, &clips);
        let losses: Vec<f64> = trained.records.iter().map(|epoch| epoch.training_loss).collect();
        let least = losses.iter().copied().fold(f64::INFINITY, f64::min);
        eprintln!("{kind}: loss {least:.4} in {} epochs", losses.len());
        assert!(losses.iter().any(|&loss| loss < 0.05), "{kind}: {losses:?}");

        let before: Vec<f64> = trained.validation.iter().map(|(_, score)| *score).collect();
        for (source, score) in sources.iter().zip(&before) {
            assert_eq!(*score > 0.0, source.fake, "{kind}: {before:?}");
        }
        let folder = tempfile::tempdir().unwrap();
        let model = saved(&job.network, &job.trainer, &trained.weights, folder.path());
        let ids: Vec<ContentId> = sources.iter().map(|source| source.content_id).collect();
        let after = scores_when_read(&model, folder.path(), &clips, &ids);
        for (before, after) in before.iter().zip(&after) {
            assert!((before - after).abs() <= 1e-6 * before.abs().max(1.0), "{before} {after}");
        }
    }
}

const FRAMES: usize = 6;
const SIDE: u32 = 16;

/// Twins: one clip grows brighter from frame to frame, the other shows the very same frames from the last to
/// the first. Where it begins and how fast it grows is drawn for each pair.
fn twins(pairs: u64) -> (Vec<Source>, Arc<dyn ClipSource>) {
    let (mut sources, mut clips) = (Vec::new(), BTreeMap::new());
    for pair in 0..pairs {
        let draw = CounterRandom::new(&[77, pair]);
        let (first, by) = (20.0 + 60.0 * draw.uniform(0), 12.0 + 12.0 * draw.uniform(1));
        let rising: Vec<Vec<u8>> = (0..FRAMES)
            .map(|frame| {
                let level = first + by * frame as f32;
                let grain = |at: u32| noise(&[pair, frame as u64, u64::from(at)]) / 32;
                (0..SIDE * SIDE * 3).map(|at| level as u8 + grain(at)).collect()
            })
            .collect();
        for fake in [false, true] {
            let number = 2 * pair + u64::from(fake);
            let content_id = ContentId::of_bytes(&number.to_le_bytes());
            let order: Vec<usize> =
                if fake { (0..FRAMES).rev().collect() } else { (0..FRAMES).collect() };
            let frames = order
                .into_iter()
                .enumerate()
                .map(|(place, own)| {
                    let time = place as f64 / 8.0;
                    Frame::new(SIDE, SIDE, rising[own].clone(), place as u64, time).unwrap()
                })
                .collect();
            clips.insert(content_id, vec![frames]);
            let group = format!("pair{pair}");
            sources.push(Source { content_id, group, fake, variants: vec![0] });
        }
    }
    (sources, Arc::new(Memory { clips }))
}

/// Each frame of each clip as a clip of its own.
struct SingleFrames(Arc<dyn ClipSource>);

impl ClipSource for SingleFrames {
    fn windows(&self, key: &fvc_nn::ClipKey) -> Result<Vec<usize>, fvc_nn::NetworkError> {
        Ok(self.0.windows(key)?.into_iter().flat_map(|frames| vec![1; frames]).collect())
    }

    fn size(&self, key: &fvc_nn::ClipKey) -> Result<(usize, usize), fvc_nn::NetworkError> {
        self.0.size(key)
    }

    fn window(
        &self,
        key: &fvc_nn::ClipKey,
        window: usize,
    ) -> Result<Vec<Frame>, fvc_nn::NetworkError> {
        Ok(vec![self.0.window(key, 0)?.swap_remove(window)])
    }
}

fn auc(
    job: &TrainingJob,
    weights: &Weights,
    sources: &[Source],
    clips: &Arc<dyn ClipSource>,
) -> f64 {
    let device = Default::default();
    let (network, _) = weights.apply(job.network.init::<Flex>(0, &device));
    let ids: Vec<ContentId> = sources.iter().map(|source| source.content_id).collect();
    let mut loader = Loader::start(clips, job.network.frame_shape(), 1, 2).unwrap();
    let go = AtomicBool::new(false);
    let scores =
        score_sources(&network, &job.trainer, &ids, &**clips, &mut loader, &device, &go).unwrap();
    let scored: Vec<(f64, bool)> =
        scores.into_iter().zip(sources.iter().map(|source| source.fake)).collect();
    StopMetric::RocAuc.value(&scored).unwrap()
}

/// In the earlier system `vit_transformer` knew no order of frames, and nobody saw it: whatever it learnt
/// stood in single frames. Here nothing does: both classes show the same frames, one class backwards. Who
/// reads frames in their order finds it, in clips that it has not seen too; who averages over frames cannot.
#[test]
fn the_order_of_frames_is_learnt_and_an_average_of_frames_is_blind_to_it() {
    let (sources, clips) = twins(40);
    let (training, held_out) = sources.split_at(48);
    let backbone = VisionTransformerConfig { image: 16, patch: 8, width: 32, depth: 1, heads: 2 };
    let gru = NetworkConfig::VitGru(VitGruConfig {
        backbone: backbone.clone(),
        hidden: 24,
        layers: 1,
        dropout: 0.1,
    });
    let transformer = |positions| {
        NetworkConfig::VitTransformer(VitTransformerConfig {
            backbone: backbone.clone(),
            feed_forward: 48,
            layers: 1,
            heads: 4,
            dropout: 0.1,
            positions,
        })
    };
    let mut trainer = TrainerConfig {
        epochs: 25,
        batch: 8,
        accumulation: 1,
        frames: FRAMES,
        warmup_epochs: 1.0,
        patience: 25,
        ..TrainerConfig::default()
    };
    trainer.optimizer.head_learning_rate = 3e-3;
    trainer.optimizer.backbone_learning_rate = 3e-3;
    let learn = |network: NetworkConfig| {
        let job = TrainingJob {
            network,
            trainer: trainer.clone(),
            training: training.to_vec(),
            // The last epoch is taken: what is held out has no say.
            validation: Vec::new(),
        };
        let weights = train_to_the_end(&job, &clips).weights;
        (job, weights)
    };
    let blind = 0.35..=0.65;

    let (job, weights) = learn(gru);
    let (seen, unseen) =
        (auc(&job, &weights, training, &clips), auc(&job, &weights, held_out, &clips));
    assert!(seen > 0.95 && unseen > 0.9, "vit_gru: {seen} and {unseen}");
    let single: Arc<dyn ClipSource> = Arc::new(SingleFrames(Arc::clone(&clips)));
    for (part, name) in [(training, "seen"), (held_out, "unseen")] {
        let average = auc(&job, &weights, part, &single);
        assert!(blind.contains(&average), "an average over frames, {name}: {average}");
    }

    let (job, weights) = learn(transformer(true));
    let (seen, unseen) =
        (auc(&job, &weights, training, &clips), auc(&job, &weights, held_out, &clips));
    assert!(seen > 0.95 && unseen > 0.9, "vit_transformer: {seen} and {unseen}");

    let (job, weights) = learn(transformer(false));
    for (part, name) in [(training, "seen"), (held_out, "unseen")] {
        let found = auc(&job, &weights, part, &clips);
        assert!(blind.contains(&found), "vit_transformer without positions, {name}: {found}");
    }
}
