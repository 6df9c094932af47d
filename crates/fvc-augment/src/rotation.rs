//! Rotation: about the centre by -15 to 15 degrees, bilinear, black where nothing was, same canvas.
//!
//! The record keeps sine and cosine beside the angle: their last bits may differ between machines,
//! and a variant must not.

use std::collections::BTreeMap;

use fvc_media::Window;

use crate::random::Random;
use crate::{AugmentError, Draw};

pub(crate) fn draw(random: &mut Random) -> BTreeMap<String, f64> {
    let degrees = random.uniform(-15.0, 15.0);
    let (sine, cosine) = degrees.to_radians().sin_cos();
    // Rounded to what every machine's libm agrees on.
    let round = |value: f64| (value * 1e9).round() / 1e9;
    BTreeMap::from([
        ("degrees".to_owned(), degrees),
        ("sine".to_owned(), round(sine)),
        ("cosine".to_owned(), round(cosine)),
    ])
}

pub(crate) fn apply(draw: &Draw, window: &mut Window) -> Result<(), AugmentError> {
    let (sine, cosine) = (draw.parameter("sine")?, draw.parameter("cosine")?);
    let fixed = |value: f64| (value * 65_536.0).round() as i64;
    let (sine, cosine) = (fixed(sine), fixed(cosine));
    for frame in &mut window.frames {
        let (width, height) = (i64::from(frame.width()), i64::from(frame.height()));
        let source = frame.data().to_vec();
        let sample = |x: i64, y: i64, channel: i64| -> i64 {
            if x < 0 || y < 0 || x >= width || y >= height {
                0
            } else {
                i64::from(source[(3 * (y * width + x) + channel) as usize])
            }
        };
        // Twice the centre, so that it is whole.
        let (centre_x, centre_y) = (width - 1, height - 1);
        for (at, pixel) in frame.data_mut().chunks_exact_mut(3).enumerate() {
            let (x, y) = (2 * (at as i64 % width) - centre_x, 2 * (at as i64 / width) - centre_y);
            // Where this pixel was before the turn, in 2^-17 pixels.
            let from_x = cosine * x + sine * y + (centre_x << 16);
            let from_y = -sine * x + cosine * y + (centre_y << 16);
            let (left, top) = (from_x >> 17, from_y >> 17);
            let (part_x, part_y) = ((from_x >> 9) & 255, (from_y >> 9) & 255);
            for (channel, value) in pixel.iter_mut().enumerate() {
                let channel = channel as i64;
                let upper = sample(left, top, channel) * (256 - part_x)
                    + sample(left + 1, top, channel) * part_x;
                let lower = sample(left, top + 1, channel) * (256 - part_x)
                    + sample(left + 1, top + 1, channel) * part_x;
                *value = ((upper * (256 - part_y) + lower * part_y + 32_768) >> 16) as u8;
            }
        }
    }
    Ok(())
}
