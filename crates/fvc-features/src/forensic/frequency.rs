//! [`Frequency`]: spectra, DCT coefficients and periodic patterns, gathered over a clip's frames.

use super::cells::PHASES;
use super::robust::{ln, median};
use super::segment::Segment;
use crate::plane::Plane;

/// Samples of a stretch of a row or column whose spectrum is taken.
const STRETCH: usize = 64;
/// Frequencies of such a spectrum that are kept: up to half a cycle a pixel.
const BINS: usize = STRETCH / 2;
/// Rows, and columns, of a picture whose stretches are taken.
const LINES: usize = 16;
/// Side of a block of the DCT.
const BLOCK: usize = 8;
/// One row of blocks in so many is transformed.
const BLOCK_ROWS: usize = 4;
/// Rounded coefficients up to this are counted one by one.
const LEVELS: usize = 24;
/// DCT coefficients whose values are counted: the lowest three of AC.
const COUNTED: [usize; 3] = [1, BLOCK, BLOCK + 1];

/// Sums over the frames that were looked at, and the tables of the transforms.
#[derive(Debug)]
pub(crate) struct Frequency {
    /// Σ power by frequency.
    power: [f64; BINS + 1],
    /// Counts of first digits 1 to 9 of the rounded AC coefficients.
    digits: [u64; 9],
    /// Counts of |rounded coefficient|, of each of [`COUNTED`].
    levels: [[u64; LEVELS]; 3],
    /// Σ square of AC coefficients with u + v of 1 to 3, 4 to 7, 8 to 14.
    bands: [f64; 3],
    cosines: Box<[[f32; STRETCH]; BINS + 1]>,
    sines: Box<[[f32; STRETCH]; BINS + 1]>,
    basis: [[f32; BLOCK]; BLOCK],
}

/// What comes of them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FrequencySummary {
    pub(crate) slope: f32,
    pub(crate) high_band: f32,
    pub(crate) first_digits: f32,
    pub(crate) gaps: f32,
    pub(crate) ac_high: f32,
    pub(crate) ac_middle: f32,
    pub(crate) grid_8: f32,
    pub(crate) grid_8_elsewhere: f32,
    pub(crate) grid_16: f32,
    pub(crate) resampling_peak: f32,
    pub(crate) upsampling_peak: f32,
}

impl Default for Frequency {
    fn default() -> Self {
        let turn = std::f64::consts::TAU / STRETCH as f64;
        let table = |of: fn(f64) -> f64| {
            let mut table = Box::new([[0.0_f32; STRETCH]; BINS + 1]);
            for (bin, row) in table.iter_mut().enumerate() {
                for (at, value) in row.iter_mut().enumerate() {
                    // Hann's window, so that a stretch's ends are no edge.
                    let window = 0.5 - 0.5 * libm::cos(turn * (at as f64 + 0.5));
                    *value = (window * of(turn * (bin * at) as f64)) as f32;
                }
            }
            table
        };
        let mut basis = [[0.0_f32; BLOCK]; BLOCK];
        for (u, row) in basis.iter_mut().enumerate() {
            for (x, value) in row.iter_mut().enumerate() {
                let scale = if u == 0 { 0.125_f64 } else { 0.25 };
                let angle = std::f64::consts::PI * ((2 * x + 1) * u) as f64 / 16.0;
                *value = (scale.sqrt() * libm::cos(angle)) as f32;
            }
        }
        Self {
            power: [0.0; BINS + 1],
            digits: [0; 9],
            levels: [[0; LEVELS]; 3],
            bands: [0.0; 3],
            cosines: table(libm::cos),
            sines: table(libm::sin),
            basis,
        }
    }
}

impl Frequency {
    /// Forgets the clip.
    pub(crate) fn start(&mut self) {
        self.power = [0.0; BINS + 1];
        self.digits = [0; 9];
        self.levels = [[0; LEVELS]; 3];
        self.bands = [0.0; 3];
    }

    /// Adds a picture.
    pub(crate) fn scan(&mut self, plane: &Plane) {
        let (width, height) = (plane.width(), plane.height());
        let mut stretch = [0.0_f32; STRETCH];
        for line in 0..LINES {
            let row = plane.row((2 * line + 1) * height / (2 * LINES));
            for pixels in row.chunks_exact(STRETCH) {
                for (value, &pixel) in stretch.iter_mut().zip(pixels) {
                    *value = f32::from(pixel);
                }
                self.add_stretch(&mut stretch);
            }
            let column = (2 * line + 1) * width / (2 * LINES);
            for start in (0..height.saturating_sub(STRETCH - 1)).step_by(STRETCH) {
                for (at, value) in stretch.iter_mut().enumerate() {
                    *value = f32::from(plane.row(start + at)[column]);
                }
                self.add_stretch(&mut stretch);
            }
        }
        let mut block = [[0.0_f32; BLOCK]; BLOCK];
        for top in (0..height.saturating_sub(BLOCK - 1)).step_by(BLOCK * BLOCK_ROWS) {
            for left in (0..width.saturating_sub(BLOCK - 1)).step_by(BLOCK) {
                for (y, line) in block.iter_mut().enumerate() {
                    let row = &plane.row(top + y)[left..left + BLOCK];
                    for (value, &pixel) in line.iter_mut().zip(row) {
                        *value = f32::from(pixel);
                    }
                }
                self.add_block(&block);
            }
        }
    }

