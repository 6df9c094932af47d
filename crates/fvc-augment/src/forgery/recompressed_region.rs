//! `recompressed_region`: a region replaced by itself after a stronger encode, with a soft border:
//! pixels of another generation of compression, with a grid of blocks of their own.
//!
//! The region of the frames of the span is one H.264 stream of 25 frames a second, whatever the
//! clip's rate: the bits depend on the record and the pixels alone.

use fvc_media::{EncodeSettings, Frame, Rational};

use super::paste::{Paste, cut};
use super::{Forgery, Material, Recipe, local};
use crate::AugmentError;
use crate::transcode::encoded_again;

const NAME: &str = "recompressed_region";

pub(super) const RECIPE: Recipe = Recipe::local(
    NAME,
    "a region replaced by itself after a stronger encode, with a soft border",
    |values, random, extent| local::place(NAME, values, random, extent),
    apply,
);

fn apply(forgery: &Forgery, material: &Material<'_>) -> Result<Vec<Frame>, AugmentError> {
    let region = local::recorded(forgery, material.frames)?;
    let (first, last) = (forgery.span.first as usize, forgery.span.last as usize);
    let own = material.frames[first..=last].iter().map(|frame| {
        Frame::new(region.width, region.height, cut(frame, region), frame.index, frame.time)
    });
    let own = own.collect::<Result<Vec<Frame>, _>>()?;
    let settings = EncodeSettings {
        // A whole number within its range: the table was checked against it.
        crf: forgery.value("crf")? as u8,
        ..EncodeSettings::new(Rational::new(25, 1))
    };
    let again = encoded_again(&own, &settings, material.counters)?;
    let paste = Paste::new(forgery, region)?;
    local::edit(forgery, material.frames, paste, |_, _, step| {
        Ok(again[step as usize].data().to_vec())
    })
}
