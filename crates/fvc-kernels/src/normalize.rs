//! Normalisation per channel with ReLU, over concatenated parts and padded batches; means over clips.
//!
//! Sums are `f64`, over fixed runs of lines that are then added in order, so that the bits depend neither on
//! the number of threads nor on the instruction set.

use rayon::prelude::*;

use crate::element::Element;
use crate::error::{KernelError, expect_length};
use crate::grid::Grid;
use crate::instructions::for_each_width;

/// Lines of one partial sum.
const LINES: usize = 8;
/// Channels whose sums are kept in registers.
const LANES: usize = 16;

/// Means and variances of channels.
#[derive(Debug, Clone, PartialEq)]
pub struct ChannelStatistics {
    /// Mean of each channel.
    pub mean: Vec<f32>,
    /// Mean squared distance from it, of each channel.
    pub variance: Vec<f32>,
    /// Positions that were counted, over the batch.
    pub count: u64,
}

/// Whether statistics of the batch were used to normalise it, or ones that do not depend on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NormalizeMode {
    /// The batch's own: gradients flow through mean and variance.
    Batch,
    /// Fixed ones, as of a trained network.
    Frozen,
}

/// Where channels of a line are and how they are normalised: `at` is the part's first channel among all.
#[derive(Clone, Copy)]
struct Affine<'a> {
    scale: &'a [f32],
    shift: &'a [f32],
    mean: &'a [f32],
}

