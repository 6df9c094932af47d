//! [`ClipReport`]: what a look at a source found beside its frames.

use serde::{Deserialize, Serialize};

use crate::{Facts, FrameIndex, ResolvedSampling};

/// How much of a source is decoded to get at its windows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReadMode {
    /// Every frame: gives the verdict on the file and its exact frame count.
    WholeFile,
    /// Only what the windows need: "sampled, not fully checked".
    WindowsOnly,
}

/// What becomes of a source of which only part decodes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PartialPolicy {
    /// It fails, with reason `partial`.
    #[default]
    Refuse,
    /// Its whole windows are used, and the verdict says so.
    Use,
}

/// What a decode says of the file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "verdict")]
pub enum DecodeVerdict {
    /// Every frame decoded without a complaint.
    Ok,
    /// Some did.
    Partial {
        /// Frames that decoded.
        decoded: u64,
        /// Frames that the container promises.
        promised: u64,
        /// What was wrong first.
        detail: String,
    },
    /// The windows decoded without a complaint; the rest was not looked at.
    Sampled,
}

/// What a look at a source found beside its frames.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClipReport {
    /// Facts, with the frame count corrected where the whole file was decoded.
    pub facts: Facts,
    /// The frame index, corrected likewise.
    pub index: FrameIndex,
    /// Which frames the windows hold.
    pub sampling: ResolvedSampling,
    /// What the decode says of the file.
    pub verdict: DecodeVerdict,
    /// Frames that went through the decoder.
    pub decoded_frames: u64,
}
