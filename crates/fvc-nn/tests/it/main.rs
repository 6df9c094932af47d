//! Tests of networks through their public face.

mod networks;
mod training;
