//! `cutout`: one black rectangle, at one place in all frames (`DeVries` and Taylor 2017).
//!
//! It lies wholly inside the picture and has at least one pixel.

use fvc_media::Window;

use crate::frames::stretch;
use crate::kind::{Occasion, Recipe};
use crate::{AugmentError, Parameter};

pub(crate) const RECIPE: Recipe = Recipe {
    name: "cutout",
    about: "one black rectangle, at one place in all frames",
    parameters: &[
        Parameter {
            name: "width",
            unit: "widths",
            low: 0.1,
            high: 0.3,
            whole: false,
            names: &[],
            meaning: "of the rectangle",
        },
        Parameter {
            name: "height",
            unit: "heights",
            low: 0.1,
            high: 0.3,
            whole: false,
            names: &[],
            meaning: "of the rectangle",
        },
        Parameter {
            name: "left",
            unit: "",
            low: 0.0,
            high: 1.0,
            whole: false,
            names: &[],
            meaning: "share of the free width that lies left of it",
        },
        Parameter {
            name: "top",
            unit: "",
            low: 0.0,
            high: 1.0,
            whole: false,
            names: &[],
            meaning: "share of the free height that lies above it",
        },
    ],
    encodes: false,
    apply,
};

fn apply(occasion: &Occasion<'_>, window: &Window) -> Result<Window, AugmentError> {
    let (width, height) = (occasion.value("width")?, occasion.value("height")?);
    let (left, top) = (occasion.value("left")?, occasion.value("top")?);
    let mut cut = window.clone();
    for frame in &mut cut.frames {
        let stride = 3 * frame.width() as usize;
        let columns = stretch(frame.width(), width, left);
        let rows = stretch(frame.height(), height, top);
        for row in frame.data_mut()[stride * rows.start..stride * rows.end].chunks_exact_mut(stride)
        {
            row[3 * columns.start..3 * columns.end].fill(0);
        }
    }
    Ok(cut)
}
