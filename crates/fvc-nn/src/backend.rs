//! [`NetworkBackend`]: the operations that decide how fast a network of clips is, each behind one
//! function, so that a backend with something better than Burn's operators can bring it.
//!
//! Clips are channels-last everywhere: `[batch, frames, rows, columns, channels]`. A convolution then
//! reads whole channel vectors, and no layer has to turn tensors around.

use burn::tensor::backend::Backend;
use burn::tensor::{DType, Tensor};

use std::sync::Arc;

use crate::across::{Across, PassSums, sum_values};
use crate::{Engine, Extents, portable};

/// Geometry of a convolution or pooling, per axis: frames, rows, columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Size.
    pub kernel: [usize; 3],
    /// Step.
    pub stride: [usize; 3],
    /// Padding on both sides.
    pub padding: [usize; 3],
    /// Distance of a kernel's elements.
    pub dilation: [usize; 3],
    /// Groups of channels; pooling has one.
    pub groups: usize,
}

impl Window {
    /// A cube of odd size that keeps the grid: stride 1, padding of half the size.
    pub const fn cube(size: usize) -> Self {
        Self {
            kernel: [size; 3],
            stride: [1; 3],
            padding: [size / 2; 3],
            dilation: [1; 3],
            groups: 1,
        }
    }

    /// The same with another step.
    #[must_use]
    pub const fn with_stride(mut self, stride: [usize; 3]) -> Self {
        self.stride = stride;
        self
    }

    /// How far a dilated kernel reaches on each axis.
    pub fn reach(&self) -> [usize; 3] {
        std::array::from_fn(|axis| self.dilation[axis] * (self.kernel[axis] - 1) + 1)
    }
}

/// How one normalisation is applied.
#[derive(Clone, Debug)]
pub struct NormOptions<'a> {
    /// What is valid of each clip.
    pub extents: &'a Extents,
    /// Whether negative results become 0.
    pub relu: bool,
    /// Added to the variance.
    pub epsilon: f32,
    /// Who computes.
    pub engine: Engine,
    /// The ranks whose clips are normalised together, where there are others.
    pub ranks: Option<&'a Arc<PassSums>>,
}

/// What a normalisation gives.
#[derive(Debug)]
pub struct Normalized<B: Backend> {
    /// The parts side by side along channels, normalised; 0 where no clip is.
    pub output: Tensor<B, 5>,
    /// Mean and biased variance of the batch over valid positions, where they were computed.
    pub statistics: Option<(Tensor<B, 1>, Tensor<B, 1>)>,
    /// Valid positions that they were computed over, of all ranks.
    pub count: f64,
}

/// A backend that networks of clips run on. The provided methods are Burn's operators (see
/// [`portable`]) and right on any device.
pub trait NetworkBackend: Backend {
    /// Convolution of `[batch, frames, rows, columns, in]` by `[out, in / groups, frames, rows,
    /// columns]`, to `[batch, frames', rows', columns', out]`, in the number format of `clip`.
    fn convolution(
        clip: Tensor<Self, 5>,
        weight: Tensor<Self, 5>,
        bias: Option<Tensor<Self, 1>>,
        window: Window,
        engine: Engine,
    ) -> Tensor<Self, 5> {
        let _ = engine;
        portable::convolution(clip, weight, bias, window)
    }

    /// The largest value of each window; padding counts as minus infinity.
    fn max_pool(clip: Tensor<Self, 5>, window: Window, engine: Engine) -> Tensor<Self, 5> {
        let _ = engine;
        portable::max_pool(clip, window)
    }

    /// Batch normalisation over the channels of all `parts` side by side, with the batch's own
    /// statistics where `running` is none and with these (mean, variance) otherwise.
    fn normalize(
        parts: Vec<Tensor<Self, 5>>,
        weight: Tensor<Self, 1>,
        bias: Tensor<Self, 1>,
        running: Option<(Tensor<Self, 1>, Tensor<Self, 1>)>,
        options: &NormOptions<'_>,
    ) -> Normalized<Self> {
        portable::normalize(parts, weight, bias, running, options)
    }

    /// The tensor or its gradient summed over ranks. Without a graph there is no gradient.
    fn across_ranks<const D: usize>(
        tensor: Tensor<Self, D>,
        sums: &Arc<PassSums>,
        across: Across,
    ) -> Tensor<Self, D> {
        if across.values { sum_values(tensor, sums) } else { tensor }
    }

    /// Mean over the valid positions of each clip: `[batch, frames, rows, columns, channels]` to `[batch,
    /// channels]`, in f32. What is not valid must be 0.
    fn global_average(clip: Tensor<Self, 5>, extents: &Extents, engine: Engine) -> Tensor<Self, 2> {
        let _ = engine;
        portable::global_average(clip, extents)
    }

    /// `[rows, in]` times the transpose of `[out, in]`, computed in `format`, given as f32.
    fn affine(
        input: Tensor<Self, 2>,
        weight: Tensor<Self, 2>,
        bias: Option<Tensor<Self, 1>>,
        format: DType,
        engine: Engine,
    ) -> Tensor<Self, 2> {
        let _ = engine;
        portable::affine(input, weight, bias, format)
    }

    /// GELU of [`NetworkBackend::affine`], given in `format`.
    fn affine_gelu(
        input: Tensor<Self, 2>,
        weight: Tensor<Self, 2>,
        bias: Option<Tensor<Self, 1>>,
        format: DType,
        engine: Engine,
    ) -> Tensor<Self, 2> {
        Self::gelu_rows(Self::affine(input, weight, bias, format, engine), format, engine)
    }

    /// Attention of the tokens of each picture to one another, softmax(q k^T / sqrt(width)) v (Vaswani et
    /// al. 2017), of rows `[pictures * tokens, 3 heads width]` that hold query, key and value, each head by
    /// head: the products in `format`, the softmax in f32. Gives `[pictures * tokens, heads width]`, f32.
    fn attend_packed(
        packed: Tensor<Self, 2>,
        tokens: usize,
        heads: usize,
        format: DType,
        engine: Engine,
    ) -> Tensor<Self, 2> {
        let _ = engine;
        portable::attend_packed(packed, tokens, heads, format)
    }

    /// The sum of squares of each.
    fn square_sums(tensors: Vec<Tensor<Self, 1>>) -> Vec<f64> {
        if tensors.is_empty() {
            return Vec::new();
        }
        let sums: Vec<_> = tensors.into_iter().map(|own| own.square().sum()).collect();
        // One transfer for all.
        let sums: Vec<f32> = Tensor::cat(sums, 0).into_data().to_vec().unwrap_or_default();
        sums.into_iter().map(f64::from).collect()
    }

    /// Layer normalisation of each row of `[rows, width]`, in f32; given in `format`.
    fn normalize_rows(
        input: Tensor<Self, 2>,
        weight: Tensor<Self, 1>,
        bias: Tensor<Self, 1>,
        epsilon: f64,
        format: DType,
        engine: Engine,
    ) -> Tensor<Self, 2> {
        let _ = engine;
        portable::layer_norm(input, weight, bias, epsilon).cast(format)
    }

    /// GELU by the error function, in f32; given in `format`.
    fn gelu_rows(input: Tensor<Self, 2>, format: DType, engine: Engine) -> Tensor<Self, 2> {
        let _ = engine;
        portable::gelu(input).cast(format)
    }
}
