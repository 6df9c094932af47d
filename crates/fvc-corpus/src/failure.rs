//! [`Failure`] and [`FailureTable`]: what gave no result, and why.

use std::fmt;
use std::path::{Path, PathBuf};

use fvc_media::ContentId;
use serde::{Deserialize, Serialize};

use crate::{CorpusError, write_atomically};

/// One input that gave no result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// The input.
    pub path: PathBuf,
    /// Its content id, where it has one.
    pub content_id: Option<ContentId>,
    /// Where it failed.
    pub stage: String,
    /// The reason code.
    pub reason: String,
    /// What a good input has.
    pub expected: String,
    /// What this one has.
    pub found: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, reason, expected, found, .. } = self;
        write!(formatter, "{}: {reason}: expected {expected}, found {found}", path.display())
    }
}

/// All failures of a command.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FailureTable {
    rows: Vec<Failure>,
}

impl From<Vec<Failure>> for FailureTable {
    fn from(rows: Vec<Failure>) -> Self {
        Self { rows }
    }
}

/// Columns of `failures.csv`.
const COLUMNS: [&str; 6] = ["path", "content_id", "stage", "reason", "expected", "found"];

/// The columns that a table has, for an error.
pub(crate) fn columns_found<T: AsRef<str>>(heads: &[T]) -> String {
    let heads: Vec<&str> = heads.iter().map(AsRef::as_ref).collect();
    if heads.iter().all(|head| head.is_empty()) {
        return "no columns".to_owned();
    }
    format!("columns {}", heads.join(", "))
}

impl FailureTable {
    /// The rows.
    pub fn rows(&self) -> &[Failure] {
        &self.rows
    }

    /// Writes `failures.csv` into a folder, whole or not at all; an empty table has its head only.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn save(&self, folder: &Path) -> Result<(), CorpusError> {
        let path = folder.join("failures.csv");
        write_atomically(&path, &self.to_csv(&path)?)
            .map_err(|source| CorpusError::Io { path: path.clone(), source })
    }

    /// The bytes that [`Self::save`] writes to `path`.
    ///
    /// # Errors
    /// The rows cannot be written as CSV.
    pub fn to_csv(&self, path: &Path) -> Result<Vec<u8>, CorpusError> {
        let io = |source| CorpusError::Io { path: path.to_owned(), source };
        let mut writer = csv::Writer::from_writer(Vec::new());
        let csv_error = |error: csv::Error| io(error.into());
        writer.write_record(COLUMNS).map_err(csv_error)?;
        for row in &self.rows {
            let id = row.content_id.map_or_else(String::new, |id| id.to_hex());
            let path = row.path.display().to_string();
            writer
                .write_record([&path, &id, &row.stage, &row.reason, &row.expected, &row.found])
                .map_err(csv_error)?;
        }
        writer.into_inner().map_err(|error| io(std::io::Error::other(error.to_string())))
    }

    /// Reads `failures.csv` of a folder.
    ///
    /// # Errors
    /// The file cannot be read, or is no failure table.
    pub fn load(folder: &Path) -> Result<Self, CorpusError> {
        let path = folder.join("failures.csv");
        let wrong = |error: csv::Error| CorpusError::Table {
            path: path.clone(),
            expected: "a failure table".to_owned(),
            found: error.to_string(),
        };
        let mut reader = csv::Reader::from_path(&path).map_err(wrong)?;
        let heads = reader.headers().map_err(wrong)?;
        if heads != COLUMNS.as_slice() {
            return Err(CorpusError::Table {
                path: path.clone(),
                expected: format!("columns {}", COLUMNS.join(", ")),
                found: columns_found(&heads.iter().collect::<Vec<_>>()),
            });
        }
        let mut rows = Vec::new();
        for record in reader.records() {
            let record = record.map_err(wrong)?;
            let cell = |at: usize| record.get(at).unwrap_or("").to_owned();
            let id = cell(1);
            let content_id = if id.is_empty() {
                None
            } else {
                Some(id.parse().map_err(|error: fvc_media::ContentIdError| CorpusError::Table {
                    path: path.clone(),
                    expected: "a content id".to_owned(),
                    found: error.found,
                })?)
            };
            rows.push(Failure {
                path: PathBuf::from(cell(0)),
                content_id,
                stage: cell(2),
                reason: cell(3),
                expected: cell(4),
                found: cell(5),
            });
        }
        Ok(Self { rows })
    }
}
