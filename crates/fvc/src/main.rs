//! The `fvc` binary: arguments in, exit code out.
fn main() {}
