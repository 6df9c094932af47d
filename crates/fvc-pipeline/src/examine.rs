//! [`examine`]: every artefact of a workspace against the record that names it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, TryLockError};
use std::io::ErrorKind;
use std::path::{Component, Path, PathBuf};

use fvc_clips::ClipStore;
use fvc_corpus::{FailureTable, Index, Ledger, Manifest, RunFolder, Source, Split};
use fvc_media::{CacheError, ContentId, MediaCache};
use serde::{Deserialize, Serialize};

use crate::feature_tables::{FeatureTable, check_note, feature_tables, table_files, tables_of};
use crate::gathering::{Built, Found, IndexRecord, build};
use crate::grouping::flaw_of_ties;
use crate::merge::{stage_names, with_config};
use crate::plan::Stage;
use crate::stage_record::{Basis, Ending, StageRecord};
use crate::stages::{Environment, draw_lines};
use crate::unit::Flaw;
use crate::workspace::list_shards;
use crate::{PipelineError, Unit, UnitState, Workspace};

/// What is wrong with something in a workspace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Wrong {
    /// It is not there.
    Missing,
    /// It has no bytes.
    Empty,
    /// It is not as it was written.
    Damaged,
    /// Nothing names it.
    Orphaned,
    /// What a writer that was killed left half-written.
    HalfWritten,
}

impl Wrong {
    /// In a word.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Empty => "empty",
            Self::Damaged => "damaged",
            Self::Orphaned => "orphaned",
            Self::HalfWritten => "half-written",
        }
    }
}

/// What may be done about it.
#[derive(Clone, Debug)]
pub(crate) enum Remedy {
    /// Nothing that this program may do, and what a person may.
    None(&'static str),
    /// It goes.
    Remove,
    /// It goes, and whoever needs it next computes it again.
    RemoveCache,
    /// It is written again, from what it follows from.
    Write(Vec<u8>),
    /// It is written again when the records are whole that it follows from.
    Later,
    /// This output of the source is made again, or all of them where its record is lost.
    Source(ContentId, Option<String>),
    /// Damaged entries of the media cache are dropped.
    DropEntries,
    /// The media cache is begun anew.
    NewCache,
}

/// One thing that is wrong.
#[derive(Clone, Debug)]
pub(crate) struct Flawed {
    /// From the workspace's root.
    pub(crate) path: PathBuf,
    pub(crate) wrong: Wrong,
    pub(crate) detail: String,
    /// Bytes of what lies there.
    pub(crate) bytes: u64,
    pub(crate) remedy: Remedy,
}

/// How much was looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Checked {
    /// Records of sources.
    pub units: u64,
    /// Files that they name.
    pub files: u64,
    /// Tables, manifests and other files that follow from records.
    pub derived: u64,
    /// Splits.
    pub splits: u64,
    /// Runs.
    pub runs: u64,
}

/// Everything that was found.
#[derive(Debug, Default)]
pub(crate) struct Examination {
    pub(crate) flaws: Vec<Flawed>,
    pub(crate) checked: Checked,
    /// Sources by content id, as far as any index of the workspace goes.
    pub(crate) sources: BTreeMap<ContentId, Source>,
    /// What commands did, in the order in which they began.
    pub(crate) records: Vec<StageRecord>,
}

/// Looks at everything. Whoever calls has the workspace for itself.
pub(crate) fn examine(environment: &Environment<'_>) -> Result<Examination, PipelineError> {
    let workspace = environment.workspace;
    let mut look = Look {
        environment,
        workspace,
        found: Examination::default(),
        own_clips: BTreeSet::new(),
        without_index: false,
        lost_records: false,
        splits: Some(BTreeSet::new()),
        split_of: BTreeMap::new(),
    };
    look.half_written(workspace.root(), 0)?;
    let index = look.index()?;
    look.stages()?;
    look.lost_index(index.as_ref())?;
    look.lost_stages();
    look.units()?;
    look.tables(index.as_ref())?;
    look.splits()?;
    look.cache()?;
    look.ledger_and_runs()?;
    look.lost_splits();
    let mut found = look.found;
    found.flaws.sort_by(|left, right| (&left.path, left.wrong).cmp(&(&right.path, right.wrong)));
    Ok(found)
}

