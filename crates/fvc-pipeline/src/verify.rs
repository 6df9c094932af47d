//! [`verify`]: whether a workspace is whole, and what can be done where it is not.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use fvc_clips::ClipStore;
use fvc_corpus::{Failure, Manifest, Source, write_atomically};
use fvc_media::{ContentId, MediaCache};
use rayon::iter::{IntoParallelRefIterator, ParallelIterator};
use serde::Serialize;

pub use crate::examine::{Checked, Wrong};
use crate::examine::{Examination, Flawed, Remedy, examine};
use crate::gathering::IndexRecord;
use crate::lock::Lock;
use crate::merge::with_config;
use crate::pass::PassContext;
use crate::plan::{Stage, StageSelection, wanted};
use crate::progress::Part;
use crate::stage_record::{Basis, Fate, StageRecord};
use crate::stages::{Environment, complete_source};
use crate::{Config, PipelineError, Shard, Unit, UnitState};

/// How often is looked and mended again: what is mended may show what nothing names any more.
const ROUNDS: usize = 3;

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What it is wrong with, from the workspace's root.
    pub path: PathBuf,
    /// What is wrong.
    pub wrong: Wrong,
    /// In words.
    pub detail: String,
    /// Whether it was mended.
    pub repaired: bool,
    /// What a person may do, where this program may not or could not.
    pub instead: Option<String>,
}

/// What [`verify`] found.
#[derive(Clone, Debug, Default, Serialize)]
pub struct VerifyOutcome {
    /// How much was looked at.
    pub checked: Checked,
    /// Everything that is wrong, or was.
    pub findings: Vec<Finding>,
    /// What the repair decoded: every source that had lost something, as completed or failed.
    pub manifest: Option<Manifest>,
    /// Sources that could not be read again.
    pub failures: Vec<Failure>,
}

impl VerifyOutcome {
    /// Whether nothing is wrong, or nothing any more.
    pub fn is_whole(&self) -> bool {
        self.findings.iter().all(|finding| finding.repaired)
    }
}

/// Checks every artefact of the workspace against its record and hash, once nobody works on it.
///
/// With `repair`, what follows from records is written again, what nothing names and what is
/// half-written is removed, and what sources have lost is made again in one pass over each of them:
/// no other source is decoded. Videos, runs and the ledger are never touched, nor is a split.
///
/// # Errors
/// Something cannot be read, with `repair` cannot be written, or the user asked to stop.
pub fn verify(environment: &Environment<'_>, repair: bool) -> Result<VerifyOutcome, PipelineError> {
    let workspace = environment.workspace;
    let _lock = Lock::exclusive(&workspace.index_lock(), &environment.cancel)?;
    let mut seen: BTreeMap<(PathBuf, Wrong), Finding> = BTreeMap::new();
    let mut outcome = VerifyOutcome::default();
    let mut fates: BTreeMap<ContentId, Vec<Fate>> = BTreeMap::new();
    for round in 0.. {
        let found = examine(environment)?;
        if round == 0 {
            outcome.checked = found.checked;
        }
        for finding in seen.values_mut() {
            finding.repaired = true;
        }
        for Flawed { path, wrong, detail, remedy } in &found.flaws {
            let instead = match remedy {
                Remedy::None(instead) => Some((*instead).to_owned()),
                _ => None,
            };
            seen.entry((path.clone(), *wrong))
                .or_insert_with(|| Finding {
                    path: path.clone(),
                    wrong: *wrong,
                    detail: detail.clone(),
                    repaired: false,
                    instead,
                })
                .repaired = false;
        }
        let can = found.flaws.iter().any(|flaw| !matches!(flaw.remedy, Remedy::None(_)));
        if !repair || !can || round == ROUNDS {
            break;
        }
        mend(environment, &found, &mut fates)?;
    }
    outcome.findings = seen.into_values().collect();
    if repair {
        let manifest = conclude(environment, fates, &mut outcome.failures)?;
        outcome.manifest = Some(manifest);
    }
    Ok(outcome)
}

/// Does once what there is to be done.
fn mend(
    environment: &Environment<'_>,
    found: &Examination,
    fates: &mut BTreeMap<ContentId, Vec<Fate>>,
) -> Result<(), PipelineError> {
    let workspace = environment.workspace;
    let mut lost: BTreeSet<ContentId> = BTreeSet::new();
    for flaw in &found.flaws {
        environment.stop_if_cancelled()?;
        let path = workspace.root().join(&flaw.path);
        let io = |source| PipelineError::Io { path: path.clone(), source };
        match &flaw.remedy {
            Remedy::None(_) | Remedy::Later => {}
            Remedy::Remove => remove(&path)?,
            Remedy::Write(bytes) => write_atomically(&path, bytes).map_err(io)?,
            Remedy::Source(content_id) => drop(lost.insert(*content_id)),
            Remedy::DropEntries => {
                MediaCache::open(&path)?.drop_damaged()?;
            }
            Remedy::NewCache => {
                for ending in ["", "-wal", "-shm"] {
                    let mut name = path.clone().into_os_string();
                    name.push(ending);
                    remove(Path::new(&name))?;
                }
                MediaCache::open(&path)?;
            }
        }
    }
    // A source that could not be read is not tried again.
    lost.retain(|content_id| !fates.contains_key(content_id));
    let sources: Vec<&Source> = lost.iter().filter_map(|id| found.sources.get(id)).collect();
    let plans = joint_plans(found);
    for (stages, config) in &plans {
        pay(&with_config(environment, config), stages, &sources, &found.records, fates)?;
    }
    let store = ClipStore::open(&workspace.clips())?;
    for source in sources {
        forget(environment, &plans, &store, &source.content_id)?;
    }
    Ok(())
}

