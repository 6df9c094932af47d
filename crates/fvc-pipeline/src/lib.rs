//! The planner and the five stages: from an index of labelled videos to a trained, honestly
//! evaluated detector, and from a new video to a verdict.
//!
//! - [`index`] reads folders and tables into a [`Workspace`], [`index_fake_video_corpus`] that corpus.
//! - [`run_stages`] plans what every source owes ([`plan`]) and pays it in one pass a source:
//!   variants, features, scaled frames, features of scaled frames.
//! - A [`Shard`] is a share of either; [`merge`] joins shares, and whole workspaces. [`verify`] holds a
//!   workspace against its records, and mends it.
//! - [`train`] joins the tables, asks the split for views, fits, calibrates, evaluates and writes a
//!   run folder.
//! - [`predict`] gives a verdict on new videos; [`forge`] makes manipulated twins to learn from.
//!
//! ```no_run
//! use std::path::{Path, PathBuf};
//! use std::sync::{Arc, atomic::AtomicBool};
//! use fvc_pipeline::{Config, Environment, Silent, StageSelection, TrainOptions, Workspace};
//!
//! // The first line of every program that reads video: it may be started as the decoder child.
//! fvc_media::child_main_if_requested();
//! let config = Config::default();
//! let workspace = Workspace::open_or_create(Path::new("workspace"))?;
//! let environment = Environment {
//!     config: &config,
//!     workspace: &workspace,
//!     cancel: Arc::new(AtomicBool::new(false)),
//!     progress: &Silent,
//! };
//! fvc_pipeline::index(&environment, &[PathBuf::from("corpus.csv")])?;
//! let stages: StageSelection = "1-4".parse()?;
//! let outcome = fvc_pipeline::run_stages(&environment, &stages, None)?;
//! assert_eq!(outcome.failures.len(), 0);
//! let trained = fvc_pipeline::train(&environment, &TrainOptions::default())?;
//! println!("{}", trained.chosen_file.display());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod config;
mod error;
mod examine;
mod facts_columns;
mod feature_tables;
mod file_sink;
mod forging;
mod gathering;
mod group_explanation;
mod grouping;
mod indexing;
mod inputs;
mod join_units;
mod lock;
mod merge;
mod network_child;
mod network_training;
mod pass;
pub mod plan;
mod prediction;
mod progress;
pub mod ranks;
mod replayed_clips;
pub mod runs;
mod scaled_sinks;
mod sealed_record;
mod shard;
mod stage_record;
mod stages;
mod training;
mod unit;
mod verify;
mod workspace;

pub use config::{AugmentConfig, Config, ReadingConfig, ScaleConfig, SplitSection, TrainConfig};
pub use error::PipelineError;
pub use feature_tables::{FORENSIC_PREFIX, NATIVE_PREFIX, Recipe, SCALED_PREFIX};
pub use forging::{DonorCut, Donors, ForgeOptions, ForgeOutcome, ForgedFile, RefusedKind, forge};
pub use group_explanation::{ExplainedSource, GroupExplanation, explain_group};
pub use grouping::{Grouping, LargeGroup, group_sources, grouped_index, read_grouped_index};
pub use indexing::{
    IndexOutcome, IndexShareOutcome, index, index_fake_video_corpus, index_fake_video_corpus_share,
    index_share,
};
pub use merge::{MergeOutcome, merge};
pub use network_child::network_child_if_requested;
pub use plan::{Stage, StageSelection};
pub use prediction::{
    FilePrediction, KnownAs, LoadedModel, PredictOptions, Predictions, ScoredFile, predict,
};
pub use progress::{Progress, Silent};
pub use shard::{Shard, ShardError};
pub use stages::{Environment, StagesOutcome, run_stages};
pub use training::{
    ExportedJobs, Machine, ModelRecipe, RunRecord, SealedResult, SourceCounts, TrainOptions,
    TrainOutcome, TrainedModel, check_training, export_jobs, newest_model, train,
};
pub use unit::{Output, Pass, Unit, UnitState};
pub use verify::{Checked, Finding, Mended, VerifyOutcome, Wrong, verify};
pub use workspace::Workspace;
