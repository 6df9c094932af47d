//! Stretches of frames: how they are drawn, and how frames count on in a clip that was cut.

use fvc_media::{Frame, FrameSpan};

use super::Extent;
use crate::AugmentError;
use crate::parameter::{Values, value};
use crate::random::Random;

/// The shortest clip that frames are removed from or repeated in.
const MIN_FRAMES: u64 = 8;

/// The span in which a region is laid over.
pub(super) fn drawn_span(
    kind: &'static str,
    values: &Values,
    random: &mut Random,
    extent: Extent,
) -> Result<FrameSpan, AugmentError> {
    if extent.frames == 0 {
        return Err(too_few(kind, 1, 0));
    }
    let share = value(kind, values, "span_share")?;
    let length = ((share * extent.frames as f64).round() as u64).clamp(1, extent.frames);
    let first = random.between(0, extent.frames - length);
    Ok(FrameSpan { first, last: first + length - 1 })
}

/// Length of the run that is removed or repeated: at most 3 of 10 frames.
pub(super) fn drawn_run(
    kind: &'static str,
    values: &Values,
    extent: Extent,
) -> Result<u64, AugmentError> {
    if extent.frames < MIN_FRAMES {
        return Err(too_few(kind, MIN_FRAMES, extent.frames));
    }
    let share = value(kind, values, "run_share")?;
    Ok(((share * extent.frames as f64).round() as u64).max(1))
}

fn too_few(kind: &'static str, least: u64, found: u64) -> AugmentError {
    AugmentError::Frames { kind, expected: format!("at least {least}"), found: found.to_string() }
}

/// The chosen frames with indices and times that count on without a gap. At least one of them
/// must differ from what the authentic clip shows at its place.
pub(super) fn counting_on(
    kind: &'static str,
    frames: &[Frame],
    chosen: impl Iterator<Item = usize>,
) -> Result<Vec<Frame>, AugmentError> {
    let (Some(first), Some(last)) = (frames.first(), frames.last()) else { return Ok(Vec::new()) };
    let step = (last.time - first.time) / (frames.len() as f64 - 1.0).max(1.0);
    let mut changed = false;
    let mut forged = Vec::new();
    for (at, from) in chosen.enumerate() {
        let mut frame = frames[from].clone();
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
