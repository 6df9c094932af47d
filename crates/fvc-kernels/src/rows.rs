//! What a transformer does row by row between its products: conversions, softmax, GELU, layer normalisation.
//!
//! Loops are plain enough to be vectorised, with an exponential and an error function of their own; sums
//! over rows are `f64` in a fixed order, so that the bits depend neither on the number of threads nor on the
//! instruction set.

use rayon::prelude::*;

use crate::element::Element;
use crate::error::{KernelError, expect_length};
use crate::geometry::volume;
use crate::instructions::for_each_width;

/// Numbers that one task takes.
const TASK: usize = 1 << 15;
/// Partial sums of a row.
const LANES: usize = 16;

/// e^x to some units in the last place; below e^-87 it stays there.
#[allow(
    clippy::inline_always,
    reason = "the innermost operation of loops for several instruction sets"
)]
#[allow(clippy::excessive_precision, reason = "as published")]
#[inline(always)]
fn exponential(x: f32) -> f32 {
    // 1.5 * 2^23: what is added to it is rounded to a whole number, which then stands in the low bits.
    const ROUND: f32 = 12_582_912.0;
    let x = if x < -87.0 { -87.0 } else { x };
    let x = if x > 88.0 { 88.0 } else { x };
    let shifted = x * std::f32::consts::LOG2_E + ROUND;
    let whole = shifted - ROUND;
    // ln 2 in two parts, of which the product with the first is exact.
    let rest = x - whole * 0.693_359_375 + whole * 2.121_944_4e-4;
    let mut sum = 1.987_569_15e-4_f32;
    for term in [
        1.398_199_950_7e-3,
        8.333_451_907_3e-3,
        4.166_579_589_4e-2,
        1.666_666_545_9e-1,
        5.000_000_120_1e-1,
    ] {
        sum = sum * rest + term;
    }
    let sum = sum * rest * rest + rest + 1.0;
    sum * f32::from_bits((shifted.to_bits() << 23).wrapping_add(127 << 23))
}

/// The error function to some units in the last place, as a quotient of polynomials.
#[allow(clippy::inline_always, reason = "as above")]
#[allow(clippy::excessive_precision, reason = "as published")]
#[inline(always)]
fn error_function(x: f32) -> f32 {
    let x = if x < -4.0 { -4.0 } else { x };
    let x = if x > 4.0 { 4.0 } else { x };
    let square = x * x;
    let mut above = -2.726_142_258_013_06e-10_f32;
    for term in [
        2.770_681_424_959_02e-8,
        -2.101_024_020_825_08e-6,
        -5.692_506_394_623_46e-5,
        -7.349_906_303_268_55e-4,
        -2.954_599_808_540_25e-3,
        -1.609_603_332_624_15e-2,
    ] {
        above = above * square + term;
    }
    let mut below = -1.456_607_184_649_96e-5_f32;
    for term in [
        -2.133_740_552_789_05e-4,
        -1.682_826_974_382_03e-3,
        -7.373_329_167_204_68e-3,
        -1.426_473_905_141_89e-2,
    ] {
        below = below * square + term;
    }
    x * above / below
}