for_each_width! {
    /// Adds values and their squares: `sums` are per channel, values then squares.
    fn add_moments<T: Element>(from: &[T], channels: usize, values: &mut [f64], squares: &mut [f64]) {
        for first in (0..channels).step_by(LANES) {
            if first + LANES <= channels {
                let (mut value, mut square) = ([0.0_f64; LANES], [0.0_f64; LANES]);
                for position in from.chunks_exact(channels) {
                    for ((value, square), from) in
                        value.iter_mut().zip(&mut square).zip(&position[first..first + LANES])
                    {
                        let from = f64::from(from.to_f32());
                        *value += from;
                        *square += from * from;
                    }
                }
                for (sum, value) in values[first..].iter_mut().zip(value) {
                    *sum += value;
                }
                for (sum, square) in squares[first..].iter_mut().zip(square) {
                    *sum += square;
                }
            } else {
                for channel in first..channels {
                    let (mut value, mut square) = (0.0, 0.0);
                    for position in from.chunks_exact(channels) {
                        let from = f64::from(position[channel].to_f32());
                        value += from;
                        square += from * from;
                    }
                    values[channel] += value;
                    squares[channel] += square;
                }
            }
        }
    }

    /// One part's channels of a line: `to` has `stride` channels per position and starts at the part's first.
    fn apply<T: Element>(from: &[T], channels: usize, at: Affine<'_>, relu: bool, to: &mut [T], stride: usize) {
        let least = if relu { 0.0 } else { f32::NEG_INFINITY };
        for (from, to) in from.chunks_exact(channels).zip(to.chunks_mut(stride)) {
            let (from_whole, from_rest) = from.as_chunks::<LANES>();
            let (to_whole, to_rest) = to[..channels].as_chunks_mut::<LANES>();
            let (scale_whole, scale_rest) = at.scale.as_chunks::<LANES>();
            let (shift_whole, shift_rest) = at.shift.as_chunks::<LANES>();
            for (((to, from), scale), shift) in to_whole.iter_mut().zip(from_whole).zip(scale_whole).zip(shift_whole) {
                for lane in 0..LANES {
                    let value = scale[lane] * from[lane].to_f32() + shift[lane];
                    to[lane] = T::from_f32(if value < least { least } else { value });
                }
            }
            for (((to, from), scale), shift) in to_rest.iter_mut().zip(from_rest).zip(scale_rest).zip(shift_rest) {
                let value = scale * from.to_f32() + shift;
                *to = T::from_f32(if value < least { least } else { value });
            }
        }
    }

    /// Adds, per channel of a part, the gradient after ReLU and its product with the centred input.
    fn add_gradients<T: Element>(
        from: &[T],
        channels: usize,
        at: Affine<'_>,
        relu: bool,
        diff: &[T],
        stride: usize,
        plain: &mut [f64],
        centred: &mut [f64],
    ) {
        for first in (0..channels).step_by(LANES) {
            let lanes = LANES.min(channels - first);
            let (mut scale, mut shift, mut mean) = ([0.0_f32; LANES], [0.0_f32; LANES], [0.0_f32; LANES]);
            scale[..lanes].copy_from_slice(&at.scale[first..first + lanes]);
            shift[..lanes].copy_from_slice(&at.shift[first..first + lanes]);
            mean[..lanes].copy_from_slice(&at.mean[first..first + lanes]);
            let (mut sum, mut product) = ([0.0_f64; LANES], [0.0_f64; LANES]);
            for (from, diff) in from.chunks_exact(channels).zip(diff.chunks(stride)) {
                if lanes == LANES {
                    let (from, diff) = (&from[first..first + LANES], &diff[first..first + LANES]);
                    for lane in 0..LANES {
                        let value = from[lane].to_f32();
                        let kept = !relu || scale[lane] * value + shift[lane] > 0.0;
                        let gradient = if kept { f64::from(diff[lane].to_f32()) } else { 0.0 };
                        sum[lane] += gradient;
                        product[lane] += gradient * f64::from(value - mean[lane]);
                    }
                } else {
                    for lane in 0..lanes {
                        let value = from[first + lane].to_f32();
                        let kept = !relu || scale[lane] * value + shift[lane] > 0.0;
                        let gradient = if kept { f64::from(diff[first + lane].to_f32()) } else { 0.0 };
                        sum[lane] += gradient;
                        product[lane] += gradient * f64::from(value - mean[lane]);
                    }
                }
            }
            for lane in 0..lanes {
                plain[first + lane] += sum[lane];
                centred[first + lane] += product[lane];
            }
        }
    }

    /// One part's gradient of a line: scale (gradient after ReLU) - constant - slope (input - mean).
    fn apply_gradients<T: Element>(
        from: &[T],
        channels: usize,
        at: Affine<'_>,
        relu: bool,
        constant: &[f32],
        slope: &[f32],
        diff: &[T],
        stride: usize,
        to: &mut [T],
    ) {
        for ((from, diff), to) in
            from.chunks_exact(channels).zip(diff.chunks(stride)).zip(to.chunks_exact_mut(channels))
        {
            for first in (0..channels).step_by(LANES) {
                if first + LANES <= channels {
                    let range = first..first + LANES;
                    let (from, diff) = (&from[range.clone()], &diff[range.clone()]);
                    let (scale, shift) = (&at.scale[range.clone()], &at.shift[range.clone()]);
                    let (mean, constant) = (&at.mean[range.clone()], &constant[range.clone()]);
                    let (slope, to) = (&slope[range.clone()], &mut to[range]);
                    for lane in 0..LANES {
                        let value = from[lane].to_f32();
                        let kept = !relu || scale[lane] * value + shift[lane] > 0.0;
                        let gradient = if kept { diff[lane].to_f32() } else { 0.0 };
                        let through = constant[lane] + slope[lane] * (value - mean[lane]);
                        to[lane] = T::from_f32(scale[lane] * gradient - through);
                    }
                } else {
                    for lane in first..channels {
                        let value = from[lane].to_f32();
                        let kept = !relu || at.scale[lane] * value + at.shift[lane] > 0.0;
                        let gradient = if kept { diff[lane].to_f32() } else { 0.0 };
                        let through = constant[lane] + slope[lane] * (value - at.mean[lane]);
                        to[lane] = T::from_f32(at.scale[lane] * gradient - through);
                    }
                }
            }
        }
    }

    /// Writes, or adds, the same numbers to every position.
    fn spread<T: Element>(to: &mut [T], each: &[f32], accumulate: bool) {
        for to in to.chunks_exact_mut(each.len()) {
            for (to, value) in to.iter_mut().zip(each) {
                let before = if accumulate { to.to_f32() } else { 0.0 };
                *to = T::from_f32(before + value);
            }
        }
    }
}

