//! Networks that learn from clips.

mod across;
mod activation;
mod backend;
pub mod cast_policy;
mod checkpoint;
mod clip_batch;
mod clip_source;
mod collective;
mod context;
mod cost;
#[cfg(feature = "cuda")]
mod cuda;
mod device;
mod error;
mod event_file;
mod exchange;
mod extents;
mod flex;
mod flex_rows;
mod grad_cam;
mod job_folder;
mod layers;
mod loader;
mod loss;
mod loss_scale;
mod metrics_log;
mod mlflow;
mod models;
#[cfg(feature = "mpi")]
mod mpi_rank;
mod network;
mod optimizer;
pub mod portable;
mod position_grid;
mod pytorch_file;
mod random;
mod replicas;
mod sampler;
mod saved;
mod schedule;
mod settings;
mod soundness;
mod step;
mod stop_metric;
mod tensor_parallel;
mod trainer;
mod utc;
mod weights;

pub use across::{Across, PassSums};
pub use activation::Activation;
pub use backend::{NetworkBackend, NormOptions, Normalized, Window};
pub use clip_batch::{ClipBatch, DEVIATION, MEAN};
pub use clip_source::{ClipFile, ClipKey, ClipSource, StoredClips};
pub use collective::{Alone, Collective, CollectiveError, ThreadRank};
pub use context::{BatchStatistics, Context, Engine, Mode, Precision};
pub use cost::{LayerCost, TrainingMemory, TrainingShape};
pub use device::{Device, Devices, cuda_devices};
pub use error::NetworkError;
pub use event_file::EventFile;
pub use extents::Extents;
pub use grad_cam::{Heat, grad_cam, write_png};
pub use job_folder::{JobFile, RANK_PATIENCE, TrainedFile};
pub use layers::{
    BATCH_NORM_MOMENTUM, BatchNorm, Convolution2d, Convolution3d, Initial, LayerNorm, Linear,
    attention, dropout, gelu,
};
pub use loader::{LoadedBatch, Loader, load_batch};
pub use loss::{Loss, LossKind};
pub use loss_scale::LossScale;
pub use metrics_log::{MetricLine, MetricsLog};
pub use mlflow::{MlflowPatience, MlflowRun, MlflowStatus};
pub use models::naive_cnn::{NaiveCnn, NaiveCnnConfig};
pub use models::variable_ar_cnn::{Inception3d, VariableArCnn, VariableArCnnConfig};
pub use models::vision_transformer::{VisionTransformer, VisionTransformerConfig};
pub use models::vit_sequence::{VitGru, VitGruConfig, VitTransformer, VitTransformerConfig};
#[cfg(feature = "mpi")]
pub use mpi_rank::{MpiRank, MpiWorld};
pub use network::{FrameShape, Network, NetworkConfig, log_odds};
pub use optimizer::{
    AdamW, AdamWConfig, NamedGradients, TrainBackend, global_norm, shortening, update_statistics,
};
pub use random::CounterRandom;
pub use sampler::{Excerpt, Sampler, Source, bucketed, whole};
pub use saved::{NetworkReader, SavedNetwork};
pub use schedule::Schedule;
pub use settings::{NetworkSettings, PARAMETERS};
pub use step::{BatchOutcome, Graph, Targets, backward, backward_in_parts};
pub use stop_metric::StopMetric;
pub use tensor_parallel::TensorGroup;
pub use trainer::{
    ClassBalance, EpochRecord, LoaderConfig, Trained, TrainerConfig, TrainingEvent, TrainingJob,
    score_sources, train, train_together,
};
pub use weights::{Weight, WeightReport, Weights, check_weights};
