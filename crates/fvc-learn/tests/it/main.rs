//! The public face of the crate, tested from outside.

// Helpers outside of `#[test]` functions are tests too.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr)]

mod conformance;
mod corpus;
mod detector_files;
mod evaluation;
mod golden_logistic;
mod golden_metrics;
mod golden_xgboost;
mod intervals;
mod logistic_solver;
mod model_files;
mod nesting;
mod registry;
mod simulated;
mod verdicts;
