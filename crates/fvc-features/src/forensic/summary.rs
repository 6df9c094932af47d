//! [`Summary`]: everything that a segment of a clip comes to.

use super::frequency::FrequencySummary;
use super::regions::Regions;
use super::robust::{ln, median, quantile};
use super::segment::Segment;
use super::timeline::Timeline;

/// Clip-level statistics of the whole picture.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Whole {
    pub(crate) tails: f32,
    pub(crate) correlation: f32,
    pub(crate) noise_by_luma: f32,
    pub(crate) recurrence: f32,
    pub(crate) sharpness: f32,
    pub(crate) edge_width: f32,
    pub(crate) chroma_sharpness: f32,
    pub(crate) white_drift: f32,
}

/// All of them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Summary {
    pub(crate) whole: Whole,
    pub(crate) frequency: FrequencySummary,
    pub(crate) timeline: Timeline,
    pub(crate) regions: Regions,
}

impl Whole {
    pub(crate) fn of(segment: &Segment) -> Self {
        let over = |value: &dyn Fn(&super::cells::Cell) -> f32| {
            let mut values: Vec<f32> = segment.cells.iter().map(value).collect();
            median(&mut values)
        };
        let white: Vec<(f32, f32)> = (0..segment.frames.len())
            .map(|at| {
                let cells = segment.cells_of(at);
                let count = cells.len() as f32;
                let (red, blue) = cells
                    .iter()
                    .fold((0.0, 0.0), |(red, blue), cell| (red + cell.red, blue + cell.blue));
                (red / count, blue / count)
            })
            .collect();
        let spread = |axis: fn(&(f32, f32)) -> f32| {
            let mut values: Vec<f32> = white.iter().map(axis).collect();
            quantile(&mut values, 0.9) - quantile(&mut values, 0.1)
        };
        Self {
            tails: over(&|cell| cell.tails),
            correlation: over(&|cell| cell.correlation),
            noise_by_luma: noise_by_luma(segment),
            recurrence: still_recurrence(segment),
            sharpness: over(&|cell| ln((cell.noise + 0.05) / (cell.gradient + 0.2))),
            edge_width: over(&|cell| ln((cell.contrast + 0.5) / (cell.gradient + 0.2))),
            chroma_sharpness: over(&|cell| ln((cell.chroma + 0.1) / (cell.gradient + 0.2))),
            white_drift: spread(|own| own.0).max(spread(|own| own.1)),
        }
    }
}

/// Least-squares slope of ln noise over the grey level, of the smoothest quarter of the cells, a hundred
/// levels being one.
fn noise_by_luma(segment: &Segment) -> f32 {
    let mut gradients: Vec<f32> = segment.cells.iter().map(|cell| cell.gradient).collect();
    let limit = quantile(&mut gradients, 0.25);
    let (mut count, mut x_sum, mut y_sum, mut xx, mut xy) = (0.0_f64, 0.0, 0.0, 0.0, 0.0);
    for cell in segment.cells.iter().filter(|cell| cell.gradient <= limit) {
        let (x, y) = (f64::from(cell.luma) / 100.0, f64::from(ln(cell.noise + 0.05)));
        count += 1.0;
        x_sum += x;
        y_sum += y;
        xx += x * x;
        xy += x * y;
    }
    let below = count * xx - x_sum * x_sum;
    // One grey level tells no slope.
    if below > 1e-6 { ((count * xy - x_sum * y_sum) / below) as f32 } else { 0.0 }
}

/// Median correlation of the noise with that of the frame before, over the stillest quarter of the cells.
fn still_recurrence(segment: &Segment) -> f32 {
    let known = || segment.cells.iter().filter(|cell| !cell.difference.is_nan());
    let mut differences: Vec<f32> = known().map(|cell| cell.difference).collect();
    let limit = quantile(&mut differences, 0.25);
    let mut values: Vec<f32> =
        known().filter(|cell| cell.difference <= limit).map(|cell| cell.recurrence).collect();
    median(&mut values)
}
