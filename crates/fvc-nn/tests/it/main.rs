//! Tests of networks through their public face.

// `Default::default()` is whichever device a backend has.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr)]
#![allow(clippy::default_trait_access)]

mod engines;
mod formula;
mod networks;
mod pytorch_parity;
mod training;
mod weight_files;
