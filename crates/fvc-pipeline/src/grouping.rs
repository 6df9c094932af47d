//! [`group_sources`]: the groups of an index with what the fingerprints add to them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use fvc_corpus::{
    FINGERPRINT_VERSION, Fingerprint, GroupId, HashedSources, Index, NEAR_DUPLICATE_VERSION,
    NearDuplicate, SHARED_SECONDS, Source, write_atomically,
};
use fvc_media::ContentId;
use serde::{Deserialize, Serialize};

use crate::lock::Lock;
use crate::plan::fingerprint_name;
use crate::progress::Part;
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
    /// Of these, sources that show too little for too short a time to be tied to anything.
    pub not_comparable: BTreeSet<ContentId>,
}

/// A group that is large enough to be looked at, with how much of each kind joined it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LargeGroup {
    /// The group.
    pub group: GroupId,
    /// Its sources.
    pub sources: usize,
    /// Of how many.
    pub of: usize,
    /// Names that were declared for several of its sources, by column.
    pub declared: BTreeMap<String, usize>,
    /// Sources for which several names of one column were declared: the same bytes stand under each.
    pub several_names: usize,
    /// Sources that nothing but rows of files that could not be used ties to the rest.
    pub by_unusable_rows: usize,
    /// Ties by content inside it.
    pub near_duplicates: usize,
}

impl LargeGroup {
    /// What joined it, in words; nothing is told that did not.
    fn joined_by(&self) -> String {
        let count = |number: usize, one: &str, several: &str| {
            (number > 0).then(|| format!("{number} {}", if number == 1 { one } else { several }))
        };
        let declared = self.declared.iter().filter_map(|(column, &names)| match column.as_str() {
            "cascade_id" => count(names, "cascade", "cascades"),
            "merged_cascade_id" => count(
                names,
                "set of cascades that share a video",
                "sets of cascades that share a video",
            ),
            column => {
                let text = count(names, "name declared in", "names declared in")?;
                Some(format!("{text} column {column}"))
            }
        });
        let mut parts: Vec<String> = declared.collect();
        parts.extend(count(
            self.several_names,
            "source whose bytes stand under several names",
            "sources whose bytes stand under several names",
        ));
        if self.by_unusable_rows > 0 {
            parts.push("rows of files that could not be used".to_owned());
        }
        parts.extend(count(self.near_duplicates, "tie by content", "ties by content"));
        match parts.split_last() {
            Some((last, [])) => last.clone(),
            Some((last, rest)) => format!("{} and {last}", rest.join(", ")),
            None => "nothing that is on record".to_owned(),
        }
    }
}

/// What ties the sources of one group.
pub(crate) struct Evidence<'g> {
    pub(crate) members: Vec<&'g Source>,
    /// Names that were declared for several of them, as `column=value`, with these.
    pub(crate) declared: BTreeMap<&'g str, Vec<ContentId>>,
    /// Ties by content.
    pub(crate) near_duplicates: Vec<&'g NearDuplicate>,
    /// Sources that neither ties: rows of files that could not be used do.
    pub(crate) by_unusable_rows: Vec<ContentId>,
}

