//! [`FileSink`]: frames on their way into an MP4 file of the workspace.

use std::path::Path;

use fvc_augment::Draw;
use fvc_media::{ColorTags, ContentId, EncodeError, EncodeSettings, Encoder, Frame, Rational};

use crate::pass::SinkError;
use crate::{Output, PipelineError};

/// Frames on their way into an MP4 file; the encoder starts with the first frame's size.
pub(crate) struct FileSink {
    relative: String,
    encoder: Option<Encoder>,
}

impl FileSink {
    /// A sink for a file at this path from the workspace's root.
    pub(crate) fn new(relative: String) -> Self {
        Self { relative, encoder: None }
    }

    /// The part of a file's name that says whose frames it has: source, variant, kind of variant.
    pub(crate) fn who(content_id: &ContentId, variant: u32, draw: Option<&Draw>) -> String {
        let id = content_id.to_hex();
        let kind = draw.map_or_else(|| "original".to_owned(), |draw| draw.kind.to_string());
        format!("{}/{id}-{variant}-{kind}", &id[..2])
    }

    /// Encodes the frames of the next window.
    pub(crate) fn push(
        &mut self,
        root: &Path,
        frames: &[Frame],
        frame_rate: Rational,
    ) -> Result<(), EncodeError> {
        if self.encoder.is_none()
            && let Some(first) = frames.first()
        {
            let path = root.join(&self.relative);
            let settings = encoding(frame_rate);
            self.encoder = Some(Encoder::create(&path, first.width(), first.height(), &settings)?);
        }
        if let Some(encoder) = &mut self.encoder {
            for frame in frames {
                encoder.push(frame)?;
            }
        }
        Ok(())
    }

    /// Ends the file: it is there whole, and known by its hash.
    pub(crate) fn finish(self, root: &Path) -> Result<Output, SinkError> {
        let encoder = self.encoder.ok_or_else(SinkError::lost)?;
        encoder.finish().map_err(SinkError::Encode)?;
        let path = root.join(&self.relative);
        let io = |source| PipelineError::Io { path: path.clone(), source };
        let hash = ContentId::of_file(&path).map_err(io)?.to_hex();
        let bytes = std::fs::metadata(&path).map_err(io)?.len();
        Ok(Output::File { path: self.relative, bytes, hash })
    }
}

/// How files are encoded: nearly without loss (crf 12), so that they show the frames and not our
/// encoder.
fn encoding(frame_rate: Rational) -> EncodeSettings {
    EncodeSettings {
        crf: 12,
        preset: "medium".to_owned(),
        gop: None,
        b_frames: None,
        frame_rate,
        color: ColorTags::default(),
    }
}
