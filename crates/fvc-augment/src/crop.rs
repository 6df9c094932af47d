//! `crop`: one rectangle of every frame, brought back to the frame's size.
//!
//! Both sides keep the same share (rounded to whole pixels, at least one); enlarged by the clip
//! store's scaler.

use fvc_clips::scale_frame_to;
use fvc_media::{Frame, Window};

use crate::kind::{Occasion, Recipe};
use crate::{AugmentError, Parameter};

pub(crate) const RECIPE: Recipe = Recipe {
    name: "crop",
    about: "one rectangle of every frame, brought back to the frame's size",
    parameters: &[
        Parameter {
            name: "share",
            unit: "",
            low: 0.6,
            high: 0.95,
            whole: false,
            names: &[],
            meaning: "how much of each side is kept",
        },
        Parameter {
            name: "left",
            unit: "",
            low: 0.0,
            high: 1.0,
            whole: false,
            names: &[],
            meaning: "share of what is cut of the width that is cut on the left",
        },
        Parameter {
            name: "top",
            unit: "",
            low: 0.0,
            high: 1.0,
            whole: false,
            names: &[],
            meaning: "share of what is cut of the height that is cut at the top",
        },
    ],
    encodes: false,
    apply,
};

fn apply(occasion: &Occasion<'_>, window: &Window) -> Result<Window, AugmentError> {
    let share = occasion.value("share")?;
    let (left, top) = (occasion.value("left")?, occasion.value("top")?);
    let place = |side: u32, before: f64| {
        let kept = (f64::from(side) * share).round().clamp(1.0, f64::from(side)) as usize;
        (kept, ((side as usize - kept) as f64 * before).round() as usize)
    };
    let mut cropped = window.clone();
    for frame in &mut cropped.frames {
        let (size, stride) = ((frame.width(), frame.height()), 3 * frame.width() as usize);
        let ((wide, x), (high, y)) = (place(size.0, left), place(size.1, top));
        let rows = frame.data().chunks_exact(stride).skip(y).take(high);
        let data = rows.flat_map(|row| &row[3 * x..3 * (x + wide)]).copied().collect();
        let kept = Frame::new(wide as u32, high as u32, data, frame.index, frame.time)?;
        *frame = scale_frame_to(&kept, size.0, size.1)?;
    }
    Ok(cropped)
}
