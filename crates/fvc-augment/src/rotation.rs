//! `rotation`: every frame turned by one angle about its centre, on the same canvas.
//!
//! Bilinear, black outside (see `warp.rs`).

use fvc_media::Window;

use crate::elementary::sin_cos;
use crate::kind::{Occasion, Recipe};
use crate::warp::Warp;
use crate::{AugmentError, Parameter};

pub(crate) const RECIPE: Recipe = Recipe {
    name: "rotation",
    about: "every frame turned by one angle about its centre, black outside",
    parameters: &[Parameter {
        name: "angle",
        unit: "degrees",
        low: -15.0,
        high: 15.0,
        whole: false,
        names: &[],
        meaning: "counter-clockwise when positive",
    }],
    encodes: false,
    apply,
};

fn apply(occasion: &Occasion<'_>, window: &Window) -> Result<Window, AugmentError> {
    let (sine, cosine) = sin_cos(occasion.value("angle")?);
    let warp = Warp { matrix: [cosine, -sine, sine, cosine], shift: [0.0; 2] };
    let mut turned = window.clone();
    for (from, into) in window.frames.iter().zip(&mut turned.frames) {
        warp.apply(from, into);
    }
    Ok(turned)
}
