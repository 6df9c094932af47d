//! [`encoded_again`]: frames through an encoder and back, for all kinds that encode.

use fvc_media::{DecodeCounters, EncodeSettings, Frame, decode_own, encode_h264};

use crate::AugmentError;

/// The frames encoded as one stream and decoded again, with their own sizes, indices and times. Odd
/// sides are padded to even ones by repeating the last column or row, and cut again.
pub(crate) fn encoded_again(
    frames: &[Frame],
    settings: &EncodeSettings,
    counters: &DecodeCounters,
) -> Result<Vec<Frame>, AugmentError> {
    let padded: Vec<Frame> = frames.iter().map(pad_to_even).collect::<Result<_, _>>()?;
    let mp4 = encode_h264(&padded, settings)?;
    let decoded = decode_own(&mp4, counters)?;
    if decoded.len() != padded.len() {
        return Err(AugmentError::Transcode {
            expected: format!("{} frames", padded.len()),
            found: format!("{}", decoded.len()),
        });
    }
    let mut transcoded = frames.to_vec();
    for ((own, sent), into) in decoded.iter().zip(&padded).zip(&mut transcoded) {
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
