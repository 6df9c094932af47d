//! Convolutions in safe Rust.
//!
//! Forward and the input's gradient are one loop: each position of the result gathers, for every tap, one
//! position of the source times a small matrix. They differ in which position that is.

use half::bf16;
use rayon::prelude::*;

use crate::element::{Element, ElementKind};
use crate::geometry::ConvGeometry;

/// Result positions that share the loads of a matrix's row.
const ROWS: usize = 4;
/// Result channels that are kept in registers.
const COLUMNS: usize = 16;

/// For one axis: which source position each pair of result position and tap reads, if any.
struct Reads {
    taps: usize,
    table: Vec<Option<usize>>,
}

impl Reads {
    fn new(results: usize, taps: usize, of: impl Fn(usize, usize) -> Option<usize>) -> Self {
        let table = (0..results * taps).map(|at| of(at / taps, at % taps)).collect();
        Self { taps, table }
    }

    fn get(&self, result: usize, tap: usize) -> Option<usize> {
        self.table[result * self.taps + tap]
    }
}

/// A gathering convolution: `result` positions of `columns` channels per group, from `source` positions of
/// `rows` channels per group.
struct Gather {
    source: [usize; 3],
    result: [usize; 3],
    reads: [Reads; 3],
    groups: usize,
    rows: usize,
    columns: usize,
}

/// The number that the multiplication sees: with `bf16` activations, weights are rounded to it.
fn weight<T: Element>(value: f32) -> f32 {
    match T::KIND {
        ElementKind::F32 => value,
        ElementKind::Bf16 => <bf16 as Element>::from_f32(value).to_f32(),
    }
}

impl Gather {
    /// `matrices` are [groups, taps, rows, columns]; `start` gives a channel's value before the sum.
    fn run<T: Element>(
        &self,
        source: &[T],
        matrices: &[f32],
        result: &mut [T],
        start: impl Fn(usize) -> f32 + Sync,
        accumulate: bool,
    ) {
        let [depth, height, width] = self.result;
        let channels = self.groups * self.columns;
        result.par_chunks_mut(width * channels).enumerate().for_each(|(line, result)| {
            let (sample, d, h) = (line / (depth * height), line / height % depth, line % height);
            for group in 0..self.groups {
                for first in (0..self.columns).step_by(COLUMNS) {
                    let wide = COLUMNS.min(self.columns - first);
                    for w in (0..width).step_by(ROWS) {
                        let high = ROWS.min(width - w);
                        let mut sums = [[0.0_f32; COLUMNS]; ROWS];
                        for sums in &mut sums {
                            for (at, sum) in sums[..wide].iter_mut().enumerate() {
                                *sum = start(group * self.columns + first + at);
                            }
                        }
                        self.tile(source, matrices, [sample, d, h, w], group, first, &mut sums);
                        for (row, sums) in sums[..high].iter().enumerate() {
                            let at = (w + row) * channels + group * self.columns + first;
                            for (to, sum) in result[at..at + wide].iter_mut().zip(sums) {
                                let before = if accumulate { to.to_f32() } else { 0.0 };
                                *to = T::from_f32(before + sum);
                            }
                        }
                    }
                }
            }
        });
    }