struct Look<'a> {
    environment: &'a Environment<'a>,
    workspace: &'a Workspace,
    found: Examination,
    /// Files, from the root, that a record of a source names.
    own_clips: BTreeSet<PathBuf>,
    /// Whether the index is lost, so that no source can be said to be in none.
    without_index: bool,
    /// Whether a record of a command cannot be read.
    lost_records: bool,
    /// Hashes of all splits; nothing where one cannot be read.
    splits: Option<BTreeSet<String>>,
    /// Runs by the hash of the split that they name.
    split_of: BTreeMap<String, Vec<PathBuf>>,
}

/// Things that refer to something, the first few by name.
fn refer(names: &[String]) -> String {
    let shown = names.len().min(3);
    let more = match names.len() - shown {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let verb = if names.len() == 1 { "refers" } else { "refer" };
    format!("{}{more} {verb} to it", names[..shown].join(", "))
}

/// A database that is looked at: itself, or a copy that goes with this.
struct Database {
    file: PathBuf,
    folder: Option<PathBuf>,
}

impl Database {
    fn path(&self) -> &Path {
        &self.file
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        // What stays lies where the system tidies up.
        if let Some(folder) = &self.folder {
            drop(fs::remove_dir_all(folder));
        }
    }
}

/// What is in a folder, by name; nothing where there is none.
fn list(folder: &Path) -> Result<Vec<PathBuf>, PipelineError> {
    let io = |source| PipelineError::Io { path: folder.to_owned(), source };
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            return Ok(Vec::new());
        }
        Err(error) => return Err(io(error)),
    };
    let mut paths = Vec::new();
    for entry in entries {
        paths.push(entry.map_err(io)?.path());
    }
    paths.sort();
    Ok(paths)
}

fn name_of(path: &Path) -> String {
    path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned())
}

/// Whether this is `.<name>.<numbers>.tmp`, as everything is named that is not whole yet.
fn is_temporary(path: &Path) -> bool {
    let name = name_of(path);
    let mut parts = name.rsplit('.');
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    name.starts_with('.') && parts.next() == Some("tmp") && parts.next().is_some_and(is_number)
}

fn is_real_folder(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|found| found.is_dir())
}

/// A flaw in our terms; what is not there is named.
fn wrong_by(flaw: Flaw, what: &str) -> (Wrong, String) {
    match flaw {
        Flaw::Missing => (Wrong::Missing, what.to_owned()),
        Flaw::Empty => (Wrong::Empty, what.to_owned()),
        Flaw::Damaged(found) => (Wrong::Damaged, found),
    }
}

