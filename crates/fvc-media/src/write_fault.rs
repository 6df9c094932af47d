//! The test hook of everything that is written whole or not at all.
//!
//! `FVC_FAULT_KILL_AT_WRITE=N` or `N:after` ends the process by SIGKILL at its N-th such write,
//! before or after the rename, as a power cut would. Not set, it costs one look at a number.

use std::process;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

static WRITES: AtomicU64 = AtomicU64::new(0);

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

/// One write, between its sync and the sync of its folder.
#[derive(Debug)]
pub struct Write(u64);

impl Write {
    /// The file is synced under its temporary name.
    pub fn synced() -> Self {
        let write = Self(WRITES.fetch_add(1, Ordering::Relaxed) + 1);
        write.kill_if(false);
        write
    }

    /// The file has its name.
    pub fn renamed(self) {
        self.kill_if(true);
    }

    fn kill_if(&self, after: bool) {
        if fault() == Some((self.0, after)) {
            // The shell's own `kill`: small systems have no program of that name.
            let killed = process::Command::new("sh")
                .args(["-c", "kill -s KILL \"$1\"", "sh", &process::id().to_string()])
                .status();
            // SIGKILL leaves nothing to do here; where it did not come, the test that set the hook
            // sees a run that ends well, and fails.
            drop(killed);
        }
    }
}
