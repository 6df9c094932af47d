//! [`group_sources`]: the groups of an index with what the fingerprints add to them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Read;

use fvc_corpus::{
    FINGERPRINT_VERSION, Fingerprint, GroupId, Index, NEAR_DUPLICATE_VERSION, NearDuplicate,
    find_near_duplicates, write_atomically,
};
use fvc_media::ContentId;
use serde::{Deserialize, Serialize};

use crate::lock::Lock;
use crate::plan::fingerprint_name;
use crate::stages::Environment;
use crate::{Output, PipelineError, Unit, UnitState, Workspace};

/// Share of the sources above which a group is suspicious: one wrong tie may hold it together.
const LARGE_GROUP: f64 = 0.05;

/// Groups below this many sources are never suspicious: a share of a small corpus says nothing.
const SMALL_GROUP: usize = 10;

/// Version of the file of ties.
const FILE_VERSION: u32 = 1;

/// An index whose groups are final.
#[derive(Clone, Debug)]
pub struct Grouping {
    /// The index, with groups over content ids, declared groups and near-duplicates.
    pub index: Index,
    /// Every tie by content.
    pub near_duplicates: Vec<NearDuplicate>,
    /// Sources that were compared.
    pub fingerprinted: BTreeSet<ContentId>,
    /// Sources that have been decoded, but before fingerprints of this version: their copies are not
    /// known.
    pub without_fingerprint: Vec<ContentId>,
}

/// A group that is large enough to be looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LargeGroup {
    /// The group.
    pub group: GroupId,
    /// Its sources.
    pub sources: usize,
    /// Of how many.
    pub of: usize,
    /// Ties by content inside it.
    pub near_duplicates: usize,
}

/// The ties of a set of fingerprints, as kept in the workspace.
#[derive(Serialize, Deserialize)]
struct TiesFile {
    version: u32,
    /// What they were computed from.
    inputs: String,
    /// BLAKE3 of the ties as JSON.
    hash: String,
    ties: Vec<NearDuplicate>,
}

impl Grouping {
    /// Groups with more than 5 % of the sources (and 10 of them), the largest first.
    pub fn large_groups(&self) -> Vec<LargeGroup> {
        let mut sizes: BTreeMap<&GroupId, usize> = BTreeMap::new();
        for source in self.index.sources() {
            *sizes.entry(&source.group).or_insert(0) += 1;
        }
        let of = self.index.sources().len();
        let mut large: Vec<LargeGroup> = sizes
            .into_iter()
            .filter(|&(_, size)| size >= SMALL_GROUP && size as f64 > LARGE_GROUP * of as f64)
            .map(|(group, sources)| LargeGroup {
                group: group.clone(),
                sources,
                of,
                near_duplicates: self
                    .near_duplicates
                    .iter()
                    .filter(|tie| self.index.groups().group(&tie.first) == Some(group))
                    .count(),
            })
            .collect();
        large.sort_by_key(|found| std::cmp::Reverse(found.sources));
        large
    }

    /// What a reader of the groups must know: how many ties content added, and groups that are
    /// suspiciously large.
    pub fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        if !self.near_duplicates.is_empty() {
            let tied: BTreeSet<ContentId> =
                self.near_duplicates.iter().flat_map(|tie| [tie.first, tie.second]).collect();
            notes.push(format!(
                "{} sources show footage of another one and stand in its group ({} ties)",
                tied.len(),
                self.near_duplicates.len()
            ));
        }
        for found in self.large_groups() {
            notes.push(format!(
                "group {} holds {} of {} sources, {} ties in it by content: see `fvc index \
                 --explain-group {}`",
                found.group, found.sources, found.of, found.near_duplicates, found.group
            ));
        }
        notes
    }
}

/// A fingerprint that a unit names.
struct Named {
    path: std::path::PathBuf,
    bytes: u64,
    hash: String,
}

/// Reads the index and joins its groups by what the fingerprints of all decoded sources show. Ties
/// that were computed from the same fingerprints are read, not computed.
///
/// # Errors
/// There is no index, a fingerprint is not as it was written, or the workspace cannot be written.
pub fn group_sources(environment: &Environment<'_>) -> Result<Grouping, PipelineError> {
    let workspace = environment.workspace;
    let index = Index::load(&workspace.index())?;
    let name = fingerprint_name();
    let mut named: BTreeMap<ContentId, Named> = BTreeMap::new();
    let mut without_fingerprint = Vec::new();
    for source in index.sources() {
        let path = workspace.unit(&source.content_id);
        let UnitState::Whole(unit) = Unit::load(&path, &source.content_id)? else { continue };
        match unit.outputs.get(&name) {
            Some(Output::File { path, bytes, hash }) => {
                let path = workspace.root().join(path);
                let found = Named { path, bytes: *bytes, hash: hash.clone() };
                named.insert(source.content_id, found);
            }
            _ => without_fingerprint.push(source.content_id),
        }
    }
    let near_duplicates = ties(environment, &named)?;
    Ok(Grouping {
        index: index.with_near_duplicates(&near_duplicates),
        near_duplicates,
        fingerprinted: named.keys().copied().collect(),
        without_fingerprint,
    })
}