for_each_width! {
    fn narrow<T: Element>(from: &[f32], to: &mut [T]) {
        for (to, from) in to.iter_mut().zip(from) {
            *to = T::from_f32(*from);
        }
    }

    fn widen<T: Element>(from: &[T], to: &mut [f32]) {
        for (to, from) in to.iter_mut().zip(from) {
            *to = from.to_f32();
        }
    }

    fn gelu_of<T: Element>(from: &[f32], to: &mut [T]) {
        for (to, from) in to.iter_mut().zip(from) {
            let below = 1.0 + error_function(from * std::f32::consts::FRAC_1_SQRT_2);
            *to = T::from_f32(0.5 * from * below);
        }
    }

    fn gelu_gradient(from: &[f32], diff: &[f32], to: &mut [f32]) {
        // 1 / sqrt(2 pi).
        const PEAK: f32 = 0.398_942_3;
        for ((to, from), diff) in to.iter_mut().zip(from).zip(diff) {
            let below = 0.5 * (1.0 + error_function(from * std::f32::consts::FRAC_1_SQRT_2));
            *to = diff * (below + from * PEAK * exponential(-0.5 * from * from));
        }
    }

    /// Whole rows.
    fn softmax_of<T: Element>(from: &mut [f32], width: usize, to: &mut [T]) {
        for (from, to) in from.chunks_exact_mut(width).zip(to.chunks_exact_mut(width)) {
            let mut most = [f32::NEG_INFINITY; LANES];
            let (whole, rest) = from.as_chunks::<LANES>();
            for from in whole {
                for (most, from) in most.iter_mut().zip(from) {
                    *most = if *from > *most { *from } else { *most };
                }
            }
            let most = most.iter().chain(rest).fold(f32::NEG_INFINITY, |most, &from| if from > most { from } else { most });
            for from in from.iter_mut() {
                *from = exponential(*from - most);
            }
            let scale = (1.0 / sum_of(from)) as f32;
            for (to, from) in to.iter_mut().zip(from) {
                *to = T::from_f32(*from * scale);
            }
        }
    }

    /// Whole rows; `diff` becomes the gradient of the scores, in `to`.
    fn softmax_gradient<T: Element>(weights: &[T], diff: &mut [f32], width: usize, to: &mut [T]) {
        for ((weights, diff), to) in
            weights.chunks_exact(width).zip(diff.chunks_exact_mut(width)).zip(to.chunks_exact_mut(width))
        {
            let mut product = [0.0_f64; LANES];
            let whole = width / LANES * LANES;
            for at in (0..whole).step_by(LANES) {
                for lane in 0..LANES {
                    product[lane] += f64::from(weights[at + lane].to_f32() * diff[at + lane]);
                }
            }
            let rest: f64 = (whole..width).map(|at| f64::from(weights[at].to_f32() * diff[at])).sum();
            let mean = (product.iter().sum::<f64>() + rest) as f32;
            for ((to, weight), diff) in to.iter_mut().zip(weights).zip(diff) {
                *to = T::from_f32(weight.to_f32() * (*diff - mean));
            }
        }
    }

    /// Whole rows; of each the mean and the inverse deviation are kept. `row` is room for one.
    fn normalize_rows<T: Element>(
        from: &[f32], weight: &[f32], bias: &[f32], epsilon: f32, row: &mut [f32], to: &mut [T], kept: &mut [[f32; 2]],
    ) {
        let width = weight.len();
        for ((from, to), kept) in from.chunks_exact(width).zip(to.chunks_exact_mut(width)).zip(kept) {
            let mean = (sum_of(from) / width as f64) as f32;
            for (own, from) in row.iter_mut().zip(from) {
                *own = from - mean;
            }
            let inverse = (1.0 / (squares_of(row) / width as f64 + f64::from(epsilon)).sqrt()) as f32;
            *kept = [mean, inverse];
            for (((to, own), weight), bias) in to.iter_mut().zip(&*row).zip(weight).zip(bias) {
                *to = T::from_f32(own * inverse * weight + bias);
            }
        }
    }

    /// Whole rows; `sums` are of the products with the normalised input, then of the gradient itself.
    fn normalize_rows_gradient(
        from: &[f32],
        weight: &[f32],
        kept: &[[f32; 2]],
        diff: &[f32],
        to: &mut [f32],
        sums: &mut [f64],
    ) {
        let width = weight.len();
        let (of_weight, of_bias) = sums.split_at_mut(width);
        for (((from, to), diff), [mean, inverse]) in
            from.chunks_exact(width).zip(to.chunks_exact_mut(width)).zip(diff.chunks_exact(width)).zip(kept)
        {
            for ((to, diff), weight) in to.iter_mut().zip(diff).zip(weight) {
                *to = diff * weight;
            }
            let plain = (sum_of(to) / width as f64) as f32;
            let mut product = 0.0_f64;
            for (((from, to), diff), (of_weight, of_bias)) in
                from.iter().zip(to.iter()).zip(diff).zip(of_weight.iter_mut().zip(of_bias.iter_mut()))
            {
                let normal = (from - mean) * inverse;
                product += f64::from(to * normal);
                *of_weight += f64::from(diff * normal);
                *of_bias += f64::from(*diff);
            }
            let product = (product / width as f64) as f32;
            for (to, from) in to.iter_mut().zip(from) {
                let normal = (from - mean) * inverse;
                *to = inverse * (*to - plain - normal * product);
            }
        }
    }

    fn add_rows(from: &[f32], sums: &mut [f64]) {
        for from in from.chunks_exact(sums.len()) {
            for (sum, from) in sums.iter_mut().zip(from) {
                *sum += f64::from(*from);
            }
        }
    }
}

