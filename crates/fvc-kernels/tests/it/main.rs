//! Every kernel against its portable twin or a definition written out.

mod convolution;
mod support;