    fn add_stretch(&mut self, stretch: &mut [f32; STRETCH]) {
        let mean = stretch.iter().sum::<f32>() / STRETCH as f32;
        for value in stretch.iter_mut() {
            *value -= mean;
        }
        for (power, (cosines, sines)) in
            self.power.iter_mut().zip(self.cosines.iter().zip(self.sines.iter()))
        {
            let (real, imaginary) = (product(stretch, cosines), product(stretch, sines));
            *power += f64::from(real * real + imaginary * imaginary);
        }
    }

    /// The block's DCT-II, orthonormal.
    fn add_block(&mut self, block: &[[f32; BLOCK]; BLOCK]) {
        let mut half = [[0.0_f32; BLOCK]; BLOCK];
        for (basis, half) in self.basis.iter().zip(&mut half) {
            for (weight, line) in basis.iter().zip(block) {
                for (sum, value) in half.iter_mut().zip(line) {
                    *sum += weight * value;
                }
            }
        }
        let mut coefficients = [0.0_f32; BLOCK * BLOCK];
        for (v, half) in half.iter().enumerate() {
            for (u, basis) in self.basis.iter().enumerate() {
                let mut sum = 0.0;
                for x in 0..BLOCK {
                    sum += half[x] * basis[x];
                }
                coefficients[v * BLOCK + u] = sum;
            }
        }
        for (at, &value) in coefficients.iter().enumerate().skip(1) {
            let order = at / BLOCK + at % BLOCK;
            let band = usize::from(order > 3) + usize::from(order > 7);
            self.bands[band] += f64::from(value * value);
            let mut digit = (value.abs() + 0.5) as u32;
            if order <= 4 && digit > 0 {
                while digit > 9 {
                    digit /= 10;
                }
                self.digits[digit as usize - 1] += 1;
            }
        }
        for (levels, at) in self.levels.iter_mut().zip(COUNTED) {
            let level = (coefficients[at].abs() + 0.5) as usize;
            if let Some(count) = levels.get_mut(level) {
                *count += 1;
            }
        }
    }

    /// The clip's values; the sums of steps and bends come with the segment and as arguments.
    pub(crate) fn summary(
        &self,
        segment: &Segment,
        bends_by_column: &[u64],
        bends_by_row: &[u64],
    ) -> FrequencySummary {
        let (slope, high_band) = self.spectrum();
        let [low, middle, high] = self.bands.map(|band| (band + 1e-3) as f32);
        let peaks = [bends_by_column, bends_by_row].map(periodic_peaks);
        let [column, row] = peaks;
        FrequencySummary {
            slope,
            high_band,
            first_digits: self.first_digits(),
            gaps: self.gaps(),
            ac_high: ln(high / low),
            ac_middle: ln(middle / low),
            grid_8: grid(segment, |phase| phase % 8 == 7, |phase| phase % 8 != 7),
            grid_8_elsewhere: (0..7)
                .map(|own| {
                    grid(
                        segment,
                        |phase| phase % 8 == own,
                        |phase| phase % 8 != own && phase % 8 != 7,
                    )
                })
                .fold(f32::NAN, f32::max),
            grid_16: grid(segment, |phase| phase == 15, |phase| phase == 7),
            resampling_peak: column.0.max(row.0),
            upsampling_peak: column.1.max(row.1),
        }
    }

    /// Slope of ln power over ln frequency, and ln of the power of high over that of low frequencies.
    fn spectrum(&self) -> (f32, f32) {
        let total: f64 = self.power.iter().sum();
        if total <= 0.0 {
            // A flat picture has no spectrum.
            return (0.0, 0.0);
        }
        let level = |bin: usize| ln((self.power[bin] / total + 1e-9) as f32);
        let (mut count, mut x_sum, mut y_sum, mut xx, mut xy) = (0.0_f32, 0.0, 0.0, 0.0, 0.0);
        for bin in 2..=24 {
            let (x, y) = (ln(bin as f32), level(bin));
            count += 1.0;
            x_sum += x;
            y_sum += y;
            xx += x * x;
            xy += x * y;
        }
        let slope = (count * xy - x_sum * y_sum) / (count * xx - x_sum * x_sum);
        let share = |bins: std::ops::RangeInclusive<usize>| -> f64 {
            let count = bins.clone().count() as f64;
            bins.map(|bin| self.power[bin]).sum::<f64>() / (count * total) + 1e-9
        };
        (slope, ln((share(20..=30) / share(4..=10)) as f32))
    }