#[allow(clippy::inline_always, reason = "as above")]
#[inline(always)]
fn lanes_of(from: &[f32], of: impl Fn(f32) -> f64) -> f64 {
    let mut sums = [0.0_f64; LANES];
    let (whole, rest) = from.as_chunks::<LANES>();
    for from in whole {
        for (sum, from) in sums.iter_mut().zip(from) {
            *sum += of(*from);
        }
    }
    sums.iter().sum::<f64>() + rest.iter().map(|from| of(*from)).sum::<f64>()
}

#[allow(clippy::inline_always, reason = "as above")]
#[inline(always)]
fn sum_of(from: &[f32]) -> f64 {
    lanes_of(from, f64::from)
}

#[allow(clippy::inline_always, reason = "as above")]
#[inline(always)]
fn squares_of(from: &[f32]) -> f64 {
    lanes_of(from, |from| f64::from(from) * f64::from(from))
}

/// Rows of this width that one task takes, or what is wrong with it.
fn rows_of_task(width: usize) -> Result<usize, KernelError> {
    if width == 0 {
        return Err(KernelError::Geometry("rows of no numbers".to_owned()));
    }
    Ok((TASK / width).max(1))
}

/// The nearest numbers of another type; ties to even.
///
/// # Errors
///
/// Slices of different length.
pub fn from_f32<T: Element>(from: &[f32], to: &mut [T]) -> Result<(), KernelError> {
    expect_length("to", from.len(), to.len())?;
    let chunks = to.par_chunks_mut(TASK).zip(from.par_chunks(TASK));
    chunks.for_each(|(to, from)| narrow(from, to));
    Ok(())
}

/// The same numbers as `f32`.
///
/// # Errors
///
/// Slices of different length.
pub fn to_f32<T: Element>(from: &[T], to: &mut [f32]) -> Result<(), KernelError> {
    expect_length("to", from.len(), to.len())?;
    let chunks = to.par_chunks_mut(TASK).zip(from.par_chunks(TASK));
    chunks.for_each(|(to, from)| widen(from, to));
    Ok(())
}

/// x times the share of the normal distribution below it (Hendrycks and Gimpel 2016), by the error function.
///
/// # Errors
///
/// Slices of different length.
pub fn gelu_forward<T: Element>(input: &[f32], output: &mut [T]) -> Result<(), KernelError> {
    expect_length("output", input.len(), output.len())?;
    let chunks = output.par_chunks_mut(TASK).zip(input.par_chunks(TASK));
    chunks.for_each(|(to, from)| gelu_of(from, to));
    Ok(())
}

/// The gradient of [`gelu_forward`]'s input.
///
/// # Errors
///
/// Slices of different length.
pub fn gelu_backward(
    input: &[f32],
    diff_output: &[f32],
    diff_input: &mut [f32],
) -> Result<(), KernelError> {
    expect_length("diff_output", input.len(), diff_output.len())?;
    expect_length("diff_input", input.len(), diff_input.len())?;
    let chunks = diff_input.par_chunks_mut(TASK).zip(input.par_chunks(TASK));
    let chunks = chunks.zip(diff_output.par_chunks(TASK));
    chunks.for_each(|((to, from), diff)| gelu_gradient(from, diff, to));
    Ok(())
}

