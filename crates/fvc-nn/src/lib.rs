//! Networks that learn from clips.

mod activation;
mod backend;
pub mod cast_policy;
mod context;
mod error;
mod extents;
mod flex;
mod layers;
mod loss;
mod models;
mod network;
mod optimizer;
pub mod portable;
mod random;
mod schedule;
mod step;
mod weights;

pub use activation::Activation;
pub use backend::{NetworkBackend, NormOptions, Normalized, Window};
pub use context::{BatchStatistics, Context, Engine, Mode, Precision};
pub use error::NetworkError;
pub use extents::Extents;
pub use layers::{
    BATCH_NORM_MOMENTUM, BatchNorm, Convolution2d, Convolution3d, Initial, LayerNorm, Linear,
    dropout, global_average,
};
pub use loss::{Loss, LossKind};
pub use models::naive_cnn::{NaiveCnn, NaiveCnnConfig};
pub use models::variable_ar_cnn::{Inception3d, VariableArCnn, VariableArCnnConfig};
pub use models::vision_transformer::{VisionTransformer, VisionTransformerConfig};
pub use models::vit_sequence::{VitGru, VitGruConfig, VitTransformer, VitTransformerConfig};
pub use network::{FrameShape, Network, NetworkConfig, log_odds};
pub use optimizer::{AdamW, AdamWConfig, NamedGradients, TrainBackend};
pub use random::CounterRandom;
pub use schedule::Schedule;
pub use step::{BatchOutcome, Targets, backward};
pub use weights::{Weight, WeightReport, Weights};
