//! Which videos, labels, groups and splits there are.
//!
//! - [`gather`] reads folders and tables into [`Candidate`]s, [`read_fake_video_corpus`] the tables and
//!   video folders of that corpus under a [`LabelPolicy`]; [`Index::build`] joins them by content id
//!   into [`Source`]s with groups ([`GroupTable`]).
//! - [`Examples::join`] ties feature rows to labels and groups; a [`Split`] deals groups to folds
//!   and a sealed part, and is the only maker of [`TrainView`] and [`EvalView`]; a [`Fitted`]
//!   model carries what it has seen.
//! - What goes wrong is a [`Failure`]; what was done is a [`Manifest`] whose counts add up; openings
//!   of the sealed part stand in the [`Ledger`]; a run keeps its records in a [`RunFolder`].
//!
//! ```
//! use fvc_corpus::{GroupEvidence, GroupTable};
//! use fvc_media::ContentId;
//!
//! let source = |bytes: &[u8], group: &str| GroupEvidence {
//!     content_id: ContentId::of_bytes(bytes),
//!     declared: vec![group.to_owned()],
//! };
//! let groups = GroupTable::build(&[source(b"a", "f1"), source(b"b", "f1"), source(b"c", "r2")]);
//! assert_eq!(groups.group_count(), 2);
//! ```

mod candidate;
mod contained;
mod error;
mod examples;
mod failure;
mod fake_video_corpus;
mod fingerprint;
mod fitted;
mod groups;
mod index;
mod label;
mod label_policy;
mod ledger;
mod manifest;
mod near_duplicates;
mod newcomers;
mod run_folder;
mod sealed_opening;
mod split;
mod table;
mod view;

pub use candidate::{Candidate, Gathered, check_input, gather, is_sidecar};
pub use error::CorpusError;
pub use examples::{Examples, ExamplesError, FeatureMatrix, FeatureRow};
pub use failure::{Failure, FailureTable};
pub use fake_video_corpus::{FakeVideoCorpus, FvcTable, FvcTables, read_fake_video_corpus};
pub use fingerprint::{
    FINGERPRINT_SIDE, FINGERPRINT_VERSION, Fingerprint, FingerprintBuilder, FingerprintError,
    FingerprintSample,
};
pub use fitted::{FitScope, Fitted, StoredError};
pub use fvc_clips::{copy_atomically, write_atomically};
pub use groups::{GROUPING_VERSION, GroupEvidence, GroupId, GroupTable};
pub use index::{Index, Source, SplitTable, read_split_table};
pub use label::{Label, LabelError};
pub use label_policy::{ConflictRule, LabelPolicy, LabelRule, LabelRuleError, LabelUse};
pub use ledger::Ledger;
pub use manifest::{DecodeCounts, Manifest};
pub use near_duplicates::{
    HashedSources, LikelyCopies, NEAR_DUPLICATE_VERSION, NearDuplicate, SHARED_SECONDS,
};
pub use newcomers::{Admission, Newcomer};
pub use run_folder::{RunFile, RunFolder};
pub use sealed_opening::SealedOpening;
pub use split::{MAX_FOLDS, Part, SPLIT_VERSION, Split, SplitConfig, SplitError};
pub use table::{
    PredictionRow, feature_matrix_bytes, read_feature_matrix, write_feature_matrix,
    write_predictions,
};
pub use view::{EvalRow, EvalView, LeakError, Prediction, Predictions, TrainRow, TrainView};
