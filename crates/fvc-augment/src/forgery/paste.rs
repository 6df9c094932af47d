//! Laying a region over a frame with a soft border, and seeing whether that changed anything.

use fvc_media::Frame;

use super::{Forgery, Region};
use crate::AugmentError;

/// The least mean change within the region over the span, in levels.
const LEAST_CHANGE: f64 = 1.0;

/// How much of a patch is laid over at each pixel of a region, from 0 to 256, and how much that
/// changed so far.
pub(super) struct Paste {
    weights: Vec<u16>,
    moved: u64,
    samples: u64,
}

impl Paste {
    /// For regions of this size: a rectangle (parameter `shape` 0) or the ellipse inside of it (1),
    /// with a border of `feather` pixels inside the shape in which the patch fades in. The border
    /// takes at most a quarter of the shorter side.
    pub(super) fn new(forgery: &Forgery, region: Region) -> Result<Self, AugmentError> {
        let feather = forgery.value("feather")?;
        let feather = (feather as u32).min(region.width.min(region.height) / 4);
        let weights = if forgery.value("shape")? < 0.5 {
            rectangle(region, feather)
        } else {
            ellipse(region, feather)
        };
        Ok(Self::with(weights))
    }

    /// A hole that is filled whole, and nothing around it.
    pub(super) fn filling(hole: &[bool]) -> Self {
        Self::with(hole.iter().map(|&inside| if inside { 256 } else { 0 }).collect())
    }

    /// With weights of its own, one a pixel of the region.
    pub(super) fn with(weights: Vec<u16>) -> Self {
        Self { weights, moved: 0, samples: 0 }
    }

    /// Lays `patch` (packed RGB rows of the region's size) over the frame at `region`, which is
    /// inside of it.
    pub(super) fn lay(&mut self, frame: &mut Frame, region: Region, patch: &[u8]) {
        let stride = 3 * frame.width() as usize;
        let (left, width) = (3 * region.x as usize, region.width as usize);
        let rows = frame.data_mut().chunks_exact_mut(stride).skip(region.y as usize);
        let patch = patch.chunks_exact(3 * width);
        for ((row, patch), weights) in rows.zip(patch).zip(self.weights.chunks_exact(width)) {
            let pixels = row[left..left + 3 * width].chunks_exact_mut(3);
            for ((own, other), &weight) in pixels.zip(patch.chunks_exact(3)).zip(weights) {
                if weight == 0 {
                    continue;
                }
                let weight = u32::from(weight);
                for (own, &other) in own.iter_mut().zip(other) {
                    let mixed =
                        (u32::from(*own) * (256 - weight) + u32::from(other) * weight + 128) >> 8;
                    self.moved += u64::from(mixed.abs_diff(u32::from(*own)));
                    *own = mixed as u8;
                }
                self.samples += 3;
            }
        }
    }

    /// Refuses a forgery that nobody could see.
    pub(super) fn seen(&self, kind: &'static str) -> Result<(), AugmentError> {
        let change = self.moved as f64 / self.samples.max(1) as f64;
        if change >= LEAST_CHANGE {
            return Ok(());
        }
        Err(AugmentError::NothingChanged {
            kind,
            expected: format!("a mean change of {LEAST_CHANGE} level or more in the region"),
            found: format!("{change:.3}"),
        })
    }
}

/// The pixels of a region of a frame, packed.
pub(super) fn cut(frame: &Frame, region: Region) -> Vec<u8> {
    let stride = 3 * frame.width() as usize;
    let (left, width) = (3 * region.x as usize, 3 * region.width as usize);
    let rows = frame.data().chunks_exact(stride).skip(region.y as usize);
    rows.take(region.height as usize).flat_map(|row| &row[left..left + width]).copied().collect()
}

fn rectangle(region: Region, feather: u32) -> Vec<u16> {
    let columns = ramps(region.width, feather);
    let rows = ramps(region.height, feather);
    rows.iter()
        .flat_map(|vertical| {
            columns.iter().map(move |horizontal| ((horizontal * vertical) >> 8) as u16)
        })
        .collect()
}

/// How far the pixel at `(x, y)` of a region is from its centre, in half sides: 1 on the border of
/// the ellipse inside of it.
pub(super) fn radius(region: Region, x: u32, y: u32) -> f64 {
    let away = |at: u32, side: u32| (2.0 * f64::from(at) + 1.0) / f64::from(side) - 1.0;
    let (across, down) = (away(x, region.width), away(y, region.height));
    (across * across + down * down).sqrt()
}

fn ellipse(region: Region, feather: u32) -> Vec<u16> {
    let shorter = f64::from(region.width.min(region.height)) / 2.0;
    let whole = f64::from(feather) + 1.0;
    let weight = |x: u32, y: u32| {
        let depth = (1.0 - radius(region, x, y)) * shorter / whole;
        let depth = depth.clamp(0.0, 1.0);
        (256.0 * depth * depth * (3.0 - 2.0 * depth)).round() as u16
    };
    (0..region.height).flat_map(|y| (0..region.width).map(move |x| weight(x, y))).collect()
}

/// Weights along one side: t^2 (3 - 2 t) over the border, in units of 1/256.
fn ramps(length: u32, feather: u32) -> Vec<u32> {
    let whole = u64::from(feather) + 1;
    (0..length)
        .map(|at| {
            let depth = u64::from(at.min(length - 1 - at)) + 1;
            if depth >= whole {
                256
            } else {
                (256 * depth * depth * (3 * whole - 2 * depth) / (whole * whole * whole)) as u32
            }
        })
        .collect()
}
