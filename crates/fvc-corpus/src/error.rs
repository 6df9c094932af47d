//! [`CorpusError`]: why a table, an index, the ledger or a run folder could not be used.

use std::io;
use std::path::PathBuf;

/// Why a table, an index, the ledger or a run folder could not be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CorpusError {
    /// A file or folder.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A table or record that is not as it should be.
    #[error("{}: expected {expected}, found {found}", path.display())]
    Table {
        /// The file.
        path: PathBuf,
        /// What should be there.
        expected: String,
        /// What is there.
        found: String,
    },
    /// The ledger.
    #[error("Ledger {}: {source}", path.display())]
    Ledger {
        /// The file.
        path: PathBuf,
        /// What SQLite said.
        source: rusqlite::Error,
    },
    /// Counts that do not add up: an input that ended neither as a result nor as a failure.
    #[error(
        "Manifest of {command}: {inputs} inputs, but {completed} completed and {failed} failed"
    )]
    Counts {
        /// The command.
        command: String,
        /// Inputs.
        inputs: u64,
        /// Results.
        completed: u64,
        /// Failures.
        failed: u64,
    },
    /// Decodes that no reason explains, or reasons without a decode.
    #[error("Manifest of {command}: {decodes} decodes of sources, but {explained} with a reason")]
    Decodes {
        /// The command.
        command: String,
        /// Decodes of sources.
        decodes: u64,
        /// Decodes with a reason.
        explained: u64,
    },
}
