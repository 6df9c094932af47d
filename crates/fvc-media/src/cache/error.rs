//! [`CacheError`]: why the media cache could not be used, and what to do about it.

use std::io;
use std::path::PathBuf;

/// Why the media cache could not be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CacheError {
    /// The folder of the cache cannot be made, or the cache's files cannot be looked at.
    #[error("The media cache {}: {source}", path.display())]
    Io {
        /// The cache file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A later version of this program wrote it.
    #[error(
        "The media cache {}: expected version {expected} or older, found {found}. Use the newer \
         program, or name another cache file",
        path.display()
    )]
    Newer {
        /// The cache file.
        path: PathBuf,
        /// The version that this program writes.
        expected: i64,
        /// The version of the file.
        found: i64,
    },
    /// The file is something else; it is left as it is.
    #[error(
        "The media cache {}: expected a media cache or no file, found {found}. If it is a damaged one, remove it, and it is filled again",
        path.display()
    )]
    NotACache {
        /// The cache file.
        path: PathBuf,
        /// What the file is.
        found: String,
    },
    /// The database is damaged.
    #[error(
        "The media cache {} is damaged ({found}). Delete it with its -wal and -shm files; it is \
         rebuilt from the videos",
        path.display()
    )]
    Damaged {
        /// The cache file.
        path: PathBuf,
        /// What SQLite said.
        found: String,
    },
    /// One entry does not hold what was written.
    #[error(
        "The media cache {}, {table} of {key}: expected {expected}, found {found}. Run `fvc cache \
         prune`, which drops damaged entries",
        path.display()
    )]
    DamagedEntry {
        /// The cache file.
        path: PathBuf,
        /// The table.
        table: &'static str,
        /// The content id, or the path of an identity.
        key: String,
        /// What a sound entry has.
        expected: String,
        /// What this one has.
        found: String,
    },
    /// A failure that is not about the bytes must be seen anew each time.
    #[error("A failure with reason {reason} is not about the bytes and is not remembered")]
    NotRememberable {
        /// The reason's code.
        reason: &'static str,
    },
    /// Any other trouble with the database: a full disk, no right to write, a lock held for too
    /// long.
    #[error("The media cache {}, {doing}: {source}", path.display())]
    Database {
        /// The cache file.
        path: PathBuf,
        /// What was being done.
        doing: &'static str,
        /// What SQLite said.
        source: rusqlite::Error,
    },
}
