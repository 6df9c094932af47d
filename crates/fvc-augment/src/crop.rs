//! `crop`: one rectangle of every frame, brought back to the frame's size.
//!
//! Both sides keep the same share (rounded to whole pixels, at least one); enlarged by the clip
//! store's scaler.

use fvc_clips::scale_frame_to;
use fvc_media::{Frame, Window};

use crate::frames::stretch;
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
    let mut cropped = window.clone();
    for frame in &mut cropped.frames {
        let (size, stride) = ((frame.width(), frame.height()), 3 * frame.width() as usize);
        let (columns, lines) = (stretch(size.0, share, left), stretch(size.1, share, top));
        let (wide, high) = (columns.len() as u32, lines.len() as u32);
        let rows = frame.data()[stride * lines.start..stride * lines.end].chunks_exact(stride);
        let data = rows.flat_map(|row| &row[3 * columns.start..3 * columns.end]).copied().collect();
        let kept = Frame::new(wide, high, data, frame.index, frame.time)?;
        *frame = scale_frame_to(&kept, size.0, size.1)?;
    }
    Ok(cropped)
}
