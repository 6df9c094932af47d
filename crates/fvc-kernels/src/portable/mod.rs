//! The same operations in safe Rust: what runs where oneDNN is not, and what it is tested against.

mod convolution;
mod matmul;

pub(crate) use convolution::{backward_data, backward_weights, forward};
pub(crate) use matmul::matmul;
