//! Bytes to frames and back.
//!
//! Plain types, always there: [`ContentId`], [`Rational`], [`Frame`], [`Window`], [`Facts`],
//! [`FrameIndex`], [`Sampling`], [`Thumbnail`], [`Limits`], [`MediaError`].
//!
//! With the feature `ffmpeg`: [`Reader`] gives facts and frames of hostile files through a decoder
//! child ([`child_main_if_requested`]), [`MediaCache`] remembers what was found, [`encode_h264`] and
//! [`Encoder`] write H.264, [`decode_own`] reads that back, [`DecodeCounters`] counts.

#[cfg(feature = "ffmpeg")]
mod cache;
#[cfg(feature = "ffmpeg")]
mod child;
mod clip;
mod content_id;
mod convert;
mod counters;
#[cfg(feature = "ffmpeg")]
mod decode;
#[cfg(feature = "ffmpeg")]
mod demux;
#[cfg(feature = "ffmpeg")]
mod encode;
mod error;
mod facts;
#[cfg(feature = "ffmpeg")]
mod file_key;
mod frame;
mod limits;
#[cfg(feature = "ffmpeg")]
mod own;
#[cfg(feature = "ffmpeg")]
mod picture;
#[cfg(feature = "ffmpeg")]
mod protocol;
#[cfg(feature = "ffmpeg")]
mod random_access;
mod rational;
#[cfg(feature = "ffmpeg")]
mod reader;
mod sampling;
mod thumbnail;
mod tone_map;

#[cfg(feature = "ffmpeg")]
mod truncation;
#[doc(hidden)]
pub mod write_fault;

#[cfg(feature = "ffmpeg")]
pub use cache::{CacheError, CacheStats, CachedFailure, FailedDuring, MediaCache, MediaRecord};
#[cfg(feature = "ffmpeg")]
pub use child::child_main_if_requested;
pub use clip::{ClipReport, DecodeVerdict, PartialPolicy, ReadMode};
pub use content_id::{ContentId, ContentIdError};
pub use convert::{Color, Layout, Matrix, Plane, YuvPicture, yuv_to_rgb};
pub use counters::DecodeCounters;
#[cfg(feature = "ffmpeg")]
pub use encode::{
    ColorMatrix, ColorTags, EncodeError, EncodeSettings, Encoder, PRESETS, encode_h264,
};
pub use error::{MediaError, Reason};
pub use facts::{Facts, FrameCount, FrameCountOrigin, FrameIndex, PacketFacts, PictureType};
#[cfg(feature = "ffmpeg")]
pub use file_key::FileKey;
pub use frame::{Frame, FrameShapeError, FrameSpan, Window};
pub use limits::Limits;
#[cfg(feature = "ffmpeg")]
pub use own::decode_own;
pub use rational::Rational;
#[cfg(feature = "ffmpeg")]
pub use reader::{Identity, Probe, Reader};
pub use sampling::{ResolvedSampling, SAMPLING_VERSION, Sampling, SamplingError};
pub use thumbnail::{THUMBNAIL_RATE, THUMBNAIL_SIDE, THUMBNAIL_VERSION, Thumbnail};
pub use tone_map::HdrTransfer;
