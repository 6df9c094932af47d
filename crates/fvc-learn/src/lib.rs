//! From rows in groups to a verdict that keeps its promise: models, their choice, calibration,
//! numbers with intervals, thresholds.
//!
//! # The way of the data
//!
//! ```text
//! Examples ─► Split ─┬─► TrainView ─► Preprocessor ─► Estimator ─► Fitted ───────────┐
//!                    │       └─ inner folds: search over the grid, Calibration ──────┤
//!                    └─► EvalView ──────────────────────────────► margin ─► probability
//!                                                                              │
//!            Detector ◄─ fit on all that is not sealed ◄─ Thresholds ◄─ Metrics, intervals
//! ```
//!
//! 1. [`cross_validate`] goes over the outer folds of a [`fvc_corpus::Split`]. Everything that is
//!    learnt for a fold is learnt from its [`fvc_corpus::TrainView`]: medians, scales and dropped
//!    columns ([`Preprocessor`]), the grid point ([`Selection`], by log loss over inner folds), the
//!    model ([`Fitted`]), and the sigmoid from margins to probabilities ([`Calibration`], on the
//!    margins that the inner folds left out). Then each source of the other side is scored once.
//! 2. The scores of all folds become [`Metrics`] by source and by group, each with an [`Interval`]
//!    from a bootstrap over groups ([`Evaluation`]), beside trivial models ([`Baseline`]) that learn
//!    from the container, the duration, the size or the pattern of missing values only; what a model
//!    is worth is its [`Margin`] over the best of them by each number.
//! 3. [`fit_final`] repeats the search on all groups that are not sealed and takes its
//!    [`Thresholds`] from the outer folds' probabilities. The [`Detector`] that comes of it says
//!    real, fake or uncertain, what it promises, and why; it is one file, read back with its hash.
//! 4. [`evaluate_sealed`] scores the sealed part, for a recorded [`fvc_corpus::SealedOpening`].
//!
//! The families behind [`ModelKind`] are logistic regression and linear machines ([`LinearModel`]),
//! machines with Gaussian kernel ([`KernelModel`]), boosted trees ([`TreeModel`]) and ensembles of
//! these ([`EnsembleModel`]), whose weights are learnt on groups that their models have not seen.
//! Models that learn from clips are fitted by a [`ClipEstimator`] and judged in the same way
//! ([`cross_validate_clips`]).
//!
//! Everywhere the group is what is drawn, held out and counted: sources of one origin are not
//! independent, and a number that takes them so is too good. Every fit is a function of its rows,
//! parameters and seed, to the bit.
//!
//! ```
//! use std::collections::BTreeMap;
//! use std::sync::atomic::AtomicBool;
//!
//! use fvc_corpus::{
//!     Examples, FeatureMatrix, FeatureRow, GroupEvidence, GroupTable, Label, Split, SplitConfig,
//! };
//! use fvc_learn::{
//!     ColumnRoles, Grid, Metric, ModelKind, Parameters, TrainSettings, cross_validate, fit_final,
//! };
//! use fvc_media::ContentId;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // Thirty videos, two of each origin; the fakes are blurred.
//! let (mut evidence, mut labels, mut rows) = (Vec::new(), BTreeMap::new(), Vec::new());
//! for number in 0..30_u32 {
//!     let content_id = ContentId::of_bytes(&number.to_le_bytes());
//!     let fake = number % 4 < 2;
//!     evidence.push(GroupEvidence { content_id, declared: vec![format!("{}", number / 2)] });
//!     labels.insert(content_id, if fake { Label::Fake } else { Label::Real });
//!     let sharpness = f64::from(number % 7) + if fake { 0.0 } else { 9.0 };
//!     rows.push(FeatureRow { content_id, variant: 0, values: vec![sharpness] });
//! }
//! let groups = GroupTable::build(&evidence);
//! let matrix = FeatureMatrix { columns: vec!["sharpness".to_owned()], rows };
//! let examples = Examples::join(matrix, &labels, &groups)?;
//! let config = SplitConfig { folds: 3, test_fraction: 0.0, seed: 1 };
//! let split = Split::plan(&groups, &labels, &config)?;
//!
//! let roles = ColumnRoles { model: vec!["sharpness".to_owned()], ..ColumnRoles::default() };
//! let settings = TrainSettings {
//!     grid: Grid::Small,
//!     inner_folds: 3,
//!     seed: 1,
//!     max_error: 0.2,
//!     bootstrap_draws: 200,
//!     parameters: Parameters::new(),
//! };
//! let (kind, go) = (ModelKind::LogisticRegression, AtomicBool::new(false));
//! let found = cross_validate(kind, &examples, &roles, &split, &settings, &go, &mut |_| {})?;
//! assert_eq!(found.predictions.len(), 30);
//! let auc = found.by_source.estimate(Metric::RocAucWithinFolds).and_then(|auc| auc.value);
//! assert_eq!(auc, Some(1.0));
//!
//! let detector = fit_final(kind, &examples, &roles, &split, &settings, &found, &go)?;
//! assert_eq!(detector.assess(&[3.0]).verdict.to_string(), "fake");
//! assert_eq!(detector.assess(&[12.0]).verdict.to_string(), "real");
//! # Ok(())
//! # }
//! ```
//!
//! # What cannot be written
//!
//! The types refuse it (each with a test that it does not compile, beside one that does):
//!
//! - learning from what will be scored, or from rows that no split has dealt: [`Estimator::fit`] and
//!   [`Preprocessor::fit`] take a [`fvc_corpus::TrainView`], which only a split hands out;
//! - seeing a label while scoring: an [`fvc_corpus::EvalRow`] has none;
//! - scoring with what was never fitted, or with parameters that were never checked: an
//!   [`Estimator`] has no scores, and only [`ModelKind::estimator`] makes one; a view is scored by
//!   a [`fvc_corpus::Fitted`] alone, which a fit ties to what it saw, and by nothing beside it;
//! - opening the sealed part unrecorded: the ledger alone makes a [`fvc_corpus::SealedOpening`].
//!
//! What types cannot tell is an error: a model that has seen a group does not score it
//! ([`LearnError::Leak`]); columns in another order ([`LearnError::Columns`]), a side with one
//! class ([`LearnError::OneClass`]) or a changed file ([`LearnError::ModelFile`]) are refused. What
//! is not known is missing: a metric without its class, an interval of one group, a verdict on too
//! few groups. None of them is ever 0.