/// Sums over runs of lines, added in order: `add` puts a line's numbers into two lists per channel.
fn reduce(
    lines: std::ops::Range<usize>,
    channels: usize,
    add: impl Fn(usize, &mut [f64], &mut [f64]) + Sync,
) -> (Vec<f64>, Vec<f64>) {
    let runs = lines.len().div_ceil(LINES);
    let partial: Vec<(Vec<f64>, Vec<f64>)> = (0..runs)
        .into_par_iter()
        .map(|run| {
            let (mut first, mut second) = (vec![0.0; channels], vec![0.0; channels]);
            let start = lines.start + run * LINES;
            for line in start..(start + LINES).min(lines.end) {
                add(line, &mut first, &mut second);
            }
            (first, second)
        })
        .collect();
    let (mut first, mut second) = (vec![0.0; channels], vec![0.0; channels]);
    for (one, two) in partial {
        for (sum, one) in first.iter_mut().zip(one) {
            *sum += one;
        }
        for (sum, two) in second.iter_mut().zip(two) {
            *sum += two;
        }
    }
    (first, second)
}

/// Mean and biased variance of each channel over the valid positions of a padded batch.
///
/// `src` is [N, D, H, W, C] with `shape` [N, D, H, W]; of sample n, positions below `extents[n]` (frames,
/// rows, columns) are valid. Sums are `f64`.
///
/// # Errors
///
/// Sizes of zero, an extent of zero or larger than the grid, a slice of another length.
pub fn channel_statistics<T: Element>(
    src: &[T],
    shape: [usize; 4],
    channels: usize,
    extents: &[[usize; 3]],
) -> Result<ChannelStatistics, KernelError> {
    let grid = Grid::new(shape, channels, extents)?;
    expect_length("src", grid.positions() * channels, src.len())?;
    let width = shape[3] * channels;
    let (values, squares) = reduce(0..grid.lines(), channels, |line, values, squares| {
        add_moments(&src[line * width..][..grid.valid(line) * channels], channels, values, squares);
    });
    let count = grid.count();
    let means: Vec<f64> = values.iter().map(|value| value / count as f64).collect();
    let variance = squares
        .iter()
        .zip(&means)
        .map(|(square, mean)| (square / count as f64 - mean * mean).max(0.0) as f32)
        .collect();
    Ok(ChannelStatistics { mean: means.iter().map(|&mean| mean as f32).collect(), variance, count })
}

/// `scale` and `shift` of [`normalize_forward`], such that it gives gamma (x - mean) / deviation + beta.
///
/// All lists are per channel, of one length; extra numbers are left out.
pub fn affine(
    mean: &[f32],
    inverse_std: &[f32],
    gamma: &[f32],
    beta: &[f32],
) -> (Vec<f32>, Vec<f32>) {
    let scale: Vec<f32> =
        gamma.iter().zip(inverse_std).map(|(gamma, inverse)| gamma * inverse).collect();
    let shift = beta
        .iter()
        .zip(mean)
        .zip(&scale)
        .map(|((beta, mean), scale)| beta - mean * scale)
        .collect();
    (scale, shift)
}

/// Checks the parts and gives, for each, the first of its channels; and how many there are in all.
fn places<T>(
    parts: &[(&[T], usize)],
    positions: usize,
) -> Result<(Vec<usize>, usize), KernelError> {
    let mut total = 0_usize;
    let mut firsts = Vec::new();
    for &(part, channels) in parts {
        if channels == 0 {
            return Err(KernelError::Geometry("a part has no channels".to_owned()));
        }
        let expected = positions.saturating_mul(channels);
        expect_length("a part", expected, part.len())?;
        firsts.push(total);
        total = total.saturating_add(channels);
    }
    Ok((firsts, total))
}

/// `dst` = scale x + shift of parts side by side, then ReLU if asked for; zero at invalid positions.
///
/// Part p is [N, D, H, W, `parts[p].1`], `dst` [N, D, H, W, C] with C all parts' channels in order;
/// `scale` and `shift` are `[C]`. `shape` and `extents` are as in [`channel_statistics`].
///
/// # Errors
///
/// As [`channel_statistics`].
pub fn normalize_forward<T: Element>(
    parts: &[(&[T], usize)],
    shape: [usize; 4],
    extents: &[[usize; 3]],
    scale: &[f32],
    shift: &[f32],
    relu: bool,
    dst: &mut [T],
) -> Result<(), KernelError> {
    let grid =
        Grid::new(shape, parts.iter().map(|part| part.1).fold(0, usize::saturating_add), extents)?;
    let (firsts, total) = places(parts, grid.positions())?;
    expect_length("scale", total, scale.len())?;
    expect_length("shift", total, shift.len())?;
    expect_length("dst", grid.positions() * total, dst.len())?;
    let width = shape[3];
    dst.par_chunks_mut(width * total).enumerate().for_each(|(line, dst)| {
        let valid = grid.valid(line);
        let (inside, outside) = dst.split_at_mut(valid * total);
        outside.fill(T::ZERO);
        if valid == 0 {
            return;
        }
        for (&(part, channels), &first) in parts.iter().zip(&firsts) {
            let from = &part[line * width * channels..][..valid * channels];
            let range = first..first + channels;
            let at = Affine { scale: &scale[range.clone()], shift: &shift[range], mean: &[] };
            apply(from, channels, at, relu, &mut inside[first..], total);
        }
    });
    Ok(())
}

