//! Which videos, labels, groups and splits there are.
//!
//! Under construction.

mod examples;
mod groups;
mod label;
mod sealed_opening;
mod split;
mod view;

pub use examples::{Examples, ExamplesError, FeatureMatrix, FeatureRow};
pub use fvc_clips::write_atomically;
pub use groups::{GROUPING_VERSION, GroupEvidence, GroupId, GroupTable};
pub use label::{Label, LabelError};
pub use sealed_opening::SealedOpening;
pub use split::{Part, SPLIT_VERSION, Split, SplitConfig, SplitError};
pub use view::{
    EvalRow, EvalView, FitScope, LeakError, Prediction, Predictions, TrainRow, TrainView,
};
