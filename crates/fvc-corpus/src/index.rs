//! [`Index`]: the sources of a corpus, with their groups.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use fvc_media::ContentId;
use serde::{Deserialize, Serialize};

use crate::candidate::read_split_rows;
use crate::{
    Candidate, CorpusError, Failure, GroupEvidence, GroupId, GroupTable, Label, LabelPolicy,
    MAX_FOLDS, NearDuplicate, Part, write_atomically,
};

/// Version of the index on disk and of what ties its groups; 2: every group column ties.
const INDEX_VERSION: u32 = 2;

/// One source.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// BLAKE3 of its bytes.
    pub content_id: ContentId,
    /// Where it is.
    pub path: PathBuf,
    /// What it is said to be.
    pub label: Label,
    /// Size in bytes.
    pub bytes: u64,
    /// The component of sources that share an origin.
    pub group: GroupId,
    /// The groups that were declared for it as `column=value`, under any of its paths.
    pub declared_groups: Vec<String>,
    /// The platform it was taken from.
    pub platform: Option<String>,
    /// The part of its corpus.
    pub subset: Option<String>,
    /// How it was manipulated.
    pub manipulation: Option<String>,
    /// What generated it.
    pub generator: Option<String>,
}

/// The sources of a corpus, by content id, with their groups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Index {
    sources: Vec<Source>,
    groups: GroupTable,
    hash: String,
    label_policy: Option<LabelPolicy>,
}

#[derive(Serialize, Deserialize)]
struct IndexFile {
    version: u32,
    hash: String,
    /// BLAKE3 over all that is said of the sources, also what no grouping or fit depends on.
    contents_hash: String,
    /// Missing where no policy was needed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    label_policy: Option<LabelPolicy>,
    sources: Vec<Source>,
}

#[derive(Deserialize)]
struct Version {
    version: u32,
}

fn contents_hash(
    sources: &[Source],
    label_policy: Option<LabelPolicy>,
) -> Result<String, serde_json::Error> {
    let mut bytes = serde_json::to_vec(sources)?;
    if let Some(policy) = label_policy {
        bytes.extend(serde_json::to_vec(&policy)?);
    }
    Ok(blake3::hash(&bytes).to_hex().to_string())
}

impl Index {
    /// Joins candidates by content id: the same bytes are one source with all their declared
    /// groups. Further paths of the same bytes fail with `duplicate_content`; bytes with two labels
    /// fail whole, with `label_conflict`, but still tie the groups that they stand in; `ties` are
    /// those of everything that was gathered ([`crate::Gathered::ties`]), whether it became a
    /// candidate or not.
    pub fn build(
        identified: Vec<(Candidate, ContentId, u64)>,
        ties: &[Vec<String>],
    ) -> (Self, Vec<Failure>) {
        let mut by_id: BTreeMap<ContentId, Vec<(Candidate, u64)>> = BTreeMap::new();
        for (candidate, content_id, bytes) in identified {
            by_id.entry(content_id).or_default().push((candidate, bytes));
        }
        let evidence: Vec<GroupEvidence> = by_id
            .iter()
            .map(|(content_id, members)| GroupEvidence {
                content_id: *content_id,
                declared: declared(members),
            })
            .collect();
        let all_groups = GroupTable::build_with_ties(&evidence, ties);
        let mut failures = Vec::new();
        let mut sources = Vec::new();
        let mut kept = BTreeMap::new();
        for (content_id, mut members) in by_id {
            members.sort_by(|left, right| left.0.path.cmp(&right.0.path));
            let labels: BTreeSet<Label> = members.iter().map(|(member, _)| member.label).collect();
            let refuse =
                |member: &Candidate, reason: &str, expected: &str, found: String| Failure {
                    path: member.path.clone(),
                    content_id: Some(content_id),
                    stage: "index".to_owned(),
                    reason: reason.to_owned(),
                    expected: expected.to_owned(),
                    found,
                };
            if labels.len() > 1 {
                let said: Vec<String> = members
                    .iter()
                    .map(|(member, _)| {
                        let Candidate { label, path, origin, .. } = member;
                        format!("{label} ({}, {origin})", path.display())
                    })
                    .collect();
                for (member, _) in &members {
                    failures.push(refuse(
                        member,
                        "label_conflict",
                        "one label for the same bytes",
                        said.join(", "),
                    ));
                }
                continue;
            }
            let declared_groups = declared(&members);
            let mut members = members.into_iter();
            let Some((first, bytes)) = members.next() else { continue };
            for (other, _) in members {
                failures.push(if other.path == first.path {
                    let found = format!("the same file again ({})", other.origin);
                    refuse(&other, "duplicate_row", "each file once", found)
                } else {
                    let found = format!("the same bytes as {}", first.path.display());
                    refuse(&other, "duplicate_content", "bytes of its own", found)
                });
            }
            let Some(group) = all_groups.group(&content_id).cloned() else { continue };
            kept.insert(content_id, group.clone());
            sources.push(Source {
                content_id,
                path: first.path,
                label: first.label,
                bytes,
                group,
                declared_groups,
                platform: first.platform,
                subset: first.subset,
                manipulation: first.manipulation,
                generator: first.generator,
            });
        }
        (Self::of(sources, GroupTable::from_rows(kept)), failures)
    }

