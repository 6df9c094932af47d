//! [`run_stages`]: stages 1 to 4 over a whole index, one pass a source.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use fvc_clips::ClipStore;
use fvc_corpus::{DecodeCounts, Failure, Index, Manifest, Source, write_atomically};
use fvc_media::{ContentId, DecodeVerdict, MediaCache, Reader};
use rayon::iter::{IntoParallelRefIterator, ParallelIterator};
use serde::Serialize;

use crate::feature_tables::write_feature_tables;
use crate::gathering::{IndexRecord, build};
use crate::grouping::group_sources;
use crate::lock::Lock;
use crate::pass::{PassContext, PassError, acceptable, run_pass};
use crate::plan::{Stage, StageSelection, draws, owed, wanted};
use crate::progress::Part;
use crate::stage_record::{Basis, Ending, Fate, StageRecord};
use crate::workspace::remove_shards;
use crate::{Config, Output, PipelineError, Progress, Shard, Unit, UnitState, Workspace};

/// What a command that reads videos works with.
pub struct Environment<'a> {
    /// The configuration.
    pub config: &'a Config,
    /// Where everything is kept.
    pub workspace: &'a Workspace,
    /// Set by Ctrl-C; everything stops within 2 seconds and keeps what is finished.
    pub cancel: Arc<AtomicBool>,
    /// Where progress is shown.
    pub progress: &'a dyn Progress,
}

impl Environment<'_> {
    /// A reader with this configuration's limits and this workspace's cache.
    ///
    /// # Errors
    /// The cache cannot be opened.
    pub fn reader(&self) -> Result<Reader, PipelineError> {
        let cache = Arc::new(MediaCache::open(&self.workspace.media_cache())?);
        Ok(Reader::new(self.config.limits.clone())
            .with_cache(cache)
            .with_partial(self.config.reading.partial)
            .with_cancel(Arc::clone(&self.cancel)))
    }

    /// Threads for work over sources.
    ///
    /// # Errors
    /// The system has no threads to give.
    pub(crate) fn threads(&self) -> Result<rayon::ThreadPool, PipelineError> {
        rayon::ThreadPoolBuilder::new()
            .num_threads(self.config.reading.parallel)
            .build()
            .map_err(|error| PipelineError::Internal { what: error.to_string() })
    }

    pub(crate) fn stop_if_cancelled(&self) -> Result<(), PipelineError> {
        if self.cancel.load(Ordering::Relaxed) { Err(PipelineError::Cancelled) } else { Ok(()) }
    }
}

/// What stages 1 to 4 did.
#[derive(Clone, Debug)]
pub struct StagesOutcome {
    /// Every input is in it, as a result or as a failure.
    pub manifest: Manifest,
    /// Sources that gave no result.
    pub failures: Vec<Failure>,
    /// How many of the results are of sources that are damaged, and of which the whole windows were
    /// used as the configuration allows.
    pub damaged: u64,
    /// Ties between sources that were found in what they show, and groups that are suspiciously large.
    pub notes: Vec<String>,
    /// Where manifest and failure table stand.
    pub folder: std::path::PathBuf,
}

