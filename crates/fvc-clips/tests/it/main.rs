//! Tests of the crate through its public face.

// Helpers outside of `#[test]` functions are tests too.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr)]

mod corruption;
mod killed;
mod letterbox;
mod numpy;
#[path = "../../../fvc-features/tests/it/picture.rs"]
mod picture;
mod scale;
mod scaler;
mod size;
mod store;
