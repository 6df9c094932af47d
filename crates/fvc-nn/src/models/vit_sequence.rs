//! [`VitSequence`]: `vit_gru` and `vit_transformer`, a vision transformer on each frame and a network
//! over their vectors.

use burn::module::Module;
use burn::tensor::Tensor;
use burn::tensor::backend::Backend;
use serde::{Deserialize, Serialize};

use super::frame_sequence::{GatedRecurrentUnit, TransformerEncoder, positions};
use super::naive_cnn::mean_over_frames;
use super::vision_transformer::{VisionTransformer, VisionTransformerConfig};
use crate::activation::Activation;
use crate::backend::NetworkBackend;
use crate::layers::{Initial, Linear, dropout};
use crate::{Context, Extents};

/// What `vit_gru` is made of.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct VitGruConfig {
    /// The transformer on each frame.
    pub backbone: VisionTransformerConfig,
    /// Units of each recurrent layer.
    pub hidden: usize,
    /// Recurrent layers.
    pub layers: usize,
    /// Share dropped between the layers and before the last.
    pub dropout: f64,
}

impl Default for VitGruConfig {
    fn default() -> Self {
        let backbone = VisionTransformerConfig::default();
        Self { backbone, hidden: 256, layers: 2, dropout: 0.5 }
    }
}

/// What `vit_transformer` is made of.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct VitTransformerConfig {
    /// The transformer on each frame.
    pub backbone: VisionTransformerConfig,
    /// Width of the encoder's feed-forward layers.
    pub feed_forward: usize,
    /// Layers of the encoder.
    pub layers: usize,
    /// Heads of the encoder; they divide the backbone's width.
    pub heads: usize,
    /// Share dropped in the encoder and before the last layer.
    pub dropout: f64,
    /// Whether frames are told their place by sines and cosines. Without, the encoder cannot know the
    /// order of frames, as in the earlier system.
    pub positions: bool,
}

impl Default for VitTransformerConfig {
    fn default() -> Self {
        let backbone = VisionTransformerConfig::default();
        Self { backbone, feed_forward: 2048, layers: 2, heads: 8, dropout: 0.5, positions: true }
    }
}

/// A vision transformer on each frame, gated recurrent units over the vectors, one logit of the state
/// after the last frame.
#[derive(Module, Debug)]
pub struct VitGru<B: Backend> {
    backbone: VisionTransformer<B>,
    gru: GatedRecurrentUnit<B>,
    head: Linear<B>,
    #[module(skip)]
    dropout: f64,
}

/// A vision transformer on each frame, a transformer encoder over the vectors, one logit of their mean.
#[derive(Module, Debug)]
pub struct VitTransformer<B: Backend> {
    backbone: VisionTransformer<B>,
    encoder: TransformerEncoder<B>,
    head: Linear<B>,
    #[module(skip)]
    dropout: f64,
    #[module(skip)]
    positions: bool,
}

impl<B: Backend> VitGru<B> {
    /// With first values drawn from `initial`.
    pub fn new(config: &VitGruConfig, initial: &mut Initial, device: &B::Device) -> Self {
        let VitGruConfig { backbone, hidden, layers, dropout } = config;
        Self {
            backbone: VisionTransformer::new(backbone, initial, device),
            gru: GatedRecurrentUnit::new(
                [backbone.width, *hidden, *layers],
                *dropout,
                initial,
                device,
            ),
            head: Linear::new([*hidden, 1], 0.01, initial, device),
            dropout: *dropout,
        }
    }

    pub(crate) fn with_part_of_heads(mut self, count: usize) -> Self {
        self.backbone = self.backbone.with_part_of_heads(count);
        self
    }

    pub(crate) fn blocks(&self) -> usize {
        self.backbone.depth() + 2
    }
}

impl<B: Backend> VitTransformer<B> {
    /// With first values drawn from `initial`.
    pub fn new(config: &VitTransformerConfig, initial: &mut Initial, device: &B::Device) -> Self {
        let VitTransformerConfig { backbone, feed_forward, layers, heads, dropout, positions } =
            config;
        Self {
            backbone: VisionTransformer::new(backbone, initial, device),
            encoder: TransformerEncoder::new(
                [backbone.width, *feed_forward, *layers, *heads],
                *dropout,
                initial,
                device,
            ),
            head: Linear::new([backbone.width, 1], 0.01, initial, device),
            dropout: *dropout,
            positions: *positions,
        }
    }

    pub(crate) fn with_part_of_heads(mut self, count: usize) -> Self {
        self.backbone = self.backbone.with_part_of_heads(count);
        self
    }

    pub(crate) fn blocks(&self) -> usize {
        self.backbone.depth() + 2
    }
}

/// The blocks of the backbone: the embedding, then each of the transformer's. After the last, tokens.
fn forward_backbone<B: NetworkBackend>(
    backbone: &VisionTransformer<B>,
    block: usize,
    input: Activation<B>,
    context: &Context<B>,
) -> Activation<B> {
    let extents = input.extents.clone();
    if block == 0 {
        let clip = input.clip();
        let [batch, frames, rows, columns, channels] = clip.dims();
        let pictures = clip.reshape([batch * frames, rows, columns, channels]);
        return Activation::of_tokens(backbone.embed(pictures, context), extents);
    }
    Activation::of_tokens(backbone.block(block - 1, input.tokens(), context), extents)
}

/// The frames' vectors: `[batch, frames, width]`.
fn frame_vectors<B: NetworkBackend>(
    backbone: &VisionTransformer<B>,
    tokens: Tensor<B, 3>,
    extents: &Extents,
    context: &Context<B>,
) -> Tensor<B, 3> {
    let vectors = backbone.class(tokens, context);
    let [pictures, width] = vectors.dims();
    let batch = extents.valid().len().max(1);
    vectors.reshape([batch, pictures / batch, width])
}

impl<B: NetworkBackend> VitGru<B> {
    pub(crate) fn forward_block(
        &self,
        block: usize,
        input: Activation<B>,
        context: &Context<B>,
    ) -> Activation<B> {
        if block + 1 < self.blocks() {
            return forward_backbone(&self.backbone, block, input, context);
        }
        let extents = input.extents.clone();
        let vectors = frame_vectors(&self.backbone, input.tokens(), &extents, context);
        let state = self.gru.forward(vectors, &extents, context);
        let logits = self.head.forward(dropout(state, self.dropout, context), context);
        Activation::of_rows(logits, extents)
    }
}

impl<B: NetworkBackend> VitTransformer<B> {
    pub(crate) fn forward_block(
        &self,
        block: usize,
        input: Activation<B>,
        context: &Context<B>,
    ) -> Activation<B> {
        if block + 1 < self.blocks() {
            return forward_backbone(&self.backbone, block, input, context);
        }
        let extents = input.extents.clone();
        let mut vectors = frame_vectors(&self.backbone, input.tokens(), &extents, context);
        let [batch, frames, width] = vectors.dims();
        if self.positions {
            let places = positions(frames, width, &vectors.device());
            vectors = vectors + places;
        }
        let encoded = self.encoder.forward(vectors, &extents, context);
        let mean = mean_over_frames(encoded.reshape([batch, frames, 1, 1, width]), &extents);
        let logits = self.head.forward(dropout(mean, self.dropout, context), context);
        Activation::of_rows(logits, extents)
    }
}
