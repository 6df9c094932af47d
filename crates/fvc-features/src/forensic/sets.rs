//! [`FORENSIC`]: the names, units and definitions of what [`super::ForensicExtractor`] measures.

use super::summary::Summary;
use crate::quantity::Quantity;
use crate::schema::{Family, FeatureSet, FeatureSpec};

/// How the values of several segments of a clip become one. What is missing is left out.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Pool {
    Max(f64),
    Min(f64),
    Mean(f64, f64),
}

const MAX: Pool = Pool::Max(f64::NAN);
const MIN: Pool = Pool::Min(f64::NAN);
const MEAN: Pool = Pool::Mean(0.0, 0.0);

impl Pool {
    pub(crate) fn add(&mut self, value: f64) {
        if value.is_nan() {
            return;
        }
        match self {
            Self::Max(most) => *most = most.max(value),
            Self::Min(least) => *least = least.min(value),
            Self::Mean(sum, count) => {
                *sum += value;
                *count += 1.0;
            }
        }
    }

    /// The value of what was added, NaN of nothing, and forgets it.
    pub(crate) fn take(&mut self) -> f64 {
        match self {
            Self::Max(value) | Self::Min(value) => std::mem::replace(value, f64::NAN),
            Self::Mean(sum, count) => {
                let mean = *sum / *count;
                (*sum, *count) = (0.0, 0.0);
                mean
            }
        }
    }
}

/// A feature with the way it is read from a segment's summary.
pub(crate) struct Row {
    spec: FeatureSpec,
    pub(crate) pool: Pool,
    pub(crate) value: fn(&Summary) -> f32,
}

