//! [`Facts`] and [`FrameIndex`]: what a source is, without its pixels.

use serde::{Deserialize, Serialize};

use crate::Rational;

/// What is known of a source without looking at its pixels. A value that the file does not state
/// is missing, never made up.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Facts {
    /// Size of the file in bytes.
    pub bytes: u64,
    /// FFmpeg's name of the container, such as `mov,mp4,m4a,3gp,3g2,mj2` or `matroska,webm`.
    pub container: String,
    /// Streams of any kind.
    pub streams: u32,
    /// Whether one of them is audio.
    pub has_audio: bool,
    /// FFmpeg's name of the video codec, such as `h264`.
    pub codec: String,
    /// The codec's profile, such as `High`.
    pub profile: Option<String>,
    /// Width in pixels as stored, before rotation.
    pub width: u32,
    /// Height in pixels as stored, before rotation.
    pub height: u32,
    /// Degrees to turn the stored picture clockwise: 0, 90, 180 or 270.
    pub rotation: u16,
    /// Whether the stored picture is mirrored from left to right before it is turned.
    pub mirrored: bool,
    /// Shape of a pixel, width by height.
    pub sample_aspect_ratio: Option<Rational>,
    /// Average frame rate in frames a second.
    pub frame_rate: Option<Rational>,
    /// The rate at which all timestamps can be shown (FFmpeg's `r_frame_rate`).
    pub nominal_frame_rate: Option<Rational>,
    /// FFmpeg's name of the pixel format, such as `yuv420p10le`.
    pub pixel_format: Option<String>,
    /// `tv` (limited) or `pc` (full).
    pub color_range: Option<String>,
    /// FFmpeg's name of the YUV matrix, such as `bt709`.
    pub color_matrix: Option<String>,
    /// FFmpeg's name of the primaries.
    pub color_primaries: Option<String>,
    /// FFmpeg's name of the transfer curve, such as `smpte2084`.
    pub color_transfer: Option<String>,
    /// Duration of the video stream in seconds, else of the container.
    pub duration_seconds: Option<f64>,
    /// Bit rate that the video stream states, in bits a second.
    pub stream_bit_rate: Option<u64>,
    /// Bit rate of the container, in bits a second.
    pub container_bit_rate: Option<u64>,
    /// What the file says wrote it.
    pub encoder: Option<String>,
    /// How many frames there are.
    pub frame_count: FrameCount,
}

impl Facts {
    /// Width and height of the upright picture.
    pub fn upright_size(&self) -> (u32, u32) {
        if self.rotation % 180 == 90 {
            (self.height, self.width)
        } else {
            (self.width, self.height)
        }
    }
}

/// How many frames a source has, and how that is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FrameCount {
    /// The number.
    pub frames: u64,
    /// How it is known.
    pub origin: FrameCountOrigin,
}

/// How a number of frames is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FrameCountOrigin {
    /// Packets of the video stream, counted without decoding. May differ from what decodes:
    /// damaged packets, packets that hold no shown frame, or two fields in two packets.
    Demuxed,
    /// Frames that a decode of the whole file gave.
    Decoded,
}

/// What kind of picture a packet holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PictureType {
    /// Coded alone.
    I,
    /// Predicted from earlier pictures.
    P,
    /// Predicted from both sides.
    B,
    /// Not known without decoding.
    #[serde(rename = "?")]
    Unknown,
}

/// One packet of the video stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PacketFacts {
    /// Presentation time in units of the time base.
    pub presentation: Option<i64>,
    /// Decoding time in units of the time base.
    pub decoding: Option<i64>,
    /// Where it starts in the file, in bytes, when the container knows.
    pub position: Option<u64>,
    /// Size in bytes.
    pub bytes: u32,
    /// Whether decoding can start here and give the same pictures as from the start of the file: the
    /// container says so and, in H.264 and H.265, so does the picture. The beginning of an intra
    /// refresh is no key.
    pub key: bool,
    /// Whether the container marks it as not to be shown.
    pub discarded: bool,
    /// Kind of picture.
    pub picture: PictureType,
}

/// The seekable frame index: the packets of the video stream in decoding order, as demuxed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FrameIndex {
    /// Unit of all times, in seconds.
    pub time_base: Rational,
    /// Every packet of the video stream, in the order of the file.
    pub packets: Vec<PacketFacts>,
    /// Presentation times of the shown frames in display order, in units of the time base; from
    /// the decode where the whole file was decoded, else from the packets. Times that are missing
    /// in the file are filled from the frame rate, and where even that is missing, counted in
    /// frames.
    pub frame_times: Vec<i64>,
}

impl FrameIndex {
    /// How many frames are shown.
    pub fn frames(&self) -> u64 {
        self.frame_times.len() as u64
    }

    /// Seconds from the first shown frame to the frame at `position`.
    pub fn seconds(&self, position: usize) -> Option<f64> {
        let first = *self.frame_times.first()?;
        let own = *self.frame_times.get(position)?;
        Some(own.saturating_sub(first) as f64 * self.time_base.value()?)
    }
}
