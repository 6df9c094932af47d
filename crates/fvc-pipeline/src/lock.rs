//! [`Lock`]: one process at a time, and no stale locks.

use std::fs::{self, File, TryLockError};
use std::io::ErrorKind;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::stages::Environment;
use crate::{PipelineError, Workspace};

/// How often a waiting process looks again, and at the cancel flag.
const TICK: Duration = Duration::from_millis(50);

/// How long a command waits without a word.
const SILENCE: Duration = Duration::from_secs(2);

/// A lock of the system on an empty file. It ends with the process that holds it, however that ends,
/// so that none is ever stale.
#[derive(Debug)]
pub(crate) struct Lock(Option<File>);

impl Lock {
    /// Waits until nobody else holds it.
    pub(crate) fn exclusive(path: &Path, cancel: &AtomicBool) -> Result<Self, PipelineError> {
        Self::wait(&made(path)?, path, cancel, File::try_lock, &|_| {})
    }

    /// Waits until nobody holds it exclusively.
    pub(crate) fn shared(path: &Path, cancel: &AtomicBool) -> Result<Self, PipelineError> {
        Self::wait(&made(path)?, path, cancel, File::try_lock_shared, &|_| {})
    }

    /// Waits until nobody else works with the workspace's index, and says so where that takes long.
    pub(crate) fn of_index(environment: &Environment<'_>) -> Result<Self, PipelineError> {
        Self::of_index_in(environment, environment.workspace)
    }

    /// The same in another workspace.
    pub(crate) fn of_index_in(
        environment: &Environment<'_>,
        workspace: &Workspace,
    ) -> Result<Self, PipelineError> {
        let path = workspace.index_lock();
        let file = made(&path)?;
        Self::wait(&file, &path, &environment.cancel, File::try_lock, &told(environment, workspace))
    }

    /// Waits until nobody writes the index, also where no lock can be made because nothing can be
    /// written: there only what is locked already can be at work.
    pub(crate) fn to_read_index(environment: &Environment<'_>) -> Result<Self, PipelineError> {
        let workspace = environment.workspace;
        let path = workspace.index_lock();
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Self(None)),
            Err(source) => return Err(PipelineError::Io { path, source }),
        };
        let told = told(environment, workspace);
        Self::wait(&file, &path, &environment.cancel, File::try_lock_shared, &told)
    }

    /// Waits until nobody else is at work in a folder, which is made where it is not there; that goes also for
    /// one that was removed in the meantime.
    pub(crate) fn of_folder(
        environment: &Environment<'_>,
        folder: &Path,
    ) -> Result<Self, PipelineError> {
        use std::os::unix::fs::MetadataExt;
        let path = folder.join("lock");
        let told = told(environment, environment.workspace);
        loop {
            let file = made(&path)?;
            let lock = Self::wait(&file, &path, &environment.cancel, File::try_lock, &told)?;
            let io = |source| PipelineError::Io { path: path.clone(), source };
            let own = file.metadata().map_err(io)?;
            if fs::metadata(&path).is_ok_and(|there| there.ino() == own.ino()) {
                return Ok(lock);
            }
        }
    }

    /// Lets others in that only read.
    pub(crate) fn share(&self, cancel: &AtomicBool) -> Result<(), PipelineError> {
        let Some(file) = &self.0 else { return Ok(()) };
        // The system may let go in between: who comes then finds what is there whole, and goes soon.
        while file.try_lock_shared().is_err() {
            if cancel.load(Ordering::Relaxed) {
                return Err(PipelineError::Cancelled);
            }
            std::thread::sleep(TICK);
        }
        Ok(())
    }

    /// Whether nobody else holds it, who now has to wait.
    pub(crate) fn is_alone(&self) -> bool {
        self.0.as_ref().is_some_and(|file| file.try_lock().is_ok())
    }

    fn wait(
        file: &File,
        path: &Path,
        cancel: &AtomicBool,
        attempt: impl Fn(&File) -> Result<(), TryLockError>,
        told: &dyn Fn(&Path),
    ) -> Result<Self, PipelineError> {
        let io = |source| PipelineError::Io { path: path.to_owned(), source };
        let file = file.try_clone().map_err(io)?;
        let since = Instant::now();
        let mut silent = true;
        loop {
            match attempt(&file) {
                Ok(()) => return Ok(Self(Some(file))),
                Err(TryLockError::WouldBlock) => {}
                Err(TryLockError::Error(source)) => return Err(io(source)),
            }
            if cancel.load(Ordering::Relaxed) {
                return Err(PipelineError::Cancelled);
            }
            if silent && since.elapsed() >= SILENCE {
                silent = false;
                told(path);
            }
            std::thread::sleep(TICK);
        }
    }
}

/// The file of a lock, made where it is not there.
fn made(path: &Path) -> Result<File, PipelineError> {
    let io = |source| PipelineError::Io { path: path.to_owned(), source };
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(io)?;
    }
    File::options().create(true).append(true).open(path).map_err(io)
}

/// Says what is waited for.
fn told<'a>(
    environment: &'a Environment<'_>,
    workspace: &'a Workspace,
) -> impl Fn(&Path) + use<'a> {
    let progress = environment.progress;
    move |path| {
        progress.note(&format!(
            "waiting for another command that is at work in {} (it holds {})",
            workspace.root().display(),
            path.display()
        ));
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Closing the file would do as well.
        if let Some(file) = &self.0 {
            drop(file.unlock());
        }
    }
}
