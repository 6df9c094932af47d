//! [`Limits`]: how much a source may cost before it is refused.

use serde::{Deserialize, Serialize};

/// What one source may cost. Everything is checked on this side of the pipe or enforced by the
/// system on the child; a source beyond a limit ends as a failure row with the limit's name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Size of the file in bytes.
    pub bytes: u64,
    /// Width times height of a frame, in pixels.
    pub pixels_per_frame: u64,
    /// Frames (packets of the video stream, or frames decoded, whichever shows first).
    pub frames: u64,
    /// Duration in seconds.
    pub duration_seconds: f64,
    /// Streams in the container, of any kind.
    pub streams: u32,
    /// Time that one look at a source may take, in seconds of the clock on the wall.
    pub wall_clock_seconds: f64,
    /// Address space of the decoding child, in bytes.
    pub child_memory_bytes: u64,
}

impl Default for Limits {
    /// Wide enough for an hour of 8K, narrow enough for a laptop: 8 GiB of file, 40 megapixels,
    /// a million frames, 6 hours, 64 streams, half an hour of work, 3 GiB of address space.
    fn default() -> Self {
        Self {
            bytes: 8 << 30,
            pixels_per_frame: 40_000_000,
            frames: 1_000_000,
            duration_seconds: 6.0 * 3600.0,
            streams: 64,
            wall_clock_seconds: 1800.0,
            child_memory_bytes: 3 << 30,
        }
    }
}
