//! H.264 transcode: encoded in memory (crf 23 to 35, key frames every 12 to 250 frames) and decoded
//! again. Odd sides lose their last column or row in 4:2:0; the frame keeps its size by repeating
//! the neighbour.

use std::collections::BTreeMap;

use fvc_media::{DecodeCounters, EncodeSettings, Frame, Rational, Window, decode_own, encode_h264};

use crate::random::Random;
use crate::{AugmentError, Draw};

pub(crate) fn draw(random: &mut Random) -> BTreeMap<String, f64> {
    BTreeMap::from([
        ("crf".to_owned(), random.integer(23, 35) as f64),
        ("gop".to_owned(), random.integer(12, 250) as f64),
    ])
}

pub(crate) fn apply(
    draw: &Draw,
    window: &mut Window,
    frame_rate: Rational,
    counters: &DecodeCounters,
) -> Result<(), AugmentError> {
    let settings = EncodeSettings {
        crf: draw.parameter("crf")?.clamp(0.0, 51.0) as u8,
        gop: Some(draw.parameter("gop")?.clamp(1.0, 10_000.0) as u32),
        preset: "veryfast".to_owned(),
        ..EncodeSettings::new(frame_rate)
    };
    let bytes = encode_h264(&window.frames, &settings)?;
    let decoded = decode_own(&bytes, counters)?;
    if decoded.len() != window.frames.len() {
        return Err(AugmentError::Clip {
            what: "H.264 transcode".to_owned(),
            expected: format!("{} frames back from the encoder", window.frames.len()),
            found: format!("{} frames", decoded.len()),
        });
    }
    for (frame, coded) in window.frames.iter_mut().zip(&decoded) {
        copy_into(frame, coded);
    }
    Ok(())
}

fn copy_into(frame: &mut Frame, coded: &Frame) {
    let (width, coded_width) = (frame.width() as usize, coded.width() as usize);
    let (last_x, last_y) = (coded_width.saturating_sub(1), coded.height() as usize - 1);
    let data = coded.data();
    for (y, row) in frame.data_mut().chunks_exact_mut(3 * width).enumerate() {
        for (x, pixel) in row.chunks_exact_mut(3).enumerate() {
            let at = 3 * (y.min(last_y) * coded_width + x.min(last_x));
            pixel.copy_from_slice(&data[at..at + 3]);
        }
    }
}
