//! Pools and their gradients, in safe Rust.
//!
//! oneDNN's pools of channels-last volumes take several times as long, so there is one path only.
//! Each line of the result (one sample, frame and row) is made by one thread, in a fixed order of additions:
//! the bits do not depend on the number of threads.

use rayon::prelude::*;

use crate::element::Element;
use crate::error::{KernelError, expect_length};
use crate::geometry::PoolGeometry;
use crate::instructions::for_each_width;

for_each_width! {
    fn rank_first<T: Element>(best: &mut [T::Ranked], from: &[T], rank: u8) {
        for (best, from) in best.iter_mut().zip(from) {
            *best = from.ranked(rank);
        }
    }

    fn rank_more<T: Element>(best: &mut [T::Ranked], from: &[T], rank: u8) {
        for (best, from) in best.iter_mut().zip(from) {
            *best = from.ranked(rank).max(*best);
        }
    }

    fn rank_shifted<T: Element>(best: &mut [T::Ranked], from: &[T::Ranked], rank: u8) {
        for (best, from) in best.iter_mut().zip(from) {
            *best = T::rank_more(*from, rank).max(*best);
        }
    }

    fn unrank<T: Element>(best: &[T::Ranked], to: &mut [T], record: &mut [u8]) {
        for ((best, to), record) in best.iter().zip(to).zip(record) {
            let (value, rank) = T::unranked(*best);
            *to = value;
            *record = !rank;
        }
    }

    fn add_where<T: Element>(sums: &mut [f32], from: &[T], record: &[u8], tap: u8) {
        for ((sum, from), record) in sums.iter_mut().zip(from).zip(record) {
            *sum += if *record == tap { from.to_f32() } else { 0.0 };
        }
    }

    fn add_scaled<T: Element>(sums: &mut [f32], from: &[T], factor: f32) {
        for (sum, from) in sums.iter_mut().zip(from) {
            *sum += from.to_f32() * factor;
        }
    }

    fn store<T: Element>(to: &mut [T], sums: &[f32]) {
        for (to, sum) in to.iter_mut().zip(sums) {
            *to = T::from_f32(*sum);
        }
    }

    fn store_more<T: Element>(to: &mut [T], sums: &[f32]) {
        for (to, sum) in to.iter_mut().zip(sums) {
            *to = T::from_f32(to.to_f32() + sum);
        }
    }
}

/// The input position of a window's tap along one axis.
fn read(geometry: &PoolGeometry, axis: usize, result: usize, tap: usize) -> Option<usize> {
    let spec = geometry.spec();
    (result * spec.stride[axis] + tap)
        .checked_sub(spec.padding[axis])
        .filter(|&at| at < spec.input[axis])
}

/// The output position whose window's tap is at an input position along one axis.
fn written(geometry: &PoolGeometry, axis: usize, position: usize, tap: usize) -> Option<usize> {
    let spec = geometry.spec();
    let scaled = (position + spec.padding[axis]).checked_sub(tap)?;
    (scaled % spec.stride[axis] == 0)
        .then(|| scaled / spec.stride[axis])
        .filter(|&at| at < geometry.output()[axis])
}

/// Sample, frame and row of a line.
fn place(line: usize, [depth, height, _]: [usize; 3]) -> [usize; 3] {
    [line / (depth * height), line / height % depth, line % height]
}

/// Calls `each(result, source, length)` for runs of neighbours along the width, in positions, such that
/// result position r reads source position r - result + source by this tap.
fn runs(geometry: &PoolGeometry, tap: usize, mut each: impl FnMut(usize, usize, usize)) {
    let (spec, width) = (geometry.spec(), geometry.output()[2]);
    if spec.stride[2] == 1 {
        let first = spec.padding[2].saturating_sub(tap);
        let end = (spec.input[2] + spec.padding[2]).saturating_sub(tap).min(width);
        if first < end {
            each(first, first + tap - spec.padding[2], end - first);
        }
        return;
    }
    for result in 0..width {
        if let Some(source) = read(geometry, 2, result, tap) {
            each(result, source, 1);
        }
    }
}

/// The lines of the input that a line of the output reads, with the taps along depth and height.
fn lines_read(geometry: &PoolGeometry, line: usize) -> impl Iterator<Item = (usize, usize, usize)> {
    let spec = *geometry.spec();
    let geometry = *geometry;
    let [sample, d, h] = place(line, geometry.output());
    (0..spec.kernel[0]).flat_map(move |tap_d| {
        (0..spec.kernel[1]).filter_map(move |tap_h| {
            let (from_d, from_h) = (read(&geometry, 0, d, tap_d)?, read(&geometry, 1, h, tap_h)?);
            Some(((sample * spec.input[0] + from_d) * spec.input[1] + from_h, tap_d, tap_h))
        })
    })
}

