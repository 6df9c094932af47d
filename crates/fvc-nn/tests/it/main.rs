//! Tests of networks through their public face.

// Helpers outside of `#[test]` functions are tests too; a device's type says nothing that its backend does
// not.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::default_trait_access
)]

mod cost;
#[cfg(feature = "cuda")]
mod cuda;
mod event_file;
mod grad_cam;
mod metrics_log;
mod mlflow;
mod networks;
mod training;