const fn row(
    (name, unit, range): (&'static str, &'static str, &'static str),
    family: Family,
    pool: Pool,
    value: fn(&Summary) -> f32,
    definition: &'static str,
) -> Row {
    let spec = FeatureSpec {
        name,
        unit,
        range,
        family,
        definition,
        per_frame: false,
        quantity: Quantity::OfTheClip,
    };
    Row { spec, pool, value }
}

use Family::{Frequency, Noise, Pixel, Temporal};

#[rustfmt::skip] // a table
pub(crate) static ROWS: [Row; COUNT] = [
    row(("difference_spike", "ln ratio", "any"), Temporal, MAX, |of| of.timeline.difference_spike,
        "Largest ln of the mean |difference| of neighbouring frames (reduced by area mean) over the median of the six around, 0.4 grey levels added to both"),
    row(("difference_spike_second", "ln ratio", "any"), Temporal, MAX, |of| of.timeline.difference_spike_second,
        "The largest such more than two frames from the first: what is put in has two ends"),
    row(("residual_spike", "ln ratio", "any"), Temporal, MAX, |of| of.timeline.residual_spike,
        "As difference_spike, of what block matching leaves: a spike that movement does not explain"),
    row(("residual_spike_second", "ln ratio", "any"), Temporal, MAX, |of| of.timeline.residual_spike_second,
        "As difference_spike_second, of what block matching leaves"),
    row(("active_spike", "ln ratio", "any"), Temporal, MAX, |of| of.timeline.active_spike,
        "As difference_spike, of the quarter of the cells that differ most, 0.2 grey levels added: what happens in a part of the picture"),
    row(("active_spike_second", "ln ratio", "any"), Temporal, MAX, |of| of.timeline.active_spike_second,
        "The largest such more than two frames from the first"),
    row(("active_residual_spike", "ln ratio", "any"), Temporal, MAX, |of| of.timeline.active_residual_spike,
        "As active_spike, of what block matching leaves"),
    row(("jump", "ln ratio", "0 and up"), Temporal, MAX, |of| of.timeline.jump,
        "Largest ln of a step over the distance from three frames before it to two after, less the median of all: at a jump the one step is all that happens"),
    row(("mixture", "ln ratio", "any"), Temporal, MEAN, |of| of.timeline.mixture,
        "Median ln of mean |2 b − a − c| over mean |c − a| of three frames in a row: low where frames are mixtures of their neighbours"),
    row(("mixture_low", "ln ratio", "0 and up"), Temporal, MAX, |of| of.timeline.mixture_low,
        "How far the least mean of six such in a row is below"),
    row(("sharpness_dip", "ln grey levels", "0 and up"), Temporal, MAX, |of| of.timeline.sharpness_dip,
        "How far the least mean of eight frames in a row of the mean ln noise level is below the clip's median"),
    row(("spike_histogram", "1", "0 to 2"), Temporal, MAX, |of| of.timeline.spike_histogram,
        "Σ |share − share| of 64 classes of grey across the largest spike: near 0 within a scene, large at a cut to another"),
    row(("spike_isolation", "ln ratio", "any"), Temporal, MAX, |of| of.timeline.spike_isolation,
        "ln of the step at the largest spike over the distance from three frames before to two after: 0 at a jump, above at a flash, below in quick movement"),
    row(("cut_count", "frames", "0 to 63"), Temporal, MAX, |of| of.timeline.cuts,
        "Spikes above 1.4 with a histogram distance above 0.5: shot cuts, a fact"),
    row(("repetition", "ln ratio", "any"), Temporal, MIN, |of| of.timeline.repetition,
        "Least ln of the mean distance of two runs of five frames at least five apart over the movement within them: below 0 where pictures come back"),
    row(("bridge", "ln ratio", "any"), Temporal, MIN, |of| of.timeline.bridge,
        "Least ln of the distance across a run of at least four frames over the smaller of the steps into and out of it: below 0 where what is around belongs together and the run does not"),
    row(("duplicate_share", "1", "0 to 1"), Temporal, MAX, |of| of.timeline.duplicate_share,
        "Share of neighbours whose difference is below 0.15 of the clip's median, where that is above 0.4 grey levels"),
    row(("still_run", "1", "0 to 1"), Temporal, MAX, |of| of.timeline.still_run,
        "The longest run of such neighbours over all neighbours"),
    row(("sharpness_jump", "ln grey levels", "0 and up"), Temporal, MAX, |of| of.timeline.sharpness_jump,
        "Largest step between the medians of three frames and the next three of the mean ln noise level"),
    row(("sharpness_unrest", "ln ratio", "0 and up"), Temporal, MAX, |of| of.timeline.sharpness_unrest,
        "ln of |bend| of the mean ln noise level in the most restless eight frames over the calmest: interpolated frames alternate"),
    row(("pace_change", "ln ratio", "0 and up"), Temporal, MAX, |of| of.timeline.pace_change,
        "Largest |ln| of the median frame difference of five frames over that of the five before"),
    row(("flicker", "grey levels", "0 to 255"), Temporal, MEAN, |of| of.timeline.flicker,
        "Median |mean grey − that of its two neighbours|"),
    row(("flicker_spike", "ln ratio", "0 and up"), Temporal, MAX, |of| of.timeline.flicker_spike,
        "ln of the largest such over the median"),
    row(("motion", "cells", "0 to 1.5"), Temporal, MEAN, |of| of.timeline.motion,
        "Median over frames of the mean length of block vectors"),
    row(("motion_jump", "cells", "0 to 3"), Temporal, MAX, |of| of.timeline.motion_jump,
        "Largest distance of a frame's median block vector from the mean of those before and after"),
    row(("motion_smoothness", "cells", "0 and up"), Temporal, MEAN, |of| of.timeline.motion_smoothness,
        "Median over frames of the mean distance of a block vector from its left neighbour's"),
    row(("motion_divergence", "cells", "0 and up"), Temporal, MEAN, |of| of.timeline.motion_divergence,
        "Median over frames of the mean |divergence| of the block vectors"),
    row(("motion_unexplained", "ln ratio", "at most 0"), Temporal, MEAN, |of| of.timeline.unexplained,
        "Median over frames of ln of the difference that block matching leaves over that in place"),
    row(("region_onset", "ln ratio", "any"), Pixel, MAX, |of| of.regions.onset,
        "Largest ln of a cell's difference from the frame before over the median of the six frames around, mean of 3x3 cells, less the frame's median: an area that changes at one moment"),
    row(("region_onset_second", "ln ratio", "any"), Pixel, MAX, |of| of.regions.onset_second,
        "The largest such more than two frames from the first: what appears and goes"),
    row(("region_onset_contrast", "ln ratio", "0 and up"), Pixel, MAX, |of| of.regions.onset_contrast,
        "region_onset less the median over the frames of each one's largest"),
    row(("region_onset_area", "1", "0 to 1"), Pixel, MEAN, |of| of.regions.onset_area,
        "Share of the picture of the connected area around it above half of it"),
    row(("region_jump", "ln ratio", "any"), Pixel, MAX, |of| of.regions.jump,
        "Largest ln of a cell's step (thumbnail) over the median of the four around, less |ln of it over the distance from three frames before to two after|, mean of 3x3 cells, less the frame's median where that is positive: an area that is another thing from one frame on"),
    row(("region_jump_second", "ln ratio", "any"), Pixel, MAX, |of| of.regions.jump_second,
        "The largest such more than two frames from the first"),
    row(("region_jump_contrast", "ln ratio", "0 and up"), Pixel, MAX, |of| of.regions.jump_contrast,
        "region_jump less the median over the frames of each one's largest"),
    row(("active_jump", "ln ratio", "any"), Temporal, MAX, |of| of.regions.active_jump,
        "The largest mean over the quarter of the cells of largest step of the same, before averages and medians: all that moves jumps at once"),
    row(("region_onset_rarity", "ln(1 + z)", "0 and up"), Pixel, MAX, |of| of.regions.onset_rarity,
        "The largest such as z over the unrest of the same cell and of the typical one (1.4826 median |value| over the frames)"),
    row(("region_fine_onset", "ln ratio", "any"), Pixel, MAX, |of| of.regions.fine_onset,
        "As region_onset with 0.1 grey levels added to both sides instead of 0.5: faint changes of still areas"),
    row(("region_fine_onset_contrast", "ln ratio", "0 and up"), Pixel, MAX, |of| of.regions.fine_onset_contrast,
        "As region_onset_contrast, of these"),
    row(("region_fine_onset_rarity", "ln(1 + z)", "0 and up"), Pixel, MAX, |of| of.regions.fine_onset_rarity,
        "As region_onset_rarity, of these"),
    row(("region_residual_onset_rarity", "ln(1 + z)", "0 and up"), Pixel, MAX, |of| of.regions.residual_onset_rarity,
        "As region_onset_rarity, of what block matching leaves"),
    row(("region_residual_onset", "ln ratio", "any"), Pixel, MAX, |of| of.regions.residual_onset,
        "As region_onset, of what block matching leaves"),
    row(("region_residual_onset_contrast", "ln ratio", "0 and up"), Pixel, MAX, |of| of.regions.residual_onset_contrast,
        "As region_onset_contrast, of what block matching leaves"),
    row(("region_step_noise", "ln(1 + z)", "0 and up"), Noise, MAX, |of| of.regions.steps[0],
        "Largest step in time of an area's ln noise level: mean of three frames less that of three before, over the unrest of the same cell and of the typical one (1.4826 median |step|), mean of 3x3 cells, less the frame's median"),
    row(("region_step_noise_contrast", "ln ratio", "0 and up"), Noise, MAX, |of| of.regions.step_contrasts[0],
        "ln of 1 + that over 1 + the median over the frames of each one's largest"),
    row(("region_step_correlation", "ln(1 + z)", "0 and up"), Noise, MAX, |of| of.regions.steps[1],
        "Largest step in time of an area's correlation of the residue with its right neighbour: mean of three frames less that of three before, over the unrest of the same cell and of the typical one (1.4826 median |step|), mean of 3x3 cells, less the frame's median"),
    row(("region_step_correlation_contrast", "ln ratio", "0 and up"), Noise, MAX, |of| of.regions.step_contrasts[1],
        "ln of 1 + that over 1 + the median over the frames of each one's largest"),
    row(("region_step_flat", "ln(1 + z)", "0 and up"), Noise, MAX, |of| of.regions.steps[2],
        "Largest step in time of an area's share of pixels without residue: mean of three frames less that of three before, over the unrest of the same cell and of the typical one (1.4826 median |step|), mean of 3x3 cells, less the frame's median"),
    row(("region_step_flat_contrast", "ln ratio", "0 and up"), Noise, MAX, |of| of.regions.step_contrasts[2],
        "ln of 1 + that over 1 + the median over the frames of each one's largest"),
    row(("region_step_gradient", "ln(1 + z)", "0 and up"), Pixel, MAX, |of| of.regions.steps[3],
        "Largest step in time of an area's ln gradient: mean of three frames less that of three before, over the unrest of the same cell and of the typical one (1.4826 median |step|), mean of 3x3 cells, less the frame's median"),
    row(("region_step_gradient_contrast", "ln ratio", "0 and up"), Pixel, MAX, |of| of.regions.step_contrasts[3],
        "ln of 1 + that over 1 + the median over the frames of each one's largest"),
    row(("region_step_red", "ln(1 + z)", "0 and up"), Pixel, MAX, |of| of.regions.steps[4],
        "Largest step in time of an area's R − G: mean of three frames less that of three before, over the unrest of the same cell and of the typical one (1.4826 median |step|), mean of 3x3 cells, less the frame's median"),
    row(("region_step_red_contrast", "ln ratio", "0 and up"), Pixel, MAX, |of| of.regions.step_contrasts[4],
        "ln of 1 + that over 1 + the median over the frames of each one's largest"),
    row(("region_step_blue", "ln(1 + z)", "0 and up"), Pixel, MAX, |of| of.regions.steps[5],
        "Largest step in time of an area's B − G: mean of three frames less that of three before, over the unrest of the same cell and of the typical one (1.4826 median |step|), mean of 3x3 cells, less the frame's median"),
    row(("region_step_blue_contrast", "ln ratio", "0 and up"), Pixel, MAX, |of| of.regions.step_contrasts[5],
        "ln of 1 + that over 1 + the median over the frames of each one's largest"),
    row(("region_step_chroma", "ln(1 + z)", "0 and up"), Pixel, MAX, |of| of.regions.steps[6],
        "Largest step in time of an area's ln bend of R − G and B − G: mean of three frames less that of three before, over the unrest of the same cell and of the typical one (1.4826 median |step|), mean of 3x3 cells, less the frame's median"),
    row(("region_step_chroma_contrast", "ln ratio", "0 and up"), Pixel, MAX, |of| of.regions.step_contrasts[6],
        "ln of 1 + that over 1 + the median over the frames of each one's largest"),
    row(("region_step_luma", "ln(1 + z)", "0 and up"), Pixel, MAX, |of| of.regions.steps[7],
        "Largest step in time of an area's grey level: mean of three frames less that of three before, over the unrest of the same cell and of the typical one (1.4826 median |step|), mean of 3x3 cells, less the frame's median"),
    row(("region_step_luma_contrast", "ln ratio", "0 and up"), Pixel, MAX, |of| of.regions.step_contrasts[7],
        "ln of 1 + that over 1 + the median over the frames of each one's largest"),
    row(("region_step_contrast", "ln(1 + z)", "0 and up"), Pixel, MAX, |of| of.regions.steps[8],
        "Largest step in time of an area's ln standard deviation of grey: mean of three frames less that of three before, over the unrest of the same cell and of the typical one (1.4826 median |step|), mean of 3x3 cells, less the frame's median"),
    row(("region_step_contrast_contrast", "ln ratio", "0 and up"), Pixel, MAX, |of| of.regions.step_contrasts[8],
        "ln of 1 + that over 1 + the median over the frames of each one's largest"),
    row(("region_step_joint", "ln(1 + z)", "0 and up"), Pixel, MAX, |of| of.regions.step_joint,
        "The same of the nine together: √Σ z², z at most 12"),
    row(("region_step_joint_contrast", "ln ratio", "0 and up"), Pixel, MAX, |of| of.regions.step_joint_contrast,
        "region_step_joint less the median over the frames of each one's largest"),
    row(("region_step_area", "1", "0 to 1"), Pixel, MEAN, |of| of.regions.step_area,
        "Share of the picture of the connected area around it above half of its √Σ z²"),
    row(("region_high_noise", "ln(1 + z)", "0 and up"), Noise, MAX, |of| of.regions.above[0],
        "How far the area of highest ln noise level is above the median of the 31 cells of nearest gradient: medians over the frames, mean of 3x3 cells, robust z over the picture"),
    row(("region_low_noise", "ln(1 + z)", "0 and up"), Noise, MAX, |of| of.regions.below[0],
        "The same of the area of lowest ln noise level, below"),
    row(("region_high_tails", "ln(1 + z)", "0 and up"), Noise, MAX, |of| of.regions.above[1],
        "How far the area of highest mean |residue| over its root mean square is above the median of the 31 cells of nearest gradient: medians over the frames, mean of 3x3 cells, robust z over the picture"),
    row(("region_low_tails", "ln(1 + z)", "0 and up"), Noise, MAX, |of| of.regions.below[1],
        "The same of the area of lowest mean |residue| over its root mean square, below"),
    row(("region_high_correlation", "ln(1 + z)", "0 and up"), Noise, MAX, |of| of.regions.above[2],
        "How far the area of highest correlation of the residue with its right neighbour is above the median of the 31 cells of nearest gradient: medians over the frames, mean of 3x3 cells, robust z over the picture"),
    row(("region_low_correlation", "ln(1 + z)", "0 and up"), Noise, MAX, |of| of.regions.below[2],
        "The same of the area of lowest correlation of the residue with its right neighbour, below"),
    row(("region_high_flat", "ln(1 + z)", "0 and up"), Noise, MAX, |of| of.regions.above[3],
        "How far the area of highest share of pixels without residue is above the median of the 31 cells of nearest gradient: medians over the frames, mean of 3x3 cells, robust z over the picture"),
    row(("region_low_flat", "ln(1 + z)", "0 and up"), Noise, MAX, |of| of.regions.below[3],
        "The same of the area of lowest share of pixels without residue, below"),
    row(("region_high_chroma", "ln(1 + z)", "0 and up"), Pixel, MAX, |of| of.regions.above[4],
        "How far the area of highest ln bend of R − G and B − G is above the median of the 31 cells of nearest gradient: medians over the frames, mean of 3x3 cells, robust z over the picture"),
    row(("region_low_chroma", "ln(1 + z)", "0 and up"), Pixel, MAX, |of| of.regions.below[4],
        "The same of the area of lowest ln bend of R − G and B − G, below"),
    row(("region_high_recurrence", "ln(1 + z)", "0 and up"), Noise, MAX, |of| of.regions.above[5],
        "How far the area of highest correlation of the residue with that of the frame before is above the median of the 31 cells of nearest gradient: medians over the frames, mean of 3x3 cells, robust z over the picture"),
    row(("region_low_recurrence", "ln(1 + z)", "0 and up"), Noise, MAX, |of| of.regions.below[5],
        "The same of the area of lowest correlation of the residue with that of the frame before, below"),
    row(("region_high_contrast", "ln(1 + z)", "0 and up"), Pixel, MAX, |of| of.regions.above[6],
        "How far the area of highest ln standard deviation of grey is above the median of the 31 cells of nearest gradient: medians over the frames, mean of 3x3 cells, robust z over the picture"),
    row(("region_low_contrast", "ln(1 + z)", "0 and up"), Pixel, MAX, |of| of.regions.below[6],
        "The same of the area of lowest ln standard deviation of grey, below"),
    row(("region_deviance", "ln(1 + z)", "0 and up"), Pixel, MAX, |of| of.regions.deviant_joint,
        "The largest √Σ z² of these seven in one area, z at most 12"),
    row(("region_deviant_area", "1", "0 to 1"), Pixel, MEAN, |of| of.regions.deviant_area,
        "Share of the picture of the connected area around it of a mean z² of 4 or more (or half its own, if that is less)"),
    row(("region_drift", "picture sides", "0 to 1.5"), Pixel, MEAN, |of| of.regions.deviant_drift,
        "Distance of that area's middle in the first half of the frames from that in the second"),
    row(("region_still", "ln ratio", "0 and up"), Temporal, MAX, |of| of.regions.still_region,
        "How far the stillest areas (2nd percentile of ln difference in time, mean of 3x3 cells) are below the median"),
    row(("region_moving", "ln ratio", "0 and up"), Temporal, MAX, |of| of.regions.moving_region,
        "How far the most moving areas (98th percentile) are above it"),
    row(("blur_spread", "ln ratio", "0 and up"), Pixel, MEAN, |of| of.regions.blur_spread,
        "Robust standard deviation over the cells of ln(noise level over gradient): the local blur map"),
    row(("noise_tails", "1", "0 to 1"), Noise, MEAN, |of| of.whole.tails,
        "Median over the cells of mean |residue| over its root mean square: 0.80 of a normal distribution, less with heavier tails (Geary's kurtosis)"),
    row(("noise_correlation", "1", "−1 to 1"), Noise, MEAN, |of| of.whole.correlation,
        "Median over the cells of the correlation of the residue with its right neighbour: −2/3 of white noise, higher where it was interpolated"),
    row(("noise_by_luma", "ln a hundred grey levels", "any"), Noise, MEAN, |of| of.whole.noise_by_luma,
        "Slope of ln noise level over the grey level in the smoothest quarter of the cells"),
    row(("noise_recurrence", "1", "−1 to 1"), Noise, MEAN, |of| of.whole.recurrence,
        "Median correlation of the residue with that of the frame before in the stillest quarter of the cells: sensor noise is fresh in every frame"),
    row(("sharpness", "ln ratio", "any"), Pixel, MEAN, |of| of.whole.sharpness,
        "Median over the cells of ln(noise level over gradient)"),
    row(("edge_width", "ln pixels", "any"), Pixel, MEAN, |of| of.whole.edge_width,
        "Median over the cells of ln(standard deviation of grey over gradient)"),
    row(("chroma_sharpness", "ln ratio", "any"), Pixel, MEAN, |of| of.whole.chroma_sharpness,
        "Median over the cells of ln(bend of R − G and B − G over gradient)"),
    row(("white_drift", "grey levels", "0 to 510"), Pixel, MEAN, |of| of.whole.white_drift,
        "Range from the 10th to the 90th percentile over the frames of mean R − G or of mean B − G, the larger"),
    row(("spectrum_slope", "1", "any"), Frequency, MEAN, |of| of.frequency.slope,
        "Slope of ln power over ln frequency, 2/64 to 24/64 cycles a pixel, of rows and columns in stretches of 64 (Hann)"),
    row(("spectrum_high_band", "ln ratio", "any"), Frequency, MEAN, |of| of.frequency.high_band,
        "ln of the mean power at 20/64 to 30/64 over that at 4/64 to 10/64 cycles a pixel"),
    row(("dct_first_digits", "1", "0 and up"), Frequency, MEAN, |of| of.frequency.first_digits,
        "χ² distance of the first digits of rounded AC coefficients (u + v up to 4) from Benford's law"),
    row(("dct_gaps", "1", "0 and up"), Frequency, MEAN, |of| of.frequency.gaps,
        "Σ |second difference| of the histograms of the lowest three AC coefficients over their sum: double quantisation leaves gaps"),
    row(("dct_high_band", "ln ratio", "any"), Frequency, MEAN, |of| of.frequency.ac_high,
        "ln of the energy of AC coefficients with u + v of 8 or more over that of 3 or less"),
    row(("dct_middle_band", "ln ratio", "any"), Frequency, MEAN, |of| of.frequency.ac_middle,
        "ln of the energy with u + v of 4 to 7 over that of 3 or less"),
    row(("grid_8", "ln ratio", "any"), Frequency, MEAN, |of| of.frequency.grid_8,
        "ln of the mean step across borders of 8x8 blocks over that inside, the mean of both directions"),
    row(("grid_8_elsewhere", "ln ratio", "any"), Frequency, MEAN, |of| of.frequency.grid_8_elsewhere,
        "The largest such of the seven other phases: a grid that an earlier encode left"),
    row(("grid_16", "ln ratio", "any"), Frequency, MEAN, |of| of.frequency.grid_16,
        "ln of the mean step across borders of 16x16 macroblocks over that at the 8x8 borders inside them"),
    row(("resampling_peak", "ln ratio", "0 and up"), Frequency, MAX, |of| of.frequency.resampling_peak,
        "ln of the highest peak over the median of the spectrum of the mean |second difference| by column, or by row, away from the harmonics of 8 pixels (Gallagher, 2005)"),
    row(("upsampling_peak", "ln ratio", "any"), Frequency, MAX, |of| of.frequency.upsampling_peak,
        "The same at half a cycle a pixel"),
];

/// How many there are.
const COUNT: usize = 103;

static SPECS: [FeatureSpec; COUNT] = {
    let mut specs = [ROWS[0].spec; COUNT];
    let mut at = 0;
    while at < COUNT {
        specs[at] = ROWS[at].spec;
        at += 1;
    }
    specs
};

/// What in a clip its own pictures and its own rhythm do not explain, one value a feature. A *cell* is a
/// square of 16 to 64 pixels, a sixteenth of the shorter side; the *residue* is the picture under the 3x3
/// kernel `[1 −2 1; −2 4 −2; 1 −2 1]`.
pub static FORENSIC: FeatureSet = FeatureSet { name: "forensic", version: 1, specs: &SPECS };