/// The lines of the output that read a line of the input, with the taps.
fn lines_written(
    geometry: &PoolGeometry,
    line: usize,
) -> impl Iterator<Item = (usize, usize, usize)> {
    let spec = *geometry.spec();
    let geometry = *geometry;
    let [sample, d, h] = place(line, spec.input);
    let output = geometry.output();
    (0..spec.kernel[0]).flat_map(move |tap_d| {
        (0..spec.kernel[1]).filter_map(move |tap_h| {
            let (to_d, to_h) = (written(&geometry, 0, d, tap_d)?, written(&geometry, 1, h, tap_h)?);
            Some(((sample * output[0] + to_d) * output[1] + to_h, tap_d, tap_h))
        })
    })
}

/// `dst` = the largest in each window; padding is below everything. `record` keeps which position of the
/// window it was (depth, height, width in row-major order; the first of equals), for [`max_pool_backward`].
///
/// `src` is [N, D, H, W, C]; `dst` and `record` [N, D', H', W', C]. A NaN without a sign is
/// above all, and -0 is below 0.
///
/// # Errors
///
/// A slice of another length.
pub fn max_pool_forward<T: Element>(
    geometry: &PoolGeometry,
    src: &[T],
    dst: &mut [T],
    record: &mut [u8],
) -> Result<(), KernelError> {
    expect_length("src", geometry.input_len(), src.len())?;
    expect_length("dst", geometry.output_len(), dst.len())?;
    expect_length("record", geometry.output_len(), record.len())?;
    let spec = geometry.spec();
    let channels = spec.channels;
    let [_, kernel_h, kernel_w] = spec.kernel;
    let (source, result) = (spec.input[2] * channels, geometry.output()[2] * channels);
    dst.par_chunks_mut(result).zip(record.par_chunks_mut(result)).enumerate().for_each_init(
        || (vec![T::LEAST; source], vec![T::LEAST; result]),
        |(tall, wide), (line, (dst, record))| {
            // First the largest down depth and height at each position of the row, then along the row: a
            // third of the comparisons of doing both at once. Earlier taps have higher ranks.
            let mut first = true;
            for (from, tap_d, tap_h) in lines_read(geometry, line) {
                let rank = 255 - ((tap_d * kernel_h + tap_h) * kernel_w + kernel_w - 1);
                let from = &src[from * source..][..source];
                if first {
                    rank_first::<T>(tall, from, rank as u8);
                } else {
                    rank_more::<T>(tall, from, rank as u8);
                }
                first = false;
            }
            wide.fill(T::LEAST);
            for tap in 0..kernel_w {
                runs(geometry, tap, |to, from, length| {
                    rank_shifted::<T>(
                        &mut wide[to * channels..][..length * channels],
                        &tall[from * channels..][..length * channels],
                        (kernel_w - 1 - tap) as u8,
                    );
                });
            }
            unrank::<T>(wide, dst, record);
        },
    );
    Ok(())
}

/// `diff_src` = gradient of a max-pool's input: each output's goes to the position that `record` names.
/// With `accumulate` it is added to what `diff_src` holds.
///
/// # Errors
///
/// A slice of another length.
pub fn max_pool_backward<T: Element>(
    geometry: &PoolGeometry,
    diff_dst: &[T],
    record: &[u8],
    diff_src: &mut [T],
    accumulate: bool,
) -> Result<(), KernelError> {
    expect_length("diff_dst", geometry.output_len(), diff_dst.len())?;
    expect_length("record", geometry.output_len(), record.len())?;
    expect_length("diff_src", geometry.input_len(), diff_src.len())?;
    let spec = geometry.spec();
    let channels = spec.channels;
    let [_, kernel_h, kernel_w] = spec.kernel;
    let (source, result) = (spec.input[2] * channels, geometry.output()[2] * channels);
    diff_src.par_chunks_mut(source).enumerate().for_each_init(
        || vec![0.0_f32; source],
        |sums, (line, diff_src)| {
            sums.fill(0.0);
            for (to, tap_d, tap_h) in lines_written(geometry, line) {
                let diff = &diff_dst[to * result..][..result];
                let record = &record[to * result..][..result];
                for tap_w in 0..kernel_w {
                    let tap = (tap_d * kernel_h + tap_h) * kernel_w + tap_w;
                    runs(geometry, tap_w, |to, from, length| {
                        let range = to * channels..(to + length) * channels;
                        add_where(
                            &mut sums[from * channels..][..length * channels],
                            &diff[range.clone()],
                            &record[range],
                            tap as u8,
                        );
                    });
                }
            }
            if accumulate { store_more(diff_src, sums) } else { store(diff_src, sums) }
        },
    );
    Ok(())
}

