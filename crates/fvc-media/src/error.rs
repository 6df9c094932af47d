//! [`MediaError`] and [`Reason`]: why a source gave no frames.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// Why a source gave no result, as a code for the failure table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Reason {
    /// No file at this path.
    Missing,
    /// The file is there and cannot be read.
    Unreadable,
    /// Not a regular file.
    NotAFile,
    /// A file of zero bytes.
    Empty,
    /// No allowed container recognises the bytes.
    NotAVideo,
    /// A container or protocol that is never opened (playlists, concatenations, image sequences).
    FormatRefused,
    /// A container without a video stream (attached pictures do not count).
    NoVideoStream,
    /// No decoder for the codec, or a pixel format that cannot be converted.
    Unsupported,
    /// Beyond one of the [`crate::Limits`]; the error names which.
    LimitExceeded,
    /// The container or the stream is damaged so that no frame could be had.
    Corrupt,
    /// Only part of the frames could be decoded, and the policy is to refuse those.
    Partial,
    /// The decoding child died.
    Crashed,
    /// The decoding child asked for more memory than it may have.
    OutOfMemory,
    /// Something from outside ended the decoding child, such as the system for want of memory.
    Killed,
    /// The decoding child did not finish in time.
    TimedOut,
    /// The file's bytes are no longer those that were indexed.
    Changed,
    /// The decoding child could not be started or answered nonsense: not the file's fault.
    DecoderUnavailable,
    /// The media cache cannot be read or written, as on a full disk: not the file's fault, and the
    /// same for every other file.
    CacheUnavailable,
    /// The user asked to stop.
    Cancelled,
}

impl Reason {
    /// The code, as written in tables.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Unreadable => "unreadable",
            Self::NotAFile => "not_a_file",
            Self::Empty => "empty",
            Self::NotAVideo => "not_a_video",
            Self::FormatRefused => "format_refused",
            Self::NoVideoStream => "no_video_stream",
            Self::Unsupported => "unsupported",
            Self::LimitExceeded => "limit_exceeded",
            Self::Corrupt => "corrupt",
            Self::Partial => "partial",
            Self::Crashed => "crashed",
            Self::OutOfMemory => "out_of_memory",
            Self::Killed => "killed",
            Self::TimedOut => "timed_out",
            Self::Changed => "changed",
            Self::DecoderUnavailable => "decoder_unavailable",
            Self::CacheUnavailable => "cache_unavailable",
            Self::Cancelled => "cancelled",
        }
    }

    /// Whether the bytes alone decide it, so that a cache may remember it. Limits, crashes and
    /// timeouts are remembered together with the limits under which they happened.
    pub const fn is_about_the_bytes(self) -> bool {
        !matches!(
            self,
            Self::Missing
                | Self::Unreadable
                | Self::NotAFile
                | Self::Changed
                | Self::DecoderUnavailable
                | Self::Killed
                | Self::CacheUnavailable
                | Self::Cancelled
        )
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.code())
    }
}

/// A source that gave no result: which, why, what was expected and what was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{}: {reason}: expected {expected}, found {found}", path.display())]
pub struct MediaError {
    /// The source.
    pub path: PathBuf,
    /// The code.
    pub reason: Reason,
    /// What a good source has.
    pub expected: String,
    /// What this one has.
    pub found: String,
}

impl MediaError {
    /// An error about the source at `path`.
    pub fn new(
        path: &Path,
        reason: Reason,
        expected: impl Into<String>,
        found: impl Into<String>,
    ) -> Self {
        Self { path: path.to_owned(), reason, expected: expected.into(), found: found.into() }
    }
}
