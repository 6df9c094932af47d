//! The clip store: scaled frames on disk, read by position; no FFmpeg in it.
//!
//! A [`Scaler`] of the registry ([`RegisteredScaler`]) brings a picture to a named size ([`SizeSpec`]),
//! today's by [`scale_frame`]; [`letterbox`] puts it on a square of black where the size says so. A
//! [`ClipWriter`] takes windows of scaled pictures, gives them their bars and writes each frame as it
//! comes; a [`ClipReader`] gives them back. [`write_atomically`] writes any file whole or not at all.
//!
//! ```
//! use fvc_clips::{ClipStore, SizeSpec, scale_frame};
//! use fvc_media::{ContentId, Frame};
//!
//! let folder = tempfile::tempdir()?;
//! let store = ClipStore::open(folder.path())?;
//! let (id, size) = (ContentId::of_bytes(b"clip"), SizeSpec::max_side(32));
//! let frame = Frame::new(64, 48, vec![128; 64 * 48 * 3], 0, 0.0)?;
//! let mut writer = store.writer(&id, 0, size)?;
//! writer.push_window(&[scale_frame(&frame, size)?])?;
//! let entry = writer.finish()?;
//! store.verify(&entry)?;
//! assert_eq!(store.read(&id, 0, size)?.header().height, 24);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod atomic;
mod cubic;
mod error;
mod letterbox;
mod scale;
mod scaler;
mod size;
mod store;

pub use atomic::{copy_atomically, write_atomically};
pub use error::ClipStoreError;
pub use letterbox::{PictureArea, letterbox};
pub use scale::{SCALER_VERSION, scale_frame, scale_frame_to};
pub use scaler::{RegisteredScaler, Scaler};
pub use size::SizeSpec;
pub use store::{
    ClipEntry, ClipFrame, ClipHeader, ClipReader, ClipStore, ClipWriter, FORMAT_VERSION, as_stored,
};
