//! Every kernel against its portable twin or a definition written out.

#![allow(clippy::unwrap_used, clippy::print_stderr)] // also in functions that are no tests themselves

mod convolution;
mod normalize;
mod pool;
mod rows;
mod same_bits;
mod support;