fn remove(path: &Path) -> Result<(), PipelineError> {
    let is_folder = fs::symlink_metadata(path).is_ok_and(|found| found.is_dir());
    let removed = if is_folder { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    match removed {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(PipelineError::Io { path: path.to_owned(), source: error })
        }
        _ => Ok(()),
    }
}

/// What the commands of the workspace ask of a source, in as few passes as their settings allow:
/// commands that differ only in what one of them does not look at are paid for together.
fn joint_plans(found: &Examination) -> Vec<(StageSelection, Config)> {
    let mut plans: Vec<(StageSelection, Config)> = Vec::new();
    for record in &found.records {
        let (stages, config) = (record.stages(), &record.config);
        let joined = plans.iter_mut().find_map(|(own, its)| {
            let both = in_common(own, its, &stages, config)?;
            (*own, *its) = both;
            Some(())
        });
        if joined.is_none() {
            plans.push((stages, plain(config)));
        }
    }
    plans
}

/// The configuration without what changes nothing of what stages 1 to 4 make.
fn plain(config: &Config) -> Config {
    let mut config = config.clone();
    config.split = Config::default().split;
    config.train = Config::default().train;
    config.reading.parallel = 0;
    config
}

/// Stages and settings that ask for what both ask for, and no more; nothing where there are none.
fn in_common(
    stages: &StageSelection,
    config: &Config,
    other_stages: &StageSelection,
    other: &Config,
) -> Option<(StageSelection, Config)> {
    let (mut one, mut two) = (config.clone(), plain(other));
    let scaled =
        |stages: &StageSelection| stages.has(Stage::Scale) || stages.has(Stage::ScaledFeatures);
    if !scaled(stages) {
        one.scale.clone_from(&two.scale);
    } else if !scaled(other_stages) {
        two.scale.clone_from(&one.scale);
    }
    if !stages.has(Stage::Augment) {
        one.augment.materialise = two.augment.materialise;
    } else if !other_stages.has(Stage::Augment) {
        two.augment.materialise = one.augment.materialise;
    }
    (one == two).then(|| {
        let both: Vec<Stage> = stages.iter().chain(other_stages.iter()).collect();
        (StageSelection::of(&both), one)
    })
}

/// Makes again what sources have lost of what these stages ask for.
fn pay(
    environment: &Environment<'_>,
    stages: &StageSelection,
    sources: &[&Source],
    records: &[StageRecord],
    fates: &mut BTreeMap<ContentId, Vec<Fate>>,
) -> Result<(), PipelineError> {
    // Of sources that no such command brought to an end, nothing is lost.
    let asked: Vec<&&Source> = sources
        .iter()
        .filter(|source| {
            records.iter().any(|record| {
                record.stages().iter().all(|stage| stages.has(stage))
                    && record.completed(&source.content_id)
            })
        })
        .collect();
    if asked.is_empty() {
        return Ok(());
    }
    let Environment { config, workspace, .. } = environment;
    let reader = environment.reader()?;
    let store = ClipStore::open(&workspace.clips())?;
    let cancel = &environment.cancel;
    let context = PassContext { config, workspace, reader: &reader, store: &store, cancel };
    let part = Part::begin(environment.progress, "sources", asked.len() as u64);
    let made: Vec<Result<Fate, PipelineError>> = environment.threads()?.install(|| {
        asked
            .par_iter()
            .map(|source| {
                environment.stop_if_cancelled()?;
                let fate = complete_source(&context, stages, source);
                part.advance(1);
                fate
            })
            .collect()
    });
    drop(part);
    for fate in made {
        let fate = fate?;
        fates.entry(fate.content_id).or_default().push(fate);
    }
    Ok(())
}

/// Takes outputs out of a record whose files are bad and that no command of the workspace asks for
/// any more: they are owed again when one does.
fn forget(
    environment: &Environment<'_>,
    plans: &[(StageSelection, Config)],
    store: &ClipStore,
    content_id: &ContentId,
) -> Result<(), PipelineError> {
    let workspace = environment.workspace;
    let path = workspace.unit(content_id);
    let UnitState::Whole(mut unit) = Unit::load(&path, content_id)? else { return Ok(()) };
    let mut asked = BTreeSet::new();
    for (stages, config) in plans {
        asked.extend(wanted(config, stages, content_id)?.into_iter().map(|wanted| wanted.name));
    }
    let before = unit.outputs.len();
    unit.outputs
        .retain(|name, output| asked.contains(name) || output.check(workspace, store).is_ok());
    if unit.outputs.len() < before { unit.save(&path) } else { Ok(()) }
}

/// Writes what the repair did: its manifest, its failure table and its record.
fn conclude(
    environment: &Environment<'_>,
    fates: BTreeMap<ContentId, Vec<Fate>>,
    failures: &mut Vec<Failure>,
) -> Result<Manifest, PipelineError> {
    let workspace = environment.workspace;
    let manifest = Manifest::begin("verify", &environment.config.hash()?);
    let gathered = IndexRecord::of_index(workspace).ok().flatten();
    let basis = gathered.and_then(|record| Some(record.gatherings.first()?.hash.clone()));
    let record = StageRecord::new(
        StageSelection::of(&[]),
        Shard::WHOLE,
        environment.config,
        Basis::Gathered(basis.unwrap_or_default()),
        fates.len() as u64,
        StageRecord::sum(fates),
        manifest,
    )?;
    failures.extend(record.failures());
    Ok(record.save(&workspace.stage("verify"))?.manifest)
}
