//! Clip to clip: variants of a clip for training, and forged twins of authentic clips.
//!
//! **Variants.** A [`Draw`] is one variant of one source: a [`Kind`] (the registry of
//! augmentations) and the parameters that were drawn for it, once for the whole clip, from the
//! source's content id and the variant's number. [`Draw::apply`] makes the variant of a window.
//! `KINDS.md` beside the sources lists all kinds with the ranges of their parameters.
//!
//! **Forgeries.** A [`Forgery`] is one manipulation of one clip: a [`ForgeryKind`], parameters
//! drawn from [`FORGERY_PARAMETERS`], the [`Region`] and the span of frames where it lies.
//! [`Forgery::apply`] makes the forged frames; [`Forgery::twin_frames`] says how many frames of
//! the authentic clip and of the forged one make twins of one length.
//!
//! Both are records (serde) from which the same bits come again on any machine: all randomness is
//! from a seed through integer hashes, and no function is used that differs between machines. A
//! transcode is the exception that needs the same FFmpeg and x264.
//!
//! Adding an augmentation takes one file (`src/<kind>.rs`, holding its recipe: name, parameter
//! table, function), its `mod` line below and one line in the registry in `kind.rs`.
//!
//! # Examples
//! ```
//! use fvc_augment::{Draw, Kind};
//! use fvc_media::{ContentId, DecodeCounters, Frame, Rational, Window};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let frame = Frame::new(4, 2, (0..24).collect(), 0, 0.0)?;
//! let window = Window { index: 0, frames: vec![frame] };
//!
//! let source = ContentId::of_bytes(b"a video");
//! let draw = Draw::for_variant(&source, 1, &[Kind::Brightness, Kind::Flip])?;
//! let rate = Rational::new(25, 1);
//! let variant = draw.apply(&window, rate, &DecodeCounters::default())?;
//!
//! let record = serde_json::to_string(&draw)?;
//! let replayed: Draw = serde_json::from_str(&record)?;
//! assert_eq!(replayed.apply(&window, rate, &DecodeCounters::default())?, variant);
//! # Ok(())
//! # }
//! ```

mod affine;
mod brightness;
mod contrast;
mod crop;
mod cutout;
mod draw;
mod elastic;
mod elementary;
mod error;
mod flip;
mod forgery;
mod frame_rate_conversion;
mod frames;
mod gaussian_blur;
mod gaussian_noise;
mod h264_transcode;
mod jpeg_recompression;
mod kind;
mod parameter;
mod platform_transcode;
mod random;
mod resolution_jitter;
mod rotation;
mod saturation;
mod temporal_drop;
mod temporal_duplicate;
mod temporal_reverse;
mod transcode;
mod warp;

pub use draw::{AUGMENT_VERSION, Draw};
pub use error::AugmentError;
pub use forgery::{
    Extent, FORGERY_PARAMETERS, Forgery, ForgeryKind, ForgeryParameter, MOTION_FLOOR, Region,
    motion,
};
pub use kind::Kind;
pub use parameter::Parameter;
pub use platform_transcode::{PLATFORM_PROFILES, PlatformProfile};
