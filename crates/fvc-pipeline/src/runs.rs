//! [`list`]: the runs of a workspace.

use std::fs;
use std::path::{Path, PathBuf};

use fvc_learn::ModelKind;
use serde::{Deserialize, Serialize};

use crate::PipelineError;

/// A run folder as it stands on disk.
#[derive(Clone, Debug, Serialize)]
pub struct RunSummary {
    /// The experiment it belongs to.
    pub experiment: String,
    /// The folder's name: time (UTC) and hash.
    pub name: String,
    /// The folder.
    pub path: PathBuf,
    /// The chosen model; missing when the run has no result.
    pub chosen: Option<ModelKind>,
    /// The chosen model's file.
    pub chosen_file: Option<PathBuf>,
    /// Why it failed, when it did.
    pub failure: Option<String>,
}

/// The part of a run's result that a listing needs.
#[derive(Deserialize)]
struct ResultHead {
    chosen: ModelKind,
    chosen_file: PathBuf,
}

#[derive(Deserialize)]
struct FailureHead {
    error: String,
}

/// The chosen model of the run in `folder`, wherever that lies and whatever its name; none where it has no
/// result.
///
/// # Errors
/// The result cannot be read, or is not as it was written.
pub(crate) fn chosen_in(folder: &Path) -> Result<Option<PathBuf>, PipelineError> {
    let result: Option<ResultHead> = read(&folder.join("result.json"))?;
    Ok(result.and_then(|head| head.chosen_file.file_name().map(|name| folder.join(name))))
}

/// Every run under `runs`, by experiment and name. A run without a result and without a failure was
/// cut off, or is still at work.
///
/// # Errors
/// A folder cannot be read, or a result is not as it was written.
pub fn list(runs: &Path) -> Result<Vec<RunSummary>, PipelineError> {
    let mut found = Vec::new();
    for experiment in folders(runs)? {
        for path in folders(&experiment)? {
            let (Some(name), Some(experiment)) = (file_name(&path), file_name(&experiment)) else {
                continue;
            };
            if !name.starts_with("run_") {
                continue;
            }
            let result: Option<ResultHead> = read(&path.join("result.json"))?;
            let failure: Option<FailureHead> = read(&path.join("failure.json"))?;
            found.push(RunSummary {
                experiment,
                name,
                chosen: result.as_ref().map(|head| head.chosen),
                // The folder may have been moved as a whole: the file's name is what counts.
                chosen_file: result
                    .and_then(|head| head.chosen_file.file_name().map(|name| path.join(name))),
                failure: failure.map(|head| head.error),
                path,
            });
        }
    }
    found.sort_by(|left, right| {
        (&left.experiment, &left.name).cmp(&(&right.experiment, &right.name))
    });
    Ok(found)
}

fn file_name(path: &Path) -> Option<String> {
    path.file_name().map(|name| name.to_string_lossy().into_owned())
}

fn folders(path: &Path) -> Result<Vec<PathBuf>, PipelineError> {
    let io = |source| PipelineError::Io { path: path.to_owned(), source };
    let entries = match fs::read_dir(path) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(io(error)),
    };
    let mut folders = Vec::new();
    for entry in entries {
        let entry = entry.map_err(io)?;
        if entry.file_type().map_err(io)?.is_dir() {
            folders.push(entry.path());
        }
    }
    folders.sort();
    Ok(folders)
}

fn read<T: for<'de> Deserialize<'de>>(path: &Path) -> Result<Option<T>, PipelineError> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(PipelineError::Io { path: path.to_owned(), source }),
    };
    serde_json::from_slice(&bytes).map(Some).map_err(|error| PipelineError::Corrupt {
        path: path.to_owned(),
        expected: "the record of a run".to_owned(),
        found: error.to_string(),
    })
}
