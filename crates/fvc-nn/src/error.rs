//! [`NetworkError`]: what can go wrong, by who is at fault.

use std::path::PathBuf;

use fvc_clips::ClipStoreError;

use crate::collective::CollectiveError;

/// Why a network could not be made, trained or asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NetworkError {
    /// A setting is not in order.
    #[error("{key}: expected {expected}, found {found}")]
    Setting {
        /// Its name.
        key: String,
        /// What it may be.
        expected: String,
        /// What it is.
        found: String,
    },
    /// A file is not what it should be.
    #[error("{}: expected {expected}, found {found}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What it should be.
        expected: String,
        /// What it is.
        found: String,
    },
    /// Reading or writing failed.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A clip could not be read.
    #[error(transparent)]
    Clips(#[from] ClipStoreError),
    /// Training cannot go on: the loss was not finite too often.
    #[error(
        "Training diverged: {skipped} steps one after the other had gradients that are not finite"
    )]
    Diverged {
        /// Steps that were skipped one after the other.
        skipped: u64,
    },
    /// A batch does not fit into memory.
    #[error(
        "Not enough memory: expected at most {budget_mib} MiB, estimated {needed_mib} MiB for {what}"
    )]
    Memory {
        /// What would need it.
        what: String,
        /// The budget.
        budget_mib: u64,
        /// The estimate.
        needed_mib: u64,
    },
    /// Ranks that train together could not come together.
    #[error(transparent)]
    Ranks(#[from] CollectiveError),
    /// The user asked to stop.
    #[error("Stopped on request")]
    Cancelled,
    /// A device that is not there.
    #[error("Device {device}: {found}")]
    Device {
        /// What was asked for.
        device: String,
        /// What is there.
        found: String,
    },
    /// A fault of the program.
    #[error("Internal error: {what}")]
    Internal {
        /// What happened.
        what: String,
    },
}

impl NetworkError {
    #[allow(clippy::needless_pass_by_value, reason = "numbers and words, as they are found")]
    pub(crate) fn setting(key: &str, expected: &str, found: impl ToString) -> Self {
        Self::Setting {
            key: key.to_owned(),
            expected: expected.to_owned(),
            found: found.to_string(),
        }
    }
}