/// The softmax of each row of `width` scores; `scores` are used up.
///
/// # Errors
///
/// A width of 0, slices of different length or of no whole rows.
pub fn softmax_forward<T: Element>(
    scores: &mut [f32],
    width: usize,
    weights: &mut [T],
) -> Result<(), KernelError> {
    let task = rows_of_task(width)? * width;
    expect_length("scores", scores.len() / width * width, scores.len())?;
    expect_length("weights", scores.len(), weights.len())?;
    let chunks = weights.par_chunks_mut(task).zip(scores.par_chunks_mut(task));
    chunks.for_each(|(to, from)| softmax_of(from, width, to));
    Ok(())
}

/// The gradient of the scores, given that of the weights, which is used up.
///
/// # Errors
///
/// A width of 0, slices of different length or of no whole rows.
pub fn softmax_backward<T: Element>(
    weights: &[T],
    diff_weights: &mut [f32],
    width: usize,
    diff_scores: &mut [T],
) -> Result<(), KernelError> {
    let task = rows_of_task(width)? * width;
    expect_length("weights", weights.len() / width * width, weights.len())?;
    expect_length("diff_weights", weights.len(), diff_weights.len())?;
    expect_length("diff_scores", weights.len(), diff_scores.len())?;
    let chunks = diff_scores.par_chunks_mut(task).zip(weights.par_chunks(task));
    let chunks = chunks.zip(diff_weights.par_chunks_mut(task));
    chunks.for_each(|((to, weights), diff)| softmax_gradient(weights, diff, width, to));
    Ok(())
}

/// Layer normalisation (Ba, Kiros and Hinton 2016) of each row, as wide as `weight`. Gives mean and inverse
/// deviation of each row, for [`layer_norm_backward`].
///
/// # Errors
///
/// A width of 0, slices of different length or of no whole rows.
pub fn layer_norm_forward<T: Element>(
    input: &[f32],
    weight: &[f32],
    bias: &[f32],
    epsilon: f32,
    output: &mut [T],
) -> Result<Vec<[f32; 2]>, KernelError> {
    let width = weight.len();
    let rows = rows_of_task(width)?;
    expect_length("bias", width, bias.len())?;
    expect_length("input", input.len() / width * width, input.len())?;
    expect_length("output", input.len(), output.len())?;
    let mut kept = vec![[0.0; 2]; input.len() / width];
    let chunks = output.par_chunks_mut(rows * width).zip(input.par_chunks(rows * width));
    let chunks = chunks.zip(kept.par_chunks_mut(rows));
    chunks.for_each_init(
        || vec![0.0; width],
        |row, ((to, from), kept)| normalize_rows(from, weight, bias, epsilon, row, to, kept),
    );
    Ok(kept)
}

/// Gradients of weight and bias, and in `diff_input` that of the input.
///
/// # Errors
///
/// A width of 0, slices of different length or of no whole rows.
pub fn layer_norm_backward(
    input: &[f32],
    weight: &[f32],
    kept: &[[f32; 2]],
    diff_output: &[f32],
    diff_input: &mut [f32],
) -> Result<(Vec<f32>, Vec<f32>), KernelError> {
    let width = weight.len();
    let rows = rows_of_task(width)?;
    expect_length("input", kept.len() * width, input.len())?;
    expect_length("diff_output", input.len(), diff_output.len())?;
    expect_length("diff_input", input.len(), diff_input.len())?;
    let task = rows * width;
    let chunks = diff_input.par_chunks_mut(task).zip(input.par_chunks(task));
    let chunks = chunks.zip(kept.par_chunks(rows)).zip(diff_output.par_chunks(task));
    let parts: Vec<Vec<f64>> = chunks
        .map(|(((to, from), kept), diff)| {
            let mut sums = vec![0.0; 2 * width];
            normalize_rows_gradient(from, weight, kept, diff, to, &mut sums);
            sums
        })
        .collect();
    let total = |at: usize| parts.iter().map(|part| part[at]).sum::<f64>() as f32;
    Ok(((0..width).map(total).collect(), (width..2 * width).map(total).collect()))
}

