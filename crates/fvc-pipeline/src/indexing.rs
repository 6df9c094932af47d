//! [`index`] and [`index_fake_video_corpus`]: from folders and tables to sources with content ids,
//! labels and groups.

use std::path::{Path, PathBuf};

use fvc_corpus::{
    Candidate, DecodeCounts, Failure, FailureTable, FakeVideoCorpus, FvcTables, Gathered, Index,
    Label, LabelPolicy, Manifest, gather, read_fake_video_corpus,
};
use fvc_media::{ContentId, Reader, Reason};
use rayon::iter::{IntoParallelIterator, ParallelIterator};

use crate::PipelineError;
use crate::lock::Lock;
use crate::pass::media_failure;
use crate::stages::Environment;

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
    /// Files beside the videos that were left alone, such as text and tables.
    pub ignored: u64,
}

/// A candidate that holds a video, with its content id and its size in bytes; or why it does not.
type Looked = Result<(Candidate, ContentId, u64), Box<Failure>>;

/// Identifies and probes one candidate.
fn look(reader: &Reader, candidate: Candidate) -> Looked {
    let path = &candidate.path;
    let identity =
        reader.identify(path).map_err(|error| Box::new(media_failure(&error, None, "index")))?;
    reader
        .probe(path)
        .map_err(|error| Box::new(media_failure(&error, Some(identity.content_id), "index")))?;
    Ok((candidate, identity.content_id, identity.bytes))
}

impl IndexOutcome {
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
/// groups and writes the index, the failure table and the manifest.
///
/// # Errors
/// An input is no folder and no table, nothing at all could be used, the workspace cannot be
/// written, or the user asked to stop.
pub fn index(
    environment: &Environment<'_>,
    inputs: &[PathBuf],
) -> Result<IndexOutcome, PipelineError> {
    let outcome = index_gathered(environment, gather(inputs)?, None)?;
    if outcome.groups == 0 && outcome.failures.is_empty() {
        let inputs: Vec<String> = inputs.iter().map(|input| input.display().to_string()).collect();
        let first = format!("no video was found in {}", inputs.join(", "));
        return Err(PipelineError::NothingUsable { inputs: 0, first });
    }
    outcome.usable()?;
    Ok(outcome)
}

/// Does the same with the Fake Video Corpus below a folder, under the label policy of the
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

/// Writes the index, the failure table and the manifest of what was gathered.
fn index_gathered(
    environment: &Environment<'_>,
    gathered: Gathered,
    policy: Option<LabelPolicy>,
) -> Result<IndexOutcome, PipelineError> {
    // Stages that are at work go on with the index they began with.
    let _lock = Lock::exclusive(&environment.workspace.index_lock(), &environment.cancel)?;
    let mut manifest = Manifest::begin("index", &environment.config.hash()?);
    manifest.inputs(gathered.inputs);
    manifest.label_policy(policy);
    let reader = environment.reader()?;
    environment.progress.begin("files", gathered.candidates.len() as u64);
    let looked: Vec<Option<Looked>> = environment.threads()?.install(|| {
        gathered
            .candidates
            .into_par_iter()
            .map(|candidate| {
                environment.stop_if_cancelled().ok()?;
                let looked = look(&reader, candidate);
                environment.progress.advance(1);
                Some(looked)
            })
            .collect()
    });
    environment.progress.end();
    environment.stop_if_cancelled()?;

    let mut failures = gathered.failures;
    let mut identified = Vec::new();
    for looked in looked {
        match looked {
            Some(Ok(found)) => identified.push(found),
            Some(Err(failure)) if failure.reason == Reason::Cancelled.code() => {
                return Err(PipelineError::Cancelled);
            }
            Some(Err(failure)) => failures.push(*failure),
            None => return Err(PipelineError::Cancelled),
        }
    }
    let (index, refused) = Index::build(identified, &gathered.ties);
    failures.extend(refused);
    let index = index.with_label_policy(policy);
    for _ in index.sources() {
        manifest.completed();
    }
    for failure in &failures {
        manifest.failed(&failure.reason);
    }
    let counters = reader.counters();
    manifest.decodes(DecodeCounts { probes: counters.probes(), ..DecodeCounts::default() });

    manifest.finish()?;
    let found_nothing = index.sources().is_empty();
    // An index that was good is not given up for a mistyped folder: what was wrong then stands
    // beside the records of the stages.
    let folder = if found_nothing {
        environment.workspace.stage("index")
    } else {
        environment.workspace.index()
    };
    FailureTable::from(failures.clone()).save(&folder)?;
    manifest.save(&folder.join("manifest.json"))?;
    if !found_nothing {
        index.save(&folder)?;
    }
    let mut sources = [0_usize; 2];
    let mut holding = [std::collections::BTreeSet::new(), std::collections::BTreeSet::new()];
    for source in index.sources() {
        sources[source.label.index()] += 1;
        holding[source.label.index()].insert(&source.group);
    }
    Ok(IndexOutcome {
        sources,
        groups_by_label: [holding[Label::Real.index()].len(), holding[Label::Fake.index()].len()],
        groups: index.groups().group_count(),
        ignored: gathered.ignored,
        manifest,
        failures,
        folder,
    })
}
