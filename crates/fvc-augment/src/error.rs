//! [`AugmentError`]: why a variant or a forgery could not be made.

use fvc_media::{EncodeError, MediaError};

/// Why a variant or a forgery could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AugmentError {
    /// No kinds to draw from, or variant 0, which is the original.
    #[error("Draw of variant {variant}: expected a variant from 1 and at least one kind, found {kinds} kinds")]
    NothingToDraw {
        /// The variant.
        variant: u32,
        /// How many kinds were given.
        kinds: usize,
    },
    /// A record that lacks a parameter of its kind.
    #[error("Record of {kind}: expected the parameter {name}, found none")]
    Parameter {
        /// The kind.
        kind: String,
        /// The parameter.
        name: &'static str,
    },
    /// A clip that is too short or too small for what was asked.
    #[error("{what}: expected {expected}, found {found}")]
    Clip {
        /// What was to be made.
        what: String,
        /// What it needs.
        expected: String,
        /// What the clip has.
        found: String,
    },
    /// The encoder.
    #[error(transparent)]
    Encode(#[from] EncodeError),
    /// Our own encode did not decode.
    #[error(transparent)]
    Decode(#[from] MediaError),
}
