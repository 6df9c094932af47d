//! [`write_atomically`]: a file that is there whole or not at all.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;
use std::process;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

static COUNTER: AtomicU64 = AtomicU64::new(0);

/// The test hook: `FVC_FAULT_KILL_AT_WRITE=N` or `N:after` ends the process by SIGKILL at its N-th
/// write, before or after the rename, as a power cut would. Not set, it costs one look at a number.
fn fault() -> Option<(u64, bool)> {
    static FAULT: OnceLock<Option<(u64, bool)>> = OnceLock::new();
    *FAULT.get_or_init(|| {
        let text = std::env::var("FVC_FAULT_KILL_AT_WRITE").ok()?;
        let (number, after) = match text.strip_suffix(":after") {
            Some(number) => (number, true),
            None => (text.as_str(), false),
        };
        Some((number.parse().ok()?, after))
    })
}

fn kill_if(number: u64, after: bool) {
    if fault() == Some((number, after)) {
        let killed =
            process::Command::new("kill").arg("-9").arg(process::id().to_string()).status();
        // SIGKILL leaves nothing to do here; without a `kill` program the test that set the hook
        // sees a run that ends well, and fails.
        drop(killed);
    }
}

/// Writes `bytes` to a temporary file in the same folder, syncs it, renames it to `path` and syncs
/// the folder: whoever reads `path` sees the old file or the new one, never a part.
///
/// # Errors
/// The folder cannot be made, or the file cannot be written, synced or renamed.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    fs::create_dir_all(folder)?;
    let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?.to_string_lossy();
    let number = COUNTER.fetch_add(1, Ordering::Relaxed);
    let temporary = folder.join(format!(".{name}.{}.{number}.tmp", process::id()));
    let written = (|| {
        let mut file = File::create(&temporary)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        kill_if(number + 1, false);
        fs::rename(&temporary, path)?;
        kill_if(number + 1, true);
        File::open(folder)?.sync_all()
    })();
    if written.is_err() {
        // The error that is returned is the one that matters; a leftover is swept at the next start.
        drop(fs::remove_file(&temporary));
    }
    written
}
