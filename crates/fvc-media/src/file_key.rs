//! [`FileKey`]: by what a file is taken for unchanged without reading it.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Where a file is and what the file system says of it. A file whose key is as before is taken for
/// the same bytes; any other key means that it has to be hashed again.
///
/// A file that is overwritten in place with as many bytes within one tick of the file system's
/// clock (a few milliseconds) keeps its key: who writes files while they are being indexed has to
/// index them again.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct FileKey {
    path: PathBuf,
    bytes: u64,
    modified: i64,
    inode: u64,
}

impl FileKey {
    /// The key of the file at `path`; a symbolic link stands for what it points to.
    ///
    /// # Errors
    /// There is nothing at the path, it may not be looked at, or the current folder is gone.
    pub fn of(path: &Path) -> io::Result<Self> {
        let metadata = fs::metadata(path)?;
        Ok(Self {
            path: std::path::absolute(path)?,
            bytes: metadata.size(),
            modified: metadata
                .mtime()
                .saturating_mul(1_000_000_000)
                .saturating_add(metadata.mtime_nsec()),
            inode: metadata.ino(),
        })
    }

    /// A key as it was stored.
    pub(crate) fn from_parts(path: PathBuf, bytes: u64, modified: i64, inode: u64) -> Self {
        Self { path, bytes, modified, inode }
    }

    /// The absolute path (links in it are not resolved).
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Size in bytes.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// When it was last written, in nanoseconds since 1970.
    pub fn modified(&self) -> i64 {
        self.modified
    }

    /// Its number in the file system.
    pub fn inode(&self) -> u64 {
        self.inode
    }
}
