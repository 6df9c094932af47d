//! [`EncodeSettings`]: how frames are encoded.

use serde::{Deserialize, Serialize};

use super::EncodeError;
use crate::Rational;

/// x264's presets, from the fastest to the one that searches longest.
pub const PRESETS: [&str; 10] = [
    "ultrafast",
    "superfast",
    "veryfast",
    "faster",
    "fast",
    "medium",
    "slow",
    "slower",
    "veryslow",
    "placebo",
];

/// The YUV matrix, and with it the primaries and the transfer curve that the stream is tagged with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ColorMatrix {
    /// ITU-R BT.709 (Kr 0.2126, Kb 0.0722).
    #[default]
    Bt709,
    /// ITU-R BT.601 with 525 lines, SMPTE 170M (Kr 0.299, Kb 0.114).
    Bt601,
}

/// How RGB becomes YUV; written into the stream and the container, so that players turn it back
/// the same way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ColorTags {
    /// The matrix.
    pub matrix: ColorMatrix,
    /// Whether black and white are 0 and 255 (`pc`) or 16 and 235 (`tv`, the default).
    pub full_range: bool,
}

/// How frames are encoded: H.264 by libx264, 4:2:0, 8 bits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EncodeSettings {
    /// Constant rate factor, 0 (lossless but for 4:2:0) to 51 (worst).
    pub crf: u8,
    /// One of [`PRESETS`].
    pub preset: String,
    /// Most frames from one keyframe to the next, 1 to 10000; missing: x264's 250.
    pub gop: Option<u32>,
    /// Most B-frames in a row, 0 to 16; missing: the preset's own.
    pub b_frames: Option<u32>,
    /// Frames a second, exact; numerator and denominator from 1 to 2^31 - 1, at most 1000.
    pub frame_rate: Rational,
    /// Matrix and range; missing in a file: BT.709, limited.
    #[serde(default)]
    pub color: ColorTags,
}

impl EncodeSettings {
    /// x264's own defaults (crf 23, preset medium) at this frame rate, BT.709 limited.
    pub fn new(frame_rate: Rational) -> Self {
        Self {
            crf: 23,
            preset: "medium".to_owned(),
            gop: None,
            b_frames: None,
            frame_rate,
            color: ColorTags::default(),
        }
    }

    /// Checks every setting against its range.
    ///
    /// # Errors
    /// The first setting that is out of range.
    pub fn check(&self) -> Result<(), EncodeError> {
        let refuse = |name, expected: &str, found: String| {
            Err(EncodeError::Setting { name, expected: expected.to_owned(), found })
        };
        if self.crf > 51 {
            return refuse("crf", "0 to 51", self.crf.to_string());
        }
        if !PRESETS.contains(&self.preset.as_str()) {
            return refuse("preset", &PRESETS.join(", "), self.preset.clone());
        }
        if let Some(gop) = self.gop.filter(|gop| !(1..=10_000).contains(gop)) {
            return refuse("gop", "1 to 10000 frames", gop.to_string());
        }
        if let Some(b_frames) = self.b_frames.filter(|&count| count > 16) {
            return refuse("b_frames", "0 to 16", b_frames.to_string());
        }
        let Rational { numerator, denominator } = self.frame_rate;
        let part = 1..=i64::from(i32::MAX);
        if !part.contains(&numerator)
            || !part.contains(&denominator)
            || numerator > denominator.saturating_mul(1000)
        {
            return refuse(
                "frame_rate",
                "a rate above 0 and at most 1000 frames a second, both parts below 2^31",
                self.frame_rate.to_string(),
            );
        }
        Ok(())
    }
}
