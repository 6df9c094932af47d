//! [`VariableArCnn`]: a 3-D network of Inception blocks for clips of any shape.

use burn::module::Module;
use burn::tensor::Tensor;
use burn::tensor::backend::Backend;
use serde::{Deserialize, Serialize};

use crate::activation::Activation;
use crate::backend::{NetworkBackend, Window};
use crate::layers::{BatchNorm, Convolution3d, Initial, Linear, dropout};
use crate::{Context, Extents};

/// What the network is made of.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct VariableArCnnConfig {
    /// Channels after the stem and after each block; the blocks' are multiples of 4.
    pub widths: [usize; 3],
    /// Step of the stem over frames, rows and columns. 1, 1, 1 keeps every position, as the earlier
    /// system did; 1, 2, 2 costs a quarter.
    pub stem_stride: [usize; 3],
    /// Share of features that training drops before the last layer.
    pub dropout: f64,
}

impl Default for VariableArCnnConfig {
    fn default() -> Self {
        Self { widths: [32, 64, 128], stem_stride: [1; 3], dropout: 0.5 }
    }
}

/// Four convolutions beside one another (1x1x1, 3x3x3, 5x5x5, and 1x1x1 of the maximum over 3x3x3),
/// each with a quarter of the channels (after Szegedy et al. 2015), then batch normalisation and ReLU.
#[derive(Module, Debug)]
pub struct Inception3d<B: Backend> {
    branch1: Convolution3d<B>,
    branch3: Convolution3d<B>,
    branch5: Convolution3d<B>,
    branch_pool: Convolution3d<B>,
    norm: BatchNorm<B>,
}

impl<B: Backend> Inception3d<B> {
    /// From `input` channels to `output`, a multiple of 4.
    pub fn new([input, output]: [usize; 2], initial: &mut Initial, device: &B::Device) -> Self {
        let mut convolution = |size| {
            Convolution3d::new([input, output / 4], Window::cube(size), true, initial, device)
        };
        Self {
            branch1: convolution(1),
            branch3: convolution(3),
            branch5: convolution(5),
            branch_pool: convolution(1),
            norm: BatchNorm::new(output, device),
        }
    }
}

impl<B: NetworkBackend> Inception3d<B> {
    /// `[batch, frames, rows, columns, in]` to as many positions of `out` channels. Inputs are not
    /// negative (they come from a ReLU), so that padding of 0 changes no maximum.
    pub fn forward(
        &self,
        clip: Tensor<B, 5>,
        extents: &Extents,
        context: &Context<B>,
    ) -> Tensor<B, 5> {
        let pooled = B::max_pool(clip.clone(), Window::cube(3), context.engine());
        let parts = vec![
            self.branch1.forward(clip.clone(), context),
            self.branch3.forward(clip.clone(), context),
            self.branch5.forward(clip, context),
            self.branch_pool.forward(pooled, context),
        ];
        self.norm.forward(parts, true, extents, context)
    }
}

/// Stem, two Inception blocks, mean over all positions, one logit. 397,633 parameters by default.
///
/// Takes any number of frames, rows and columns. A clip scores the same alone and padded into a batch:
/// convolutions see zeros beyond its edge either way, and statistics and means count its positions only.
#[derive(Module, Debug)]
pub struct VariableArCnn<B: Backend> {
    stem: Convolution3d<B>,
    stem_norm: BatchNorm<B>,
    inception1: Inception3d<B>,
    inception2: Inception3d<B>,
    head: Linear<B>,
    #[module(skip)]
    dropout: f64,
}

impl<B: Backend> VariableArCnn<B> {
    /// With first values drawn from `initial`.
    pub fn new(config: &VariableArCnnConfig, initial: &mut Initial, device: &B::Device) -> Self {
        let [stem, first, second] = config.widths;
        let window = Window::cube(3).with_stride(config.stem_stride);
        Self {
            stem: Convolution3d::new([3, stem], window, true, initial, device),
            stem_norm: BatchNorm::new(stem, device),
            inception1: Inception3d::new([stem, first], initial, device),
            inception2: Inception3d::new([first, second], initial, device),
            head: Linear::new([second, 1], 0.01, initial, device),
            dropout: config.dropout,
        }
    }
}

impl<B: NetworkBackend> VariableArCnn<B> {
    pub(crate) const BLOCKS: usize = 4;

    pub(crate) fn forward_block(
        &self,
        block: usize,
        input: Activation<B>,
        context: &Context<B>,
    ) -> Activation<B> {
        let extents = input.extents.clone();
        match block {
            0 => {
                let clip = self.stem.forward(input.clip(), context);
                let extents = self.stem.extents(&extents);
                let clip = self.stem_norm.forward(vec![clip], true, &extents, context);
                Activation::of_clip(clip, extents)
            }
            1 => {
                let clip = self.inception1.forward(input.clip(), &extents, context);
                Activation::of_clip(clip, extents)
            }
            2 => {
                let clip = self.inception2.forward(input.clip(), &extents, context);
                Activation::of_clip(clip, extents)
            }
            _ => {
                let features = B::global_average(input.clip(), &extents, context.engine());
                let logits = self.head.forward(dropout(features, self.dropout, context), context);
                Activation::of_rows(logits, extents)
            }
        }
    }
}