    fn of(sources: Vec<Source>, groups: GroupTable) -> Self {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&INDEX_VERSION.to_le_bytes());
        for source in &sources {
            hasher.update(source.content_id.as_bytes());
            hasher.update(source.label.as_str().as_bytes());
            hasher.update(source.group.as_str().as_bytes());
            hasher.update(source.path.as_os_str().as_encoded_bytes());
            hasher.update(b"\n");
        }
        let hash = hasher.finalize().to_hex().to_string();
        Self { sources, groups, hash, label_policy: None }
    }

    /// The same index, with the policy that its labels were read under for the record. Its hash is
    /// the same too: what the policy decided is in the labels.
    #[must_use]
    pub fn with_label_policy(mut self, policy: Option<LabelPolicy>) -> Self {
        self.label_policy = policy;
        self
    }

    /// The same sources, in groups that near-duplicates join too. Its hash is of these groups.
    #[must_use]
    pub fn with_near_duplicates(&self, ties: &[NearDuplicate]) -> Self {
        let groups = self.groups.joined(ties.iter().map(|tie| (tie.first, tie.second)));
        let mut sources = self.sources.clone();
        for source in &mut sources {
            if let Some(group) = groups.group(&source.content_id) {
                source.group = group.clone();
            }
        }
        Self::of(sources, groups).with_label_policy(self.label_policy)
    }

    /// The policy that the labels were read under, where one was needed.
    pub fn label_policy(&self) -> Option<LabelPolicy> {
        self.label_policy
    }

    /// The sources, by content id.
    pub fn sources(&self) -> &[Source] {
        &self.sources
    }

    /// The label of every source.
    pub fn labels(&self) -> BTreeMap<ContentId, Label> {
        self.sources.iter().map(|source| (source.content_id, source.label)).collect()
    }

    /// The groups.
    pub fn groups(&self) -> &GroupTable {
        &self.groups
    }

    /// One source.
    pub fn source(&self, content_id: &ContentId) -> Option<&Source> {
        self.sources
            .binary_search_by_key(content_id, |source| source.content_id)
            .ok()
            .map(|at| &self.sources[at])
    }

    /// BLAKE3 over content ids, labels, groups and paths.
    pub fn hash(&self) -> &str {
        &self.hash
    }

    /// Writes `sources.json` (which is read back) and `sources.csv` (for people) into a folder.
    ///
    /// # Errors
    /// The files cannot be written.
    pub fn save(&self, folder: &Path) -> Result<(), CorpusError> {
        for (name, bytes) in self.files(folder)? {
            let path = folder.join(name);
            write_atomically(&path, &bytes)
                .map_err(|source| CorpusError::Io { path: path.clone(), source })?;
        }
        Ok(())
    }

    /// The files that [`Self::save`] writes into a folder, by name.
    ///
    /// # Errors
    /// The sources cannot be written as CSV or JSON.
    pub fn files(&self, folder: &Path) -> Result<[(&'static str, Vec<u8>); 2], CorpusError> {
        let csv_path = folder.join("sources.csv");
        let io = |path: &Path| {
            let path = path.to_owned();
            move |source| CorpusError::Io { path, source }
        };
        let mut writer = csv::Writer::from_writer(Vec::new());
        let csv_error =
            |error: csv::Error| CorpusError::Io { path: csv_path.clone(), source: error.into() };
        writer
            .write_record([
                "content_id",
                "path",
                "label",
                // Not the groups to split by: ties by content join these, and come to be known later.
                "declared_group",
                "platform",
                "subset",
                "manipulation",
                "generator",
                "bytes",
            ])
            .map_err(csv_error)?;
        for source in &self.sources {
            let text = |value: &Option<String>| value.clone().unwrap_or_default();
            writer
                .write_record([
                    source.content_id.to_hex(),
                    source.path.display().to_string(),
                    source.label.to_string(),
                    source.group.to_string(),
                    text(&source.platform),
                    text(&source.subset),
                    text(&source.manipulation),
                    text(&source.generator),
                    source.bytes.to_string(),
                ])
                .map_err(csv_error)?;
        }
        let csv = writer
            .into_inner()
            .map_err(|error| io(&csv_path)(std::io::Error::other(error.to_string())))?;
        let path = folder.join("sources.json");
        let file = IndexFile {
            version: INDEX_VERSION,
            hash: self.hash.clone(),
            contents_hash: contents_hash(&self.sources, self.label_policy)
                .map_err(|error| io(&path)(error.into()))?,
            label_policy: self.label_policy,
            sources: self.sources.clone(),
        };
        let json = serde_json::to_vec(&file).map_err(|error| io(&path)(error.into()))?;
        Ok([("sources.csv", csv), ("sources.json", json)])
    }

    /// Reads the index of a folder and checks its hashes.
    ///
    /// # Errors
    /// There is none, or it is not as it was written.
    pub fn load(folder: &Path) -> Result<Self, CorpusError> {
        let path = folder.join("sources.json");
        let wrong = |expected: &str, found: String| CorpusError::Table {
            path: path.clone(),
            expected: expected.to_owned(),
            found,
        };
        let bytes = fs::read(&path).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => {
                wrong("an index (run `fvc index` first)", "none".to_owned())
            }
            _ => CorpusError::Io { path: path.clone(), source: error },
        })?;
        let json = |error: serde_json::Error| wrong("an index as JSON", error.to_string());
        // Other versions have other fields.
        let Version { version } = serde_json::from_slice(&bytes).map_err(json)?;
        if version != INDEX_VERSION {
            return Err(wrong(
                &format!("an index of version {INDEX_VERSION} (run `fvc index` again)"),
                format!("version {version}"),
            ));
        }
        let file: IndexFile = serde_json::from_slice(&bytes).map_err(json)?;
        if !file.sources.windows(2).all(|pair| pair[0].content_id < pair[1].content_id) {
            return Err(wrong("every source once, by content id", "another order".to_owned()));
        }
        let contents = contents_hash(&file.sources, file.label_policy).map_err(json)?;
        if contents != file.contents_hash {
            return Err(wrong(
                &format!("contents of hash {}", file.contents_hash),
                format!("hash {contents}"),
            ));
        }
        let rows =
            file.sources.iter().map(|source| (source.content_id, source.group.clone())).collect();
        let index = Self::of(file.sources, GroupTable::from_rows(rows))
            .with_label_policy(file.label_policy);
        if index.hash != file.hash {
            return Err(wrong(&format!("hash {}", index.hash), format!("hash {}", file.hash)));
        }
        Ok(index)
    }
}

