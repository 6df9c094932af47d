//! The pictures of the tests and benches: integer formulas, repeated in
//! `tools/golden/features_picture.py`.

use fvc_media::Frame;

/// What a picture shows.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    /// Slow shading, stripes, discs and bars with sharp borders, sensor-like noise.
    Scene,
    /// Every byte drawn on its own.
    Static,
    /// One colour per 8x8 block.
    Blocks,
    /// One colour.
    Flat,
}

/// A triangle wave from 0 to `period` / 2.
fn triangle(value: u32, period: u32) -> u32 {
    let phase = value % period;
    phase.min(period - phase)
}

/// A 32-bit hash of three numbers (the finaliser of `MurmurHash3` over a linear mix).
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

fn scene(x: u32, y: u32, channel: u32, seed: u32) -> u32 {
    let mut level = 30 + triangle(x + 2 * y + 31 * seed + 40 * channel, 256) / 2;
    level += triangle(3 * x + y * (channel + 1), 64) / 2;
    // A disc in each cell of 160 pixels, off by the seed.
    let (cx, cy) = ((x + 13 * seed) % 160, (y + 7 * seed) % 160);
    if cx.abs_diff(80).pow(2) + cy.abs_diff(80).pow(2) < 1500 {
        level += 70 - 20 * channel;
    }
    if (x + y + seed) % 97 < 5 {
        level /= 2;
    }
    let noise = hash(x, y, 3 * seed + channel);
    (level + (noise & 7) + ((noise >> 8) & 7)).min(255)
}

/// Packed RGB bytes of a picture.
pub(crate) fn pixels(kind: Kind, width: u32, height: u32, seed: u32) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(3 * (width * height) as usize);
    for y in 0..height {
        for x in 0..width {
            for channel in 0..3 {
                let level = match kind {
                    Kind::Scene => scene(x, y, channel, seed),
                    Kind::Static => hash(x, y, 3 * seed + channel) >> 24,
                    Kind::Blocks => hash(x / 8, y / 8, 3 * seed + channel) >> 24,
                    Kind::Flat => (seed * (60 + 20 * channel)).min(255),
                };
                bytes.push(level as u8);
            }
        }
    }
    bytes
}

/// The same as a frame.
pub(crate) fn frame(kind: Kind, width: u32, height: u32, seed: u32) -> Frame {
    let pixels = pixels(kind, width, height, seed);
    Frame::new(width, height, pixels, u64::from(seed), f64::from(seed))
        .expect("the formula fills the picture")
}
