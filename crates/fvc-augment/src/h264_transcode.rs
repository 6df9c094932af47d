//! `h264_transcode`: every window encoded as H.264 and decoded again, as an upload would do it.
//!
//! Each window is a stream of its own with the one setting of the clip. Odd sides are padded to
//! even ones by repeating the last column or row, and cut again after the decode: the size stays.

use fvc_media::{EncodeSettings, Frame, PRESETS, Window, decode_own, encode_h264};

use crate::kind::{Occasion, Recipe};
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
            meaning: "constant rate factor: the higher, the worse the picture",
        },
        Parameter {
            name: "preset",
            unit: "",
            low: 1.0,
            high: 5.0,
            whole: true,
            meaning: "x264's preset by number: 1 superfast, 2 veryfast, 3 faster, 4 fast, 5 medium",
        },
        Parameter {
            name: "gop",
            unit: "frames",
            low: 12.0,
            high: 250.0,
            whole: true,
            meaning: "most frames from one keyframe to the next",
        },
    ],
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
    let padded: Vec<Frame> = window.frames.iter().map(pad_to_even).collect::<Result<_, _>>()?;
    let mp4 = encode_h264(&padded, &settings)?;
    let decoded = decode_own(&mp4, occasion.counters)?;
    if decoded.len() != padded.len() {
        return Err(AugmentError::Transcode {
            expected: format!("{} frames", padded.len()),
            found: format!("{}", decoded.len()),
        });
    }
    let mut transcoded = window.clone();
    for ((own, sent), into) in decoded.iter().zip(&padded).zip(&mut transcoded.frames) {
        if (own.width(), own.height()) != (sent.width(), sent.height()) {
            return Err(AugmentError::Transcode {
                expected: format!("{}x{}", sent.width(), sent.height()),
                found: format!("{}x{}", own.width(), own.height()),
            });
        }
        let (stride, kept) = (3 * own.width() as usize, 3 * into.width() as usize);
        let rows = into.data_mut().chunks_exact_mut(kept);
        for (from, into) in own.data().chunks_exact(stride).zip(rows) {
            into.copy_from_slice(&from[..kept]);
        }
    }
    Ok(transcoded)
}

fn pad_to_even(frame: &Frame) -> Result<Frame, AugmentError> {
    let (width, height) = (frame.width(), frame.height());
    let (wide, high) = (width + width % 2, height + height % 2);
    let mut data = Vec::with_capacity(3 * wide as usize * high as usize);
    for row in frame.data().chunks_exact(3 * width as usize) {
        data.extend_from_slice(row);
        if wide > width {
            data.extend_from_slice(&row[row.len() - 3..]);
        }
    }
    if high > height {
        data.extend_from_within(data.len() - 3 * wide as usize..);
    }
    Ok(Frame::new(wide, high, data, frame.index, frame.time)?)
}