/// Runs the selected stages of 1 to 4 over every source of the index: plans what each owes, pays it
/// in one pass, and writes the feature tables, the failure table and the manifest.
///
/// A shard does so with its share of the sources, and writes its own failure table and manifest;
/// [`crate::merge`] joins those of all shards and writes the tables. Where there is no index yet, the
/// sources of a shard are those that the same shard of the index found.
///
/// # Errors
/// There is no index, the disk has no room for the clips, the workspace cannot be written, or the
/// user asked to stop. What is wrong with a source is a row of the failure table.
pub fn run_stages(
    environment: &Environment<'_>,
    stages: &StageSelection,
    shard: Option<Shard>,
) -> Result<StagesOutcome, PipelineError> {
    let Environment { config, workspace, .. } = environment;
    let _lock = Lock::shared(&workspace.index_lock(), &environment.cancel)?;
    let (sources, basis) = basis_of(workspace, shard)?;
    let reader = environment.reader()?;
    let store = ClipStore::open(&workspace.clips())?;
    let stages = stages.without(Stage::Train);
    let command = stages.command();
    let manifest = Manifest::begin(&command, &config.hash()?);
    if stages.has(Stage::Scale) {
        check_room(environment, &sources, &store, &stages)?;
    }

    let context = PassContext {
        config,
        workspace,
        reader: &reader,
        store: &store,
        cancel: &environment.cancel,
    };
    let part = Part::begin(environment.progress, "sources", sources.len() as u64);
    let fatal: Mutex<Option<PipelineError>> = Mutex::new(None);
    let fates: Vec<Option<Fate>> = environment.threads()?.install(|| {
        sources
            .par_iter()
            .map(|source| {
                let stopped = match fatal.lock() {
                    Ok(fatal) => fatal.is_some(),
                    Err(_) => true,
                };
                if stopped || environment.cancel.load(Ordering::Relaxed) {
                    return None;
                }
                let fate = complete_source(&context, &stages, source);
                part.advance(1);
                match fate {
                    Ok(fate) => Some(fate),
                    Err(error) => {
                        if let Ok(mut fatal) = fatal.lock() {
                            fatal.get_or_insert(error);
                        }
                        None
                    }
                }
            })
            .collect()
    });
    drop(part);
    if let Ok(Some(error)) = fatal.into_inner() {
        return Err(error);
    }
    environment.stop_if_cancelled()?;

    let inputs = sources.len() as u64;
    // A source without a fate was neither finished nor stopped: the counts will not add up.
    let fates = fates.into_iter().flatten().collect();
    let share = shard.unwrap_or(Shard::WHOLE);
    let record = StageRecord::new(stages, share, config, basis, inputs, fates, manifest)?;
    if let Some(shard) = shard {
        return record.save(&workspace.shard(&command, shard));
    }
    let outcome = conclude(environment, &record, &sources)?;
    // What shares did before is of another run.
    remove_shards(&workspace.stage(&command))?;
    Ok(outcome)
}

/// The sources that a command works on, and where they come from.
fn basis_of(
    workspace: &Workspace,
    shard: Option<Shard>,
) -> Result<(Vec<Source>, Basis), PipelineError> {
    if let Some(shard) = shard
        && !workspace.index().join("sources.json").exists()
        && let Some(found) = IndexRecord::load(&workspace.shard("index", shard))?
        && let [gathering] = found.gatherings.as_slice()
    {
        let basis = Basis::Gathered(gathering.hash.clone());
        // Its groups are not whole; nothing before training asks for them.
        return Ok((build(&found.gatherings)?.index.sources().to_vec(), basis));
    }
    let index = Index::load(&workspace.index())?;
    let shard = shard.unwrap_or(Shard::WHOLE);
    let own = index.sources().iter().filter(|source| shard.has_source(&source.content_id));
    Ok((own.cloned().collect(), Basis::Index(index.hash().to_owned())))
}

/// Writes what the whole of a command leaves behind: tables from the units, failure table, manifest
/// and record.
pub(crate) fn conclude(
    environment: &Environment<'_>,
    record: &StageRecord,
    sources: &[Source],
) -> Result<StagesOutcome, PipelineError> {
    let stages = record.stages();
    let usable: Vec<&Source> =
        sources.iter().filter(|source| record.completed(&source.content_id)).collect();
    // Tables that are there stay as they are when nothing could be read.
    if !usable.is_empty() {
        if stages.has(Stage::Augment) {
            write_draws(environment, &usable)?;
        }
        write_feature_tables(environment, &stages, &usable)?;
    }
    let mut outcome = record.save(&environment.workspace.stage(&stages.command()))?;
    if usable.is_empty() {
        return Err(PipelineError::NothingUsable {
            inputs: sources.len() as u64,
            first: outcome
                .failures
                .first()
                .map_or_else(|| "the index is empty".to_owned(), ToString::to_string),
        });
    }
    outcome.notes = group_sources(environment)?.notes();
    Ok(outcome)
}

/// Brings one source to where all that is wanted of it is there.
///
/// One process at a time: what another adds to the record meanwhile would be lost when this one
/// writes it.
pub(crate) fn complete_source(
    context: &PassContext<'_>,
    stages: &StageSelection,
    source: &Source,
) -> Result<Fate, PipelineError> {
    complete_outputs(context, stages, source, None)
}