/// The index with the ties by content that were computed last, whatever has been decoded since: all
/// that can be had of a workspace that cannot be written to.
///
/// # Errors
/// There is no index, or the ties cannot be read.
pub fn read_grouped_index(workspace: &Workspace) -> Result<Index, PipelineError> {
    let index = Index::load(&workspace.index())?;
    let path = workspace.near_duplicates();
    let bytes = match std::fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(index),
        Err(source) => return Err(PipelineError::Io { path, source }),
    };
    let file: TiesFile =
        serde_json::from_slice(&bytes).map_err(|error| PipelineError::Corrupt {
            path,
            expected: "ties between sources as JSON".to_owned(),
            found: error.to_string(),
        })?;
    Ok(index.with_near_duplicates(&file.ties))
}

/// The ties between fingerprints, from the file or computed.
fn ties(
    environment: &Environment<'_>,
    named: &BTreeMap<ContentId, Named>,
) -> Result<Vec<NearDuplicate>, PipelineError> {
    let workspace = environment.workspace;
    let mut hasher = blake3::Hasher::new();
    hasher.update(&NEAR_DUPLICATE_VERSION.to_le_bytes());
    hasher.update(&FINGERPRINT_VERSION.to_le_bytes());
    for (content_id, found) in named {
        hasher.update(content_id.as_bytes());
        hasher.update(found.hash.as_bytes());
    }
    let inputs = hasher.finalize().to_hex().to_string();
    let path = workspace.near_duplicates();
    let _lock = Lock::exclusive(&workspace.groups_lock(), &environment.cancel)?;
    if let Some(known) = read(&path, &inputs)? {
        return Ok(known);
    }
    environment.progress.begin("fingerprints to compare", named.len() as u64);
    let sources: Vec<ContentId> = named.keys().copied().collect();
    let load = |content_id: &ContentId| -> Result<Fingerprint, PipelineError> {
        environment.stop_if_cancelled()?;
        let found = named.get(content_id).ok_or_else(|| PipelineError::Internal {
            what: format!("no fingerprint of source {content_id}"),
        })?;
        load_fingerprint(found)
    };
    let ties = environment.threads()?.install(|| find_near_duplicates(&sources, &load));
    environment.progress.end();
    let ties = ties?;
    let file = TiesFile { version: FILE_VERSION, inputs, hash: hash_of(&ties)?, ties };
    let bytes = serde_json::to_vec(&file)
        .map_err(|error| PipelineError::Internal { what: error.to_string() })?;
    write_atomically(&path, &bytes).map_err(|source| PipelineError::Io { path, source })?;
    Ok(file.ties)
}

fn hash_of(ties: &[NearDuplicate]) -> Result<String, PipelineError> {
    let bytes = serde_json::to_vec(ties)
        .map_err(|error| PipelineError::Internal { what: error.to_string() })?;
    Ok(blake3::hash(&bytes).to_hex().to_string())
}

/// Ties of the same inputs, as they were written; nothing where they must be computed.
fn read(path: &std::path::Path, inputs: &str) -> Result<Option<Vec<NearDuplicate>>, PipelineError> {
    let bytes = match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(PipelineError::Io { path: path.to_owned(), source }),
    };
    // What was damaged or is of another version is computed again.
    let Ok(file) = serde_json::from_slice::<TiesFile>(&bytes) else { return Ok(None) };
    let whole = file.version == FILE_VERSION && file.inputs == inputs;
    Ok(if whole && hash_of(&file.ties)? == file.hash { Some(file.ties) } else { None })
}

/// What is wrong with the file of ties, if anything is. It is made again when it is not there.
pub(crate) fn flaw_of_ties(path: &std::path::Path) -> Result<Option<String>, PipelineError> {
    let bytes = match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(PipelineError::Io { path: path.to_owned(), source }),
    };
    Ok(match serde_json::from_slice::<TiesFile>(&bytes) {
        Err(error) => Some(error.to_string()),
        Ok(file) if file.version != FILE_VERSION => Some(format!("version {}", file.version)),
        Ok(file) if hash_of(&file.ties)? != file.hash => {
            Some("contents that do not have the recorded hash".to_owned())
        }
        Ok(_) => None,
    })
}

fn load_fingerprint(found: &Named) -> Result<Fingerprint, PipelineError> {
    let Named { path, bytes: expected, hash } = found;
    let io = |source| PipelineError::Io { path: path.clone(), source };
    let corrupt = |expected: String, found: String| PipelineError::Corrupt {
        path: path.clone(),
        expected: format!("{expected} (run the stages again: what is damaged is made again)"),
        found,
    };
    let mut bytes = Vec::new();
    File::open(path).map_err(io)?.take(expected + 1).read_to_end(&mut bytes).map_err(io)?;
    let own = blake3::hash(&bytes).to_hex().to_string();
    if own != *hash {
        return Err(corrupt(format!("a fingerprint of hash {hash}"), format!("hash {own}")));
    }
    Fingerprint::from_bytes(&bytes)
        .map_err(|error| corrupt(format!("a fingerprint with {}", error.expected), error.found))
}
