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
mod matmul;
pub mod onednn;
mod portable;

pub use convolution::{convolution_backward_data, convolution_backward_weights, convolution_forward};
pub use element::{Element, ElementKind};
pub use engine::{Engine, bf16_is_fast};
pub use error::KernelError;
pub use geometry::{ConvGeometry, ConvSpec, PoolGeometry, PoolSpec};
pub use half::bf16;
pub use matmul::matmul;