    /// Σ (share of a first digit − Benford's)² / Benford's.
    fn first_digits(&self) -> f32 {
        let total: u64 = self.digits.iter().sum();
        if total == 0 {
            return 0.0;
        }
        let distances = self.digits.iter().enumerate().map(|(at, &count)| {
            let expected = libm::log10(1.0 + 1.0 / (at + 1) as f64);
            let share = count as f64 / total as f64;
            (share - expected).powi(2) / expected
        });
        distances.sum::<f64>() as f32
    }

    /// Σ |second difference| of the histograms of coefficients over their number: quantised twice, a
    /// histogram has gaps and double heights.
    fn gaps(&self) -> f32 {
        let (mut bends, mut total) = (0.0_f64, 0.0_f64);
        for levels in &self.levels {
            for trio in levels[1..].windows(3) {
                bends += (trio[0] as f64 - 2.0 * trio[1] as f64 + trio[2] as f64).abs();
                total += trio[1] as f64;
            }
        }
        if total > 0.0 { (bends / total) as f32 } else { 0.0 }
    }
}

/// Σ a b in a fixed order, so that vectors of any width give the same bits.
fn product(a: &[f32; STRETCH], b: &[f32; STRETCH]) -> f32 {
    let mut lanes = [0.0_f32; 16];
    let (a, _) = a.as_chunks::<16>();
    let (b, _) = b.as_chunks::<16>();
    for (a, b) in a.iter().zip(b) {
        for lane in 0..16 {
            lanes[lane] += a[lane] * b[lane];
        }
    }
    lanes.iter().sum()
}

/// ln of the mean step at some positions over that at others, the mean of both directions.
fn grid(segment: &Segment, at: impl Fn(usize) -> bool, others: impl Fn(usize) -> bool) -> f32 {
    let mut sum = 0.0;
    for (steps, counts) in segment.steps.iter().zip(&segment.step_counts) {
        let mean = |of: &dyn Fn(usize) -> bool| {
            let chosen = (0..PHASES).filter(|&phase| of(phase));
            let (total, count) = chosen.fold((0, 0), |(total, count), phase| {
                (total + steps[phase], count + counts[phase])
            });
            total as f32 / count.max(1) as f32
        };
        sum += ln((mean(&at) + 0.05) / (mean(&others) + 0.05));
    }
    sum / 2.0
}

/// ln of the highest peak over the median of the spectrum of a line of sums (A. C. Gallagher, "Detection
/// of linear and cubic interpolation in JPEG compressed images", 2005), away from the harmonics of 8 pixels,
/// which the codec's blocks make; and ln of that at half a cycle a pixel over the median.
fn periodic_peaks(sums: &[u64]) -> (f32, f32) {
    let length = sums.len().saturating_sub(2);
    if length < 64 {
        return (f32::NAN, f32::NAN);
    }
    let logs: Vec<f32> =
        sums[1..=length].iter().map(|&sum| libm::log(sum as f64 + 1.0) as f32).collect();
    // Each value against the median around it: what is left is neither the picture nor its slope.
    let flat: Vec<f64> = (0..length)
        .map(|at| {
            let mut near = logs[at.saturating_sub(8)..(at + 9).min(length)].to_vec();
            f64::from((logs[at] - median(&mut near)).clamp(-1.0, 1.0))
        })
        .collect();
    let turns: Vec<(f64, f64)> = (0..length)
        .map(|at| {
            let angle = std::f64::consts::TAU * at as f64 / length as f64;
            (libm::cos(angle), libm::sin(angle))
        })
        .collect();
    let magnitude = |bin: usize| {
        let (mut real, mut imaginary, mut at) = (0.0, 0.0, 0);
        for value in &flat {
            let (cosine, sine) = turns[at];
            real += value * cosine;
            imaginary += value * sine;
            at += bin;
            if at >= length {
                at -= length;
            }
        }
        (real * real + imaginary * imaginary).sqrt() as f32
    };
    let magnitudes: Vec<f32> = (length / 16..=length / 2).map(magnitude).collect();
    let middle = median(&mut magnitudes.clone()) + 1e-3;
    let mut peak = 0.0_f32;
    let mut half = 0.0_f32;
    for (offset, &magnitude) in magnitudes.iter().enumerate() {
        let eighths = 8.0 * (length / 16 + offset) as f32 / length as f32;
        let off = (eighths - (eighths + 0.5).floor()).abs() * length as f32 / 8.0;
        if off > 2.0 {
            peak = peak.max(magnitude);
        } else if eighths > 3.9 {
            half = half.max(magnitude);
        }
    }
    (ln((peak + 1e-3) / middle), ln((half + 1e-3) / middle))
}
