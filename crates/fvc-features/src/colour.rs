//! Moments of the three colour channels.

use crate::moments::Moments;

/// Pixels summed in 32 bits: 4096 · 255² < 2³².
const STRIP: usize = 4096;

/// Moments of the R, G and B values of packed RGB pixels.
pub(crate) fn channel_moments(rgb: &[u8]) -> [Moments; 3] {
    let mut moments = [Moments::default(); 3];
    for strip in rgb.chunks(3 * STRIP) {
        let (mut sums, mut squares) = ([0_u32; 3], [0_u32; 3]);
        for pixel in strip.chunks_exact(3) {
            for channel in 0..3 {
                let value = u32::from(pixel[channel]);
                sums[channel] = sums[channel].wrapping_add(value);
                squares[channel] = squares[channel].wrapping_add(value.wrapping_mul(value));
            }
        }
        for channel in 0..3 {
            moments[channel].count += (strip.len() / 3) as u64;
            moments[channel].sum += i128::from(sums[channel]);
            moments[channel].squares += i128::from(squares[channel]);
        }
    }
    moments
}
