//! [`NaiveCnn`]: a small 2-D network on each frame, whose logits are averaged.

use burn::module::Module;
use burn::tensor::Tensor;
use burn::tensor::backend::Backend;
use serde::{Deserialize, Serialize};

use crate::activation::Activation;
use crate::backend::{NetworkBackend, Window};
use crate::layers::{BatchNorm, Convolution2d, Initial, Linear, dropout};
use crate::{Context, Extents, portable};

/// What the network is made of.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NaiveCnnConfig {
    /// Channels of the three convolutions.
    pub widths: [usize; 3],
    /// Width of the hidden layer behind them.
    pub hidden: usize,
    /// Share of hidden units that training drops.
    pub dropout: f64,
}

impl Default for NaiveCnnConfig {
    fn default() -> Self {
        Self { widths: [32, 64, 128], hidden: 64, dropout: 0.5 }
    }
}

/// Three convolutions on each frame, mean over positions, two linear layers, two logits; the mean over
/// frames. 102,082 parameters by default. It cannot know the order of frames.
#[derive(Module, Debug)]
pub struct NaiveCnn<B: Backend> {
    conv1: Convolution2d<B>,
    norm1: BatchNorm<B>,
    conv2: Convolution2d<B>,
    norm2: BatchNorm<B>,
    conv3: Convolution2d<B>,
    norm3: BatchNorm<B>,
    hidden: Linear<B>,
    head: Linear<B>,
    #[module(skip)]
    dropout: f64,
}

/// The maximum over 2x2 pixels.
const HALVE: Window =
    Window { kernel: [1, 2, 2], stride: [1, 2, 2], padding: [0; 3], dilation: [1; 3], groups: 1 };

impl<B: Backend> NaiveCnn<B> {
    /// With first values drawn from `initial`.
    pub fn new(config: &NaiveCnnConfig, initial: &mut Initial, device: &B::Device) -> Self {
        let [first, second, third] = config.widths;
        Self {
            conv1: Convolution2d::new([3, first], [3, 1, 1], initial, device),
            norm1: BatchNorm::new(first, device),
            conv2: Convolution2d::new([first, second], [3, 1, 1], initial, device),
            norm2: BatchNorm::new(second, device),
            conv3: Convolution2d::new([second, third], [3, 1, 1], initial, device),
            norm3: BatchNorm::new(third, device),
            hidden: Linear::new([third, config.hidden], 0.01, initial, device),
            head: Linear::new([config.hidden, 2], 0.01, initial, device),
            dropout: config.dropout,
        }
    }
}

impl<B: NetworkBackend> NaiveCnn<B> {
    pub(crate) const BLOCKS: usize = 4;

    /// `[batch, 2]`: logits of real and fake, the mean over the valid frames.
    pub(crate) fn forward_block(
        &self,
        block: usize,
        input: Activation<B>,
        context: &Context<B>,
    ) -> Activation<B> {
        let extents = input.extents.clone();
        match block {
            0 => {
                let clip = self.conv1.forward(input.clip(), context);
                let extents = self.conv1.extents(&extents);
                let clip = self.norm1.forward(vec![clip], true, &extents, context);
                halved(clip, &extents, context)
            }
            1 => {
                let clip = self.conv2.forward(input.clip(), context);
                let extents = self.conv2.extents(&extents);
                let clip = self.norm2.forward(vec![clip], true, &extents, context);
                halved(clip, &extents, context)
            }
            2 => {
                let clip = self.conv3.forward(input.clip(), context);
                let extents = self.conv3.extents(&extents);
                let clip = self.norm3.forward(vec![clip], true, &extents, context);
                Activation::of_clip(clip, extents)
            }
            _ => {
                let clip = input.clip();
                let [batch, frames, rows, columns, channels] = clip.dims();
                // Each frame is a clip of its own up to the last layer.
                let valid = |clip: &[usize; 3], frame| {
                    if frame < clip[0] { [1, clip[1], clip[2]] } else { [0; 3] }
                };
                let of_frames = Extents::new(
                    extents
                        .valid()
                        .iter()
                        .flat_map(|clip| (0..frames).map(move |frame| valid(clip, frame)))
                        .collect(),
                );
                let frames_alone = clip.reshape([batch * frames, 1, rows, columns, channels]);
                let features = B::global_average(frames_alone, &of_frames, context.engine());
                let hidden = burn::tensor::activation::relu(self.hidden.forward(features, context));
                let logits = self.head.forward(dropout(hidden, self.dropout, context), context);
                let logits = logits.reshape([batch, frames, 1, 1, 2]);
                let mean = mean_over_frames(logits, &extents);
                Activation::of_rows(mean, extents)
            }
        }
    }
}

fn halved<B: NetworkBackend>(
    clip: Tensor<B, 5>,
    extents: &Extents,
    context: &Context<B>,
) -> Activation<B> {
    let clip = B::max_pool(clip, HALVE, context.engine());
    let extents = extents.after(HALVE.kernel, HALVE.stride, HALVE.padding);
    // An odd row or column may have reached beyond the clip; nothing is let through from there.
    let [_, frames, rows, columns, _] = clip.dims();
    Activation::of_clip(masked(clip, &extents, [frames, rows, columns]), extents)
}

/// 0 where no clip is.
fn masked<B: Backend>(clip: Tensor<B, 5>, extents: &Extents, grid: [usize; 3]) -> Tensor<B, 5> {
    if extents.fill(grid) {
        return clip;
    }
    let [frames, rows, columns] = grid;
    let shape = [extents.valid().len(), frames, rows, columns, 1];
    let data = burn::tensor::TensorData::new(extents.mask(grid), shape);
    let mask = Tensor::<B, 5>::from_data(data, &clip.device()).cast(clip.dtype());
    clip * mask
}

/// The mean over valid frames of `[batch, frames, 1, 1, width]`.
pub(crate) fn mean_over_frames<B: Backend>(
    frames: Tensor<B, 5>,
    extents: &Extents,
) -> Tensor<B, 2> {
    let [_, count, _, _, _] = frames.dims();
    let valid: Vec<[usize; 3]> = extents.valid().iter().map(|clip| [clip[0], 1, 1]).collect();
    let valid = Extents::new(valid);
    let frames = masked(frames, &valid, [count, 1, 1]);
    portable::global_average(frames, &valid)
}
