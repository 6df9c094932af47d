//! Tests of the crate through its public face.

mod cache;
mod encode;
