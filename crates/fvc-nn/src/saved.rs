//! [`SavedNetwork`]: a trained network as a model file names it, and [`NetworkReader`], which scores by it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};

use burn::backend::flex::FlexDevice;
use burn::backend::{Autodiff, Flex};
use fvc_media::{ContentId, Frame};
use serde::{Deserialize, Serialize};

use crate::loader::Loader;
use crate::{
    ClipBatch, ClipSource, Context, Network, NetworkBackend, NetworkConfig, NetworkError,
    TrainerConfig, Weights, grad_cam, log_odds, score_sources,
};

/// A trained network: everything but its weights, which stand in a file of their own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SavedNetwork {
    /// The network.
    pub network: NetworkConfig,
    /// How it was trained; frames, batch, precision and engine also of how it scores.
    pub trainer: TrainerConfig,
    /// The size of its clips, by name.
    pub size: String,
    /// The name of the file of its weights, in the model file's folder.
    pub weights_file: String,
    /// BLAKE3 of that file.
    pub weights_hash: String,
    /// Numbers in it.
    pub parameters: usize,
    /// The epoch whose weights these are, from 1.
    pub best_epoch: u64,
    /// Whether a backbone that is meant to be pretrained began at random.
    pub random_backbone: bool,
}

impl SavedNetwork {
    /// Reads the weights in `folder` and puts them into the network.
    ///
    /// # Errors
    /// The file is not there, is another, or does not have all weights.
    pub fn load<B: NetworkBackend>(&self, folder: &Path) -> Result<Network<B>, NetworkError> {
        self.network.check()?;
        let plain = Path::new(&self.weights_file).components().count() == 1;
        let path = folder.join(&self.weights_file);
        let wrong = |expected: &str, found: String| NetworkError::File {
            path: path.clone(),
            expected: expected.to_owned(),
            found,
        };
        if !plain {
            return Err(wrong("weights beside the model file", "another folder".to_owned()));
        }
        let bytes =
            fs::read(&path).map_err(|source| NetworkError::Io { path: path.clone(), source })?;
        let found = blake3::hash(&bytes).to_hex().to_string();
        if found != self.weights_hash {
            return Err(wrong(
                &format!("weights with hash {}", self.weights_hash),
                format!("hash {found}"),
            ));
        }
        let (weights, _) = Weights::from_safetensors(&bytes, &path)?;
        let (network, report) = weights.apply(self.network.init(0, &Default::default()));
        if !report.missing.is_empty() || !report.other_shape.is_empty() {
            let missing = report.missing.len() + report.other_shape.len();
            return Err(wrong("all weights of the network", format!("{missing} missing")));
        }
        Ok(network)
    }

    /// Of each window the frame that speaks most for fake, by Grad-CAM, with the heat of its pixels, 0 to 1.
    /// The weights are read from `folder`.
    ///
    /// # Errors
    /// The weights cannot be read, or frames cannot be brought to the network's shape.
    pub fn explain(
        &self,
        folder: &Path,
        windows: &[Vec<Frame>],
    ) -> Result<Vec<(Frame, Vec<f32>)>, NetworkError> {
        let network = self.load::<Autodiff<Flex>>(folder)?;
        let context = Context::<Flex>::evaluation(self.trainer.precision, self.trainer.engine);
        let shape = self.network.frame_shape();
        let mut explained = Vec::new();
        for window in windows.iter().filter(|window| !window.is_empty()) {
            let mut hottest: Option<(f64, &Frame, Vec<f32>)> = None;
            for first in crate::sampler::starts(window.len(), self.trainer.frames) {
                let excerpt: Vec<&Frame> =
                    window.iter().skip(first).take(self.trainer.frames).collect();
                let frames = excerpt.iter().copied().cloned().collect();
                let batch = ClipBatch::of(vec![frames], shape)?;
                let clips = batch.on::<Flex>(&FlexDevice, false);
                let heats = grad_cam(&network, clips, &context)?;
                for (number, frame) in excerpt.iter().enumerate() {
                    let size = (frame.width(), frame.height());
                    let heat = heats.first().and_then(|heat| heat.on_picture(number, shape, size));
                    let Some(heat) = heat else { continue };
                    let sum: f64 = heat.iter().map(|&own| f64::from(own)).sum();
                    if hottest.as_ref().is_none_or(|(known, _, _)| sum > *known) {
                        hottest = Some((sum, frame, heat));
                    }
                }
            }
            explained.extend(hottest.map(|(_, frame, heat)| (frame.clone(), heat)));
        }
        Ok(explained)
    }

    /// Log odds of windows of frames: the mean over excerpts, by their frames.
    ///
    /// # Errors
    /// Frames cannot be brought to the network's shape, or there are none.
    pub fn score_frames(
        &self,
        network: &Network<Flex>,
        windows: &[Vec<Frame>],
    ) -> Result<f64, NetworkError> {
        let context = Context::<Flex>::evaluation(self.trainer.precision, self.trainer.engine);
        let (mut sum, mut count) = (0.0, 0.0);
        for window in windows.iter().filter(|window| !window.is_empty()) {
            for first in crate::sampler::starts(window.len(), self.trainer.frames) {
                let excerpt: Vec<Frame> =
                    window.iter().skip(first).take(self.trainer.frames).cloned().collect();
                let frames = excerpt.len() as f64;
                let batch = ClipBatch::of(vec![excerpt], self.network.frame_shape())?;
                let scores = log_odds(network.forward(batch.on(&FlexDevice, false), &context));
                let scores: Vec<f32> =
                    scores.into_data().convert::<f32>().to_vec().unwrap_or_default();
                sum += frames * scores.first().map_or(f64::NAN, |&score| f64::from(score));
                count += frames;
            }
        }
        if count == 0.0 {
            return Err(NetworkError::Internal { what: "no frames to score".to_owned() });
        }
        Ok(sum / count)
    }
}

/// Scores sources of a clip store by saved networks.
pub struct NetworkReader {
    clips: Arc<dyn ClipSource>,
    /// Where weights lie, by their hash.
    folders: Mutex<BTreeMap<String, PathBuf>>,
    cancel: Arc<AtomicBool>,
}

impl std::fmt::Debug for NetworkReader {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("NetworkReader").finish_non_exhaustive()
    }
}

impl NetworkReader {
    /// Over these clips.
    pub fn new(clips: Arc<dyn ClipSource>, cancel: Arc<AtomicBool>) -> Self {
        Self { clips, folders: Mutex::new(BTreeMap::new()), cancel }
    }

    /// Says where the weights of a network lie.
    pub fn knows(&self, saved: &SavedNetwork, folder: &Path) {
        self.folders
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(saved.weights_hash.clone(), folder.to_owned());
    }

    /// Log odds of each source, by its original clip.
    ///
    /// # Errors
    /// The weights or a clip cannot be read, or somebody asked to stop.
    pub fn score(
        &self,
        saved: &SavedNetwork,
        sources: &[ContentId],
    ) -> Result<Vec<f64>, NetworkError> {
        let folder = self
            .folders
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&saved.weights_hash)
            .cloned()
            .ok_or_else(|| NetworkError::Internal {
                what: format!("nobody said where the weights {} lie", saved.weights_file),
            })?;
        let network = saved.load::<Flex>(&folder)?;
        let trainer = &saved.trainer;
        let mut loader = Loader::start(
            &self.clips,
            saved.network.frame_shape(),
            trainer.loader.threads,
            trainer.loader.prefetch,
        )?;
        score_sources(
            &network,
            trainer,
            sources,
            &*self.clips,
            &mut loader,
            &FlexDevice,
            &self.cancel,
        )
    }
}
