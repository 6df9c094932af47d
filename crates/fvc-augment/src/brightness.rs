//! Brightness: each sample times a factor of 0.7 to 1.3 (a blend with black), rounded.

use std::collections::BTreeMap;

use fvc_media::Window;

use crate::random::Random;
use crate::{AugmentError, Draw};

pub(crate) fn draw(random: &mut Random) -> BTreeMap<String, f64> {
    BTreeMap::from([("factor".to_owned(), random.uniform(0.7, 1.3))])
}

pub(crate) fn apply(draw: &Draw, window: &mut Window) -> Result<(), AugmentError> {
    let factor = draw.parameter("factor")?;
    let table: Vec<u8> =
        (0..=255_u8).map(|level| (f64::from(level) * factor + 0.5).clamp(0.0, 255.0) as u8).collect();
    for frame in &mut window.frames {
        for sample in frame.data_mut() {
            *sample = table[usize::from(*sample)];
        }
    }
    Ok(())
}
