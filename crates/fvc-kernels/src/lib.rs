//! The hot loops of 3-D networks on the CPU, on plain slices.
//!
//! Everything is channels-last: element (n, d, h, w, c) of [N, D, H, W, C] lies at
//! `(((n * D + d) * H + h) * W + w) * C + c`. Activations are `f32` or `half::bf16` ([`Element`]); weights and
//! all numbers per channel are `f32`.

mod convolution;
mod element;
mod engine;
mod error;
mod geometry;
mod grid;
#[doc(hidden)]
pub mod instructions;
mod matmul;
mod normalize;
pub mod onednn;
mod pool;
mod portable;

pub use convolution::{
    convolution_backward_data, convolution_backward_weights, convolution_forward,
};
pub use element::{Element, ElementKind};
pub use engine::{Engine, bf16_is_fast};
pub use error::KernelError;
pub use geometry::{ConvGeometry, ConvSpec, PoolGeometry, PoolSpec};
pub use half::bf16;
pub use matmul::matmul;
pub use normalize::{
    ChannelStatistics, NormalizeMode, affine, channel_statistics, global_average_backward,
    global_average_forward, normalize_backward, normalize_forward,
};
pub use pool::{average_pool_backward, average_pool_forward, max_pool_backward, max_pool_forward};
