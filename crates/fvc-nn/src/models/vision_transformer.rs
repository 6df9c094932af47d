//! [`VisionTransformer`]: `ViT` (Dosovitskiy et al. 2021) on each frame, with timm's names.

use burn::module::{Module, Param};
use burn::tensor::Tensor;
use burn::tensor::backend::Backend;
use serde::{Deserialize, Serialize};

use crate::Context;
use crate::backend::NetworkBackend;
use crate::layers::{Initial, LayerNorm, Linear, attention, joined, linear};
use crate::tensor_parallel::{from_parts, into_parts};

/// What the transformer is made of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct VisionTransformerConfig {
    /// Side of the square pictures that it takes, in pixels; a multiple of the patch.
    pub image: usize,
    /// Side of a patch in pixels.
    pub patch: usize,
    /// Width of a token.
    pub width: usize,
    /// Blocks.
    pub depth: usize,
    /// Heads of attention in each; they divide the width.
    pub heads: usize,
}

impl Default for VisionTransformerConfig {
    /// ViT-B/16 at 224 pixels.
    fn default() -> Self {
        Self { image: 224, patch: 16, width: 768, depth: 12, heads: 12 }
    }
}

impl VisionTransformerConfig {
    /// A small one for processors: 64 pixels, patches of 8, width 96, 4 blocks.
    pub fn small() -> Self {
        Self { image: 64, patch: 8, width: 96, depth: 4, heads: 3 }
    }

    /// Patches along one side.
    pub fn side(&self) -> usize {
        self.image / self.patch.max(1)
    }
}

/// The picture cut into patches, each a token.
#[derive(Module, Debug)]
pub struct PatchEmbedding<B: Backend> {
    proj: PatchProjection<B>,
}

/// A convolution whose kernel is its stride, kept as PyTorch keeps it and computed as a linear layer.
#[derive(Module, Debug)]
pub struct PatchProjection<B: Backend> {
    /// `[width, 3, patch, patch]`.
    weight: Param<Tensor<B, 4>>,
    /// `[width]`.
    bias: Param<Tensor<B, 1>>,
}

/// Attention of every token to every token of its frame.
#[derive(Module, Debug)]
pub struct SelfAttention<B: Backend> {
    qkv: Linear<B>,
    proj: Linear<B>,
    #[module(skip)]
    heads: usize,
}

/// Two linear layers with a GELU between.
#[derive(Module, Debug)]
pub struct FeedForward<B: Backend> {
    fc1: Linear<B>,
    fc2: Linear<B>,
}

/// Attention and feed-forward, each behind a normalisation and beside a shortcut.
#[derive(Module, Debug)]
pub struct TransformerBlock<B: Backend> {
    norm1: LayerNorm<B>,
    attn: SelfAttention<B>,
    norm2: LayerNorm<B>,
    mlp: FeedForward<B>,
}

/// A vision transformer without its last layer: one vector a frame, that of the class token.
#[derive(Module, Debug)]
pub struct VisionTransformer<B: Backend> {
    patch_embed: PatchEmbedding<B>,
    cls_token: Param<Tensor<B, 3>>,
    pos_embed: Param<Tensor<B, 3>>,
    blocks: Vec<TransformerBlock<B>>,
    norm: LayerNorm<B>,
    #[module(skip)]
    patch: usize,
}

/// Of timm's vision transformers.
const EPSILON: f64 = 1e-6;

impl<B: Backend> VisionTransformer<B> {
    /// With first values drawn from `initial`.
    pub fn new(
        config: &VisionTransformerConfig,
        initial: &mut Initial,
        device: &B::Device,
    ) -> Self {
        let VisionTransformerConfig { patch, width, depth, heads, .. } = *config;
        let tokens = config.side() * config.side() + 1;
        let fan_in = (3 * patch * patch) as f32;
        let weight = initial.normal([width, 3, patch, patch], fan_in.sqrt().recip(), device);
        let bias = initial.uniform([width], 0.0, device);
        let block = |initial: &mut Initial| TransformerBlock {
            norm1: LayerNorm::new(width, EPSILON, device),
            attn: SelfAttention {
                qkv: Linear::truncated([width, 3 * width], initial, device),
                proj: Linear::truncated([width, width], initial, device),
                heads,
            },
            norm2: LayerNorm::new(width, EPSILON, device),
            mlp: FeedForward {
                fc1: Linear::truncated([width, 4 * width], initial, device),
                fc2: Linear::truncated([4 * width, width], initial, device),
            },
        };
        Self {
            patch_embed: PatchEmbedding { proj: PatchProjection { weight, bias } },
            cls_token: initial.normal([1, 1, width], 1e-6, device),
            pos_embed: initial.truncated_normal([1, tokens, width], 0.02, device),
            blocks: (0..depth).map(|_| block(initial)).collect(),
            norm: LayerNorm::new(width, EPSILON, device),
            patch,
        }
    }

    /// The same, whose attention has one of `count` equal parts of the heads.
    pub(crate) fn with_part_of_heads(mut self, count: usize) -> Self {
        for block in &mut self.blocks {
            block.attn.heads /= count;
        }
        self
    }

    /// How many blocks it has.
    pub fn depth(&self) -> usize {
        self.blocks.len()
    }
}

impl<B: NetworkBackend> VisionTransformer<B> {
    /// Pictures `[pictures, rows, columns, 3]` of the configured size to tokens `[pictures, 1 + patches,
    /// width]`.
    pub fn embed(&self, pictures: Tensor<B, 4>, context: &Context<B>) -> Tensor<B, 3> {
        let [count, rows, columns, _] = pictures.dims();
        let patch = self.patch;
        let (down, across) = (rows / patch, columns / patch);
        let weight = self.patch_embed.proj.weight.val();
        let width = weight.dims()[0];
        // Every patch as a row, in the order (channel, row, column) of the weight.
        let patches = pictures
            .reshape([count, down, patch, across, patch, 3])
            .permute([0, 1, 3, 5, 2, 4])
            .reshape([count, down * across, 3 * patch * patch]);
        let weight = weight.reshape([width, 3 * patch * patch]);
        let bias = Some(self.patch_embed.proj.bias.val());
        let tokens = linear(patches, weight, bias, context);
        let class = self.cls_token.val().expand([count, 1, width]);
        joined(vec![class, tokens], 1) + self.pos_embed.val()
    }

    /// One block over tokens.
    pub fn block(&self, number: usize, tokens: Tensor<B, 3>, context: &Context<B>) -> Tensor<B, 3> {
        let block = &self.blocks[number];
        let normal = block.norm1.forward_to_linear(tokens.clone(), context);
        let tokens = tokens + block.attn.forward(into_parts(normal, context), context);
        let normal = block.norm2.forward_to_linear(tokens.clone(), context);
        let hidden = block.mlp.fc1.forward_gelu(into_parts(normal, context), context);
        tokens + from_parts(&block.mlp.fc2, hidden, context)
    }

    /// The class token's vector: `[pictures, width]`.
    pub fn class(&self, tokens: Tensor<B, 3>, context: &Context<B>) -> Tensor<B, 2> {
        let [count, _, width] = tokens.dims();
        let class = tokens.slice([0..count, 0..1, 0..width]);
        self.norm.forward(class, context).reshape([count, width])
    }
}

impl<B: NetworkBackend> SelfAttention<B> {
    fn forward(&self, tokens: Tensor<B, 3>, context: &Context<B>) -> Tensor<B, 3> {
        let packed = self.qkv.forward(tokens, context);
        let attended = attention(packed, self.heads, None, 0.0, context);
        from_parts(&self.proj, attended, context)
    }
}
