//! [`ClipStoreError`]: why a clip could not be written or read.

use std::io;
use std::path::PathBuf;

/// Why a clip could not be written or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClipStoreError {
    /// A file or folder.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file that is not as it was written, or frames that do not fit together.
    #[error("{}: expected {expected}, found {found}", path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What should be there.
        expected: String,
        /// What is there.
        found: String,
    },
    /// A clip file of another version of the format.
    #[error("{}: expected a clip of format {expected}, found format {found}; run `fvc scale` again", path.display())]
    Version {
        /// The file.
        path: PathBuf,
        /// The version that this program reads.
        expected: u32,
        /// The file's version.
        found: u32,
    },
    /// The disk is too small for what is to be written.
    #[error("{}: expected {needed} bytes of free disk, found {free}", path.display())]
    NoRoom {
        /// The store.
        path: PathBuf,
        /// Bytes needed.
        needed: u64,
        /// Bytes free.
        free: u64,
    },
    /// A picture that the scaler refuses.
    #[error("Scaling a picture of {from} to {to}: {found}")]
    Scale {
        /// Its size.
        from: String,
        /// The wanted size.
        to: String,
        /// What the scaler said.
        found: String,
    },
}
