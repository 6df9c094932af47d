//! Bytes to frames and back.
//!
//! Plain types, always there: [`ContentId`], [`Rational`], [`Frame`], [`Window`].

mod content_id;
mod frame;
mod rational;

pub use content_id::{ContentId, ContentIdError};
pub use frame::{Frame, FrameShapeError, FrameSpan, Window};
pub use rational::Rational;
