//! `speed_change`: a run of frames shown slower or faster, at the clip's frame rate: the pictures
//! between frames are mixed of the two beside them, as they are or along their motion (see
//! `interpolation.rs`). Before and after the run the clip has its own speed.

use fvc_media::{Frame, FrameSpan};

use super::interpolation::{Motion, mixed};
use super::run::{counting_on, drawn_run};
use super::{Extent, Forgery, Material, Place, Recipe};
use crate::AugmentError;
use crate::parameter::{Values, value};
use crate::random::Random;

const NAME: &str = "speed_change";

pub(super) const RECIPE: Recipe = Recipe {
    growth: |forgery| {
        let shown = shown(&forgery.parameters, forgery.length())?;
        Ok(shown as i64 - forgery.length() as i64)
    },
    affected: |forgery| {
        // A record without its parameters is refused before it is applied.
        let shown = shown(&forgery.parameters, forgery.length()).unwrap_or(1);
        let FrameSpan { first, .. } = forgery.span;
        FrameSpan { first, last: first.saturating_add(shown).saturating_sub(1) }
    },
    ..Recipe::temporal(
        NAME,
        "a run of frames shown slower or faster, pictures in between mixed",
        place,
        apply,
    )
};

/// Frames in which a run of `length` is shown.
fn shown(values: &Values, length: u64) -> Result<u64, AugmentError> {
    let (slower, factor) = (value(NAME, values, "slower")? > 0.5, value(NAME, values, "factor")?);
    let length = length as f64;
    let shown = if slower { length * factor } else { length / factor };
    Ok((shown.round() as u64).max(1))
}

fn place(values: &Values, random: &mut Random, extent: Extent) -> Result<Place, AugmentError> {
    let run = drawn_run(NAME, values, extent)? as f64;
    let factor = value(NAME, values, "factor")?;
    // What is drawn is how long the run is shown.
    let length = if value(NAME, values, "slower")? > 0.5 {
        (run / factor).ceil()
    } else {
        (run * factor).round()
    };
    let length = (length as u64).clamp(1, extent.frames);
    let room = extent.frames.saturating_sub(length.max(shown(values, length)?));
    Ok(Place::run(random.between(0, room), length))
}

fn apply(forgery: &Forgery, material: &Material<'_>) -> Result<Vec<Frame>, AugmentError> {
    let frames = material.frames;
    let FrameSpan { first, last } = forgery.span;
    let (length, shown) = (forgery.length(), shown(&forgery.parameters, forgery.length())?);
    if first + shown > frames.len() as u64 {
        return Err(AugmentError::Record {
            kind: NAME,
            what: "span",
            expected: format!("room for {shown} frames within {}", frames.len()),
            found: format!("{first} to {last}"),
        });
    }
    let along_motion = forgery.value("motion")? > 0.5;
    let mut run = Vec::new();
    // Slow motion asks for several pictures between the same two frames.
    let mut known: Option<(usize, Motion)> = None;
    for at in 0..shown {
        let (before, rest) = (at * length / shown, at * length % shown);
        let before = first as usize + before as usize;
        let after = (before + 1).min(frames.len() - 1);
        if rest == 0 || after == before {
            run.push(frames[before].clone());
            continue;
        }
        let motion = match known.take() {
            Some((of, motion)) if of == before => motion,
            _ if along_motion => Motion::between(&frames[before], &frames[after]),
            _ => Motion::none(),
        };
        let share = (256 * rest / shown) as u32;
        run.push(mixed(&frames[before], &frames[after], share, &motion));
        known = Some((before, motion));
    }
    let pictures = frames[..first as usize].iter().chain(&run).chain(&frames[last as usize + 1..]);
    counting_on(NAME, frames, pictures.cloned())
}
