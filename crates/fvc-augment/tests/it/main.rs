//! Tests of the crate through its public face.

mod clips;
mod forgeries;
mod rotation;
mod variants;
