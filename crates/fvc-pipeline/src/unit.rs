//! [`Unit`]: what has been computed of one source.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::{Component, Path, PathBuf};

use fvc_augment::Draw;
use fvc_clips::{ClipEntry, ClipStore};
use fvc_corpus::write_atomically;
use fvc_media::{ContentId, DecodeVerdict, Facts};
use serde::{Deserialize, Serialize};

use crate::workspace::CLIPS;
use crate::{PipelineError, Workspace};

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

/// Why an output is not there as it was recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Flaw {
    /// There is no file.
    Missing,
    /// The file has no bytes.
    Empty,
    /// The file is another.
    Damaged(String),
}

impl fmt::Display for Flaw {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => formatter.write_str("no file"),
            Self::Empty => formatter.write_str("a file of no bytes"),
            Self::Damaged(found) => formatter.write_str(found),
        }
    }
}

impl Output {
    /// The file that it names, from the workspace's root; nothing where the record holds all of it.
    pub fn file(&self) -> Option<PathBuf> {
        match self {
            Self::Features(_) => None,
            Self::Clip(entry) => Some(Path::new(CLIPS).join(&entry.path)),
            Self::File { path, .. } => Some(PathBuf::from(path)),
        }
    }

    /// Whether it is there as it was recorded, by the hash of what it names.
    pub(crate) fn check(&self, workspace: &Workspace, store: &ClipStore) -> Result<(), Flaw> {
        let Some(relative) = self.file() else { return Ok(()) };
        let inside = relative.components().all(|part| matches!(part, Component::Normal(_)));
        if !inside {
            return Err(Flaw::Damaged(format!("{} is outside", relative.display())));
        }
        let path = workspace.root().join(relative);
        match fs::metadata(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(Flaw::Missing);
            }
            Ok(found) if found.len() == 0 => return Err(Flaw::Empty),
            _ => {}
        }
        match self {
            Self::Features(_) => Ok(()),
            Self::Clip(entry) => {
                store.verify(entry).map_err(|error| Flaw::Damaged(error.to_string()))
            }
            Self::File { bytes, hash, .. } => file_is(&path, *bytes, hash),
        }
    }
}

fn file_is(path: &Path, bytes: u64, hash: &str) -> Result<(), Flaw> {
    let damaged = |expected: String, found: String| {
        Flaw::Damaged(format!("{}: expected {expected}, found {found}", path.display()))
    };
    let found = fs::metadata(path).map_err(|error| damaged("a file".into(), error.to_string()))?;
    if found.len() != bytes {
        return Err(damaged(format!("{bytes} bytes"), format!("{} bytes", found.len())));
    }
    let found = ContentId::of_file(path)
        .map_err(|error| damaged("a file".into(), error.to_string()))?
        .to_hex();
    if found == hash {
        Ok(())
    } else {
        Err(damaged(format!("hash {hash}"), format!("hash {found}")))
    }
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
    /// The configuration that asked for them, as JSON, without what changes no output. It is text, so
    /// that a record stays whole when keys come or go: what cannot be read then only cannot be made
    /// again under it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) settings: Option<String>,
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
