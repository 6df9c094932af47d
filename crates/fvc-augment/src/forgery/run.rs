//! Stretches of frames: how they are drawn, and how frames count on in a clip that was cut.

use fvc_media::{Frame, FrameSpan};

use super::Extent;
use crate::AugmentError;
use crate::parameter::{Values, value};
use crate::random::Random;

/// The shortest clip that frames are removed from or repeated in.
const MIN_FRAMES: u64 = 8;

/// The least that a forgery lasts, in seconds: what is shorter is as good as not seen.
const LEAST_SECONDS: f64 = 0.4;

/// The span in which a region is forged.
pub(super) fn drawn_span(
    kind: &'static str,
    values: &Values,
    random: &mut Random,
    extent: Extent,
) -> Result<FrameSpan, AugmentError> {
    let least = least(kind, extent)?;
    if extent.frames < least {
        return Err(too_few(kind, least, extent));
    }
    let share = value(kind, values, "span_share")?;
    let length = ((share * extent.frames as f64).round() as u64).clamp(least, extent.frames);
    let first = random.between(0, extent.frames - length);
    Ok(FrameSpan { first, last: first + length - 1 })
}

/// Frames of the run that is removed, repeated, put in or moved: half of the clip at most.
pub(super) fn drawn_run(
    kind: &'static str,
    values: &Values,
    extent: Extent,
) -> Result<u64, AugmentError> {
    let least = least(kind, extent)?;
    let most = extent.frames / 2;
    if most < least || extent.frames < MIN_FRAMES {
        return Err(too_few(kind, MIN_FRAMES.max(2 * least), extent));
    }
    let seconds = value(kind, values, "run_seconds")?;
    let length = (seconds * frames_a_second(kind, extent)?).round() as u64;
    Ok(length.clamp(least, most))
}

/// The fewest frames that last long enough.
fn least(kind: &'static str, extent: Extent) -> Result<u64, AugmentError> {
    // A hair less, so that 0.4 s of 25 frames a second are 10 frames whatever the last bit.
    let frames = LEAST_SECONDS * frames_a_second(kind, extent)? - 1e-6;
    Ok((frames.ceil() as u64).max(1))
}

fn frames_a_second(kind: &'static str, extent: Extent) -> Result<f64, AugmentError> {
    let rate = extent.frame_rate;
    if rate.numerator > 0 && rate.denominator > 0 {
        return Ok(rate.numerator as f64 / rate.denominator as f64);
    }
    Err(AugmentError::Frames {
        kind,
        expected: "a frame rate above 0".to_owned(),
        found: format!("{}/{}", rate.numerator, rate.denominator),
    })
}

fn too_few(kind: &'static str, least: u64, extent: Extent) -> AugmentError {
    let rate = extent.frame_rate;
    AugmentError::Frames {
        kind,
        expected: format!("at least {least} at {}/{} a second", rate.numerator, rate.denominator),
        found: extent.frames.to_string(),
    }
}

/// The pictures as a clip whose indices and times count on without a gap. At least one of them
/// must differ from what the authentic clip shows at its place.
pub(super) fn counting_on(
    kind: &'static str,
    frames: &[Frame],
    pictures: impl Iterator<Item = Frame>,
) -> Result<Vec<Frame>, AugmentError> {
    let (Some(first), Some(last)) = (frames.first(), frames.last()) else { return Ok(Vec::new()) };
    let step = (last.time - first.time) / (frames.len() as f64 - 1.0).max(1.0);
    let mut changed = false;
    let mut forged = Vec::new();
    for (at, mut frame) in pictures.enumerate() {
        frame.index = first.index + at as u64;
        match frames.get(at) {
            Some(own) => {
                frame.time = own.time;
                changed = changed || own.data() != frame.data();
            }
            None => frame.time = last.time + step * (at + 1 - frames.len()) as f64,
        }
        forged.push(frame);
    }
    if changed {
        return Ok(forged);
    }
    Err(AugmentError::NothingChanged {
        kind,
        expected: "a frame that differs from the authentic one at its place".to_owned(),
        found: "a still scene".to_owned(),
    })
}
