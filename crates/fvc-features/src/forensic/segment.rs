//! [`Segment`]: what is kept of the frames of a clip until it is summed up.

use super::cells::{Cell, Layout, PHASES, REDUCED};
use super::motion::Match;

/// Frames that are summed up together: those of the default sampling.
pub(crate) const SEGMENT_FRAMES: usize = 64;

/// A frame as a whole.
#[derive(Clone, Debug)]
pub(crate) struct FrameRecord {
    /// Whether the frame before it is its neighbour in time.
    pub(crate) follows: bool,
    /// Shares of the grey levels in 64 classes.
    pub(crate) histogram: [f32; 64],
}

/// Up to [`SEGMENT_FRAMES`] frames of one size.
#[derive(Debug)]
pub(crate) struct Segment {
    pub(crate) layout: Layout,
    pub(crate) frames: Vec<FrameRecord>,
    /// By frame, then by cell, row by row.
    pub(crate) cells: Vec<Cell>,
    /// Of frames that follow none: no movement and NaN.
    pub(crate) matches: Vec<Match>,
    /// Reduced pictures, halved again; sums of four.
    pub(crate) thumbnails: Vec<u16>,
    /// Σ |step| and their number by position modulo 16: between rows, between columns.
    pub(crate) steps: [[u64; PHASES]; 2],
    pub(crate) step_counts: [[u64; PHASES]; 2],
}

impl Segment {
    pub(crate) fn new(layout: Layout) -> Self {
        Self {
            layout,
            frames: Vec::with_capacity(SEGMENT_FRAMES),
            cells: Vec::with_capacity(SEGMENT_FRAMES * layout.cells()),
            matches: Vec::with_capacity(SEGMENT_FRAMES * layout.cells()),
            thumbnails: Vec::with_capacity(SEGMENT_FRAMES * thumbnail_pixels(layout)),
            steps: [[0; PHASES]; 2],
            step_counts: [[0; PHASES]; 2],
        }
    }

    /// Takes the reduced picture of the newest frame.
    pub(crate) fn keep_thumbnail(&mut self, reduced: &[u8]) {
        let width = self.layout.reduced_width();
        for pair in reduced.chunks_exact(2 * width) {
            let (upper, lower) = pair.split_at(width);
            let (upper, _) = upper.as_chunks::<2>();
            let (lower, _) = lower.as_chunks::<2>();
            for (upper, lower) in upper.iter().zip(lower) {
                let sum = |pair: &[u8; 2]| u16::from(pair[0]) + u16::from(pair[1]);
                self.thumbnails.push(sum(upper) + sum(lower));
            }
        }
    }

    pub(crate) fn cells_of(&self, frame: usize) -> &[Cell] {
        let cells = self.layout.cells();
        &self.cells[frame * cells..(frame + 1) * cells]
    }

    pub(crate) fn matches_of(&self, frame: usize) -> &[Match] {
        let cells = self.layout.cells();
        &self.matches[frame * cells..(frame + 1) * cells]
    }

    /// Mean |difference| of two frames' thumbnails in grey levels, cell by cell.
    pub(crate) fn distances(&self, a: usize, b: usize) -> Vec<f32> {
        let width = self.layout.reduced_width() / 2;
        let pixels = thumbnail_pixels(self.layout);
        let (a, b) = (
            &self.thumbnails[a * pixels..(a + 1) * pixels],
            &self.thumbnails[b * pixels..(b + 1) * pixels],
        );
        let mut distances = Vec::with_capacity(self.layout.cells());
        let side = REDUCED / 2;
        for (a, b) in a.chunks_exact(side * width).zip(b.chunks_exact(side * width)) {
            for column in 0..self.layout.columns {
                let mut sum = 0_u32;
                for line in 0..side {
                    let here = line * width + column * side..line * width + (column + 1) * side;
                    for (a, b) in a[here.clone()].iter().zip(&b[here]) {
                        sum = sum.wrapping_add(u32::from(a.abs_diff(*b)));
                    }
                }
                distances.push(sum as f32 / (4 * side * side) as f32);
            }
        }
        distances
    }

    /// Mean |2 b − a − c| of three frames' thumbnails over mean |c − a|, with `floor` grey levels added to
    /// both: small where b is a mixture of its neighbours.
    pub(crate) fn mixture(&self, [a, b, c]: [usize; 3], floor: f32) -> f32 {
        let pixels = thumbnail_pixels(self.layout);
        let [a, b, c] = [a, b, c].map(|at| &self.thumbnails[at * pixels..(at + 1) * pixels]);
        let (mut bend, mut step) = (0_u32, 0_u32);
        for ((&a, &b), &c) in a.iter().zip(b).zip(c) {
            bend = bend.wrapping_add(u32::from((2 * b).abs_diff(a + c)));
            step = step.wrapping_add(u32::from(a.abs_diff(c)));
        }
        let area = (4 * pixels) as f32;
        (bend as f32 / area + floor) / (step as f32 / area + floor)
    }

    /// Mean |difference| of two frames' thumbnails in grey levels.
    pub(crate) fn distance(&self, a: usize, b: usize) -> f32 {
        let pixels = thumbnail_pixels(self.layout);
        let (a, b) = (
            &self.thumbnails[a * pixels..(a + 1) * pixels],
            &self.thumbnails[b * pixels..(b + 1) * pixels],
        );
        let mut sum = 0_u32;
        for (&a, &b) in a.iter().zip(b) {
            sum = sum.wrapping_add(u32::from(a.abs_diff(b)));
        }
        sum as f32 / (4 * pixels) as f32
    }
}

fn thumbnail_pixels(layout: Layout) -> usize {
    layout.reduced_width() * layout.reduced_height() / 4
}
