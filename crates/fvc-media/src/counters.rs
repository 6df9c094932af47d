//! [`DecodeCounters`]: how often a decoder was opened, and for what.

use std::sync::atomic::{AtomicU64, Ordering};

/// How often a decoder was opened: for the bytes of a source, for bytes that we encoded ourselves,
/// and how often a source was probed without decoding. Counted where it happens, from any thread.
#[derive(Debug, Default)]
pub struct DecodeCounters {
    sources: AtomicU64,
    own: AtomicU64,
    probes: AtomicU64,
}

impl DecodeCounters {
    /// Counters at zero.
    pub fn new() -> Self {
        Self::default()
    }

    /// Decodes of the bytes of a source.
    pub fn sources(&self) -> u64 {
        self.sources.load(Ordering::Relaxed)
    }

    /// Decodes of bytes that we encoded ourselves.
    pub fn own(&self) -> u64 {
        self.own.load(Ordering::Relaxed)
    }

    /// Probes: looks at container and packets without a decoder.
    pub fn probes(&self) -> u64 {
        self.probes.load(Ordering::Relaxed)
    }

    /// One more decode of a source.
    #[cfg(feature = "ffmpeg")]
    pub(crate) fn count_source(&self) {
        self.sources.fetch_add(1, Ordering::Relaxed);
    }

    /// One more decode of our own bytes.
    #[cfg(feature = "ffmpeg")]
    pub(crate) fn count_own(&self) {
        self.own.fetch_add(1, Ordering::Relaxed);
    }

    /// One more probe.
    #[cfg(feature = "ffmpeg")]
    pub(crate) fn count_probe(&self) {
        self.probes.fetch_add(1, Ordering::Relaxed);
    }
}
