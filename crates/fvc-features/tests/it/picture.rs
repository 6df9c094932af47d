//! The pictures of the tests and benches: an integer formula, repeated in `tools/golden/`.

use fvc_media::Frame;

/// Grey level of a triangle wave, 0 to `period` / 2.
fn triangle(value: u32, period: u32) -> u32 {
    let phase = value % period;
    phase.min(period - phase)
}

/// A 32-bit hash of three numbers (the finaliser of MurmurHash3 over a linear mix).
fn hash(x: u32, y: u32, z: u32) -> u32 {
    let mut mixed = x
        .wrapping_mul(0x9E37_79B1)
        .wrapping_add(y.wrapping_mul(0x85EB_CA77))
        .wrapping_add(z.wrapping_mul(0xC2B2_AE3D));
    mixed ^= mixed >> 16;
    mixed = mixed.wrapping_mul(0x85EB_CA6B);
    mixed ^= mixed >> 13;
    mixed = mixed.wrapping_mul(0xC2B2_AE35);
    mixed ^ (mixed >> 16)
}

/// Packed RGB bytes: slow shading, stripes, discs and bars with sharp borders, sensor-like noise.
pub(crate) fn pixels(width: u32, height: u32, seed: u32) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(3 * (width * height) as usize);
    for y in 0..height {
        for x in 0..width {
            for channel in 0..3 {
                let mut level = 30 + triangle(x + 2 * y + 31 * seed + 40 * channel, 256) / 2;
                level += triangle(3 * x + y * (channel + 1), 64) / 2;
                // A disc in each cell of 160 pixels, off by the seed.
                let (cx, cy) = ((x + 13 * seed) % 160, (y + 7 * seed) % 160);
                let squared = cx.abs_diff(80).pow(2) + cy.abs_diff(80).pow(2);
                if squared < 1500 {
                    level += 70 - 20 * channel;
                }
                if (x + y + seed) % 97 < 5 {
                    level /= 2;
                }
                let noise = hash(x, y, 3 * seed + channel);
                level += (noise & 7) + ((noise >> 8) & 7);
                bytes.push(level.min(255) as u8);
            }
        }
    }
    bytes
}

/// The same as a frame.
pub(crate) fn frame(width: u32, height: u32, seed: u32) -> Frame {
    Frame::new(width, height, pixels(width, height, seed), u64::from(seed), f64::from(seed))
        .expect("the formula fills the picture")
}
