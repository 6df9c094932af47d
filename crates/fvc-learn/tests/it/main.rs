//! The public face of the crate, tested from outside.

mod conformance;
mod corpus;
mod evaluation;
mod golden_logistic;
mod golden_xgboost;
mod logistic_solver;
mod model_files;
mod registry;
