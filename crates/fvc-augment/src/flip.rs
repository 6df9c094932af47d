//! `flip`: every frame mirrored left to right.

use fvc_media::Window;

use crate::AugmentError;
use crate::kind::{Occasion, Recipe};

pub(crate) const RECIPE: Recipe = Recipe {
    name: "flip",
    about: "every frame mirrored left to right",
    parameters: &[],
    encodes: false,
    apply,
};

#[allow(clippy::unnecessary_wraps)] // the signature of all recipes
fn apply(_occasion: &Occasion<'_>, window: &Window) -> Result<Window, AugmentError> {
    let mut mirrored = window.clone();
    for frame in &mut mirrored.frames {
        let stride = 3 * frame.width() as usize;
        for row in frame.data_mut().chunks_exact_mut(stride) {
            row.reverse();
            // Back to front turned the pixels' own samples round too.
            for pixel in row.chunks_exact_mut(3) {
                pixel.reverse();
            }
        }
    }
    Ok(mirrored)
}
