//! The public face of the crate, tested from outside.

// Helpers outside of `#[test]` functions are tests too.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr)]

mod conformance;
mod corpus;
mod detector_files;
#[cfg(all(feature = "svm", feature = "xgboost"))]
mod ensembles;
mod evaluation;
mod golden_logistic;
mod golden_metrics;
#[cfg(feature = "svm")]
mod golden_svm;
mod golden_xgboost;
mod intervals;
mod logistic_solver;
mod model_files;
mod nesting;
mod registry;
mod simulated;
#[cfg(feature = "svm")]
mod svm_probabilities;
mod verdicts;
