//! Ctrl-C and SIGTERM: stop soon, keep what is finished.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use signal_hook::consts::{SIGINT, SIGTERM, SIGXFSZ};

use crate::exit_code;

/// How long a command may take to stop by itself.
pub(crate) const GRACE: Duration = Duration::from_millis(1700);
/// How long one of several processes may take that train in themselves, without a child that would go on
/// to its checkpoint: the longest step, and the checkpoint. Less than the 120 s of `fvc slurm`.
pub(crate) const GRACE_OF_RANKS: Duration = Duration::from_secs(100);

/// A flag that Ctrl-C and SIGTERM set. Commands look at it between steps; one that is still at work
/// `grace` later is ended where it stands, which loses nothing but that step: every file is written
/// whole or not at all, and decoder children end with this process. A second Ctrl-C ends it at
/// once.
///
/// # Errors
/// The signal handlers cannot be installed.
pub(crate) fn flag(grace: Duration) -> io::Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        // In this order: the first signal finds the flag unset and only sets it.
        signal_hook::flag::register_conditional_shutdown(
            signal,
            i32::from(exit_code::INTERRUPTED),
            Arc::clone(&stop),
        )?;
        signal_hook::flag::register(signal, Arc::clone(&stop))?;
    }
    // A file size limit is an error of the write that meets it, and not the end of the process.
    signal_hook::flag::register(SIGXFSZ, Arc::new(AtomicBool::new(false)))?;
    let watched = Arc::clone(&stop);
    thread::Builder::new().name("interrupt".to_owned()).spawn(move || {
        while !watched.load(Ordering::Relaxed) {
            thread::sleep(Duration::from_millis(50));
        }
        thread::sleep(grace);
        // The one place where the process ends without unwinding; see above why that is safe.
        #[allow(clippy::exit)]
        std::process::exit(i32::from(exit_code::INTERRUPTED));
    })?;
    Ok(stop)
}