/// Gradients of a normalisation with gamma and beta, then ReLU if asked for: writes those of the parts (zero
/// at invalid positions) and returns those of gamma and beta.
///
/// `mean`, `inverse_std` (one over the deviation, as [`normalize_forward`] was given by way of [`affine`]),
/// `gamma` and `beta` are `[C]`; `diff_dst` is [N, D, H, W, C], `diff_parts[p]` as long as `parts[p].0`. Whether
/// ReLU let a number pass is found out again from the parts. With [`NormalizeMode::Batch`] the statistics
/// must be those of [`channel_statistics`] over the same parts and extents.
///
/// # Errors
///
/// As [`channel_statistics`].
#[allow(clippy::too_many_arguments)]
pub fn normalize_backward<T: Element>(
    parts: &[(&[T], usize)],
    shape: [usize; 4],
    extents: &[[usize; 3]],
    mean: &[f32],
    inverse_std: &[f32],
    gamma: &[f32],
    beta: &[f32],
    relu: bool,
    diff_dst: &[T],
    mode: NormalizeMode,
    diff_parts: &mut [&mut [T]],
) -> Result<(Vec<f32>, Vec<f32>), KernelError> {
    normalize_backward_across(
        parts,
        shape,
        extents,
        mean,
        inverse_std,
        gamma,
        beta,
        relu,
        diff_dst,
        mode,
        diff_parts,
        &mut |_| {},
    )
}

/// [`normalize_backward`] of a batch whose clips lie on several ranks: `across` is given `[1 + 2 C]` sums of
/// this rank's positions (how many there are, of gradients, of gradients times the distance from the mean) and
/// makes them those of all ranks. The gradients of gamma and beta that are returned are of this rank's
/// positions only, as those of every other parameter. Called once, and with [`NormalizeMode::Batch`] only.
///
/// # Errors
///
/// As [`channel_statistics`].
#[allow(clippy::too_many_arguments)]
pub fn normalize_backward_across<T: Element>(
    parts: &[(&[T], usize)],
    shape: [usize; 4],
    extents: &[[usize; 3]],
    mean: &[f32],
    inverse_std: &[f32],
    gamma: &[f32],
    beta: &[f32],
    relu: bool,
    diff_dst: &[T],
    mode: NormalizeMode,
    diff_parts: &mut [&mut [T]],
    across: &mut dyn FnMut(&mut [f64]),
) -> Result<(Vec<f32>, Vec<f32>), KernelError> {
    let grid =
        Grid::new(shape, parts.iter().map(|part| part.1).fold(0, usize::saturating_add), extents)?;
    let (firsts, total) = places(parts, grid.positions())?;
    for (what, list) in
        [("mean", mean), ("inverse_std", inverse_std), ("gamma", gamma), ("beta", beta)]
    {
        expect_length(what, total, list.len())?;
    }
    expect_length("diff_dst", grid.positions() * total, diff_dst.len())?;
    expect_length("the list of parts' gradients", parts.len(), diff_parts.len())?;
    for (part, diff) in parts.iter().zip(diff_parts.iter()) {
        expect_length("a part's gradient", part.0.len(), diff.len())?;
    }
    let width = shape[3];
    let (scale, shift) = affine(mean, inverse_std, gamma, beta);
    let at = |first: usize, channels: usize| {
        let range = first..first + channels;
        Affine { scale: &scale[range.clone()], shift: &shift[range.clone()], mean: &mean[range] }
    };
    let (plain, centred) = reduce(0..grid.lines(), total, |line, plain, centred| {
        let valid = grid.valid(line);
        if valid == 0 {
            return;
        }
        let diff = &diff_dst[line * width * total..][..valid * total];
        for (&(part, channels), &first) in parts.iter().zip(&firsts) {
            add_gradients(
                &part[line * width * channels..][..valid * channels],
                channels,
                at(first, channels),
                relu,
                &diff[first..],
                total,
                &mut plain[first..first + channels],
                &mut centred[first..first + channels],
            );
        }
    });
    let (mut constant, mut slope) = (vec![0.0; total], vec![0.0; total]);
    if mode == NormalizeMode::Batch {
        let mut sums = Vec::with_capacity(1 + 2 * total);
        sums.push(grid.count() as f64);
        sums.extend(plain.iter().chain(&centred));
        across(&mut sums);
        let (count, sums) = (sums[0], &sums[1..]);
        for channel in 0..total {
            let (factor, inverse) = (f64::from(scale[channel]), f64::from(inverse_std[channel]));
            constant[channel] = (factor * sums[channel] / count) as f32;
            slope[channel] = (factor * inverse * inverse * sums[total + channel] / count) as f32;
        }
    }
    for ((&(part, channels), &first), diff_part) in parts.iter().zip(&firsts).zip(diff_parts) {
        let range = first..first + channels;
        diff_part.par_chunks_mut(width * channels).enumerate().for_each(|(line, diff_part)| {
            let valid = grid.valid(line);
            let (inside, outside) = diff_part.split_at_mut(valid * channels);
            outside.fill(T::ZERO);
            if valid == 0 {
                return;
            }
            apply_gradients(
                &part[line * width * channels..][..valid * channels],
                channels,
                at(first, channels),
                relu,
                &constant[range.clone()],
                &slope[range.clone()],
                &diff_dst[line * width * total..][first..valid * total],
                total,
                inside,
            );
        });
    }
    let d_gamma = centred
        .iter()
        .zip(inverse_std)
        .map(|(sum, inverse)| (sum * f64::from(*inverse)) as f32)
        .collect();
    Ok((d_gamma, plain.into_iter().map(|sum| sum as f32).collect()))
}