/// How many positions of the window count along one axis.
fn counted(geometry: &PoolGeometry, axis: usize, result: usize, include_padding: bool) -> usize {
    let taps = geometry.spec().kernel[axis];
    if include_padding {
        return taps;
    }
    (0..taps).filter(|&tap| read(geometry, axis, result, tap).is_some()).count()
}

/// One over the number of positions that count in each window of a line.
fn shares(geometry: &PoolGeometry, line: usize, include_padding: bool) -> Vec<f32> {
    let [_, d, h] = place(line, geometry.output());
    let high = counted(geometry, 0, d, include_padding) * counted(geometry, 1, h, include_padding);
    (0..geometry.output()[2])
        .map(|w| 1.0 / (high * counted(geometry, 2, w, include_padding)) as f32)
        .collect()
}

/// `dst` = mean over each window. With `include_padding` padding counts as zeros, else not at all.
///
/// `src` is [N, D, H, W, C], `dst` [N, D', H', W', C].
///
/// # Errors
///
/// A slice of another length.
pub fn average_pool_forward<T: Element>(
    geometry: &PoolGeometry,
    include_padding: bool,
    src: &[T],
    dst: &mut [T],
) -> Result<(), KernelError> {
    expect_length("src", geometry.input_len(), src.len())?;
    expect_length("dst", geometry.output_len(), dst.len())?;
    let spec = geometry.spec();
    let channels = spec.channels;
    let (source, result) = (spec.input[2] * channels, geometry.output()[2] * channels);
    dst.par_chunks_mut(result).enumerate().for_each_init(
        || (vec![0.0_f32; source], vec![0.0_f32; result]),
        |(tall, wide), (line, dst)| {
            tall.fill(0.0);
            for (from, _, _) in lines_read(geometry, line) {
                add_scaled(tall, &src[from * source..][..source], 1.0);
            }
            wide.fill(0.0);
            for tap in 0..spec.kernel[2] {
                runs(geometry, tap, |to, from, length| {
                    add_scaled(
                        &mut wide[to * channels..][..length * channels],
                        &tall[from * channels..][..length * channels],
                        1.0,
                    );
                });
            }
            for (sums, share) in
                wide.chunks_exact_mut(channels).zip(shares(geometry, line, include_padding))
            {
                for sum in sums {
                    *sum *= share;
                }
            }
            store(dst, wide);
        },
    );
    Ok(())
}

/// `diff_src` = gradient of an average pool's input; with `accumulate` it is added to what `diff_src` holds.
///
/// # Errors
///
/// A slice of another length.
pub fn average_pool_backward<T: Element>(
    geometry: &PoolGeometry,
    include_padding: bool,
    diff_dst: &[T],
    diff_src: &mut [T],
    accumulate: bool,
) -> Result<(), KernelError> {
    expect_length("diff_dst", geometry.output_len(), diff_dst.len())?;
    expect_length("diff_src", geometry.input_len(), diff_src.len())?;
    let spec = geometry.spec();
    let channels = spec.channels;
    let (source, result) = (spec.input[2] * channels, geometry.output()[2] * channels);
    diff_src.par_chunks_mut(source).enumerate().for_each_init(
        || (vec![0.0_f32; source], vec![0.0_f32; result]),
        |(sums, tall), (line, diff_src)| {
            tall.fill(0.0);
            for (to, _, _) in lines_written(geometry, line) {
                let shares = shares(geometry, to, include_padding);
                let diff = &diff_dst[to * result..][..result];
                for ((tall, diff), share) in
                    tall.chunks_exact_mut(channels).zip(diff.chunks_exact(channels)).zip(shares)
                {
                    add_scaled(tall, diff, share);
                }
            }
            sums.fill(0.0);
            for tap in 0..spec.kernel[2] {
                runs(geometry, tap, |to, from, length| {
                    add_scaled(
                        &mut sums[from * channels..][..length * channels],
                        &tall[to * channels..][..length * channels],
                        1.0,
                    );
                });
            }
            if accumulate { store_more(diff_src, sums) } else { store(diff_src, sums) }
        },
    );
    Ok(())
}
