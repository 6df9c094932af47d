//! Variants of a clip: which of them a training is shown, and when.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use burn::backend::{Autodiff, Flex};
use fvc_media::Frame;
use fvc_nn::{
    ClassBalance, ClipKey, ClipSource, NetworkError, Sampler, TrainingEvent, TrainingJob, train,
};

use crate::training::{corpus, fast, noise, small_networks};

/// Clips that have three variants each, and keep which were asked for.
struct Asked {
    clips: Arc<dyn ClipSource>,
    keys: Mutex<Vec<ClipKey>>,
}

fn original(key: &ClipKey) -> ClipKey {
    ClipKey { content_id: key.content_id, variant: 0 }
}

impl ClipSource for Asked {
    fn windows(&self, key: &ClipKey) -> Result<Vec<usize>, NetworkError> {
        self.clips.windows(&original(key))
    }

    fn size(&self, key: &ClipKey) -> Result<(usize, usize), NetworkError> {
        self.clips.size(&original(key))
    }

    fn window(&self, key: &ClipKey, window: usize) -> Result<Vec<Frame>, NetworkError> {
        self.keys.lock().unwrap().push(key.clone());
        self.clips.window(&original(key), window)
    }
}

/// The earlier system repeated each clip once for each of its variants, so that an epoch was as many times as
/// long and showed the same clip again and again. Here an epoch shows a clip once, in one variant that is drawn
/// anew for the next epoch; and whoever is judged is judged by the original.
#[test]
fn one_variant_of_a_clip_an_epoch_and_originals_for_judgement() {
    let (mut sources, clips) = corpus(10, [4, 16, 16], |fake, source, frame, x, _, _| {
        noise(&[u64::from(source), u64::from(frame), u64::from(x)]) / 2 + if fake { 60 } else { 0 }
    });
    for source in &mut sources[..6] {
        source.variants = vec![0, 1, 2, 3];
    }
    let mut trainer = fast(12);
    trainer.class_balance = ClassBalance::None;
    let sampler = Sampler::new(&sources[..6], &*clips, 7, ClassBalance::None).unwrap();
    let mut shown = vec![BTreeSet::new(); 6];
    for epoch in 0..40 {
        let excerpts = sampler.epoch(epoch, 4);
        let once: BTreeSet<usize> = excerpts.iter().map(|own| own.source).collect();
        assert_eq!((excerpts.len(), once.len()), (6, 6), "each clip once");
        for own in excerpts {
            assert_eq!(own.key.content_id, sources[own.source].content_id);
            shown[own.source].insert(own.key.variant);
        }
    }
    let all = BTreeSet::from([0, 1, 2, 3]);
    assert!(shown.iter().all(|own| *own == all), "{shown:?}");

    let asked = Arc::new(Asked { clips, keys: Mutex::default() });
    let job = TrainingJob {
        network: small_networks()[1].clone(),
        trainer,
        training: sources[..6].to_vec(),
        validation: sources[6..].to_vec(),
    };
    let folder = tempfile::tempdir().unwrap();
    let mut epochs = Vec::new();
    train::<Autodiff<Flex>>(
        &job,
        None,
        &(Arc::clone(&asked) as Arc<dyn ClipSource>),
        &Default::default(),
        folder.path(),
        &false.into(),
        &mut |event| {
            if matches!(event, TrainingEvent::Epoch(_)) {
                epochs.push(std::mem::take(&mut *asked.keys.lock().unwrap()));
            }
        },
    )
    .unwrap();
    assert_eq!(epochs.len(), 12);
    let learnt: BTreeSet<_> = job.training.iter().map(|own| own.content_id).collect();
    let mut variants = BTreeSet::new();
    for keys in epochs {
        let (training, judged): (Vec<_>, Vec<_>) =
            keys.into_iter().partition(|key| learnt.contains(&key.content_id));
        let once: BTreeSet<_> = training.iter().map(|key| key.content_id).collect();
        assert_eq!((training.len(), once.len()), (6, 6), "each clip in one variant");
        variants.extend(training.iter().map(|key| key.variant));
        assert!(!judged.is_empty() && judged.iter().all(|key| key.variant == 0), "{judged:?}");
    }
    assert_eq!(variants, all);
}
