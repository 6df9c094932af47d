//! [`ScaledSinks`]: what is made of the scaled frames of one variant, each size scaled once.

use std::collections::BTreeMap;
use std::path::Path;

use fvc_clips::{ClipWriter, RegisteredScaler, SizeSpec, letterbox};
use fvc_features::{ClipFacts, Extractor, SCALED};
use fvc_media::{Frame, Rational};

use crate::file_sink::FileSink;
use crate::pass::{SinkError, present};
use crate::{Output, PipelineError};

/// What is made of the scaled frames of one variant, by the size of the picture without bars.
#[derive(Default)]
pub(crate) struct ScaledSinks(BTreeMap<SizeSpec, SizeSinks>);

/// What is made of the pictures of one size.
#[derive(Default)]
struct SizeSinks {
    /// Measures pictures, never bars.
    features: Option<Extractor>,
    /// By the size of the frame: with bars or without.
    clips: BTreeMap<SizeSpec, ClipWriter>,
    files: BTreeMap<SizeSpec, FileSink>,
    /// Width and height of the pictures.
    scaled: Option<(u32, u32)>,
}

impl ScaledSinks {
    /// Asks for the features of pictures of this size.
    pub(crate) fn measure(&mut self, size: SizeSpec) {
        self.of(size).features = Some(Extractor::new(&SCALED));
    }

    /// Asks for frames of this size in the clip store.
    pub(crate) fn keep(&mut self, size: SizeSpec, writer: ClipWriter) {
        self.of(size).clips.insert(size, writer);
    }

    /// Asks for frames of this size in an MP4 file.
    pub(crate) fn materialise(&mut self, size: SizeSpec, file: FileSink) {
        self.of(size).files.insert(size, file);
    }

    fn of(&mut self, size: SizeSpec) -> &mut SizeSinks {
        self.0.entry(size.without_bars()).or_default()
    }

    /// Scales the frames of a window and gives them to every sink.
    pub(crate) fn push(
        &mut self,
        frames: &[Frame],
        scaler: RegisteredScaler,
        root: &Path,
        frame_rate: Rational,
    ) -> Result<(), SinkError> {
        for (&size, sinks) in &mut self.0 {
            let scaled: Vec<Frame> =
                frames.iter().map(|frame| scaler.scale(frame, size)).collect::<Result<_, _>>()?;
            sinks.scaled = scaled.first().map(|frame| (frame.width(), frame.height()));
            if let Some(extractor) = &mut sinks.features {
                for frame in &scaled {
                    extractor.push(frame);
                }
            }
            for clip in sinks.clips.values_mut() {
                clip.push_window(&scaled)?;
            }
            for (&size, file) in &mut sinks.files {
                let framed: Vec<Frame> = scaled
                    .iter()
                    .map(|frame| letterbox(frame.clone(), size))
                    .collect::<Result<_, _>>()?;
                file.push(root, &framed, frame_rate).map_err(SinkError::Encode)?;
            }
        }
        Ok(())
    }

    /// The features of pictures of this size, which `facts` is told.
    pub(crate) fn finish_features(
        &mut self,
        size: SizeSpec,
        facts: impl FnOnce(Option<(u32, u32)>) -> ClipFacts,
    ) -> Result<Output, SinkError> {
        let sinks = self.of(size);
        let mut extractor = sinks.features.take().ok_or_else(SinkError::lost)?;
        Ok(Output::Features(present(extractor.finish(&facts(sinks.scaled)))))
    }

    /// The clip of frames of this size.
    pub(crate) fn finish_clip(&mut self, size: SizeSpec) -> Result<Output, SinkError> {
        let writer = self.of(size).clips.remove(&size).ok_or_else(SinkError::lost)?;
        Ok(Output::Clip(writer.finish().map_err(PipelineError::from)?))
    }

    /// The MP4 file of frames of this size.
    pub(crate) fn finish_file(&mut self, size: SizeSpec, root: &Path) -> Result<Output, SinkError> {
        self.of(size).files.remove(&size).ok_or_else(SinkError::lost)?.finish(root)
    }
}
