//! Estimators, selection, metrics, calibration and statistics.
//!
//! [`cross_validate`] evaluates a [`ModelKind`] over the outer folds of a split, [`fit_final`] makes the
//! [`Detector`] that gives verdicts. Everything that is fitted on the way goes through views.

mod boosting;
mod bootstrap;
mod calibration;
mod cross_validation;
mod detector;
mod error;
mod estimator;
mod linear;
mod metrics;
mod model_body;
mod parameter_reader;
mod preprocess;
mod registry;
mod thresholds;
mod training_table;

pub use boosting::{Tree, TreeModel};
pub use bootstrap::{Estimate, Evaluation, Interval, LEVEL, Margin};
pub use calibration::Calibration;
pub use cross_validation::{
    Baseline, ColumnRoles, CrossValidation, FoldOutcome, GridPoint, ScoredSource, SealedEvaluation,
    Selection, TrainEvent, TrainSettings, cross_validate, evaluate_sealed, fit_final,
};
pub use detector::{Assessment, Detector, Unusual};
pub use error::LearnError;
pub use estimator::{Estimator, Fitted, ParameterValue, Parameters};
pub use linear::LinearModel;
pub use metrics::{
    CALIBRATION_BINS, Confusion, LOG_LOSS_CLIP, Metric, Metrics, THRESHOLD, Weighting,
};
pub use model_body::{Contributions, MODEL_BODY_VERSION, ModelBody};
pub use preprocess::{Collinearity, DropReason, DroppedColumn, Preprocessor, PreprocessorConfig};
pub use registry::{Grid, ModelKind};
pub use thresholds::{Thresholds, Verdict};
