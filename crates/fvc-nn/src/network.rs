//! [`Network`]: any of the architectures behind one face, run block by block.

use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::backend::Backend;
use burn::tensor::{DType, Tensor};
use serde::{Deserialize, Serialize};

use crate::activation::Activation;
use crate::backend::NetworkBackend;
use crate::cast_policy::{LayerKind, format_of};
use crate::layers::Initial;
use crate::models::naive_cnn::{NaiveCnn, NaiveCnnConfig};
use crate::models::variable_ar_cnn::{VariableArCnn, VariableArCnnConfig};
use crate::models::vision_transformer::VisionTransformerConfig;
use crate::models::vit_sequence::{VitGru, VitGruConfig, VitTransformer, VitTransformerConfig};
use crate::weights::ModulePath;
use crate::{Context, Precision};

/// Which network, and what it is made of: what a model file records.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "architecture", rename_all = "snake_case")]
pub enum NetworkConfig {
    /// See [`VariableArCnn`].
    VariableArCnn(VariableArCnnConfig),
    /// See [`NaiveCnn`].
    NaiveCnn(NaiveCnnConfig),
    /// See [`VitGru`].
    VitGru(VitGruConfig),
    /// See [`VitTransformer`].
    VitTransformer(VitTransformerConfig),
}

/// How a network wants its frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameShape {
    /// As they are; clips of a batch are padded to the largest.
    AnyShape,
    /// On squares of this side, the aspect ratio kept, padded at the right and below.
    Square(usize),
}

impl NetworkConfig {
    /// How it wants its frames.
    pub fn frame_shape(&self) -> FrameShape {
        match self {
            Self::VariableArCnn(_) | Self::NaiveCnn(_) => FrameShape::AnyShape,
            Self::VitGru(config) => FrameShape::Square(config.backbone.image),
            Self::VitTransformer(config) => FrameShape::Square(config.backbone.image),
        }
    }

    /// The name of its architecture.
    pub fn name(&self) -> &'static str {
        match self {
            Self::VariableArCnn(_) => "variable_ar_cnn",
            Self::NaiveCnn(_) => "naive_cnn",
            Self::VitGru(_) => "vit_gru",
            Self::VitTransformer(_) => "vit_transformer",
        }
    }

    /// Its vision transformer, where it has one.
    pub fn backbone(&self) -> Option<&VisionTransformerConfig> {
        match self {
            Self::VariableArCnn(_) | Self::NaiveCnn(_) => None,
            Self::VitGru(config) => Some(&config.backbone),
            Self::VitTransformer(config) => Some(&config.backbone),
        }
    }

    /// Blocks of its backbone; 0 where it has none.
    pub fn backbone_depth(&self) -> usize {
        self.backbone().map_or(0, |backbone| backbone.depth)
    }

    /// The network with first values drawn from a seed.
    pub fn init<B: NetworkBackend>(&self, seed: u64, device: &B::Device) -> Network<B> {
        let initial = &mut Initial::new(seed);
        match self {
            Self::VariableArCnn(config) => {
                Network::VariableArCnn(VariableArCnn::new(config, initial, device))
            }
            Self::NaiveCnn(config) => Network::NaiveCnn(NaiveCnn::new(config, initial, device)),
            Self::VitGru(config) => Network::VitGru(VitGru::new(config, initial, device)),
            Self::VitTransformer(config) => {
                Network::VitTransformer(VitTransformer::new(config, initial, device))
            }
        }
    }
}

/// Any of the architectures.
#[derive(Module, Debug)]
#[allow(clippy::large_enum_variant, reason = "one lives at a time")]
pub enum Network<B: Backend> {
    /// See [`VariableArCnn`].
    VariableArCnn(VariableArCnn<B>),
    /// See [`NaiveCnn`].
    NaiveCnn(NaiveCnn<B>),
    /// See [`VitGru`].
    VitGru(VitGru<B>),
    /// See [`VitTransformer`].
    VitTransformer(VitTransformer<B>),
}

impl<B: NetworkBackend> Network<B> {
    /// How many blocks it is run in; between two of them stands one activation.
    pub fn blocks(&self) -> usize {
        match self {
            Self::VariableArCnn(_) => VariableArCnn::<B>::BLOCKS,
            Self::NaiveCnn(_) => NaiveCnn::<B>::BLOCKS,
            Self::VitGru(network) => network.blocks(),
            Self::VitTransformer(network) => network.blocks(),
        }
    }

    /// Runs one block.
    pub fn forward_block(
        &self,
        block: usize,
        input: Activation<B>,
        context: &Context<B>,
    ) -> Activation<B> {
        context.enter_block(block);
        match self {
            Self::VariableArCnn(network) => network.forward_block(block, input, context),
            Self::NaiveCnn(network) => network.forward_block(block, input, context),
            Self::VitGru(network) => network.forward_block(block, input, context),
            Self::VitTransformer(network) => network.forward_block(block, input, context),
        }
    }

    /// All blocks: clips `[batch, frames, rows, columns, 3]` to `[batch, outputs]`, one output (log odds
    /// of fake) or two (real, fake).
    pub fn forward(&self, clips: Activation<B>, context: &Context<B>) -> Tensor<B, 2> {
        let mut activation = clips;
        for block in 0..self.blocks() {
            activation = self.forward_block(block, activation, context);
        }
        activation.rows()
    }
}

/// Rounds the weights of linear layers.
struct RoundLinear {
    path: ModulePath,
    format: DType,
}

impl<B: Backend> ModuleMapper<B> for RoundLinear {
    fn enter_module(&mut self, name: &str, _container_type: &str) {
        self.path.enter(name);
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.exit();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<B, D>>) -> Param<Tensor<B, D>> {
        let name = self.path.name();
        // Recurrent layers (`weight_ih_l0`) and tables of positions are no linear layers.
        let is_linear = D == 2 && (name.ends_with(".weight") || name.ends_with(".in_proj_weight"));
        if is_linear { param.map(|weight| weight.cast(self.format)) } else { param }
    }
}

impl<B: NetworkBackend> Network<B> {
    /// The network for scoring in this precision: what every pass would round is rounded once. Scores are the
    /// same, and passes over large vision transformers take a fourth less time.
    #[must_use]
    pub fn for_scoring(self, precision: Precision) -> Self {
        match format_of(LayerKind::Linear, precision) {
            DType::F32 => self,
            format => self.map(&mut RoundLinear { path: ModulePath::default(), format }),
        }
    }
}

/// The log odds of fake from a network's outputs, `[batch]`: the one output, or fake's minus real's (so
/// that the binary loss on it is the cross-entropy of both).
pub fn log_odds<B: Backend>(outputs: Tensor<B, 2>) -> Tensor<B, 1> {
    let [batch, width] = outputs.dims();
    if width == 1 {
        return outputs.reshape([batch]);
    }
    let real = outputs.clone().slice([0..batch, 0..1]);
    (outputs.slice([0..batch, 1..2]) - real).reshape([batch])
}
