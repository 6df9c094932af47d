//! [`index`] and [`index_fake_video_corpus`]: from folders and tables to sources with content ids,
//! labels and groups.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use fvc_corpus::{
    Candidate, DecodeCounts, Failure, FailureTable, FakeVideoCorpus, FvcTables, Gathered, Index,
    LabelPolicy, Manifest, Source, gather, read_fake_video_corpus,
};
use fvc_media::{MediaError, Reader, Reason};
use rayon::iter::{IntoParallelIterator, ParallelIterator};

use crate::gathering::{Built, Found, Gathering, IndexRecord, Row, build, gathered_hash};
use crate::grouping::read_ties;
use crate::lock::Lock;
use crate::pass::media_failure;
use crate::progress::Part;
use crate::stages::Environment;
use crate::workspace::remove_shards;
use crate::{PipelineError, Shard, Workspace};

/// What indexing found.
#[derive(Clone, Debug)]
pub struct IndexOutcome {
    /// Every input is in it, as a source or as a failure.
    pub manifest: Manifest,
    /// Inputs that are no source.
    pub failures: Vec<Failure>,
    /// Where manifest and failure table stand: with the index, or where nothing could be used and the
    /// index is as it was, with the records of the stages.
    pub folder: PathBuf,
    /// Sources by label, real first.
    pub sources: [usize; 2],
    /// Groups that hold a source of the label, real first.
    pub groups_by_label: [usize; 2],
    /// Groups in all.
    pub groups: usize,
    /// Sources of which it is known with whom they share footage; their ties are in the groups.
    pub compared: usize,
    /// Files beside the videos that were left alone, such as text and tables.
    pub ignored: u64,
}

/// What a share of an index found.
#[derive(Clone, Debug)]
pub struct IndexShareOutcome {
    /// The share.
    pub shard: Shard,
    /// Every input of the share is in it, as a file that holds a video or as a failure. Which files
    /// are sources is known when all shares are: the same bytes may stand in two of them.
    pub manifest: Manifest,
    /// Inputs of the share that hold no video.
    pub failures: Vec<Failure>,
    /// Where its records stand.
    pub folder: PathBuf,
}

/// Identifies and probes one candidate.
///
/// # Errors
/// What the file is not to blame for.
fn look(reader: &Reader, candidate: Candidate) -> Result<Found, PipelineError> {
    let failed = |error: MediaError, content_id| match error.reason {
        Reason::Cancelled => Err(PipelineError::Cancelled),
        Reason::CacheUnavailable => Err(error.into()),
        _ => Ok(Found::Failed(media_failure(&error, content_id, "index"))),
    };
    let path = &candidate.path;
    let identity = match reader.identify(path) {
        Ok(identity) => identity,
        Err(error) => return failed(error, None),
    };
    match reader.probe(path) {
        Ok(_) => Ok(Found::Video(Box::new(candidate), identity.content_id, identity.bytes)),
        Err(error) => failed(error, Some(identity.content_id)),
    }
}

impl IndexOutcome {
    /// Counts sources and groups, with the ties by content that are known by now.
    pub(crate) fn count(
        &mut self,
        workspace: &Workspace,
        index: &Index,
    ) -> Result<(), PipelineError> {
        // Damaged ties are computed again by the stages.
        let ties = read_ties(workspace)?;
        let joined = ties.as_ref().map(|ties| index.with_near_duplicates(ties));
        let index = joined.as_ref().unwrap_or(index);
        let is_compared =
            |source: &&Source| ties.is_some() && workspace.unit(&source.content_id).exists();
        self.compared = index.sources().iter().filter(is_compared).count();
        self.groups = index.groups().group_count();
        self.sources = [0; 2];
        let mut holding = [BTreeSet::new(), BTreeSet::new()];
        for source in index.sources() {
            self.sources[source.label.index()] += 1;
            holding[source.label.index()].insert(&source.group);
        }
        self.groups_by_label = holding.map(|groups| groups.len());
        Ok(())
    }

    /// Whether there is a source at all.
    ///
    /// # Errors
    /// Nothing could be used.
    pub fn usable(&self) -> Result<(), PipelineError> {
        if self.sources != [0, 0] {
            return Ok(());
        }
        let first = self.failures.first();
        Err(PipelineError::NothingUsable {
            inputs: self.failures.len() as u64,
            first: first.map_or_else(|| "no video was found".to_owned(), ToString::to_string),
        })
    }
}

