//! Bytes to frames and back.
//!
//! Plain types, always there: [`ContentId`], [`Rational`], [`Frame`], [`Window`], [`Facts`],
//! [`FrameIndex`], [`Sampling`], [`Limits`], [`MediaError`].

#[cfg(feature = "ffmpeg")]
mod cache;
mod clip;
mod content_id;
mod counters;
#[cfg(feature = "ffmpeg")]
mod encode;
mod error;
mod facts;
#[cfg(feature = "ffmpeg")]
mod file_key;
mod frame;
mod limits;
mod rational;
mod sampling;

#[cfg(feature = "ffmpeg")]
pub use cache::{
    CacheError, CacheStats, CachedFailure, FailedDuring, MediaCache, MediaRecord,
};
pub use clip::{ClipReport, DecodeVerdict, PartialPolicy, ReadMode};
pub use content_id::{ContentId, ContentIdError};
pub use counters::DecodeCounters;
#[cfg(feature = "ffmpeg")]
pub use encode::{
    ColorMatrix, ColorTags, EncodeError, EncodeSettings, Encoder, PRESETS, encode_h264,
};
pub use error::{MediaError, Reason};
pub use facts::{
    Facts, FrameCount, FrameCountOrigin, FrameIndex, PacketFacts, PictureType,
};
#[cfg(feature = "ffmpeg")]
pub use file_key::FileKey;
pub use frame::{Frame, FrameShapeError, FrameSpan, Window};
pub use limits::Limits;
pub use rational::Rational;
pub use sampling::{ResolvedSampling, SAMPLING_VERSION, Sampling, SamplingError};
