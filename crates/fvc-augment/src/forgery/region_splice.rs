//! `region_splice`: a region of another clip's frames laid over the frames of the span, with a
//! soft border, at one place or drifting.
//!
//! The donor's pixels are taken as they are (no scaling), one donor frame a frame, from one place
//! of the donor's picture.

use fvc_media::Frame;

use super::paste::{Paste, cut};
use super::{Forgery, Material, Recipe, donor, drift, local};
use crate::AugmentError;

const NAME: &str = "region_splice";

pub(super) const RECIPE: Recipe = Recipe {
    needs_donor: true,
    ..Recipe::local(
        NAME,
        "a region of another clip laid over it, with a soft border, at one place or drifting",
        |values, random, extent| drift::place(NAME, values, random, extent),
        apply,
    )
};

fn apply(forgery: &Forgery, material: &Material<'_>) -> Result<Vec<Frame>, AugmentError> {
    let region = local::recorded(forgery, material.frames)?;
    let taken = donor::taken(forgery, material.donor, region.width, region.height)?;
    let paste = Paste::new(forgery, region)?;
    local::edit(forgery, material.frames, paste, |_, _, step| {
        Ok(cut(&taken.frames[step as usize], taken.region))
    })
}
