//! [`LearnError`]: why something could not be fitted, scored or read back.

use std::path::PathBuf;

use fvc_corpus::{ExamplesError, GroupId, LeakError, SplitError};

/// Why something could not be fitted, scored or read back.
///
/// The variants are ordered by who is at fault: the caller's settings, the data, the numerical
/// method or library, a file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LearnError {
    /// No model of this name.
    #[error("Unknown model (expected one of {expected}): {found}")]
    UnknownModel {
        /// The names that exist.
        expected: String,
        /// The name that was given.
        found: String,
    },
    /// A model that learns from the features of a stage that are not there.
    #[error("Model {model}: expected features of {stage}, found none")]
    NoFeatures {
        /// The model.
        model: &'static str,
        /// The stage, as in the names of its columns.
        stage: &'static str,
    },
    /// A model that learns from clips was asked to fit on rows of features.
    #[error("Model {model} learns from clips: it has no fit on features")]
    LearnsFromClips {
        /// The model.
        model: &'static str,
    },
    /// A network could not be trained or asked.
    #[error("{model}: {problem}")]
    Network {
        /// The model.
        model: &'static str,
        /// What went wrong, for people.
        problem: String,
        /// Whether the user's settings are at fault.
        by_settings: bool,
    },
    /// The model has no parameter of this name.
    #[error("train.parameters.{model}: expected names among {expected}; found {found}")]
    UnknownParameter {
        /// The model.
        model: &'static str,
        /// The names that exist.
        expected: String,
        /// The name that was given.
        found: String,
    },
    /// A parameter outside its range, of another type, or against another parameter.
    #[error("Model {model}, parameter {name}: expected {expected}, found {found}")]
    Parameter {
        /// The model.
        model: &'static str,
        /// The parameter.
        name: &'static str,
        /// What it may be.
        expected: String,
        /// What it is.
        found: String,
    },
    /// The program was built without what this model's fit needs.
    #[error("Model {model} cannot be fitted by this build: expected the cargo feature {feature}")]
    NotBuilt {
        /// The model.
        model: &'static str,
        /// The feature.
        feature: &'static str,
    },
    /// The columns of a view are not those that something was fitted on.
    #[error("Columns differ at {at}: expected {expected}, found {found}")]
    Columns {
        /// Position of the first difference, from 0.
        at: usize,
        /// The name that was fitted on, or `no further column`.
        expected: String,
        /// The name that was found, or `no further column`.
        found: String,
    },
    /// A row with another number of values than the model has inputs.
    #[error("Row to score: expected {expected} values, found {found}")]
    Width {
        /// The model's inputs.
        expected: usize,
        /// The row's values.
        found: usize,
    },
    /// The side to learn from holds one class only.
    #[error(
        "Cannot fit model {model} on one class: expected real and fake sources, found {real} real and {fake} fake"
    )]
    OneClass {
        /// The model.
        model: &'static str,
        /// Real sources.
        real: usize,
        /// Fake sources.
        fake: usize,
    },
    /// Nothing is left to learn from.
    #[error("Cannot fit model {model}: expected {expected}, found none")]
    Nothing {
        /// The model.
        model: &'static str,
        /// `rows` or `columns`.
        expected: &'static str,
    },
    /// A value that the model cannot take: a missing one after preprocessing without imputation,
    /// or one beyond the range of its arithmetic.
    #[error("Model {model}, column {column}: expected {expected}, found {found}")]
    Value {
        /// The model.
        model: &'static str,
        /// The column.
        column: String,
        /// What it takes.
        expected: &'static str,
        /// What it got.
        found: f64,
    },
    /// Row weights that a library without such weights cannot be given.
    #[error("Model {model} cannot weigh these rows: expected {expected}, found {found}")]
    Weights {
        /// The model.
        model: &'static str,
        /// What it can be given.
        expected: String,
        /// What there is.
        found: String,
    },
    /// The optimiser stopped before its tolerance, and the caller asked for an error then.
    #[error(
        "Model {model} did not converge in {iterations} iterations: expected a gradient of at most {expected:e}, found {found:e}"
    )]
    NotConverged {
        /// The model.
        model: &'static str,
        /// How many iterations it made.
        iterations: u32,
        /// The tolerance.
        expected: f64,
        /// The largest component of the (sub)gradient that was reached.
        found: f64,
    },
    /// The library that fits the model failed.
    #[error("{library} failed to {doing}: {message}")]
    Library {
        /// The library.
        library: &'static str,
        /// What it was asked for.
        doing: &'static str,
        /// What it says.
        message: String,
    },
    /// A stored model that is damaged, foreign, or beyond the bounds of the format.
    #[error("Refused a stored model: expected {expected}, found {found}")]
    Model {
        /// What it must be.
        expected: String,
        /// What it is.
        found: String,
    },
    /// A score that is no probability.
    #[error("Score of a source of group {group}: expected a probability, found {found}")]
    Score {
        /// The group.
        group: GroupId,
        /// The score.
        found: f64,
    },
    /// A model file that cannot be written or read, or is not as it was written.
    #[error("Model file {}: expected {expected}, found {found}", path.display())]
    ModelFile {
        /// The file.
        path: PathBuf,
        /// What should be there.
        expected: String,
        /// What is there.
        found: String,
    },
    /// Somebody asked to stop.
    #[error("Stopped on request; the same command goes on from what there is")]
    Cancelled,
    /// The groups cannot be split as asked.
    #[error(transparent)]
    Split(#[from] SplitError),
    /// A row to be scored was fitted on.
    #[error(transparent)]
    Leak(#[from] LeakError),
    /// Rows and columns that do not fit together.
    #[error(transparent)]
    Examples(#[from] ExamplesError),
}