/// The ties of a set of fingerprints, as kept in the workspace.
#[derive(Serialize, Deserialize)]
struct TiesFile {
    version: u32,
    /// What they were computed from.
    inputs: String,
    /// BLAKE3 of the rest as JSON.
    hash: String,
    ties: Vec<NearDuplicate>,
    not_comparable: BTreeSet<ContentId>,
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
            .map(|(group, sources)| {
                let evidence = self.evidence(group);
                let mut declared = BTreeMap::new();
                for name in evidence.declared.keys() {
                    *declared.entry(column_of(name).to_owned()).or_insert(0) += 1;
                }
                let several = |source: &&&Source| {
                    let names = &source.declared_groups;
                    let columns: BTreeSet<&str> =
                        names.iter().map(|name| column_of(name)).collect();
                    columns.len() < names.len()
                };
                LargeGroup {
                    group: group.clone(),
                    sources,
                    of,
                    declared,
                    several_names: evidence.members.iter().filter(several).count(),
                    by_unusable_rows: evidence.by_unusable_rows.len(),
                    near_duplicates: evidence.near_duplicates.len(),
                }
            })
            .collect();
        large.sort_by_key(|found| std::cmp::Reverse(found.sources));
        large
    }

    /// What ties the sources of a group.
    pub(crate) fn evidence(&self, group: &GroupId) -> Evidence<'_> {
        let members: Vec<&Source> =
            self.index.sources().iter().filter(|source| source.group == *group).collect();
        let mut declared: BTreeMap<&str, Vec<ContentId>> = BTreeMap::new();
        for source in &members {
            for name in &source.declared_groups {
                declared.entry(name).or_default().push(source.content_id);
            }
        }
        declared.retain(|_, sources| sources.len() > 1);
        let near_duplicates: Vec<&NearDuplicate> = self
            .near_duplicates
            .iter()
            .filter(|tie| self.index.groups().group(&tie.first) == Some(group))
            .collect();
        let tied: BTreeSet<ContentId> = declared
            .values()
            .flatten()
            .copied()
            .chain(near_duplicates.iter().flat_map(|tie| [tie.first, tie.second]))
            .collect();
        let by_unusable_rows = members
            .iter()
            .map(|source| source.content_id)
            .filter(|content_id| members.len() > 1 && !tied.contains(content_id))
            .collect();
        Evidence { members, declared, near_duplicates, by_unusable_rows }
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
        if !self.not_comparable.is_empty() {
            notes.push(format!(
                "{} sources hold less than {SHARED_SECONDS} seconds of moving, structured picture: copies of \
                 them are not found by content",
                self.not_comparable.len()
            ));
        }
        for found in self.large_groups() {
            notes.push(format!(
                "group {} holds {} of {} sources, joined by {}: see `fvc index --explain-group {}`",
                found.group,
                found.sources,
                found.of,
                found.joined_by(),
                found.group
            ));
        }
        notes
    }
}

