//! `copy_move`: in every frame of the span, a region of that frame laid over another place of it,
//! with a soft border. The two places never overlap.

use fvc_media::Frame;

use super::paste::{Paste, cut};
use super::{Forgery, Material, Recipe, local};
use crate::AugmentError;

const NAME: &str = "copy_move";

pub(super) const RECIPE: Recipe = Recipe::local(
    NAME,
    "a region laid over another place of the same frame, with a soft border",
    |values, random, extent| local::place_with_source(NAME, values, random, extent),
    apply,
);

fn apply(forgery: &Forgery, material: &Material<'_>) -> Result<Vec<Frame>, AugmentError> {
    let region = local::recorded(forgery, material.frames)?;
    let source = local::recorded_source(forgery, material.frames)?;
    let paste = Paste::new(forgery, region)?;
    local::edit(forgery, material.frames, paste, |frame, _, _| Ok(cut(frame, source)))
}