mod boosting;
mod bootstrap;
mod calibration;
mod clip_estimator;
mod cross_validation;
mod detector;
mod ensemble;
mod error;
mod estimator;
mod linear;
mod metrics;
mod model_body;
mod nearest;
mod parameter_reader;
mod preprocess;
mod registry;
mod svm;
mod thresholds;
mod training_table;

pub use boosting::{Tree, TreeModel};
pub use bootstrap::{Estimate, Evaluation, Interval, LEVEL, Margin};
pub use calibration::Calibration;
pub use clip_estimator::{
    ClipDetector, ClipEstimator, ClipFit, ClipReading, cross_validate_clips, each_clip_fit,
    evaluate_sealed_clips, fit_final_clips,
};
pub use cross_validation::{
    Baseline, ColumnRoles, CrossValidation, FoldOutcome, GridPoint, ScoredSource, SealedEvaluation,
    Selection, TrainEvent, TrainSettings, cross_validate, evaluate_sealed, fit_final,
};
pub use detector::{Assessment, Detector, Reason, Unusual};
pub use ensemble::EnsembleModel;
pub use error::LearnError;
pub use estimator::{Estimator, Fitted, FittedModel, ParameterValue, Parameters};
pub use linear::LinearModel;
pub use metrics::{
    CALIBRATION_BINS, Confusion, LOG_LOSS_CLIP, Metric, Metrics, THRESHOLD, Weighting,
};
pub use model_body::{Contributions, MODEL_BODY_VERSION, ModelBody};
pub use nearest::with_nearest;
pub use preprocess::{Collinearity, DropReason, DroppedColumn, Preprocessor, PreprocessorConfig};
pub use registry::{Grid, ModelKind};
pub use svm::KernelModel;
pub use thresholds::{Thresholds, Verdict};
