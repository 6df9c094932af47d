//! [`Unit`]: what has been computed of one source.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use fvc_augment::Draw;
use fvc_clips::ClipEntry;
use fvc_corpus::write_atomically;
use fvc_media::{ContentId, DecodeVerdict, Facts};
use serde::{Deserialize, Serialize};

use crate::PipelineError;

/// Version of the record.
const UNIT_VERSION: u32 = 1;

/// The largest record that is read, in bytes.
const MAX_UNIT_BYTES: u64 = 64 << 20;

/// Something that was computed of a source.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Output {
    /// One value a column of the feature set; missing ones are null.
    Features(Vec<Option<f64>>),
    /// Scaled frames in the clip store.
    Clip(ClipEntry),
    /// A file of the workspace.
    File {
        /// Path from the workspace's root.
        path: String,
        /// Size in bytes.
        bytes: u64,
        /// BLAKE3 of its bytes, in hexadecimal.
        hash: String,
    },
}

/// One decode of the source: why, and what it gave.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Pass {
    /// Why the source was decoded.
    pub reason: String,
    /// Frames that went through the decoder.
    pub decoded_frames: u64,
    /// Names of the outputs that it gave.
    pub outputs: Vec<String>,
}

/// What has been computed of one source. It is written whole after a pass, with a hash over all of
/// it: an output counts as there when it stands here and what it names has the recorded hash, and
/// never because some file exists.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Unit {
    version: u32,
    /// The source.
    pub content_id: ContentId,
    /// Its facts, as the decode of the whole file left them.
    pub facts: Facts,
    /// What the decode said of the file.
    pub verdict: DecodeVerdict,
    /// The one draw of each variant, as it was applied, by variant number.
    pub draws: BTreeMap<u32, Draw>,
    /// Outputs by name; see [`crate::plan`].
    pub outputs: BTreeMap<String, Output>,
    /// Every decode of the source.
    pub passes: Vec<Pass>,
}

#[derive(Serialize, Deserialize)]
struct UnitFile {
    hash: String,
    unit: Unit,
}

/// What a look at a record found.
#[derive(Debug)]
pub enum UnitState {
    /// Nothing has been computed yet.
    None,
    /// The record, as it was written.
    Whole(Box<Unit>),
    /// A file that is no record, or was changed: everything is owed again.
    Damaged(String),
}

impl Unit {
    /// A record without outputs.
    pub fn new(content_id: ContentId, facts: Facts, verdict: DecodeVerdict) -> Self {
        Self {
            version: UNIT_VERSION,
            content_id,
            facts,
            verdict,
            draws: BTreeMap::new(),
            outputs: BTreeMap::new(),
            passes: Vec::new(),
        }
    }

    /// Reads a record and checks its hash.
    ///
    /// # Errors
    /// The file is there and cannot be read; damage is a state, not an error.
    pub fn load(path: &Path, content_id: &ContentId) -> Result<UnitState, PipelineError> {
        let io = |source| PipelineError::Io { path: path.to_owned(), source };
        match fs::metadata(path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Ok(UnitState::None);
            }
            Err(error) => return Err(io(error)),
            Ok(found) if found.len() > MAX_UNIT_BYTES => {
                return Ok(UnitState::Damaged(format!("{} bytes", found.len())));
            }
            Ok(_) => {}
        }
        let bytes = fs::read(path).map_err(io)?;
        let file: UnitFile = match serde_json::from_slice(&bytes) {
            Ok(file) => file,
            Err(error) => return Ok(UnitState::Damaged(error.to_string())),
        };
        if file.unit.version != UNIT_VERSION {
            return Ok(UnitState::Damaged(format!("version {}", file.unit.version)));
        }
        if file.unit.content_id != *content_id {
            return Ok(UnitState::Damaged(format!("record of source {}", file.unit.content_id)));
        }
        if hash(&file.unit)? != file.hash {
            return Ok(UnitState::Damaged(
                "contents that do not have the recorded hash".to_owned(),
            ));
        }
        Ok(UnitState::Whole(Box::new(file.unit)))
    }

    /// Writes the record, whole or not at all.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn save(&self, path: &Path) -> Result<(), PipelineError> {
        let file = UnitFile { hash: hash(self)?, unit: self.clone() };
        let bytes = serde_json::to_vec(&file)
            .map_err(|error| PipelineError::Internal { what: error.to_string() })?;
        write_atomically(path, &bytes)
            .map_err(|source| PipelineError::Io { path: path.to_owned(), source })
    }
}

fn hash(unit: &Unit) -> Result<String, PipelineError> {
    let bytes = serde_json::to_vec(unit)
        .map_err(|error| PipelineError::Internal { what: error.to_string() })?;
    Ok(blake3::hash(&bytes).to_hex().to_string())
}