fn declared(members: &[(Candidate, u64)]) -> Vec<String> {
    let names: BTreeSet<String> =
        members.iter().flat_map(|(member, _)| member.groups.clone()).collect();
    names.into_iter().collect()
}

/// An official split, as far as the sources of an index go.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SplitTable {
    /// The part of every source that the table names; [`None`] is learnt from, in whichever fold.
    pub assignment: BTreeMap<ContentId, Option<Part>>,
    /// Rows that name nothing in the index, as the table writes them, or that lack a name or a part.
    pub unknown: Vec<String>,
    /// Sources of the index that the table does not name. [`crate::Split::import`] refuses them.
    pub unmentioned: Vec<PathBuf>,
}

/// Reads an official split for the sources of an index: a table with path or content id, and part
/// (`train`, `val` or `validation`: learnt from; `test` or `sealed`: sealed; `fold_N`). Paths are
/// looked for beside the table, then in the working folder, then as the ending of one source's path.
///
/// Official splits name videos that are no longer to be had: such rows are reported, and do no harm.
///
/// # Errors
/// The table cannot be read, names no such part, names none of the sources, or gives one two parts.
pub fn read_split_table(path: &Path, index: &Index) -> Result<SplitTable, CorpusError> {
    let wrong = |expected: &str, found: String| CorpusError::Table {
        path: path.to_owned(),
        expected: expected.to_owned(),
        found,
    };
    let by_path: HashMap<&Path, ContentId> =
        index.sources().iter().map(|source| (source.path.as_path(), source.content_id)).collect();
    let mut by_name = ByName::new();
    for source in index.sources() {
        if let Some(name) = source.path.file_name() {
            by_name.entry(name).or_default().push(source);
        }
    }
    let folder = path.parent().unwrap_or_else(|| Path::new("."));
    let mut table = SplitTable::default();
    for row in read_split_rows(path)? {
        let (who, part) = match row {
            Ok(row) => row,
            Err(number) => {
                table.unknown.push(format!("row {number}, which lacks its name or part"));
                continue;
            }
        };
        let part = match part.to_ascii_lowercase().as_str() {
            "train" | "training" | "val" | "valid" | "validation" | "dev" => None,
            "test" | "testing" | "sealed" => Some(Part::Sealed),
            other => Some(other.parse::<Part>().map_err(|_| {
                let last = MAX_FOLDS - 1;
                let expected = format!("train, val, test, sealed or fold_N, N from 0 to {last}");
                wrong(&expected, part.chars().take(80).collect())
            })?),
        };
        let content_id = match who.parse::<ContentId>() {
            Ok(content_id) => index.source(&content_id).map(|source| source.content_id),
            Err(_) => [folder.join(&who), PathBuf::from(&who)]
                .iter()
                .filter_map(|path| std::path::absolute(path).ok())
                .find_map(|path| by_path.get(path.as_path()).copied())
                .or_else(|| by_ending(&by_name, Path::new(&who))),
        };
        let Some(content_id) = content_id else {
            table.unknown.push(who);
            continue;
        };
        if let Some(known) = table.assignment.insert(content_id, part)
            && known != part
        {
            return Err(wrong("one part a source", format!("two for {content_id}")));
        }
    }
    if table.assignment.is_empty() {
        let found = match table.unknown.as_slice() {
            [] => "no rows".to_owned(),
            unknown => format!("only {}", named(unknown)),
        };
        return Err(wrong("rows that name sources of the index, by path or content id", found));
    }
    table.unmentioned = index
        .sources()
        .iter()
        .filter(|source| !table.assignment.contains_key(&source.content_id))
        .map(|source| source.path.clone())
        .collect();
    Ok(table)
}