/// Mean of each sample's valid positions, [N, C].
///
/// `src`, `shape` and `extents` are as in [`channel_statistics`].
///
/// # Errors
///
/// As [`channel_statistics`].
pub fn global_average_forward<T: Element>(
    src: &[T],
    shape: [usize; 4],
    channels: usize,
    extents: &[[usize; 3]],
) -> Result<Vec<f32>, KernelError> {
    let grid = Grid::new(shape, channels, extents)?;
    expect_length("src", grid.positions() * channels, src.len())?;
    let width = shape[3] * channels;
    let lines = shape[1] * shape[2];
    let mut means = Vec::with_capacity(shape[0] * channels);
    for sample in 0..shape[0] {
        let (sums, _) =
            reduce(sample * lines..(sample + 1) * lines, channels, |line, sums, squares| {
                add_moments(
                    &src[line * width..][..grid.valid(line) * channels],
                    channels,
                    sums,
                    squares,
                );
            });
        let count = grid.count_of(sample) as f64;
        means.extend(sums.into_iter().map(|sum| (sum / count) as f32));
    }
    Ok(means)
}

/// `diff_src` = gradient of the input of a [`global_average_forward`], given that of the means, [N, C]; zero at
/// invalid positions. With `accumulate` it is added to what `diff_src` holds.
///
/// # Errors
///
/// As [`channel_statistics`].
pub fn global_average_backward<T: Element>(
    diff_dst: &[f32],
    shape: [usize; 4],
    channels: usize,
    extents: &[[usize; 3]],
    diff_src: &mut [T],
    accumulate: bool,
) -> Result<(), KernelError> {
    let grid = Grid::new(shape, channels, extents)?;
    expect_length("diff_dst", shape[0] * channels, diff_dst.len())?;
    expect_length("diff_src", grid.positions() * channels, diff_src.len())?;
    let shares: Vec<f32> = diff_dst
        .iter()
        .enumerate()
        .map(|(at, diff)| (f64::from(*diff) / grid.count_of(at / channels) as f64) as f32)
        .collect();
    let lines = shape[1] * shape[2];
    diff_src.par_chunks_mut(shape[3] * channels).enumerate().for_each(|(line, diff_src)| {
        let (inside, outside) = diff_src.split_at_mut(grid.valid(line) * channels);
        if !accumulate {
            outside.fill(T::ZERO);
        }
        spread(inside, &shares[line / lines * channels..][..channels], accumulate);
    });
    Ok(())
}
