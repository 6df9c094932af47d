//! [`PipelineError`]: why a command could not do its work at all.
//!
//! What is wrong with one source is never one of these: it is a row of the failure table.

use std::io;
use std::path::PathBuf;

fn nothing_usable(inputs: u64, first: &str) -> String {
    match inputs {
        0 => format!("Nothing to use: {first}"),
        1 => format!("The one input could not be used: {first}"),
        _ => format!("None of the {inputs} inputs could be used; first failure: {first}"),
    }
}

/// Why a command could not do its work at all.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PipelineError {
    /// A file or folder of the workspace.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The configuration.
    #[error("Configuration{}: {problem}", path.as_ref().map_or_else(String::new, |path| format!(" {}", path.display())))]
    Config {
        /// The file, when it came from one.
        path: Option<PathBuf>,
        /// The key, what was expected, what was found.
        problem: String,
    },
    /// A file that the workspace itself wrote and that is not as it was written.
    #[error("{}: expected {expected}, found {found}", path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What should be there.
        expected: String,
        /// What is there.
        found: String,
    },
    /// A stage whose input is not there yet.
    #[error("{missing}; {instead}")]
    NotReady {
        /// What is not there.
        missing: String,
        /// What to run first.
        instead: String,
    },
    /// Shares that do not make a whole.
    #[error("{}: expected {expected}, found {found}; {instead}", path.display())]
    Shards {
        /// The folder of the records.
        path: PathBuf,
        /// What makes a whole.
        expected: String,
        /// What is there.
        found: String,
        /// What to do.
        instead: String,
    },
    /// Two workspaces, or two shares, that say different things of the same.
    #[error("Conflict in {what}: expected {expected}, found {found}")]
    Conflict {
        /// Of what.
        what: String,
        /// What one says.
        expected: String,
        /// What the other says.
        found: String,
    },
    /// Nothing could be used of what was given.
    #[error("{}", nothing_usable(*inputs, first))]
    NothingUsable {
        /// How many inputs there were.
        inputs: u64,
        /// The first failure.
        first: String,
    },
    /// A recipe that this version of the program does not follow.
    #[error("Model {}: made with {expected}, this program has {found}", path.display())]
    Recipe {
        /// The model file.
        path: PathBuf,
        /// What the model needs.
        expected: String,
        /// What there is.
        found: String,
    },
    /// The corpus: tables, index, splits.
    #[error(transparent)]
    Corpus(#[from] fvc_corpus::CorpusError),
    /// The split.
    #[error(transparent)]
    Split(#[from] fvc_corpus::SplitError),
    /// Rows that could not be joined.
    #[error(transparent)]
    Examples(#[from] fvc_corpus::ExamplesError),
    /// Fitting or evaluating.
    #[error(transparent)]
    Learn(#[from] fvc_learn::LearnError),
    /// The media cache.
    #[error(transparent)]
    Cache(#[from] fvc_media::CacheError),
    /// What no source is to blame for, met while one was read.
    #[error(transparent)]
    Media(#[from] fvc_media::MediaError),
    /// The clip store.
    #[error(transparent)]
    Clips(#[from] fvc_clips::ClipStoreError),
    /// The user asked to stop; everything finished so far is kept.
    #[error(
        "Stopped on request; every file that is there is whole, and the same command goes on from there"
    )]
    Cancelled,
    /// Something that should not be able to happen.
    #[error("Internal: {what}")]
    Internal {
        /// What happened.
        what: String,
    },
}
