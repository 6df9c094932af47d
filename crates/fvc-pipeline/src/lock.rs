//! [`Lock`]: one process at a time, and no stale locks.

use std::fs::{self, File, TryLockError};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::PipelineError;

/// How often a waiting process looks again, and at the cancel flag.
const TICK: Duration = Duration::from_millis(50);

/// A lock of the system on an empty file. It ends with the process that holds it, however that ends,
/// so that none is ever stale.
#[derive(Debug)]
pub(crate) struct Lock(File);

impl Lock {
    /// Waits until nobody else holds it.
    pub(crate) fn exclusive(path: &Path, cancel: &AtomicBool) -> Result<Self, PipelineError> {
        Self::wait(path, cancel, File::try_lock)
    }

    /// Waits until nobody holds it exclusively.
    pub(crate) fn shared(path: &Path, cancel: &AtomicBool) -> Result<Self, PipelineError> {
        Self::wait(path, cancel, File::try_lock_shared)
    }

    fn wait(
        path: &Path,
        cancel: &AtomicBool,
        attempt: impl Fn(&File) -> Result<(), TryLockError>,
    ) -> Result<Self, PipelineError> {
        let io = |source| PipelineError::Io { path: path.to_owned(), source };
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(io)?;
        }
        let file = File::options().create(true).append(true).open(path).map_err(io)?;
        loop {
            match attempt(&file) {
                Ok(()) => return Ok(Self(file)),
                Err(TryLockError::WouldBlock) => {}
                Err(TryLockError::Error(source)) => return Err(io(source)),
            }
            if cancel.load(Ordering::Relaxed) {
                return Err(PipelineError::Cancelled);
            }
            std::thread::sleep(TICK);
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Closing the file would do as well.
        drop(self.0.unlock());
    }
}
