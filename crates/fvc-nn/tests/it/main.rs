//! Tests of networks through their public face.

mod event_file;
mod metrics_log;
mod networks;
mod training;