/// The column of a name that was declared as `column=value`.
fn column_of(name: &str) -> &str {
    name.split_once('=').map_or(name, |(column, _)| column)
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
/// There is no index, or the workspace cannot be read or written. A source whose fingerprint is not as it
/// was written is not compared, and told.
pub fn group_sources(environment: &Environment<'_>) -> Result<Grouping, PipelineError> {
    let index = Index::load(&environment.workspace.index())?;
    let mut named = named_fingerprints(environment.workspace, &index)?;
    let (near_duplicates, not_comparable) = ties(environment, &mut named)?;
    Ok(Grouping {
        index: index.with_near_duplicates(&near_duplicates),
        near_duplicates,
        fingerprinted: named.keys().copied().collect(),
        not_comparable,
    })
}

/// The fingerprints that the records of sources name.
fn named_fingerprints(
    workspace: &Workspace,
    index: &Index,
) -> Result<BTreeMap<ContentId, Named>, PipelineError> {
    let name = fingerprint_name();
    let mut named: BTreeMap<ContentId, Named> = BTreeMap::new();
    for source in index.sources() {
        let path = workspace.unit(&source.content_id);
        let UnitState::Whole(unit) = Unit::load(&path, &source.content_id)? else { continue };
        if let Some(Output::File { path, bytes, hash }) = unit.outputs.get(&name) {
            let path = workspace.root().join(path);
            let found = Named { path, bytes: *bytes, hash: hash.clone() };
            named.insert(source.content_id, found);
        }
    }
    Ok(named)
}

/// The index with its groups by the ties that were computed last, of a workspace that cannot be
/// written to.
pub(crate) fn read_grouping(workspace: &Workspace) -> Result<Grouping, PipelineError> {
    let index = Index::load(&workspace.index())?;
    let Some(Ok(file)) = read_whole(&workspace.near_duplicates())? else {
        return Ok(Grouping {
            index,
            near_duplicates: Vec::new(),
            fingerprinted: BTreeSet::new(),
            not_comparable: BTreeSet::new(),
        });
    };
    let named = named_fingerprints(workspace, &index)?;
    Ok(Grouping {
        index: index.with_near_duplicates(&file.ties),
        near_duplicates: file.ties,
        fingerprinted: named.into_keys().collect(),
        not_comparable: file.not_comparable,
    })
}

/// The index with its final groups, as [`group_sources`] finds them, while nobody writes it.
///
/// # Errors
/// Those of [`group_sources`].
pub fn grouped_index(environment: &Environment<'_>) -> Result<Index, PipelineError> {
    let _lock = Lock::shared(&environment.workspace.index_lock(), &environment.cancel)?;
    Ok(group_sources(environment)?.index)
}

/// The index with the ties by content that were computed last, whatever has been decoded since: all
/// that can be had of a workspace that cannot be written to.
///
/// # Errors
/// There is no index, or the ties cannot be read.
pub fn read_grouped_index(workspace: &Workspace) -> Result<Index, PipelineError> {
    let index = Index::load(&workspace.index())?;
    let path = workspace.near_duplicates();
    match read_whole(&path)? {
        None => Ok(index),
        Some(Ok(file)) => Ok(index.with_near_duplicates(&file.ties)),
        Some(Err(found)) => Err(PipelineError::Corrupt {
            path,
            expected: "ties between sources as they were written".to_owned(),
            found,
        }),
    }
}

/// The ties between fingerprints and the sources that cannot be compared, from the file or computed.
/// A source whose fingerprint is not as it was written is taken out of `named`: nothing is known of
/// its copies, and whoever learns from it must have it made again first.
fn ties(
    environment: &Environment<'_>,
    named: &mut BTreeMap<ContentId, Named>,
) -> Result<(Vec<NearDuplicate>, BTreeSet<ContentId>), PipelineError> {
    let workspace = environment.workspace;
    let path = workspace.near_duplicates();
    let _lock = Lock::exclusive(&workspace.groups_lock(), &environment.cancel)?;
    // Ties that are known stand for bytes that were whole; a file that has gone since still stands for
    // a source whose copies are known.
    if let Some(file) = read(&path, &inputs_of(named))? {
        return Ok((file.ties, file.not_comparable));
    }
    let threads = environment.threads()?;
    let sources: Vec<ContentId> = named.keys().copied().collect();
    // One look at each says whether it is whole, whether it can be compared, and what to compare it
    // with.
    let damaged: Mutex<BTreeMap<ContentId, PipelineError>> = Mutex::default();
    let not_comparable: Mutex<BTreeSet<ContentId>> = Mutex::default();
    let part = Part::begin(environment.progress, "fingerprints", sources.len() as u64);
    let look = |content_id: &ContentId| -> Result<Option<Fingerprint>, PipelineError> {
        environment.stop_if_cancelled()?;
        let found = load_fingerprint(of(named, content_id)?);
        part.advance(1);
        match found {
            Ok(fingerprint) => {
                if !fingerprint.is_comparable() {
                    lock(&not_comparable).insert(*content_id);
                }
                Ok(Some(fingerprint))
            }
            Err(error) => {
                lock(&damaged).insert(*content_id, error);
                Ok(None)
            }
        }
    };
    let hashed = threads.install(|| HashedSources::of(&sources, &look))?;
    drop(part);
    for (content_id, error) in damaged.into_inner().unwrap_or_else(PoisonError::into_inner) {
        environment.progress.note(&error.to_string());
        named.remove(&content_id);
    }
    let inputs = inputs_of(named);
    if let Some(file) = read(&path, &inputs)? {
        return Ok((file.ties, file.not_comparable));
    }

    let tables = u64::from(HashedSources::TABLES);
    let part = Part::begin(environment.progress, "tables of hashes", tables);
    let go_on = || {
        environment.stop_if_cancelled()?;
        part.advance(1);
        Ok::<_, PipelineError>(())
    };
    // The closure stays on this thread; the tables are sorted one after the other.
    let likely = hashed.likely_copies(&go_on)?;
    drop(part);
    let part = Part::begin(environment.progress, "likely copies", likely.len() as u64);
    let load = |content_id: &ContentId| {
        environment.stop_if_cancelled()?;
        load_fingerprint(of(named, content_id)?)
    };
    let ties = threads.install(|| likely.ties(&load, &|| part.advance(1)))?;
    drop(part);
    let not_comparable = not_comparable.into_inner().unwrap_or_else(PoisonError::into_inner);
    let hash = hash_of(&ties, &not_comparable)?;
    let file = TiesFile { version: FILE_VERSION, inputs, hash, ties, not_comparable };
    let bytes = serde_json::to_vec(&file)
        .map_err(|error| PipelineError::Internal { what: error.to_string() })?;
    write_atomically(&path, &bytes).map_err(|source| PipelineError::Io { path, source })?;
    Ok((file.ties, file.not_comparable))
}

fn of<'n>(
    named: &'n BTreeMap<ContentId, Named>,
    content_id: &ContentId,
) -> Result<&'n Named, PipelineError> {
    named.get(content_id).ok_or_else(|| PipelineError::Internal {
        what: format!("no fingerprint of source {content_id}"),
    })
}

