//! What all kinds need of frames.

use std::ops::Range;

use fvc_media::{Frame, Window};

use crate::AugmentError;
use crate::random::Random;

/// Width and height that all frames share.
pub(crate) fn common_size(
    kind: &'static str,
    frames: &[Frame],
) -> Result<(usize, usize), AugmentError> {
    let refuse = |expected: String, found: String| AugmentError::Frames { kind, expected, found };
    let first =
        frames.first().ok_or_else(|| refuse("at least one".to_owned(), "none".to_owned()))?;
    let size = |frame: &Frame| format!("{}x{}", frame.width(), frame.height());
    for (at, frame) in frames.iter().enumerate() {
        if (frame.width(), frame.height()) != (first.width(), first.height()) {
            return Err(refuse(
                format!("all of {}", size(first)),
                format!("{} at {at}", size(frame)),
            ));
        }
    }
    Ok((first.width() as usize, first.height() as usize))
}

/// The window as a player shows it that gets other pictures at the same times: place `at` shows
/// the picture of place `shown[at]`. Number, indices and times stay those of the places.
pub(crate) fn show(window: &Window, shown: &[usize]) -> Window {
    let mut retimed = window.clone();
    for (frame, &from) in retimed.frames.iter_mut().zip(shown) {
        frame.data_mut().copy_from_slice(window.frames[from].data());
    }
    retimed
}

/// For each place of the window the first place of the same tick of a clock that ticks `ticks`
/// times while the source shows `frames` frames.
pub(crate) fn ticks(window: &Window, ticks: u128, frames: u128) -> Vec<usize> {
    let tick = |at: usize| u128::from(window.frames[at].index) * ticks / frames.max(1);
    let mut first = 0;
    let places = (0..window.frames.len()).map(|at| {
        if tick(at) != tick(first) {
            first = at;
        }
        first
    });
    places.collect()
}

/// Whether the source's frame of this index is the one of its `every` (counted from the source's
/// first) that `seed` picks: one in each such run, independently.
pub(crate) fn is_picked(index: u64, every: u64, seed: u64) -> bool {
    Random::for_part(seed, index / every).below(every) == index % every
}

/// Where a stretch of a side lies: `share` of it (rounded to whole pixels, at least one), with the share
/// `before` of what is left of the side before it.
pub(crate) fn stretch(side: u32, share: f64, before: f64) -> Range<usize> {
    let long = (f64::from(side) * share).round().clamp(1.0, f64::from(side)) as usize;
    let first = ((side as usize - long) as f64 * before).round() as usize;
    first..first + long
}

/// The window with every sample (byte of a pixel) replaced by its entry in the table.
pub(crate) fn map_levels(window: &Window, table: &[u8; 256]) -> Window {
    let mut mapped = window.clone();
    for frame in &mut mapped.frames {
        for level in frame.data_mut() {
            *level = table[usize::from(*level)];
        }
    }
    mapped
}

/// The table of a straight line: `anchor + factor * (level - anchor)`, rounded to the nearest
/// level (halves up) and kept within 0 to 255.
pub(crate) fn blend_table(anchor: f64, factor: f64) -> [u8; 256] {
    std::array::from_fn(|level| {
        // At factor 1 this is the level itself, with no rounding on the way.
        let moved = level as f64 + (factor - 1.0) * (level as f64 - anchor);
        (moved + 0.5).floor().clamp(0.0, 255.0) as u8
    })
}
