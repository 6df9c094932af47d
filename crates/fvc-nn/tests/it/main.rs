//! Tests of networks through their public face.

#![allow(clippy::default_trait_access, clippy::match_same_arms, clippy::type_complexity)]
#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr
)]

mod conformance;
mod cost;
#[cfg(feature = "cuda")]
mod cuda;
mod engines;
mod event_file;
mod formula;
mod grad_cam;
mod layers;
mod learning;
mod metrics_log;
mod mlflow;
mod networks;
mod pytorch_parity;
mod recipe;
mod settings;
mod soundness;
mod tensor_parallel;
mod together;
mod training;
mod variants;
mod weight_files;
