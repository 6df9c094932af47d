//! Tests of networks through their public face.

mod engines;
mod formula;
mod networks;
mod pytorch_parity;
mod training;
mod weight_files;
