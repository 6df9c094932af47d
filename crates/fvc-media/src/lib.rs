//! Bytes to frames and back.
//!
//! Plain types, always there: [`ContentId`], [`Rational`], [`Frame`], [`Window`], [`Facts`],
//! [`FrameIndex`], [`Sampling`], [`Limits`], [`MediaError`].

mod clip;
mod content_id;
mod error;
mod facts;
mod frame;
mod limits;
mod rational;
mod sampling;

pub use clip::{ClipReport, DecodeVerdict, PartialPolicy, ReadMode};
pub use content_id::{ContentId, ContentIdError};
pub use error::{MediaError, Reason};
pub use facts::{
    Facts, FrameCount, FrameCountOrigin, FrameIndex, PacketFacts, PictureType,
};
pub use frame::{Frame, FrameShapeError, FrameSpan, Window};
pub use limits::Limits;
pub use rational::Rational;
pub use sampling::{ResolvedSampling, SAMPLING_VERSION, Sampling, SamplingError};
