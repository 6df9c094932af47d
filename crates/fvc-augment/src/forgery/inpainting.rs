//! `inpainting`: what is in a region removed from every frame of the span, by a smooth sheet
//! between its borders or by the texture of another place of the frame, its levels brought to
//! those around the region (a healing brush).

use fvc_media::Frame;

use super::membrane::{cloned, hole};
use super::paste::{Paste, cut};
use super::{Forgery, Material, Recipe, local};
use crate::AugmentError;

const NAME: &str = "inpainting";

pub(super) const RECIPE: Recipe = Recipe::local(
    NAME,
    "what is in a region removed, and the hole filled from around it",
    |values, random, extent| local::place_with_source(NAME, values, random, extent),
    apply,
);

fn apply(forgery: &Forgery, material: &Material<'_>) -> Result<Vec<Frame>, AugmentError> {
    let region = local::recorded(forgery, material.frames)?;
    let source = local::recorded_source(forgery, material.frames)?;
    let healing = forgery.value("texture")? > 0.5;
    let hole = hole(region, forgery.value("shape")?);
    let flat = vec![0_u8; 3 * hole.len()];
    let paste = Paste::filling(&hole);
    local::edit(forgery, material.frames, paste, |frame, at, _| {
        let texture = if healing { cut(frame, source) } else { flat.clone() };
        Ok(cloned(&cut(frame, at), &texture, &hole, region.width as usize))
    })
}
