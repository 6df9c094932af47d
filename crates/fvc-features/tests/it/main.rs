//! Tests of the crate through its public face.

// Clippy takes helper functions outside `#[test]` for production code.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod clip;
mod golden;
mod invariance;
mod measured;
mod naive;
mod picture;
mod schema;
