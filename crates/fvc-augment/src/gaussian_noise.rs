//! Gaussian noise: fresh noise of one strength (sigma 2 to 10 grey levels) on every sample.
//!
//! A deviate is the sum of 12 uniform bytes, centred (Irwin-Hall: variance 12 x (256² - 1) / 12),
//! which is Gaussian to within 1 % inside three sigma and the same bits on every machine.

use std::collections::BTreeMap;

use fvc_media::Window;

use crate::random::Random;
use crate::{AugmentError, Draw};

pub(crate) fn draw(random: &mut Random) -> BTreeMap<String, f64> {
    BTreeMap::from([("sigma".to_owned(), random.uniform(2.0, 10.0))])
}

/// Deviates in a table that samples pick from: 12 hashed bytes for each sample would cost more
/// than all features together.
const TABLE: usize = 1 << 16;

pub(crate) fn apply(draw: &Draw, window: &mut Window) -> Result<(), AugmentError> {
    let sigma = draw.parameter("sigma")?;
    // Standard deviation of a sum of 12 uniform bytes: sqrt(12 * 65535 / 12).
    let unit = 255.998_046_867_548_6;
    let mut random = Random::new(draw.seed, "noise table");
    let mut bytes = [0_u8; 12];
    let table: Vec<i16> = (0..TABLE)
        .map(|_| {
            random.fill(&mut bytes);
            let sum: i32 = bytes.iter().map(|&byte| i32::from(byte)).sum();
            // In 64ths of a grey level, so that weak noise is not all zeros.
            (f64::from(sum - 1530) / unit * sigma * 64.0).clamp(-32_000.0, 32_000.0) as i16
        })
        .collect();
    for frame in &mut window.frames {
        let mut picks = Random::new(draw.seed ^ frame.index, "noise picks");
        let mut block = [0_u8; 8192];
        for samples in frame.data_mut().chunks_mut(4096) {
            picks.fill(&mut block);
            for (sample, pick) in samples.iter_mut().zip(block.chunks_exact(2)) {
                let deviate = table[usize::from(u16::from_le_bytes([pick[0], pick[1]]))];
                let level = i32::from(*sample) * 64 + i32::from(deviate) + 32;
                *sample = (level >> 6).clamp(0, 255) as u8;
            }
        }
    }
    Ok(())
}
