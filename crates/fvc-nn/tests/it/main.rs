//! Tests of networks through their public face.

mod metrics_log;
mod networks;
mod training;
