//! Laying a region over a frame with a soft border, and seeing whether that changed anything.

use fvc_media::Frame;

use super::Region;
use crate::AugmentError;

/// The least mean change within the region over the span, in levels.
const LEAST_CHANGE: f64 = 1.0;

/// A mask that is 0 outside the region and rises to 256 over `feather` pixels inside of it.
pub(super) struct Paste {
    columns: Vec<u32>,
    rows: Vec<u32>,
    moved: u64,
    samples: u64,
}

impl Paste {
    /// For regions of this size; the border takes at most a quarter of the shorter side.
    pub(super) fn new(region: Region, feather: f64) -> Self {
        let feather = (feather as u32).min(region.width.min(region.height) / 4);
        Self {
            columns: ramps(region.width, feather),
            rows: ramps(region.height, feather),
            moved: 0,
            samples: 0,
        }
    }

    /// Lays `patch` (packed RGB rows of the region's size) over the frame at `region`, which is
    /// inside of it.
    pub(super) fn lay(&mut self, frame: &mut Frame, region: Region, patch: &[u8]) {
        let stride = 3 * frame.width() as usize;
        let (left, width) = (3 * region.x as usize, 3 * region.width as usize);
        let rows = frame.data_mut().chunks_exact_mut(stride).skip(region.y as usize);
        for ((row, patch), &vertical) in rows.zip(patch.chunks_exact(width)).zip(&self.rows) {
            let pixels = row[left..left + width].chunks_exact_mut(3);
            for ((own, other), &horizontal) in pixels.zip(patch.chunks_exact(3)).zip(&self.columns)
            {
                let weight = (horizontal * vertical) >> 8;
                for (own, &other) in own.iter_mut().zip(other) {
                    let mixed =
                        (u32::from(*own) * (256 - weight) + u32::from(other) * weight + 128) >> 8;
                    self.moved += u64::from(mixed.abs_diff(u32::from(*own)));
                    *own = mixed as u8;
                }
            }
        }
        self.samples += patch.len() as u64;
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
