//! The hot loops of 3-D networks on the CPU, on plain slices.
//!
//! Everything is channels-last: element (n, d, h, w, c) of a tensor of N samples, D frames, H rows, W columns
//! and C channels lies at `(((n * D + d) * H + h) * W + w) * C + c`. Activations are `f32` or `half::bf16`
//! ([`Element`]); weights and all numbers per channel are `f32`, weights in the order output channel, input
//! channel of the group, depth, height, width.
//!
//! Convolutions and matrix products run on the system's oneDNN where there is one ([`Engine`]), else, and
//! for geometries that it gets wrong, in safe Rust. The rest is safe Rust anyway, and gives the same bits on
//! any number of threads and any instruction set.
//!
//! | module | what is in it |
//! |---|---|
//! | `geometry` | checked sizes |
//! | `convolution`, `matmul` | what has two engines |
//! | [`onednn`], `portable` | the engines |
//! | `pool`, `normalize`, `rows` | the rest |
//! | `instructions` | loops compiled for several instruction sets |
//!
//! ```
//! use fvc_kernels::{ConvGeometry, ConvSpec, Engine, convolution_forward};
//!
//! // Two samples of 4 frames of 6x6, 3 channels to 8.
//! let geometry = ConvGeometry::new(ConvSpec::same(2, 3, 8, [4, 6, 6], [3; 3]))?;
//! let src = vec![1.0_f32; geometry.input_len()];
//! let weights = vec![0.5; geometry.weights_len()];
//! let mut dst = vec![0.0_f32; geometry.output_len()];
//! convolution_forward(Engine::best(), &geometry, &src, &weights, None, &mut dst)?;
//! // A corner sees 2x2x2 positions of 3 channels.
//! assert_eq!(dst[0], 12.0);
//! # Ok::<(), fvc_kernels::KernelError>(())
//! ```

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
mod rows;

pub use convolution::{
    convolution_backward_data, convolution_backward_weights, convolution_forward,
};
pub use element::{Element, ElementKind};
pub use engine::{Engine, bf16_is_fast};
pub use error::KernelError;
pub use geometry::{ConvGeometry, ConvSpec, PoolGeometry, PoolSpec};
pub use half::bf16;
pub use matmul::{gelu_of_product, matmul, matmul_of_batch, product_of_batch};
pub use normalize::{
    ChannelStatistics, NormalizeMode, affine, channel_statistics, global_average_backward,
    global_average_forward, normalize_backward, normalize_backward_across, normalize_forward,
};
pub use pool::{average_pool_backward, average_pool_forward, max_pool_backward, max_pool_forward};
pub use rows::{
    PackedHeads, from_f32, gelu_backward, gelu_forward, join_heads, layer_norm_backward,
    layer_norm_forward, softmax_backward, softmax_forward, split_heads, sum_rows, sum_squares,
    to_f32,
};
