//! Tests of networks through their public face.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr)]

mod cost;
#[cfg(feature = "cuda")]
mod cuda;
mod engines;
mod event_file;
mod formula;
mod grad_cam;
mod metrics_log;
mod mlflow;
mod networks;
mod pytorch_parity;
mod training;
mod weight_files;
