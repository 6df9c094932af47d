//! [`write_atomically`], [`copy_atomically`] and [`AtomicFile`]: a file that is there whole or not at all.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write as _};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicU64, Ordering};

use fvc_media::write_fault::Write;

/// Temporary files that this process has made.
static TEMPORARIES: AtomicU64 = AtomicU64::new(0);

/// How often a name for a temporary file is looked for: one is lost only to a leftover of a process
/// with the same number, or to a sweep between its making and its lock.
const ATTEMPTS: usize = 1000;

/// Writes `bytes` to a temporary file in the same folder, syncs it, renames it to `path` and syncs
/// the folder: whoever reads `path` sees the old file or the new one, never a part.
///
/// # Errors
/// The folder cannot be made, or the file cannot be written, synced or renamed.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = AtomicFile::create(path)?;
    file.write_all(bytes)?;
    file.commit()
}

/// Copies the file at `from` to `path`, whole or not at all.
///
/// # Errors
/// The file cannot be read, or not be written as [`write_atomically`] would.
pub fn copy_atomically(from: &Path, path: &Path) -> io::Result<()> {
    let mut source = File::open(from)?;
    let mut file = AtomicFile::create(path)?;
    io::copy(&mut source, &mut file.file)?;
    file.commit()
}

/// A temporary file, `.<name>.<process>.<number>.tmp`, that takes its name when it is whole. It is
/// locked for as long as somebody writes it; dropped before [`AtomicFile::commit`], it is removed.
#[derive(Debug)]
pub(crate) struct AtomicFile {
    file: File,
    temporary: PathBuf,
    folder: PathBuf,
    path: PathBuf,
    committed: bool,
}

impl AtomicFile {
    pub(crate) fn create(path: &Path) -> io::Result<Self> {
        let folder = match path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        fs::create_dir_all(folder)?;
        let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?.to_string_lossy();
        for _ in 0..ATTEMPTS {
            let number = TEMPORARIES.fetch_add(1, Ordering::Relaxed);
            let temporary = folder.join(format!(".{name}.{}.{number}.tmp", process::id()));
            let file = match OpenOptions::new().write(true).create_new(true).open(&temporary) {
                Ok(file) => file,
                // Left by another process that had our number, or one in another container.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
                Err(error) => return Err(error),
            };
            if is_ours(&file, &temporary)? {
                let (folder, path) = (folder.to_owned(), path.to_owned());
                return Ok(Self { file, temporary, folder, path, committed: false });
            }
        }
        Err(io::ErrorKind::AlreadyExists.into())
    }

    pub(crate) fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)
    }

    /// Syncs the file, gives it its name and syncs the folder.
    pub(crate) fn commit(mut self) -> io::Result<()> {
        self.file.sync_all()?;
        let write = Write::synced();
        fs::rename(&self.temporary, &self.path)?;
        self.committed = true;
        write.renamed();
        File::open(&self.folder)?.sync_all()
    }
}

impl Drop for AtomicFile {
    fn drop(&mut self) {
        if !self.committed {
            // What went wrong before is what matters; a leftover is swept later.
            drop(fs::remove_file(&self.temporary));
        }
    }
}

/// Locks a new temporary file against sweeps; false when a sweep was faster. A file system without
/// locks has no sweeps either.
fn is_ours(file: &File, temporary: &Path) -> io::Result<bool> {
    match file.try_lock() {
        Ok(()) | Err(TryLockError::Error(_)) => {}
        Err(TryLockError::WouldBlock) => return Ok(false),
    }
    let own = file.metadata()?;
    match fs::symlink_metadata(temporary) {
        Ok(named) => Ok((named.dev(), named.ino()) == (own.dev(), own.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Removes from `folder` what killed writers of files with this extension left there. Those that are
/// still being written are locked, and stay. What cannot be removed does no harm.
pub(crate) fn sweep(folder: &Path, extension: &str) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let is_file = entry.file_type().is_ok_and(|kind| kind.is_file());
        if is_file
            && is_temporary(&entry.file_name().to_string_lossy(), extension)
            && let Ok(file) = File::open(entry.path())
            && file.try_lock().is_ok()
        {
            drop(fs::remove_file(entry.path()));
        }
    }
}

/// Whether this is `.<name>.<extension>.<number>.<number>.tmp`.
fn is_temporary(name: &str, extension: &str) -> bool {
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let mut parts = name.rsplit('.');
    parts.next() == Some("tmp")
        && parts.next().is_some_and(is_number)
        && parts.next().is_some_and(is_number)
        && parts.next() == Some(extension)
        && name.starts_with('.')
}