/// The same with these of the outputs only, where any are named: what else the settings ask for may
/// never have been asked of this source.
pub(crate) fn complete_outputs(
    context: &PassContext<'_>,
    stages: &StageSelection,
    source: &Source,
    only: Option<&BTreeSet<String>>,
) -> Result<Fate, PipelineError> {
    let reader = context.reader.counted_apart();
    let context = &PassContext { reader: &reader, ..*context };
    let fate = |result, reason: Option<String>| {
        let counters = reader.counters();
        let (sources, own, probes) = (counters.sources(), counters.own(), counters.probes());
        // No decode where a failure was known from before.
        let reason = reason.filter(|_| sources > 0);
        let reasons = reason.into_iter().map(|reason| (reason, sources)).collect();
        let decodes = DecodeCounts { sources, own, probes, reasons };
        Ok(Fate { content_id: source.content_id, result, decodes })
    };
    let mut wanted = wanted(context.config, stages, &source.content_id)?;
    wanted.retain(|output| only.is_none_or(|only| only.contains(&output.name)));
    let own_draws = draws(context.config, &source.content_id)?;
    let path = context.workspace.unit(&source.content_id);
    let _lock = Lock::exclusive(&context.workspace.unit_lock(&source.content_id), context.cancel)?;
    let state = Unit::load(&path, &source.content_id)?;
    if let UnitState::Whole(unit) = &state
        && let Err(failure) = acceptable(context.config, source, &unit.verdict)
    {
        return fate(Ending::Failed(failure), None);
    }
    let is_there = |made: &Output| made.check(context.workspace, context.store).is_ok();
    let owed = owed(wanted, &state, is_there);
    if owed.outputs.is_empty() {
        let damaged = matches!(&state, UnitState::Whole(unit) if is_damaged(unit));
        return fate(Ending::Complete { damaged }, None);
    }
    let reason = owed.reason.clone();
    let unit = match state {
        UnitState::Whole(unit) => Some(*unit),
        UnitState::None | UnitState::Damaged(_) => None,
    };
    // Draws under settings of before are not those of now.
    let newer = unit.as_ref().filter(|_| only.is_some()).map(|unit| unit.draws.clone());
    match run_pass(context, source, &own_draws, owed, unit) {
        Ok(mut unit) => {
            unit.draws.extend(newer.unwrap_or_default());
            unit.save(&path)?;
            fate(Ending::Complete { damaged: is_damaged(&unit) }, Some(reason))
        }
        Err(PassError::Source(failure)) => fate(Ending::Failed(failure), Some(reason)),
        Err(PassError::Pipeline(error)) => Err(error),
    }
}

pub(crate) fn is_damaged(unit: &Unit) -> bool {
    matches!(unit.verdict, DecodeVerdict::Partial { .. })
}

/// One drawn variant, as a line of `variants/draws.jsonl`.
#[derive(Serialize)]
struct DrawRecord<'a> {
    content_id: ContentId,
    #[serde(flatten)]
    draw: &'a fvc_augment::Draw,
}

/// Writes the one draw of every variant: its kind and parameters, from which it is made again bit for
/// bit, whether or not it was ever written as a file.
fn write_draws(environment: &Environment<'_>, sources: &[&Source]) -> Result<(), PipelineError> {
    let path = environment.workspace.variants().join("draws.jsonl");
    write_atomically(&path, &draw_lines(environment, sources)?)
        .map_err(|source| PipelineError::Io { path: path.clone(), source })
}

/// The lines of `variants/draws.jsonl`.
pub(crate) fn draw_lines(
    environment: &Environment<'_>,
    sources: &[&Source],
) -> Result<Vec<u8>, PipelineError> {
    let mut lines = Vec::new();
    for source in sources {
        for draw in &draws(environment.config, &source.content_id)? {
            let record = DrawRecord { content_id: source.content_id, draw };
            serde_json::to_writer(&mut lines, &record)
                .map_err(|error| PipelineError::Internal { what: error.to_string() })?;
            lines.push(b'\n');
        }
    }
    Ok(lines)
}

/// Whether the disk has room for the scaled frames that are still to be made, of all sizes.
fn check_room(
    environment: &Environment<'_>,
    sources: &[Source],
    store: &ClipStore,
    stages: &StageSelection,
) -> Result<(), PipelineError> {
    let config = environment.config;
    let frames = u64::from(config.sampling.windows) * u64::from(config.sampling.frames);
    let mut bytes = 0_u64;
    for source in sources {
        let path = environment.workspace.unit(&source.content_id);
        let state = Unit::load(&path, &source.content_id)?;
        bytes = wanted(config, stages, &source.content_id)?
            .iter()
            .filter(|output| match &state {
                UnitState::Whole(unit) => !unit.outputs.contains_key(&output.name),
                UnitState::None | UnitState::Damaged(_) => true,
            })
            .map(|output| output.task.estimated_bytes(frames))
            .fold(bytes, u64::saturating_add);
    }
    store.check_free_space(bytes)?;
    Ok(())
}