/// Reads folders and tables, gives every file its content id, looks at each without decoding, joins
/// groups and writes the index, the failure table and the manifest. [`IndexOutcome::usable`] says
/// whether anything could be used.
///
/// # Errors
/// An input is no folder and no table, there is nothing in them, the workspace cannot be written, or
/// the user asked to stop.
pub fn index(
    environment: &Environment<'_>,
    inputs: &[PathBuf],
) -> Result<IndexOutcome, PipelineError> {
    let outcome = index_gathered(environment, gather(inputs)?, None)?;
    // Where there was something, it is told what became of it.
    if outcome.groups == 0 && outcome.failures.is_empty() {
        let inputs: Vec<String> = inputs.iter().map(|input| input.display().to_string()).collect();
        let first = format!("no video was found in {}", inputs.join(", "));
        return Err(PipelineError::NothingUsable { inputs: 0, first });
    }
    Ok(outcome)
}

/// Reads all folders and tables, but looks only at the files of one share, and writes what it found
/// among the records of the stages. [`crate::merge`] makes the index of all shares.
///
/// # Errors
/// An input is no folder and no table, the workspace cannot be written, or the user asked to stop.
pub fn index_share(
    environment: &Environment<'_>,
    inputs: &[PathBuf],
    shard: Shard,
) -> Result<IndexShareOutcome, PipelineError> {
    share_gathered(environment, gather(inputs)?, None, shard)
}

/// Does the same as [`index`] with the Fake Video Corpus below a folder, under the label policy of the
/// configuration. Where nothing could be used, what its tables hold is told all the same;
/// [`IndexOutcome::usable`] says so.
///
/// # Errors
/// A table is not there or is none of the corpus, the folder cannot be read, the workspace cannot be
/// written, or the user asked to stop.
pub fn index_fake_video_corpus(
    environment: &Environment<'_>,
    folder: &Path,
) -> Result<(FvcTables, IndexOutcome), PipelineError> {
    let policy = environment.config.fvc;
    let FakeVideoCorpus { tables, gathered } = read_fake_video_corpus(folder, policy)?;
    Ok((tables, index_gathered(environment, gathered, Some(policy))?))
}

/// Does the same as [`index_share`] with the Fake Video Corpus below a folder.
///
/// # Errors
/// As [`index_fake_video_corpus`].
pub fn index_fake_video_corpus_share(
    environment: &Environment<'_>,
    folder: &Path,
    shard: Shard,
) -> Result<(FvcTables, IndexShareOutcome), PipelineError> {
    let policy = environment.config.fvc;
    let FakeVideoCorpus { tables, gathered } = read_fake_video_corpus(folder, policy)?;
    Ok((tables, share_gathered(environment, gathered, Some(policy), shard)?))
}

/// Writes the index, the failure table and the manifest of what was gathered.
fn index_gathered(
    environment: &Environment<'_>,
    gathered: Gathered,
    policy: Option<LabelPolicy>,
) -> Result<IndexOutcome, PipelineError> {
    // Stages that are at work go on with the index they began with.
    let _lock = Lock::of_index(environment)?;
    let manifest = Manifest::begin("index", &environment.config.hash()?);
    let gathering = identify(environment, gathered, policy, Shard::WHOLE)?;
    let gatherings = vec![gathering];
    let built = build(&gatherings)?;
    let outcome = write_index(environment, manifest, gatherings, &built)?;
    if outcome.groups > 0 {
        // What shares found before is of another index.
        remove_shards(&environment.workspace.stage("index"))?;
    }
    Ok(outcome)
}

/// Writes what one share of what was gathered is.
fn share_gathered(
    environment: &Environment<'_>,
    gathered: Gathered,
    policy: Option<LabelPolicy>,
    shard: Shard,
) -> Result<IndexShareOutcome, PipelineError> {
    // Shares work beside one another; who joins them waits for all that are at work.
    let _lock = Lock::shared(&environment.workspace.index_lock(), &environment.cancel)?;
    let mut manifest = Manifest::begin("index", &environment.config.hash()?);
    let gathering = identify(environment, gathered, policy, shard)?;
    manifest.inputs(gathering.rows.len() as u64);
    manifest.label_policy(policy);
    let mut failures = Vec::new();
    for row in &gathering.rows {
        match &row.found {
            Found::Refused(failure) | Found::Failed(failure) => {
                manifest.failed(&failure.reason);
                failures.push(failure.clone());
            }
            Found::Video(..) => manifest.completed(),
        }
    }
    manifest.decodes(DecodeCounts { probes: gathering.probes, ..DecodeCounts::default() });
    let folder = environment.workspace.shard("index", shard);
    FailureTable::from(failures.clone()).save(&folder)?;
    manifest.save(&folder.join("manifest.json"))?;
    IndexRecord { gatherings: vec![gathering], manifest: manifest.clone() }.save(&folder)?;
    Ok(IndexShareOutcome { shard, manifest, failures, folder })
}

