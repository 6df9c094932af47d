//! [`Frame`] and [`Window`]: pictures in memory.

use serde::{Deserialize, Serialize};

/// One decoded picture: packed 8-bit RGB, upright (rotation applied), SDR, full range.
#[derive(Clone, Debug, PartialEq)]
pub struct Frame {
    width: u32,
    height: u32,
    data: Vec<u8>,
    /// Position in the source, in display order, from 0.
    pub index: u64,
    /// Presentation time in seconds from the start of the source's first frame.
    pub time: f64,
}

/// Bytes that do not fill a picture of the given size.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("Frame of {width}x{height}: expected {expected} bytes of RGB, found {found}")]
pub struct FrameShapeError {
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// Bytes that a picture of this size has.
    pub expected: u64,
    /// Bytes that were given.
    pub found: u64,
}

impl Frame {
    /// A picture from packed RGB rows, `3 * width * height` bytes, no padding.
    ///
    /// # Errors
    /// The buffer has another length, or a side is zero.
    pub fn new(
        width: u32,
        height: u32,
        data: Vec<u8>,
        index: u64,
        time: f64,
    ) -> Result<Self, FrameShapeError> {
        let expected = 3 * u64::from(width) * u64::from(height);
        if expected != data.len() as u64 || expected == 0 {
            return Err(FrameShapeError { width, height, expected, found: data.len() as u64 });
        }
        Ok(Self { width, height, data, index, time })
    }

    /// Width in pixels, at least 1.
    pub fn width(&self) -> u32 {
        self.width
    }

    /// Height in pixels, at least 1.
    pub fn height(&self) -> u32 {
        self.height
    }

    /// Packed RGB rows, `3 * width * height` bytes.
    pub fn data(&self) -> &[u8] {
        &self.data
    }

    /// The same, to be changed in place; the size stays.
    pub fn data_mut(&mut self) -> &mut [u8] {
        &mut self.data
    }

    /// The buffer itself.
    pub fn into_data(self) -> Vec<u8> {
        self.data
    }
}

/// Frames that follow one another in a source, at the sampling's rate.
#[derive(Clone, Debug, PartialEq)]
pub struct Window {
    /// Which window of the clip this is, from 0.
    pub index: usize,
    /// Its frames in display order, all of one size, at least one.
    pub frames: Vec<Frame>,
}

impl Window {
    /// The range of frame positions in the source that the window spans, both ends included.
    pub fn span(&self) -> Option<FrameSpan> {
        let (first, last) = (self.frames.first()?, self.frames.last()?);
        Some(FrameSpan { first: first.index, last: last.index })
    }
}

/// First and last frame of a stretch, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct FrameSpan {
    /// First frame.
    pub first: u64,
    /// Last frame.
    pub last: u64,
}
