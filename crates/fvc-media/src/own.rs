//! [`decode_own`]: bytes that this program encoded itself, decoded in this process.

use std::io::Cursor;
use std::path::Path;

use crate::decode::{DecodeError, Wanted, decode};
use crate::demux::{demux, open};
use crate::protocol::Message;
use crate::{DecodeCounters, Frame, Limits, MediaError, Reason};

/// Decodes an MP4 that this process has just encoded, in memory: trusted bytes, so no child, and
/// counted apart from sources.
///
/// # Errors
/// The bytes do not decode as whole as they were written.
pub fn decode_own(bytes: &[u8], counters: &DecodeCounters) -> Result<Vec<Frame>, MediaError> {
    counters.count_own();
    let limits = Limits::default();
    let failed = |found: String| {
        MediaError::new(Path::new("(own encode)"), Reason::Corrupt, "our own MP4", found)
    };
    ffmpeg_next::init().map_err(|error| failed(error.to_string()))?;
    let trouble = |trouble: crate::protocol::Trouble| failed(trouble.found);
    let mut opened = open(Cursor::new(bytes.to_vec()), &limits).map_err(trouble)?;
    let demuxed = demux(&mut opened, bytes.len() as u64, &limits).map_err(trouble)?;
    drop(opened);
    let positions: Vec<u64> = (0..demuxed.index.frames()).collect();
    let mut frames = Vec::with_capacity(positions.len());
    let end = decode(
        || Ok(Cursor::new(bytes.to_vec())),
        &demuxed.index,
        (demuxed.facts.mirrored, demuxed.facts.rotation),
        &Wanted { positions: &positions, whole: true, thumbnails: false },
        &limits,
        &mut |message| {
            let Message::Picture(picture) = message else { return Ok(()) };
            let frame = Frame::new(
                picture.width,
                picture.height,
                picture.rgb,
                picture.position,
                picture.time,
            )
            .map_err(std::io::Error::other)?;
            frames.push(frame);
            Ok(())
        },
    )
    .map_err(|error| match error {
        DecodeError::Trouble(error) => failed(error.found),
        DecodeError::Gone => failed("a frame without pixels".to_owned()),
    })?;
    match end.damage {
        Some(damage) => Err(failed(damage)),
        None => Ok(frames),
    }
}