/// Looks at every file of a share of what was gathered.
fn identify(
    environment: &Environment<'_>,
    gathered: Gathered,
    policy: Option<LabelPolicy>,
    shard: Shard,
) -> Result<Gathering, PipelineError> {
    let hash = gathered_hash(&gathered, policy)?;
    let Gathered { candidates, failures, inputs, ties, ignored } = gathered;
    let before = failures.len();
    let mut rows: Vec<Row> = failures
        .into_iter()
        .enumerate()
        .filter(|(_, failure)| shard.has_path(&failure.path))
        .map(|(at, failure)| Row { position: at as u64, found: Found::Refused(failure) })
        .collect();
    let candidates: Vec<(usize, Candidate)> = candidates
        .into_iter()
        .enumerate()
        .filter(|(_, candidate)| shard.has_path(&candidate.path))
        .collect();
    let reader = environment.reader()?;
    let part = Part::begin(environment.progress, "files", candidates.len() as u64);
    let looked: Vec<Result<Row, PipelineError>> = environment.threads()?.install(|| {
        candidates
            .into_par_iter()
            .map(|(at, candidate)| {
                environment.stop_if_cancelled()?;
                let found = look(&reader, candidate)?;
                part.advance(1);
                Ok(Row { position: (before + at) as u64, found })
            })
            .collect()
    });
    drop(part);
    environment.stop_if_cancelled()?;
    for row in looked {
        rows.push(row?);
    }
    Ok(Gathering {
        hash,
        shard,
        config: environment.config.clone(),
        policy,
        inputs,
        ignored,
        ties,
        probes: reader.counters().probes(),
        rows,
    })
}

/// Writes the index that was built of whole gatherings, with its failure table and manifest. Whoever
/// calls holds the index for itself.
pub(crate) fn write_index(
    environment: &Environment<'_>,
    mut manifest: Manifest,
    gatherings: Vec<Gathering>,
    built: &Built,
) -> Result<IndexOutcome, PipelineError> {
    let Built { index, failures } = built;
    manifest.inputs(gatherings.iter().map(|gathering| gathering.inputs).sum());
    manifest.label_policy(index.label_policy());
    for _ in index.sources() {
        manifest.completed();
    }
    for failure in failures {
        manifest.failed(&failure.reason);
    }
    let probes = gatherings.iter().map(|gathering| gathering.probes).sum();
    manifest.decodes(DecodeCounts { probes, ..DecodeCounts::default() });
    let ignored = gatherings.iter().map(|gathering| gathering.ignored).sum();
    let record = IndexRecord { gatherings, manifest };
    let folder = save_index(environment.workspace, &record, index, failures)?;
    let mut outcome = IndexOutcome {
        sources: [0; 2],
        groups_by_label: [0; 2],
        groups: 0,
        compared: 0,
        ignored,
        manifest: record.manifest,
        failures: failures.clone(),
        folder,
    };
    outcome.count(environment.workspace, index)?;
    Ok(outcome)
}

/// Writes all files of an index, and says where they stand.
pub(crate) fn save_index(
    workspace: &Workspace,
    record: &IndexRecord,
    index: &Index,
    failures: &[Failure],
) -> Result<PathBuf, PipelineError> {
    record.manifest.finish()?;
    let found_nothing = index.sources().is_empty();
    // An index that was good is not given up for a mistyped folder: what was wrong then stands
    // beside the records of the stages.
    let folder = if found_nothing { workspace.stage("index") } else { workspace.index() };
    FailureTable::from(failures.to_vec()).save(&folder)?;
    record.manifest.save(&folder.join("manifest.json"))?;
    if !found_nothing {
        record.save(&folder)?;
        index.save(&folder)?;
    }
    Ok(folder)
}
