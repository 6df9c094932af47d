//! Tests of the crate through its public face.

// Helpers outside of `#[test]` functions are tests too.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr)]

mod clips;
mod forgeries;
mod pictures;
mod platforms;
mod rotation;
mod table;
mod temporal;
mod variants;
