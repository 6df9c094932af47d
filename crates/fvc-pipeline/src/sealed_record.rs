//! [`save`] and [`load`]: a record as JSON under a hash of its own, written whole or not at all.

use std::fs;
use std::path::Path;

use fvc_corpus::write_atomically;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::PipelineError;

#[derive(Serialize)]
struct FileOf<'a, T> {
    version: u32,
    hash: String,
    record: &'a T,
}

#[derive(Deserialize)]
struct Head {
    version: u32,
}

#[derive(Deserialize)]
struct Read<T> {
    hash: String,
    record: T,
}

/// BLAKE3 of a record's JSON, in hexadecimal.
pub(crate) fn hash<T: Serialize>(record: &T) -> Result<String, PipelineError> {
    let bytes = serde_json::to_vec(record)
        .map_err(|error| PipelineError::Internal { what: error.to_string() })?;
    Ok(blake3::hash(&bytes).to_hex().to_string())
}

/// Writes a record of this version.
pub(crate) fn save<T: Serialize>(
    path: &Path,
    version: u32,
    record: &T,
) -> Result<(), PipelineError> {
    let file = FileOf { version, hash: hash(record)?, record };
    let bytes = serde_json::to_vec(&file)
        .map_err(|error| PipelineError::Internal { what: error.to_string() })?;
    write_atomically(path, &bytes)
        .map_err(|source| PipelineError::Io { path: path.to_owned(), source })
}

/// Reads a record of this version; nothing where there is no file.
pub(crate) fn load<T: Serialize + DeserializeOwned>(
    path: &Path,
    version: u32,
) -> Result<Option<T>, PipelineError> {
    let corrupt = |expected: String, found: String| PipelineError::Corrupt {
        path: path.to_owned(),
        expected,
        found,
    };
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(PipelineError::Io { path: path.to_owned(), source }),
    };
    let json = |error: serde_json::Error| corrupt("a record as JSON".to_owned(), error.to_string());
    // Other versions have other fields.
    let Head { version: found } = serde_json::from_slice(&bytes).map_err(json)?;
    if found != version {
        return Err(corrupt(format!("a record of version {version}"), format!("version {found}")));
    }
    let Read { hash: expected, record } =
        serde_json::from_slice::<Read<T>>(&bytes).map_err(json)?;
    let found = hash(&record)?;
    if found != expected {
        return Err(corrupt(format!("a record with hash {expected}"), format!("hash {found}")));
    }
    Ok(Some(record))
}
