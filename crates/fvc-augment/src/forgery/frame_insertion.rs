//! `frame_insertion`: a run of another clip's frames shown inside the clip, which goes on after it
//! where it stopped. Frames of another size are scaled to cover the picture and cut to it.

use fvc_clips::scale_frame_to;
use fvc_media::{Frame, FrameSpan};

use super::paste::cut;
use super::run::{counting_on, drawn_run};
use super::{Extent, Forgery, Material, Place, Recipe, Region, donor};
use crate::parameter::Values;
use crate::random::Random;
use crate::{AugmentError, frames};

const NAME: &str = "frame_insertion";

pub(super) const RECIPE: Recipe = Recipe {
    needs_donor: true,
    needs_motion: false,
    growth: |forgery| Ok(forgery.length() as i64),
    ..Recipe::temporal(NAME, "a run of another clip's frames shown inside the clip", place, apply)
};

fn place(values: &Values, random: &mut Random, extent: Extent) -> Result<Place, AugmentError> {
    let length = drawn_run(NAME, values, extent)?;
    // A frame of the clip's own on either side.
    let first = random.between(1, extent.frames - length - 1);
    Ok(Place::run(first, length))
}

fn apply(forgery: &Forgery, material: &Material<'_>) -> Result<Vec<Frame>, AugmentError> {
    let FrameSpan { first, last } = forgery.span;
    let own = material.frames;
    if first == 0 || last + 1 >= own.len() as u64 {
        return Err(AugmentError::Record {
            kind: NAME,
            what: "span",
            expected: "a frame of the clip's own on either side of it".to_owned(),
            found: format!("{first} to {last} of {} frames", own.len()),
        });
    }
    frames::common_size(NAME, material.donor)?;
    let (width, height) = (own[0].width(), own[0].height());
    let other = donor::run(forgery, material.donor)?
        .iter()
        .map(|frame| covering(frame, width, height))
        .collect::<Result<Vec<Frame>, _>>()?;
    let first = first as usize;
    let shown = own[..first].iter().chain(&other).chain(&own[first..]);
    counting_on(NAME, own, shown.cloned())
}

/// The middle of the frame, scaled so that it just covers the picture.
fn covering(frame: &Frame, width: u32, height: u32) -> Result<Frame, AugmentError> {
    let (own_width, own_height) = (u64::from(frame.width()), u64::from(frame.height()));
    let (wide, high) = (u64::from(width), u64::from(height));
    let (scaled_width, scaled_height) = if own_width * high >= own_height * wide {
        ((own_width * high).div_ceil(own_height.max(1)), high)
    } else {
        (wide, (own_height * wide).div_ceil(own_width.max(1)))
    };
    let scaled = scale_frame_to(frame, scaled_width as u32, scaled_height as u32)?;
    let middle = Region {
        x: ((scaled_width - wide) / 2) as u32,
        y: ((scaled_height - high) / 2) as u32,
        width,
        height,
    };
    Ok(Frame::new(width, height, cut(&scaled, middle), frame.index, frame.time)?)
}
