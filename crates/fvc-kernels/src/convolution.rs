//! Convolutions and their gradients.

use half::bf16;
use rayon::prelude::*;

use crate::element::{Element, ElementKind};
use crate::engine::Engine;
use crate::error::{KernelError, expect_length};
use crate::geometry::ConvGeometry;
use crate::{onednn, portable};

/// Numbers that one thread adds at a time.
const CHUNK: usize = 1 << 14;

/// `dst` = convolution of `src` with `weights`, plus `bias`.
///
/// `src` is [N, D, H, W, I], `dst` [N, D', H', W', O] with [`ConvGeometry::output`]'s D', H', W', `weights`
/// [O, I/groups, kD, kH, kW], `bias` `[O]`. With `bf16` activations the weights are rounded to `bf16`; sums are
/// `f32`.
///
/// With [`Engine::OneDnn`], geometries that its `bf16` code is slow or wrong on run in `f32`, and those that
/// it has nothing fast and right for run on the portable path.
///
/// # Errors
///
/// A slice of another length; oneDNN asked for where it is not; a failure inside it.
pub fn convolution_forward<T: Element>(
    engine: Engine,
    geometry: &ConvGeometry,
    src: &[T],
    weights: &[f32],
    bias: Option<&[f32]>,
    dst: &mut [T],
) -> Result<(), KernelError> {
    expect_length("src", geometry.input_len(), src.len())?;
    expect_length("weights", geometry.weights_len(), weights.len())?;
    expect_length("dst", geometry.output_len(), dst.len())?;
    if let Some(bias) = bias {
        expect_length("bias", geometry.spec().out_channels, bias.len())?;
    }
    engine.check()?;
    if engine == Engine::OneDnn && onednn::forward(geometry, src, weights, bias, dst)? {
        return Ok(());
    }
    if engine == Engine::OneDnn && T::KIND == ElementKind::Bf16 {
        let mut wide = vec![0.0; dst.len()];
        if onednn::forward(geometry, &widened(src), &rounded(weights), bias, &mut wide)? {
            narrow(&wide, dst);
            return Ok(());
        }
    }
    portable::forward(geometry, src, weights, bias, dst);
    Ok(())
}

/// `diff_src` = gradient of the input, given that of the output; with `accumulate` it is added to what
/// `diff_src` holds, as where several branches share an input.
///
/// Shapes as in [`convolution_forward`].
///
/// # Errors
///
/// As [`convolution_forward`].
pub fn convolution_backward_data<T: Element>(
    engine: Engine,
    geometry: &ConvGeometry,
    diff_dst: &[T],
    weights: &[f32],
    diff_src: &mut [T],
    accumulate: bool,
) -> Result<(), KernelError> {
    expect_length("diff_dst", geometry.output_len(), diff_dst.len())?;
    expect_length("weights", geometry.weights_len(), weights.len())?;
    expect_length("diff_src", geometry.input_len(), diff_src.len())?;
    engine.check()?;
    if engine == Engine::OneDnn {
        if onednn::backward_data(geometry, diff_dst, weights, diff_src, accumulate)? {
            return Ok(());
        }
        if T::KIND == ElementKind::Bf16 {
            let mut wide = if accumulate { widened(diff_src) } else { vec![0.0; diff_src.len()] };
            let (diff_dst, weights) = (widened(diff_dst), rounded(weights));
            if onednn::backward_data(geometry, &diff_dst, &weights, &mut wide, accumulate)? {
                narrow(&wide, diff_src);
                return Ok(());
            }
        }
        if accumulate {
            let mut alone = vec![T::ZERO; diff_src.len()];
            if onednn::backward_data(geometry, diff_dst, weights, &mut alone, false)? {
                add(diff_src, &alone);
                return Ok(());
            }
        }
    }
    portable::backward_data(geometry, diff_dst, weights, diff_src, accumulate);
    Ok(())
}

/// `diff_weights` and `diff_bias` = gradients of weights and bias, always `f32`, summed over the batch.
///
/// Shapes as in [`convolution_forward`].
///
/// # Errors
///
/// As [`convolution_forward`].
pub fn convolution_backward_weights<T: Element>(
    engine: Engine,
    geometry: &ConvGeometry,
    src: &[T],
    diff_dst: &[T],
    diff_weights: &mut [f32],
    mut diff_bias: Option<&mut [f32]>,
) -> Result<(), KernelError> {
    expect_length("src", geometry.input_len(), src.len())?;
    expect_length("diff_dst", geometry.output_len(), diff_dst.len())?;
    expect_length("diff_weights", geometry.weights_len(), diff_weights.len())?;
    if let Some(bias) = &diff_bias {
        expect_length("diff_bias", geometry.spec().out_channels, bias.len())?;
    }
    engine.check()?;
    if engine == Engine::OneDnn
        && onednn::backward_weights(
            geometry,
            src,
            diff_dst,
            diff_weights,
            diff_bias.as_deref_mut(),
        )?
    {
        return Ok(());
    }
    if engine == Engine::OneDnn && T::KIND == ElementKind::Bf16 {
        let (src, diff_dst) = (widened(src), widened(diff_dst));
        if onednn::backward_weights(
            geometry,
            &src,
            &diff_dst,
            diff_weights,
            diff_bias.as_deref_mut(),
        )? {
            return Ok(());
        }
    }
    portable::backward_weights(geometry, src, diff_dst, diff_weights, diff_bias);
    Ok(())
}

/// The numbers as `f32`: for geometries that oneDNN has no good `bf16` code for.
fn widened<T: Element>(from: &[T]) -> Vec<f32> {
    let mut wide = vec![0.0; from.len()];
    wide.par_chunks_mut(CHUNK).zip(from.par_chunks(CHUNK)).for_each(|(wide, from)| {
        for (wide, from) in wide.iter_mut().zip(from) {
            *wide = from.to_f32();
        }
    });
    wide
}

/// The reverse, rounding.
fn narrow<T: Element>(wide: &[f32], to: &mut [T]) {
    to.par_chunks_mut(CHUNK).zip(wide.par_chunks(CHUNK)).for_each(|(to, wide)| {
        for (to, wide) in to.iter_mut().zip(wide) {
            *to = T::from_f32(*wide);
        }
    });
}

/// Weights as the `bf16` code sees them.
fn rounded(weights: &[f32]) -> Vec<f32> {
    weights.iter().map(|&weight| <bf16 as Element>::from_f32(weight).to_f32()).collect()
}

/// Adds `more` to `sums`, element by element.
fn add<T: Element>(sums: &mut [T], more: &[T]) {
    sums.par_chunks_mut(CHUNK).zip(more.par_chunks(CHUNK)).for_each(|(sums, more)| {
        for (sum, more) in sums.iter_mut().zip(more) {
            *sum = T::from_f32(sum.to_f32() + more.to_f32());
        }
    });
}
