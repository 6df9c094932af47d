//! `affine`: every frame scaled, sheared and moved by one draw, about its centre, on the same canvas.
//!
//! A pixel at `p` from the centre goes to `scale * (p + (shear * p_y, 0)) + translation`. Bilinear,
//! black outside (see `warp.rs`). Turning is `rotation`'s.

use fvc_media::Window;

use crate::kind::{Occasion, Recipe};
use crate::warp::Warp;
use crate::{AugmentError, Parameter};

pub(crate) const RECIPE: Recipe = Recipe {
    name: "affine",
    about: "every frame scaled, sheared and moved by one draw, black outside",
    parameters: &[
        Parameter {
            name: "scale",
            unit: "",
            low: 0.9,
            high: 1.1,
            whole: false,
            names: &[],
            meaning: "above 1 larger",
        },
        Parameter {
            name: "shear",
            unit: "",
            low: -0.1,
            high: 0.1,
            whole: false,
            names: &[],
            meaning: "pixels to the right for each pixel down",
        },
        Parameter {
            name: "translate_x",
            unit: "widths",
            low: -0.1,
            high: 0.1,
            whole: false,
            names: &[],
            meaning: "to the right when positive",
        },
        Parameter {
            name: "translate_y",
            unit: "heights",
            low: -0.1,
            high: 0.1,
            whole: false,
            names: &[],
            meaning: "downwards when positive",
        },
    ],
    encodes: false,
    apply,
};

fn apply(occasion: &Occasion<'_>, window: &Window) -> Result<Window, AugmentError> {
    let (scale, shear) = (occasion.value("scale")?, occasion.value("shear")?);
    let (right, down) = (occasion.value("translate_x")?, occasion.value("translate_y")?);
    let mut moved = window.clone();
    for (from, into) in window.frames.iter().zip(&mut moved.frames) {
        let (x, y) = (right * f64::from(from.width()), down * f64::from(from.height()));
        // The way back: from where a pixel is drawn to where it comes from.
        let warp = Warp {
            matrix: [1.0 / scale, -shear / scale, 0.0, 1.0 / scale],
            shift: [-x / scale + y * shear / scale, -y / scale],
        };
        warp.apply(from, into);
    }
    Ok(moved)
}
