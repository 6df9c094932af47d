//! Clips to test with.

use std::collections::BTreeMap;

use fvc_augment::{Draw, Kind};
use fvc_media::{DecodeCounters, Frame, Rational, Window};

pub(crate) const RATE: Rational = Rational::new(30_000, 1_001);

pub(crate) fn frame(
    width: u32,
    height: u32,
    index: u64,
    pixel: impl Fn(u32, u32) -> [u8; 3],
) -> Frame {
    let data = (0..height)
        .flat_map(|y| (0..width).map(move |x| (x, y)))
        .flat_map(|(x, y)| pixel(x, y))
        .collect();
    Frame::new(width, height, data, index, index as f64 * 1001.0 / 30_000.0).unwrap()
}

/// Every sample of every frame at random, from `seed`.
pub(crate) fn random(width: u32, height: u32, first: u64, frames: u64, seed: u64) -> Vec<Frame> {
    (first..first + frames)
        .map(|index| {
            frame(width, height, index, |x, y| {
                let key = [seed, index, u64::from(x), u64::from(y)].map(u64::to_le_bytes).concat();
                let hash = blake3::hash(&key);
                [hash.as_bytes()[0], hash.as_bytes()[1], hash.as_bytes()[2]]
            })
        })
        .collect()
}

/// Smooth colours under a disc that moves, as an encoder likes it.
pub(crate) fn moving(width: u32, height: u32, first: u64, frames: u64) -> Vec<Frame> {
    (first..first + frames)
        .map(|index| {
            let centre = (10 + 2 * index as u32) % width;
            frame(width, height, index, |x, y| {
                if x.abs_diff(centre).pow(2) + y.abs_diff(height / 2).pow(2) < 64 {
                    [220, 70, 50]
                } else {
                    [(x * 255 / width) as u8, (y * 255 / height) as u8, 90]
                }
            })
        })
        .collect()
}

pub(crate) fn window(frames: Vec<Frame>) -> Window {
    Window { index: 3, frames }
}

/// A draw with these parameters.
pub(crate) fn draw(kind: Kind, parameters: &[(&str, f64)]) -> Draw {
    let parameters: BTreeMap<String, f64> =
        parameters.iter().map(|&(name, value)| (name.to_owned(), value)).collect();
    Draw { variant: 1, kind, seed: 0x1234_5678_9abc_def0, parameters }
}

pub(crate) fn apply(draw: &Draw, window: &Window) -> Window {
    draw.apply(window, RATE, &DecodeCounters::default()).unwrap()
}

pub(crate) fn psnr(a: &[Frame], b: &[Frame]) -> f64 {
    let (mut squares, mut samples) = (0_u64, 0_u64);
    for (a, b) in a.iter().zip(b) {
        assert_eq!(a.data().len(), b.data().len());
        for (&a, &b) in a.data().iter().zip(b.data()) {
            squares += u64::from(a.abs_diff(b)).pow(2);
            samples += 1;
        }
    }
    10.0 * (255.0_f64.powi(2) * samples as f64 / squares as f64).log10()
}
