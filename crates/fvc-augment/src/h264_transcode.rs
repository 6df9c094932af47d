//! `h264_transcode`: every window encoded as H.264 and decoded again, as an upload would do it.
//!
//! Each window is a stream of its own with the one setting of the clip. The size stays (see
//! `transcode.rs`).

use fvc_media::{EncodeSettings, PRESETS, Window};

use crate::kind::{Occasion, Recipe};
use crate::transcode::encoded_again;
use crate::{AugmentError, Parameter};

pub(crate) const RECIPE: Recipe = Recipe {
    name: "h264_transcode",
    about: "encoded as H.264 (x264, BT.709, 4:2:0) and decoded again",
    parameters: &[
        Parameter {
            name: "crf",
            unit: "",
            low: 23.0,
            high: 35.0,
            whole: true,
            names: &[],
            meaning: "constant rate factor: the higher, the worse the picture",
        },
        Parameter {
            name: "preset",
            unit: "",
            low: 1.0,
            high: 5.0,
            whole: true,
            names: &[],
            meaning: "x264's preset by number: 1 superfast, 2 veryfast, 3 faster, 4 fast, 5 medium",
        },
        Parameter {
            name: "gop",
            unit: "frames",
            low: 12.0,
            high: 250.0,
            whole: true,
            names: &[],
            meaning: "most frames from one keyframe to the next",
        },
    ],
    encodes: true,
    apply,
};

fn apply(occasion: &Occasion<'_>, window: &Window) -> Result<Window, AugmentError> {
    // The three are whole numbers within their ranges: the table was checked against them.
    let settings = EncodeSettings {
        crf: occasion.value("crf")? as u8,
        preset: PRESETS[occasion.value("preset")? as usize].to_owned(),
        gop: Some(occasion.value("gop")? as u32),
        ..EncodeSettings::new(occasion.frame_rate)
    };
    let mut transcoded = window.clone();
    transcoded.frames = encoded_again(&window.frames, &settings, occasion.counters)?;
    Ok(transcoded)
}