impl Look<'_> {
    fn relative(&self, path: &Path) -> PathBuf {
        path.strip_prefix(self.workspace.root()).unwrap_or(path).to_owned()
    }

    fn flaw(&mut self, path: &Path, wrong: Wrong, detail: String, remedy: Remedy) {
        // Errors begin with the path, which stands beside them here.
        let named = format!("{}: ", path.display());
        let detail = match detail.strip_prefix(&named) {
            Some(rest) => rest.to_owned(),
            None => detail,
        };
        let bytes = fs::symlink_metadata(path).map_or(0, |found| found.len());
        let path = self.relative(path);
        self.found.flaws.push(Flawed { path, wrong, detail, bytes, remedy });
    }

    /// Leftovers of killed writers, anywhere. What is locked is still being written, by a command that
    /// needs no index.
    fn half_written(&mut self, folder: &Path, depth: u32) -> Result<(), PipelineError> {
        for path in list(folder)? {
            if is_temporary(&path) {
                let busy = path.is_file()
                    && File::open(&path)
                        .is_ok_and(|file| matches!(file.try_lock(), Err(TryLockError::WouldBlock)));
                if !busy {
                    let detail = "left by a writer that was stopped".to_owned();
                    self.flaw(&path, Wrong::HalfWritten, detail, Remedy::Remove);
                }
            } else if depth < 8 && is_real_folder(&path) {
                self.half_written(&path, depth + 1)?;
            }
        }
        Ok(())
    }

    /// A file that follows from a record.
    fn derived(&mut self, path: &Path, expected: Vec<u8>) -> Result<(), PipelineError> {
        self.found.checked.derived += 1;
        let (wrong, detail) = match fs::read(path) {
            Ok(found) if found == expected => return Ok(()),
            Ok(found) if found.is_empty() => (Wrong::Empty, "no bytes".to_owned()),
            Ok(_) => (Wrong::Damaged, "not what its record gives".to_owned()),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                (Wrong::Missing, "its record is there".to_owned())
            }
            Err(source) => return Err(PipelineError::Io { path: path.to_owned(), source }),
        };
        self.flaw(path, wrong, detail, Remedy::Write(expected));
        Ok(())
    }

    /// Notes that a record cannot be read, and goes on without it.
    fn readable<T>(
        &mut self,
        path: &Path,
        read: Result<T, PipelineError>,
        instead: &'static str,
    ) -> Result<Option<T>, PipelineError> {
        match read {
            Ok(found) => Ok(Some(found)),
            Err(PipelineError::Io { path, source }) => Err(PipelineError::Io { path, source }),
            Err(PipelineError::Corpus(fvc_corpus::CorpusError::Io { path, source })) => {
                Err(PipelineError::Io { path, source })
            }
            Err(error) => {
                let wrong = if fs::metadata(path).is_ok_and(|found| found.len() == 0) {
                    Wrong::Empty
                } else {
                    Wrong::Damaged
                };
                self.flaw(path, wrong, error.to_string(), Remedy::None(instead));
                Ok(None)
            }
        }
    }

    /// The index, and what shares of one found.
    fn index(&mut self) -> Result<Option<Index>, PipelineError> {
        let folder = self.workspace.index();
        let gathered = folder.join("gathered.json");
        let read = IndexRecord::load(&folder);
        let record = self.readable(&gathered, read, "run `fvc index` again")?.flatten();
        let index = if let Some(record) = record {
            let Built { index, failures } = build(&record.gatherings)?;
            for (name, bytes) in index.files(&folder)? {
                self.derived(&folder.join(name), bytes)?;
            }
            self.report(&folder, &record.manifest, &FailureTable::from(failures))?;
            Some(index)
        } else {
            let path = folder.join("sources.json");
            if path.exists() {
                if !gathered.exists() {
                    let detail = "what the index was made from".to_owned();
                    let remedy = Remedy::None("run `fvc index` again");
                    self.flaw(&gathered, Wrong::Missing, detail, remedy);
                }
                let read = Index::load(&folder).map_err(PipelineError::from);
                self.readable(&path, read, "run `fvc index` again")?
            } else {
                None
            }
        };
        let stage = self.workspace.stage("index");
        let mut sources: Vec<Source> = Vec::new();
        for shard in list_shards(&stage)? {
            let folder = stage.join(shard.folder());
            let read = IndexRecord::load(&folder);
            let path = folder.join("gathered.json");
            let told = "run this shard of `fvc index` again";
            let Some(Some(record)) = self.readable(&path, read, told)? else { continue };
            let rows = record.gatherings.iter().flat_map(|gathering| &gathering.rows);
            let failures: Vec<_> = rows
                .filter_map(|row| match &row.found {
                    Found::Refused(failure) | Found::Failed(failure) => Some(failure.clone()),
                    Found::Video(..) => None,
                })
                .collect();
            self.report(&folder, &record.manifest, &FailureTable::from(failures))?;
            sources.extend(build(&record.gatherings)?.index.sources().iter().cloned());
        }
        sources.extend(index.iter().flat_map(|index| index.sources().iter().cloned()));
        self.found.sources =
            sources.into_iter().map(|source| (source.content_id, source)).collect();
        Ok(index)
    }

    /// Manifest and failure table of a record.
    fn report(
        &mut self,
        folder: &Path,
        manifest: &Manifest,
        failures: &FailureTable,
    ) -> Result<(), PipelineError> {
        let path = folder.join("failures.csv");
        let bytes = failures.to_csv(&path)?;
        self.derived(&path, bytes)?;
        let path = folder.join("manifest.json");
        let bytes = manifest.to_json(&path)?;
        self.derived(&path, bytes)
    }

    /// What commands and their shares did.
    fn stages(&mut self) -> Result<(), PipelineError> {
        for name in stage_names(self.workspace)? {
            let stage = self.workspace.stage(&name);
            let shards = list_shards(&stage)?;
            let folders: Vec<PathBuf> = std::iter::once(stage.clone())
                .chain(shards.into_iter().map(|shard| stage.join(shard.folder())))
                .collect();
            for folder in folders {
                let path = folder.join("record.json");
                let read = StageRecord::load(&folder);
                let told = "run the command again";
                let read = self.readable(&path, read, told)?;
                self.lost_records |= read.is_none();
                if matches!(read, Some(None))
                    && folder == stage
                    && name != "predict"
                    && folder.join("manifest.json").exists()
                {
                    self.lost_records = true;
                    let detail = "its manifest is there".to_owned();
                    self.flaw(&path, Wrong::Missing, detail, Remedy::None(told));
                }
                let Some(Some(record)) = read else { continue };
                self.report(&folder, &record.manifest, &FailureTable::from(record.failures()))?;
                self.found.records.push(record);
            }
        }
        self.found.records.sort_by_key(|record| record.manifest.started());
        Ok(())
    }

    /// The index, where others refer to one and there is none.
    fn lost_index(&mut self, index: Option<&Index>) -> Result<(), PipelineError> {
        if index.is_some() {
            return Ok(());
        }
        let mut names: BTreeSet<String> = BTreeSet::new();
        for record in &self.found.records {
            if matches!(record.basis, Basis::Index(_)) {
                names.insert(format!("stages/{}", record.stages().command()));
            }
        }
        let mut names: Vec<String> = names.into_iter().collect();
        let features = self.workspace.features();
        let tables = TABLES.iter().filter(|name| name.ends_with(".parquet"));
        let tables = tables.filter(|name| features.join(name).exists());
        names.extend(tables.map(|name| format!("features/{name}")));
        // A workspace of shares has units, and no index before it is merged.
        if list_shards(&self.workspace.stage("index"))?.is_empty() {
            let units: usize = list(&self.workspace.root().join("units"))?
                .iter()
                .map(|folder| list(folder).map(|paths| paths.len()))
                .sum::<Result<usize, _>>()?;
            if units > 0 {
                names.push(format!("units ({units} records)"));
            }
        }
        if names.is_empty() {
            return Ok(());
        }
        self.without_index = true;
        let path = self.workspace.index().join("sources.json");
        // What is there and cannot be read has been told.
        if !path.exists() && !self.workspace.index().join("gathered.json").exists() {
            let detail = refer(&names);
            let remedy = Remedy::None("put the index back from a copy, or run `fvc index` again");
            self.flaw(&path, Wrong::Missing, detail, remedy);
        }
        Ok(())
    }

    /// Records of commands, where tables are there that only commands write.
    fn lost_stages(&mut self) {
        if self.lost_records {
            return;
        }
        let has = |table: FeatureTable| {
            self.found.records.iter().any(|record| record.stages().has(table.stage()))
        };
        let names: Vec<String> = FeatureTable::ALL
            .into_iter()
            .filter(|table| !has(*table))
            .map(|table| format!("features/{}.parquet", table.name()))
            .filter(|name| self.workspace.root().join(name).exists())
            .collect();
        if !names.is_empty() {
            let detail = format!("the record of the command that wrote it: {}", refer(&names));
            let remedy =
                Remedy::None("run the commands again: nothing that is there is decoded again");
            self.flaw(&self.workspace.root().join("stages"), Wrong::Missing, detail, remedy);
        }
    }

    /// Splits that runs name and that are not there.
    fn lost_splits(&mut self) {
        let Some(known) = &self.splits else { return };
        let lost: Vec<String> = self
            .split_of
            .iter()
            .filter(|(hash, _)| !known.contains(*hash))
            .map(|(hash, runs)| {
                let runs: Vec<String> = runs.iter().map(|run| run.display().to_string()).collect();
                format!("split {hash}: {}", refer(&runs))
            })
            .collect();
        if !lost.is_empty() {
            let remedy = Remedy::None("put it back from a copy, or remove the runs that name it");
            let path = self.workspace.splits();
            self.flaw(&path, Wrong::Missing, lost.join("; "), remedy);
        }
    }

    /// Records of sources, the files that they name, and files that none names.
    fn units(&mut self) -> Result<(), PipelineError> {
        let store = ClipStore::open(&self.workspace.clips())?;
        let mut folders: BTreeSet<PathBuf> =
            ["clips", "variants", "features", "fingerprints"].map(PathBuf::from).into();
        // Files of a record that cannot be read may be its own.
        let mut unreadable: Vec<String> = Vec::new();
        let mut whole: BTreeSet<ContentId> = BTreeSet::new();
        let units = self.workspace.root().join("units");
        let paths = list(&units)?;
        let paths: Vec<Vec<PathBuf>> =
            paths.iter().map(|folder| list(folder)).collect::<Result<_, _>>()?;
        for path in paths.into_iter().flatten() {
            self.environment.stop_if_cancelled()?;
            if is_temporary(&path) {
                continue;
            }
            let id = path.file_stem().and_then(|stem| stem.to_str()?.parse::<ContentId>().ok());
            let Some(id) = id.filter(|id| self.workspace.unit(id) == path) else {
                self.orphan(&path, "not the name of a record");
                continue;
            };
            self.found.checked.units += 1;
            if !self.without_index
                && !self.found.sources.is_empty()
                && !self.found.sources.contains_key(&id)
            {
                self.orphan(&path, "its source is in no index");
                continue;
            }
            match Unit::load(&path, &id)? {
                UnitState::None => {}
                UnitState::Damaged(found) => {
                    let empty = fs::metadata(&path).is_ok_and(|found| found.len() == 0);
                    let wrong = if empty { Wrong::Empty } else { Wrong::Damaged };
                    unreadable.push(id.to_hex());
                    self.flaw(&path, wrong, found, Remedy::Source(id, None));
                }
                UnitState::Whole(unit) => {
                    whole.insert(id);
                    for (name, output) in &unit.outputs {
                        let Some(file) = output.file() else { continue };
                        self.found.checked.files += 1;
                        if let Some(Component::Normal(first)) = file.components().next() {
                            folders.insert(PathBuf::from(first));
                        }
                        if let Err(flaw) = output.check(self.workspace, &store) {
                            let (wrong, detail) = wrong_by(flaw, &format!("{name} of {id}"));
                            let path = self.workspace.root().join(&file);
                            let remedy = Remedy::Source(id, Some(name.clone()));
                            self.flaw(&path, wrong, detail, remedy);
                        }
                        self.own_clips.insert(file);
                    }
                }
            }
        }
        let lost: BTreeSet<ContentId> = self
            .found
            .records
            .iter()
            .flat_map(|record| &record.fates)
            .filter(|fate| matches!(fate.result, Ending::Complete { .. }))
            .map(|fate| fate.content_id)
            .filter(|id| self.found.sources.contains_key(id) && !whole.contains(id))
            .filter(|id| !self.workspace.unit(id).exists())
            .collect();
        for id in lost {
            let path = self.workspace.unit(&id);
            let detail = "a command says that its source is complete".to_owned();
            unreadable.push(id.to_hex());
            self.flaw(&path, Wrong::Missing, detail, Remedy::Source(id, None));
        }
        let ties = self.workspace.near_duplicates();
        if let Some(found) = flaw_of_ties(&ties)? {
            let empty = fs::metadata(&ties).is_ok_and(|found| found.len() == 0);
            let wrong = if empty { Wrong::Empty } else { Wrong::Damaged };
            self.flaw(&ties, wrong, found, Remedy::RemoveCache);
        }
        for folder in folders {
            let folder = self.workspace.root().join(folder);
            self.unnamed(&folder, &unreadable, 0)?;
        }
        Ok(())
    }

    /// Files below a folder that nothing names.
    fn unnamed(
        &mut self,
        folder: &Path,
        unreadable: &[String],
        depth: u32,
    ) -> Result<(), PipelineError> {
        for path in list(folder)? {
            if is_temporary(&path) {
                continue;
            }
            if is_real_folder(&path) {
                if depth < 8 {
                    self.unnamed(&path, unreadable, depth + 1)?;
                }
                continue;
            }
            let relative = self.relative(&path);
            let name = name_of(&path);
            let derived = relative == Path::new("variants/draws.jsonl")
                || relative.starts_with("features") && TABLES.contains(&name.as_str());
            if !derived
                && !self.own_clips.contains(&relative)
                && !unreadable.iter().any(|id| name.starts_with(id))
            {
                self.orphan(&path, "no record names it");
            }
        }
        Ok(())
    }

    /// Something that may go, unless it is a video of the corpus.
    fn orphan(&mut self, path: &Path, detail: &str) {
        let place = fs::canonicalize(path).ok();
        let is_source = self.found.sources.values().any(|source| {
            source.path == path || place.is_some() && fs::canonicalize(&source.path).ok() == place
        });
        if !is_source {
            self.flaw(path, Wrong::Orphaned, detail.to_owned(), Remedy::Remove);
        }
    }

    /// Feature tables and draws against what the units give under the last command that wrote each.
    fn tables(&mut self, index: Option<&Index>) -> Result<(), PipelineError> {
        let Some(index) = index else { return Ok(()) };
        let basis = Basis::Index(index.hash().to_owned());
        let records: Vec<StageRecord> = self
            .found
            .records
            .iter()
            .filter(|record| record.shard == crate::Shard::WHOLE && record.basis == basis)
            .cloned()
            .collect();
        // The last of those that may have written a file; of two that began in one second, either.
        let mut expected: BTreeMap<PathBuf, Vec<Vec<u8>>> = BTreeMap::new();
        let mut begun: BTreeMap<PathBuf, u64> = BTreeMap::new();
        let mut noted: BTreeSet<FeatureTable> = BTreeSet::new();
        for record in records.iter().rev() {
            let environment = with_config(self.environment, &record.config);
            let usable: Vec<&Source> = index
                .sources()
                .iter()
                .filter(|source| record.completed(&source.content_id))
                .collect();
            if usable.is_empty() {
                continue;
            }
            let mut files = Vec::new();
            if record.stages().has(Stage::Augment) {
                let path = self.workspace.variants().join("draws.jsonl");
                files.push((path, draw_lines(&environment, &usable)?));
            }
            // Without all records a table can be held against its note only.
            match feature_tables(&environment, &record.stages(), &usable) {
                Ok(tables) => {
                    for (table, matrix) in tables {
                        files.extend(table_files(&environment, table, &matrix)?);
                    }
                }
                Err(PipelineError::Corrupt { .. } | PipelineError::Internal { .. }) => {
                    noted.extend(tables_of(&record.stages()));
                }
                Err(error) => return Err(error),
            }
            let started = record.manifest.started();
            for (path, bytes) in files {
                if *begun.entry(path.clone()).or_insert(started) == started {
                    expected.entry(path).or_default().push(bytes);
                }
            }
        }
        for table in noted {
            self.found.checked.derived += 2;
            if let Some((path, flaw)) = check_note(self.workspace, table)? {
                let (wrong, detail) = wrong_by(flaw, "its stage has run");
                self.flaw(&path, wrong, detail, Remedy::Later);
            }
        }
        for (path, mut candidates) in expected {
            let found = fs::read(&path).unwrap_or_default();
            let at = candidates.iter().position(|bytes| *bytes == found).unwrap_or(0);
            self.derived(&path, candidates.swap_remove(at))?;
        }
        Ok(())
    }

    fn splits(&mut self) -> Result<(), PipelineError> {
        for path in list(&self.workspace.splits())? {
            if is_temporary(&path) || path.extension().is_none_or(|extension| extension != "json") {
                continue;
            }
            self.found.checked.splits += 1;
            let read = Split::load(&path).map_err(PipelineError::from);
            // What was sealed must stay sealed: only a person may say that it is planned anew.
            let told = "put it back from a copy, or remove it with the runs that name it, and train \
                        with --replan-split";
            match self.readable(&path, read, told)? {
                Some(split) => {
                    self.splits.iter_mut().for_each(|known| {
                        known.insert(split.hash().to_owned());
                    });
                }
                None => self.splits = None,
            }
        }
        Ok(())
    }

    /// A database where SQLite can work on it, which writes also to read.
    fn copied(&self, path: &Path) -> Result<Database, PipelineError> {
        if self.workspace.is_writable() {
            return Ok(Database { file: path.to_owned(), folder: None });
        }
        let name = format!("fvc-verify-{}-{}", std::process::id(), name_of(path));
        let folder = std::env::temp_dir().join(name);
        fs::create_dir(&folder)
            .map_err(|source| PipelineError::Io { path: folder.clone(), source })?;
        let copy = Database { file: folder.join(name_of(path)), folder: Some(folder) };
        for ending in ["", "-wal"] {
            let with = |path: &Path| {
                let mut name = path.as_os_str().to_owned();
                name.push(ending);
                PathBuf::from(name)
            };
            let from = with(path);
            match fs::copy(&from, with(copy.path())) {
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(source) => return Err(PipelineError::Io { path: from, source }),
                Ok(_) => {}
            }
        }
        Ok(copy)
    }

    fn cache(&mut self) -> Result<(), PipelineError> {
        let path = self.workspace.media_cache();
        if !path.exists() {
            if !self.found.sources.is_empty() {
                let detail = "it is filled again from the videos".to_owned();
                self.flaw(&path, Wrong::Missing, detail, Remedy::NewCache);
            }
            return Ok(());
        }
        let empty = fs::metadata(&path).is_ok_and(|found| found.len() == 0);
        if empty {
            self.flaw(&path, Wrong::Empty, "no bytes".to_owned(), Remedy::NewCache);
            return Ok(());
        }
        let copy = self.copied(&path)?;
        match MediaCache::open(copy.path()).and_then(|cache| cache.check()) {
            Ok(0) => {}
            Ok(count) => {
                let detail = format!("{count} entries that do not hold what was written");
                self.flaw(&path, Wrong::Damaged, detail, Remedy::DropEntries);
            }
            Err(error @ (CacheError::Damaged { .. } | CacheError::NotACache { .. })) => {
                self.flaw(&path, Wrong::Damaged, error.to_string(), Remedy::NewCache);
            }
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    /// The ledger, and every run with the openings that it needs to have there.
    fn ledger_and_runs(&mut self) -> Result<(), PipelineError> {
        let path = self.workspace.ledger();
        let instead = "put it back from a copy: it is the only record of openings";
        let copy;
        let mut ledger = None;
        match fs::metadata(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(source) => return Err(PipelineError::Io { path, source }),
            Ok(found) if found.len() == 0 => {
                self.flaw(&path, Wrong::Empty, "no bytes".to_owned(), Remedy::None(instead));
            }
            Ok(_) => {
                copy = Some(self.copied(&path)?);
                let at = copy.as_ref().map_or(path.as_path(), Database::path);
                match Ledger::open(at).and_then(|ledger| ledger.check().map(|()| ledger)) {
                    Ok(found) => ledger = Some(found),
                    Err(error) => {
                        let remedy = Remedy::None(instead);
                        self.flaw(&path, Wrong::Damaged, error.to_string(), remedy);
                    }
                }
            }
        }
        let mut needed = 0;
        for experiment in list(&self.workspace.runs())? {
            for run in list(&experiment)? {
                if is_real_folder(&run) && name_of(&run).starts_with("run_") {
                    self.found.checked.runs += 1;
                    needed += self.run(&run, ledger.as_ref())?;
                }
            }
        }
        if needed > 0 && ledger.is_none() && !path.exists() {
            let detail = format!("{needed} runs opened a sealed test");
            self.flaw(&path, Wrong::Missing, detail, Remedy::None(instead));
        }
        Ok(())
    }

    /// One run; 1 where it opened a sealed test.
    fn run(&mut self, run: &Path, ledger: Option<&Ledger>) -> Result<u64, PipelineError> {
        #[derive(Deserialize)]
        struct Head {
            split_hash: String,
            sealed: Option<Opened>,
            models: Vec<Model>,
        }
        #[derive(Deserialize)]
        struct Opened {
            opening: u64,
        }
        #[derive(Deserialize)]
        struct Model {
            file: String,
        }
        let instead = "train again; runs are never changed";
        let corrupt = |path: &Path, found: String| PipelineError::Corrupt {
            path: path.to_owned(),
            expected: "the result of a run".to_owned(),
            found,
        };
        let seal = run.join("files.json");
        let read = RunFolder::sealed_files(run).map_err(PipelineError::from);
        let files = self.readable(&seal, read, instead)?;
        for file in files.iter().flatten().flatten() {
            let path = run.join(&file.name);
            let (wrong, detail) = match fs::metadata(&path) {
                Err(error) if error.kind() == ErrorKind::NotFound => {
                    (Wrong::Missing, "files.json names it".to_owned())
                }
                Err(source) => return Err(PipelineError::Io { path, source }),
                Ok(found) if found.len() == 0 && file.bytes > 0 => {
                    (Wrong::Empty, format!("expected {} bytes", file.bytes))
                }
                Ok(_) => {
                    let found = ContentId::of_file(&path)
                        .map_err(|source| PipelineError::Io { path: path.clone(), source })?;
                    if found == file.hash {
                        continue;
                    }
                    (Wrong::Damaged, format!("expected hash {}, found {found}", file.hash))
                }
            };
            self.flaw(&path, wrong, detail, Remedy::None(instead));
        }
        // A run without a result was cut off, failed, or is older than the list of files.
        let path = run.join("result.json");
        let Ok(bytes) = fs::read(&path) else { return Ok(0) };
        let head: Head = match serde_json::from_slice(&bytes) {
            Ok(head) => head,
            Err(_) if matches!(files, Some(Some(_))) => return Ok(0),
            Err(error) => {
                let read: Result<(), _> = Err(corrupt(&path, error.to_string()));
                self.readable(&path, read, instead)?;
                return Ok(0);
            }
        };
        let name = self.relative(run);
        self.split_of.entry(head.split_hash.clone()).or_default().push(name);
        if matches!(files, Some(None)) {
            for model in &head.models {
                let path = run.join(&model.file);
                let read = fvc_learn::Detector::load(&path);
                let read = read.map(drop).map_err(|error| corrupt(&path, error.to_string()));
                self.readable(&path, read, instead)?;
            }
        }
        let Some(opened) = head.sealed else { return Ok(0) };
        if let Some(ledger) = ledger {
            let known = ledger.openings(&head.split_hash)?;
            if known < opened.opening {
                let detail = format!(
                    "{known} openings of split {}, and {} is number {}",
                    head.split_hash,
                    self.relative(run).display(),
                    opened.opening
                );
                let path = self.workspace.ledger();
                let remedy =
                    Remedy::None("put it back from a copy: it is the only record of openings");
                self.flaw(&path, Wrong::Damaged, detail, remedy);
            }
        }
        Ok(1)
    }
}

/// What stands in the folder of feature tables.
const TABLES: [&str; 8] = [
    "stage2.parquet",
    "stage2.json",
    "forensic.parquet",
    "forensic.json",
    "stage4.parquet",
    "stage4.json",
    "facts.parquet",
    "facts.json",
];