    /// Adds all taps for up to `ROWS` neighbours along the width and up to `COLUMNS` channels.
    fn tile<T: Element>(
        &self,
        source: &[T],
        matrices: &[f32],
        [sample, d, h, w]: [usize; 4],
        group: usize,
        first: usize,
        sums: &mut [[f32; COLUMNS]; ROWS],
    ) {
        let [depth, height, width] = self.source;
        let [taps_d, taps_h, taps_w] = [0, 1, 2].map(|axis| self.reads[axis].taps);
        let channels = self.groups * self.rows;
        let wide = COLUMNS.min(self.columns - first);
        for tap_d in 0..taps_d {
            let Some(from_d) = self.reads[0].get(d, tap_d) else { continue };
            for tap_h in 0..taps_h {
                let Some(from_h) = self.reads[1].get(h, tap_h) else { continue };
                let line = ((sample * depth + from_d) * height + from_h) * width;
                for tap_w in 0..taps_w {
                    let tap = (tap_d * taps_h + tap_h) * taps_w + tap_w;
                    let matrix = &matrices
                        [(group * taps_d * taps_h * taps_w + tap) * self.rows * self.columns..]
                        [..self.rows * self.columns];
                    for (row, sums) in sums.iter_mut().enumerate() {
                        if w + row >= self.result[2] {
                            break;
                        }
                        let Some(from_w) = self.reads[2].get(w + row, tap_w) else { continue };
                        let from =
                            &source[(line + from_w) * channels + group * self.rows..][..self.rows];
                        for (factor, weights) in from.iter().zip(matrix.chunks_exact(self.columns))
                        {
                            let factor = factor.to_f32();
                            if let Some(weights) = weights.get(first..first + COLUMNS) {
                                for (sum, weight) in sums.iter_mut().zip(weights) {
                                    *sum += factor * weight;
                                }
                            } else {
                                for (sum, weight) in
                                    sums.iter_mut().zip(&weights[first..first + wide])
                                {
                                    *sum += factor * weight;
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// The position that a forward tap reads along one axis.
fn forward_read(geometry: &ConvGeometry, axis: usize, result: usize, tap: usize) -> Option<usize> {
    let spec = geometry.spec();
    (result * spec.stride[axis] + tap * spec.dilation[axis])
        .checked_sub(spec.padding[axis])
        .filter(|&at| at < spec.input[axis])
}

/// The output position whose tap read an input position along one axis.
fn backward_read(geometry: &ConvGeometry, axis: usize, result: usize, tap: usize) -> Option<usize> {
    let spec = geometry.spec();
    let scaled = (result + spec.padding[axis]).checked_sub(tap * spec.dilation[axis])?;
    (scaled % spec.stride[axis] == 0)
        .then(|| scaled / spec.stride[axis])
        .filter(|&at| at < geometry.output()[axis])
}

/// Weights [O, I/g, taps] as [g, taps, I/g, O/g], or with the last two the other way round.
fn matrices<T: Element>(geometry: &ConvGeometry, weights: &[f32], turned: bool) -> Vec<f32> {
    let spec = geometry.spec();
    let (taps, groups) = (geometry.taps(), spec.groups);
    let (ins, outs) = (spec.in_channels / groups, spec.out_channels / groups);
    let mut made = vec![0.0; weights.len()];
    for (at, &value) in weights.iter().enumerate() {
        let (out, input, tap) = (at / (ins * taps), at / taps % ins, at % taps);
        let (group, out) = (out / outs, out % outs);
        let inner = if turned { out * ins + input } else { input * outs + out };
        made[(group * taps + tap) * ins * outs + inner] = weight::<T>(value);
    }
    made
}

/// Forward; lengths have been checked.
pub(crate) fn forward<T: Element>(
    geometry: &ConvGeometry,
    src: &[T],
    weights: &[f32],
    bias: Option<&[f32]>,
    dst: &mut [T],
) {
    let spec = geometry.spec();
    let output = geometry.output();
    let gather = Gather {
        source: spec.input,
        result: output,
        reads: [0, 1, 2].map(|axis| {
            Reads::new(output[axis], spec.kernel[axis], |result, tap| {
                forward_read(geometry, axis, result, tap)
            })
        }),
        groups: spec.groups,
        rows: spec.in_channels / spec.groups,
        columns: spec.out_channels / spec.groups,
    };
    let start = |channel: usize| bias.map_or(0.0, |bias| bias[channel]);
    gather.run(src, &matrices::<T>(geometry, weights, false), dst, start, false);
}

/// Gradient of the input; lengths have been checked.
pub(crate) fn backward_data<T: Element>(
    geometry: &ConvGeometry,
    diff_dst: &[T],
    weights: &[f32],
    diff_src: &mut [T],
    accumulate: bool,
) {
    let spec = geometry.spec();
    let gather = Gather {
        source: geometry.output(),
        result: spec.input,
        reads: [0, 1, 2].map(|axis| {
            Reads::new(spec.input[axis], spec.kernel[axis], |result, tap| {
                backward_read(geometry, axis, result, tap)
            })
        }),
        groups: spec.groups,
        rows: spec.out_channels / spec.groups,
        columns: spec.in_channels / spec.groups,
    };
    gather.run(diff_dst, &matrices::<T>(geometry, weights, true), diff_src, |_| 0.0, accumulate);
}

/// Gradient of weights and bias; lengths have been checked.
pub(crate) fn backward_weights<T: Element>(
    geometry: &ConvGeometry,
    src: &[T],
    diff_dst: &[T],
    diff_weights: &mut [f32],
    diff_bias: Option<&mut [f32]>,
) {
    let spec = geometry.spec();
    let [depth, height, width] = spec.input;
    let [out_depth, out_height, out_width] = geometry.output();
    let (taps, groups) = (geometry.taps(), spec.groups);
    let (ins, outs) = (spec.in_channels / groups, spec.out_channels / groups);
    let lines = spec.batch * out_depth * out_height;
    // Cut into parts by the size of the problem only, so that the sums do not depend on the threads.
    let parts = lines.min(64_usize.div_ceil(taps * groups)).max(1);
    let each = lines.div_ceil(parts);
    let tasks: Vec<(usize, usize, usize)> = (0..groups)
        .flat_map(|group| {
            (0..taps).flat_map(move |tap| (0..parts).map(move |part| (group, tap, part)))
        })
        .collect();
    let sums: Vec<Vec<f32>> = tasks
        .par_iter()
        .map(|&(group, tap, part)| {
            let [_, taps_h, taps_w] = spec.kernel;
            let (tap_d, tap_h, tap_w) =
                (tap / (taps_h * taps_w), tap / taps_w % taps_h, tap % taps_w);
            let mut sums = vec![0.0_f32; ins * outs];
            let mut gradient = vec![0.0_f32; outs];
            for line in (part * each)..((part + 1) * each).min(lines) {
                let (sample, d, h) = (
                    line / (out_depth * out_height),
                    line / out_height % out_depth,
                    line % out_height,
                );
                let (Some(from_d), Some(from_h)) =
                    (forward_read(geometry, 0, d, tap_d), forward_read(geometry, 1, h, tap_h))
                else {
                    continue;
                };
                for w in 0..out_width {
                    let Some(from_w) = forward_read(geometry, 2, w, tap_w) else { continue };
                    let at = (line * out_width + w) * spec.out_channels + group * outs;
                    for (to, from) in gradient.iter_mut().zip(&diff_dst[at..at + outs]) {
                        *to = from.to_f32();
                    }
                    let from = ((sample * depth + from_d) * height + from_h) * width + from_w;
                    let from = &src[from * spec.in_channels + group * ins..][..ins];
                    for (factor, sums) in from.iter().zip(sums.chunks_exact_mut(outs)) {
                        let factor = factor.to_f32();
                        for (sum, gradient) in sums.iter_mut().zip(&gradient) {
                            *sum += factor * gradient;
                        }
                    }
                }
            }
            sums
        })
        .collect();
    diff_weights.fill(0.0);
    for (&(group, tap, _), sums) in tasks.iter().zip(&sums) {
        for (at, sum) in sums.iter().enumerate() {
            let (input, out) = (at / outs, at % outs);
            diff_weights[((group * outs + out) * ins + input) * taps + tap] += sum;
        }
    }
    if let Some(bias) = diff_bias {
        let mut sums = vec![0.0_f64; spec.out_channels];
        for position in diff_dst.chunks_exact(spec.out_channels) {
            for (sum, value) in sums.iter_mut().zip(position) {
                *sum += f64::from(value.to_f32());
            }
        }
        for (to, sum) in bias.iter_mut().zip(sums) {
            *to = sum as f32;
        }
    }
}
