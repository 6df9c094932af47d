//! Tests of the crate through its public face.

// Helpers outside of `#[test]` functions are tests too.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr)]

mod clip;
mod forensic;
mod golden;
mod invariance;
mod measured;
mod naive;
mod picture;
mod schema;
