//! [`EncodeError`]: why frames did not become an MP4.

use std::io;
use std::path::PathBuf;

/// Why frames did not become an MP4.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EncodeError {
    /// A setting out of its range.
    #[error("Encoder setting {name}: expected {expected}, found {found}")]
    Setting {
        /// The setting.
        name: &'static str,
        /// Its range.
        expected: String,
        /// What was given.
        found: String,
    },
    /// A frame that cannot be encoded, or is not of the size of those before it.
    #[error("Frame {number} to encode: expected {expected}, found {found}")]
    FrameSize {
        /// Which frame, from 0.
        number: u64,
        /// What sizes are possible.
        expected: String,
        /// Its size.
        found: String,
    },
    /// An MP4 without a frame was asked for.
    #[error("Nothing to encode: expected at least one frame, found none")]
    NoFrames,
    /// This FFmpeg has no libx264.
    #[error("The linked FFmpeg has no {name}: install an FFmpeg that was built with it")]
    Unavailable {
        /// The encoder.
        name: &'static str,
    },
    /// FFmpeg or x264 refused.
    #[error("Encoding, {doing}: {found} (code {code})")]
    Library {
        /// What was being done.
        doing: &'static str,
        /// FFmpeg's error code.
        code: i32,
        /// FFmpeg's words.
        found: String,
    },
    /// The file cannot be written.
    #[error("Writing {}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}
