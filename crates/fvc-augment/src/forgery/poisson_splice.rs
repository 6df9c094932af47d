//! `poisson_splice`: a region of another clip's frames cloned into the frames of the span so that
//! its levels meet those around it (see `membrane.rs`), at one place or drifting.
//!
//! The donor's pixels are taken as by `region_splice`.

use fvc_media::Frame;

use super::membrane::{cloned, hole};
use super::paste::{Paste, cut};
use super::{Forgery, Material, Recipe, donor, drift, local};
use crate::AugmentError;

const NAME: &str = "poisson_splice";

pub(super) const RECIPE: Recipe = Recipe {
    needs_donor: true,
    ..Recipe::local(
        NAME,
        "a region of another clip cloned into it by its gradients, at one place or drifting",
        |values, random, extent| drift::place(NAME, values, random, extent),
        apply,
    )
};

fn apply(forgery: &Forgery, material: &Material<'_>) -> Result<Vec<Frame>, AugmentError> {
    let region = local::recorded(forgery, material.frames)?;
    let taken = donor::taken(forgery, material.donor, region.width, region.height)?;
    let hole = hole(region, forgery.value("shape")?);
    let paste = Paste::filling(&hole);
    local::edit(forgery, material.frames, paste, |frame, at, step| {
        let source = cut(&taken.frames[step as usize], taken.region);
        Ok(cloned(&cut(frame, at), &source, &hole, region.width as usize))
    })
}