/// The sum over rows of `width` numbers, of each column.
///
/// # Errors
///
/// A width of 0, or no whole rows.
pub fn sum_rows(input: &[f32], width: usize) -> Result<Vec<f32>, KernelError> {
    let task = rows_of_task(width)? * width;
    expect_length("input", input.len() / width * width, input.len())?;
    let parts: Vec<Vec<f64>> = input
        .par_chunks(task)
        .map(|from| {
            let mut sums = vec![0.0; width];
            add_rows(from, &mut sums);
            sums
        })
        .collect();
    Ok((0..width).map(|at| parts.iter().map(|part| part[at]).sum::<f64>() as f32).collect())
}

/// The sum of squares, in f64 and in an order that depends on nothing but their number: the same bits wherever
/// they lie in memory, on any number of threads.
pub fn sum_squares(values: &[f32]) -> f64 {
    let parts: Vec<f64> = values.par_chunks(TASK).map(squares_of).collect();
    parts.iter().sum()
}

/// How heads lie in packed rows: of each picture `tokens` rows, of each row `parts` times `heads` heads of
/// `width` numbers, the heads of one part side by side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PackedHeads {
    /// Pictures.
    pub pictures: usize,
    /// Rows of each.
    pub tokens: usize,
    /// Heads of each part.
    pub heads: usize,
    /// Numbers of a head.
    pub width: usize,
}

impl PackedHeads {
    /// Numbers of one part; checks the lengths of packed rows and of what they hold.
    fn check(self, packed: usize, parts: &[usize], scales: usize) -> Result<usize, KernelError> {
        let Self { pictures, tokens, heads, width } = self;
        let each = volume("heads", &[pictures, tokens, heads, width])?;
        if each == 0 {
            return Err(KernelError::Geometry(format!("heads of no numbers: {self:?}")));
        }
        expect_length("packed", each.saturating_mul(parts.len()), packed)?;
        expect_length("scales", parts.len(), scales)?;
        for part in parts {
            expect_length("a part", each, *part)?;
        }
        Ok(each)
    }
}

/// Packed rows as one [pictures, heads, tokens, width] a part, each times its scale.
///
/// # Errors
///
/// A size of zero, or slices of another length.
pub fn split_heads<T: Element>(
    shape: PackedHeads,
    packed: &[f32],
    scales: &[f32],
    parts: &mut [&mut [T]],
) -> Result<(), KernelError> {
    let lengths: Vec<usize> = parts.iter().map(|part| part.len()).collect();
    shape.check(packed.len(), &lengths, scales.len())?;
    let PackedHeads { tokens, heads, width, .. } = shape;
    let row = lengths.len() * heads * width;
    for (number, (part, &scale)) in parts.iter_mut().zip(scales).enumerate() {
        part.par_chunks_mut(tokens * width).enumerate().for_each(|(at, part)| {
            let (picture, head) = (at / heads, at % heads);
            let first = picture * tokens * row + (number * heads + head) * width;
            for (token, to) in part.chunks_exact_mut(width).enumerate() {
                let from = &packed[first + token * row..][..width];
                for (to, from) in to.iter_mut().zip(from) {
                    *to = T::from_f32(from * scale);
                }
            }
        });
    }
    Ok(())
}

/// The way back from [`split_heads`].
///
/// # Errors
///
/// A size of zero, or slices of another length.
pub fn join_heads(
    shape: PackedHeads,
    parts: &[&[f32]],
    scales: &[f32],
    packed: &mut [f32],
) -> Result<(), KernelError> {
    let lengths: Vec<usize> = parts.iter().map(|part| part.len()).collect();
    shape.check(packed.len(), &lengths, scales.len())?;
    let PackedHeads { tokens, heads, width, .. } = shape;
    let row = lengths.len() * heads * width;
    packed.par_chunks_mut(row).enumerate().for_each(|(at, packed)| {
        let (picture, token) = (at / tokens, at % tokens);
        for (place, to) in packed.chunks_exact_mut(width).enumerate() {
            let (part, head) = (place / heads, place % heads);
            let from = &parts[part][((picture * heads + head) * tokens + token) * width..][..width];
            for (to, from) in to.iter_mut().zip(from) {
                *to = from * scales[part];
            }
        }
    });
    Ok(())
}
