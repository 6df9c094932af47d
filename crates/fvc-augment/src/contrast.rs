//! Contrast: each sample blended with the mean grey of the window's first frame by a factor of 0.7
//! to 1.3. One mean for the window: a mean for each frame would flicker.

use std::collections::BTreeMap;

use fvc_media::Window;

use crate::random::Random;
use crate::{AugmentError, Draw};

pub(crate) fn draw(random: &mut Random) -> BTreeMap<String, f64> {
    BTreeMap::from([("factor".to_owned(), random.uniform(0.7, 1.3))])
}

pub(crate) fn apply(draw: &Draw, window: &mut Window) -> Result<(), AugmentError> {
    let factor = draw.parameter("factor")?;
    let Some(first) = window.frames.first() else { return Ok(()) };
    // Thousandths of BT.601 luma, summed exactly.
    let sum: u64 = first
        .data()
        .chunks_exact(3)
        .map(|pixel| 299 * u64::from(pixel[0]) + 587 * u64::from(pixel[1]) + 114 * u64::from(pixel[2]))
        .sum();
    let mean = sum as f64 / 1000.0 / (first.data().len() / 3) as f64;
    let table: Vec<u8> = (0..=255_u8)
        .map(|level| (mean + (f64::from(level) - mean) * factor + 0.5).clamp(0.0, 255.0) as u8)
        .collect();
    for frame in &mut window.frames {
        for sample in frame.data_mut() {
            *sample = table[usize::from(*sample)];
        }
    }
    Ok(())
}
