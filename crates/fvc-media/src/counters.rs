//! [`DecodeCounters`]: how often a decoder was opened, and on what.

use std::sync::atomic::{AtomicU64, Ordering};

/// How often a decoder was opened, and on what. The two increments stand in the only two functions
/// that open one.
#[derive(Debug, Default)]
pub struct DecodeCounters {
    sources: AtomicU64,
    own: AtomicU64,
    probes: AtomicU64,
}

impl DecodeCounters {
    /// Decodes of sources.
    pub fn sources(&self) -> u64 {
        self.sources.load(Ordering::Relaxed)
    }

    /// Decodes of bytes that this program encoded itself.
    pub fn own(&self) -> u64 {
        self.own.load(Ordering::Relaxed)
    }

    /// Looks at a container and its packets without decoding.
    pub fn probes(&self) -> u64 {
        self.probes.load(Ordering::Relaxed)
    }

    pub(crate) fn count_source(&self) {
        self.sources.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn count_own(&self) {
        self.own.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn count_probe(&self) {
        self.probes.fetch_add(1, Ordering::Relaxed);
    }
}
