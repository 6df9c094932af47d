//! Clip to clip: variants to learn from ([`Kind`], [`Draw`]) and forgeries ([`ForgeryKind`],
//! [`Forgery`]).
//!
//! A draw is made once for a clip from its content id, recorded, and replayed from the record. Each
//! kind is one module and one line of the registry in `kind.rs`.
//!
//! ```
//! use fvc_augment::{Draw, Kind};
//! use fvc_media::ContentId;
//!
//! let id = ContentId::of_bytes(b"clip");
//! let draw = Draw::for_variant(&id, 1, &Kind::ALL)?;
//! assert_eq!(draw, Draw::for_variant(&id, 1, &Kind::ALL)?);
//! # Ok::<(), fvc_augment::AugmentError>(())
//! ```

mod brightness;
mod contrast;
mod error;
mod flip;
mod forgery;
mod gaussian_noise;
mod kind;
mod random;
mod rotation;
mod transcode;

pub use error::AugmentError;
pub use forgery::{Forgery, ForgeryKind, Region, forgery_table};
pub use kind::{Draw, Kind};