/// Sources by the last part of their path.
type ByName<'a> = HashMap<&'a OsStr, Vec<&'a Source>>;

/// The one source whose path ends with this one: split files of published corpora name files from
/// the corpus's own folder, wherever that was put. Nothing where none or several do.
fn by_ending(sources: &ByName<'_>, ending: &Path) -> Option<ContentId> {
    let mut found = sources
        .get(ending.file_name()?)?
        .iter()
        .filter(|source| source.path.ends_with(ending))
        .map(|source| source.content_id);
    let first = found.next()?;
    found.next().is_none().then_some(first)
}

impl SplitTable {
    /// What the table and the index do not have in common, for people: counts, and the first few.
    pub fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        if !self.unknown.is_empty() {
            notes.push(format!(
                "rows of the split file that name nothing in the index: {}",
                named(&self.unknown)
            ));
        }
        if !self.unmentioned.is_empty() {
            let paths: Vec<String> =
                self.unmentioned.iter().map(|path| path.display().to_string()).collect();
            notes.push(format!(
                "sources of the index that the split file does not name: {}",
                named(&paths)
            ));
        }
        notes
    }
}

/// How many there are, and the first few of them.
pub(crate) fn named(names: &[String]) -> String {
    let mut text = format!("{} ({}", names.len(), names[..names.len().min(3)].join(", "));
    text.push_str(if names.len() > 3 { ", …)" } else { ")" });
    text
}
