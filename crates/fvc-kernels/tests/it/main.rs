//! Every kernel against its portable twin or a definition written out.

mod convolution;
mod normalize;
mod pool;
mod support;
