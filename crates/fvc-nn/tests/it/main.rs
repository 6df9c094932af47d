//! Tests of networks through their public face.

mod cost;
mod event_file;
mod grad_cam;
mod metrics_log;
mod mlflow;
mod networks;
mod training;
