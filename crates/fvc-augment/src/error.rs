//! [`AugmentError`]: why a clip gave no variant or no forgery.

use fvc_clips::ClipStoreError;
use fvc_media::{EncodeError, FrameShapeError, MediaError};

/// Why a clip gave no variant or no forgery.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AugmentError {
    /// Not the name of a kind.
    #[error("Unknown {what}: expected one of {expected}, found {found}")]
    UnknownKind {
        /// Augmentation or forgery.
        what: &'static str,
        /// All names.
        expected: String,
        /// What was given.
        found: String,
    },
    /// Variants are counted from 1; 0 is the original.
    #[error("Variant: expected 1 or more (0 is the original), found {found}")]
    Variant {
        /// The number.
        found: u32,
    },
    /// Variants without a kind to make them of.
    #[error("No augmentation is enabled: expected at least one of {expected}")]
    NothingEnabled {
        /// All names.
        expected: String,
    },
    /// A recorded parameter that the kind does not have, lacks or does not allow.
    #[error("Parameter {name} of {kind}: expected {expected}, found {found}")]
    Parameter {
        /// The kind's name.
        kind: &'static str,
        /// The parameter.
        name: String,
        /// Its range.
        expected: String,
        /// What is recorded.
        found: String,
    },
    /// Frames that are none, or not all of one size.
    #[error("Frames for {kind}: expected {expected}, found {found}")]
    Frames {
        /// The kind's name.
        kind: &'static str,
        /// How many, or of which size.
        expected: String,
        /// What was given.
        found: String,
    },
    /// Pictures too small for the kind.
    #[error("Picture for {kind}: expected {expected}, found {found}")]
    Picture {
        /// The kind's name.
        kind: &'static str,
        /// The least size.
        expected: String,
        /// The size.
        found: String,
    },
    /// A donor clip that is missing or too small.
    #[error("Donor for {kind}: expected {expected}, found {found}")]
    Donor {
        /// The kind's name.
        kind: &'static str,
        /// What it takes.
        expected: String,
        /// What was given.
        found: String,
    },
    /// A recorded region or span that is not inside the clip.
    #[error("Recorded {what} of {kind}: expected {expected}, found {found}")]
    Record {
        /// The kind's name.
        kind: &'static str,
        /// Region or span.
        what: &'static str,
        /// What would fit.
        expected: String,
        /// What is recorded.
        found: String,
    },
    /// A forgery that leaves the clip as it was (a still scene, a flat region): it must not be
    /// labelled fake. Another seed or another clip helps.
    #[error("{kind} changes nothing: expected {expected}, found {found}")]
    NothingChanged {
        /// The kind's name.
        kind: &'static str,
        /// The least change.
        expected: String,
        /// The change.
        found: String,
    },
    /// A transcode that gave other frames than it was given.
    #[error("Transcoded frames: expected {expected}, found {found}")]
    Transcode {
        /// Number or size that went in.
        expected: String,
        /// What came out.
        found: String,
    },
    /// A picture that the scaler refuses.
    #[error(transparent)]
    Scale(#[from] ClipStoreError),
    /// The encoder failed.
    #[error(transparent)]
    Encode(#[from] EncodeError),
    /// What was encoded does not decode.
    #[error(transparent)]
    Decode(#[from] MediaError),
    /// Pixels that do not fill a frame.
    #[error(transparent)]
    Shape(#[from] FrameShapeError),
}