/// A poisoned lock holds what was put in before.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What ties are computed from: versions, sources and their fingerprints.
fn inputs_of(named: &BTreeMap<ContentId, Named>) -> String {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&NEAR_DUPLICATE_VERSION.to_le_bytes());
    hasher.update(&FINGERPRINT_VERSION.to_le_bytes());
    for (content_id, found) in named {
        hasher.update(content_id.as_bytes());
        hasher.update(found.hash.as_bytes());
    }
    hasher.finalize().to_hex().to_string()
}

fn hash_of(
    ties: &[NearDuplicate],
    not_comparable: &BTreeSet<ContentId>,
) -> Result<String, PipelineError> {
    let bytes = serde_json::to_vec(&(ties, not_comparable))
        .map_err(|error| PipelineError::Internal { what: error.to_string() })?;
    Ok(blake3::hash(&bytes).to_hex().to_string())
}

/// Ties of the same inputs, as they were written; nothing where they must be computed.
fn read(path: &Path, inputs: &str) -> Result<Option<TiesFile>, PipelineError> {
    // What was damaged or is of another version is computed again.
    Ok(read_whole(path)?.and_then(Result::ok).filter(|file| file.inputs == inputs))
}

/// The file of ties, or what is wrong with it; nothing where there is none.
fn read_whole(path: &Path) -> Result<Option<Result<TiesFile, String>>, PipelineError> {
    let bytes = match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(PipelineError::Io { path: path.to_owned(), source }),
    };
    Ok(Some(match serde_json::from_slice::<TiesFile>(&bytes) {
        Err(error) => Err(error.to_string()),
        Ok(file) if file.version != FILE_VERSION => Err(format!("version {}", file.version)),
        Ok(file) if hash_of(&file.ties, &file.not_comparable)? != file.hash => {
            Err("contents that do not have the recorded hash".to_owned())
        }
        Ok(file) => Ok(file),
    }))
}

/// The ties that were computed last; nothing where there are none, or they are damaged.
pub(crate) fn read_ties(
    workspace: &Workspace,
) -> Result<Option<Vec<NearDuplicate>>, PipelineError> {
    let found = read_whole(&workspace.near_duplicates())?;
    Ok(found.and_then(Result::ok).map(|file| file.ties))
}

/// What is wrong with the file of ties, if anything is. It is made again when it is not there.
pub(crate) fn flaw_of_ties(path: &Path) -> Result<Option<String>, PipelineError> {
    Ok(read_whole(path)?.and_then(Result::err))
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
