//! [`verify`]: whether a workspace is whole, and what can be done where it is not.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use fvc_clips::ClipStore;
use fvc_corpus::{Failure, Manifest, Source, write_atomically};
use fvc_media::{ContentId, MediaCache, PartialPolicy};
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
use crate::stage_record::{Basis, Ending, Fate, StageRecord};
use crate::stages::{Environment, complete_outputs, is_damaged};
use crate::{Config, PipelineError, Shard, Unit, UnitState};

/// How often is looked and mended again: what is mended may show what nothing names any more.
const ROUNDS: usize = 3;

/// How something that was wrong was mended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Mended {
    /// It is there again, as it was.
    MadeAgain,
    /// It is gone: nothing names it.
    Removed,
    /// It is gone, and is computed again when it is needed.
    ComputedAgain,
    /// It is gone, and out of the record: no command that is on record asks for it, and how to make it
    /// is not known.
    NotAskedFor,
}

impl Mended {
    /// In words.
    pub const fn words(self) -> &'static str {
        match self {
            Self::MadeAgain => "yes",
            Self::Removed => "removed",
            Self::ComputedAgain => "removed: it is computed again",
            Self::NotAskedFor => "removed, no longer asked for",
        }
    }
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What it is wrong with, from the workspace's root.
    pub path: PathBuf,
    /// What is wrong.
    pub wrong: Wrong,
    /// In words.
    pub detail: String,
    /// Bytes of what lies there.
    pub bytes: u64,
    /// Whether it was mended.
    pub repaired: bool,
    /// How, where it was.
    pub mended: Option<Mended>,
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
    /// Whether all that is asked for is as it was written, or is again. What nothing names any more
    /// takes room, and harms nobody.
    pub fn is_whole(&self) -> bool {
        self.findings.iter().all(|finding| finding.repaired || finding.wrong == Wrong::Orphaned)
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
    // Who only looks needs to write nothing.
    let _lock = if repair || workspace.is_writable() {
        Lock::of_index(environment)?
    } else {
        Lock::to_read_index(environment)?
    };
    let mut seen: BTreeMap<(PathBuf, Wrong), Seen> = BTreeMap::new();
    let mut outcome = VerifyOutcome::default();
    let mut done = Done::default();
    for round in 0.. {
        let found = examine(environment)?;
        if round == 0 {
            outcome.checked = found.checked;
        }
        for seen in seen.values_mut() {
            seen.finding.repaired = true;
        }
        for flaw in &found.flaws {
            note(&mut seen, flaw, round > 0);
        }
        let can = found.flaws.iter().any(|flaw| !matches!(flaw.remedy, Remedy::None(_)));
        if !repair || !can || round == ROUNDS {
            break;
        }
        mend(environment, &found, &mut done)?;
    }
    outcome.findings = seen.into_values().map(|seen| seen.told(&done)).collect();
    if repair {
        let manifest = conclude(environment, done.fates, &mut outcome.failures)?;
        outcome.manifest = Some(manifest);
    }
    Ok(outcome)
}

/// What the repair did with sources.
#[derive(Default)]
struct Done {
    /// How the passes over them ended.
    fates: BTreeMap<ContentId, Vec<Fate>>,
    /// Files, from the root, that were taken out of records.
    forgotten: BTreeSet<PathBuf>,
}

/// A finding, and what was to be done about it when it was first seen.
struct Seen {
    finding: Finding,
    mended: Mended,
    source: Option<ContentId>,
}

impl Seen {
    /// The finding, with what became of it.
    fn told(self, done: &Done) -> Finding {
        let Self { mut finding, mended, source } = self;
        if finding.repaired {
            let forgotten = done.forgotten.contains(&finding.path);
            finding.mended = Some(if forgotten { Mended::NotAskedFor } else { mended });
            return finding;
        }
        let fates = source.iter().filter_map(|id| done.fates.get(id)).flatten();
        let mut failed = fates.filter_map(|fate| match &fate.result {
            Ending::Failed(failure) => Some(failure.reason.as_str()),
            Ending::Complete { .. } => None,
        });
        match failed.next_back() {
            Some("missing") => finding.instead = Some("the source is not there".to_owned()),
            Some(reason) => finding.instead = Some(format!("its source failed: {reason}")),
            None => {}
        }
        finding
    }
}

/// Notes a flaw. One that is seen later at a path that was seen before is what mending has left of it
/// so far, and no finding of its own.
fn note(seen: &mut BTreeMap<(PathBuf, Wrong), Seen>, flaw: &Flawed, later: bool) {
    if later && let Some(known) = seen.values_mut().find(|seen| seen.finding.path == flaw.path) {
        known.finding.repaired = false;
        return;
    }
    let instead = match &flaw.remedy {
        Remedy::None(instead) => Some((*instead).to_owned()),
        _ => None,
    };
    let finding = Finding {
        path: flaw.path.clone(),
        wrong: flaw.wrong,
        detail: flaw.detail.clone(),
        bytes: flaw.bytes,
        repaired: false,
        mended: None,
        instead,
    };
    let (mended, source) = match flaw.remedy {
        Remedy::Remove => (Mended::Removed, None),
        Remedy::RemoveCache => (Mended::ComputedAgain, None),
        Remedy::Source(content_id, _) => (Mended::MadeAgain, Some(content_id)),
        _ => (Mended::MadeAgain, None),
    };
    let first = Seen { finding, mended, source };
    seen.entry((flaw.path.clone(), flaw.wrong)).or_insert(first);
}

/// What a source has lost: these of its outputs, or nothing where it is the record itself.
type Lost = Option<BTreeSet<String>>;

/// Does once what there is to be done.
fn mend(
    environment: &Environment<'_>,
    found: &Examination,
    done: &mut Done,
) -> Result<(), PipelineError> {
    let workspace = environment.workspace;
    let mut lost: BTreeMap<ContentId, Lost> = BTreeMap::new();
    for flaw in &found.flaws {
        environment.stop_if_cancelled()?;
        let path = workspace.root().join(&flaw.path);
        let io = |source| PipelineError::Io { path: path.clone(), source };
        match &flaw.remedy {
            Remedy::None(_) | Remedy::Later => {}
            Remedy::Remove | Remedy::RemoveCache => remove(&path)?,
            Remedy::Write(bytes) => write_atomically(&path, bytes).map_err(io)?,
            Remedy::Source(content_id, None) => drop(lost.insert(*content_id, None)),
            Remedy::Source(content_id, Some(output)) => {
                if let Some(outputs) =
                    lost.entry(*content_id).or_insert_with(|| Some(BTreeSet::new()))
                {
                    outputs.insert(output.clone());
                }
            }
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
    lost.retain(|content_id, _| !done.fates.contains_key(content_id));
    let lost: Vec<(&Source, Lost)> =
        lost.into_iter().filter_map(|(id, lost)| Some((found.sources.get(&id)?, lost))).collect();
    if lost.is_empty() {
        return Ok(());
    }
    let plans = joint_plans(found);
    let store = ClipStore::open(&workspace.clips())?;
    let again = Again { environment, plans: &plans, records: &found.records, store };
    let part = Part::begin(environment.progress, "sources", lost.len() as u64);
    let made: Vec<Result<Done, PipelineError>> = environment.threads()?.install(|| {
        lost.par_iter()
            .map(|(source, lost)| {
                environment.stop_if_cancelled()?;
                let made = match lost {
                    None => again.make_all(source),
                    Some(outputs) => again.make(source, outputs),
                };
                part.advance(1);
                made
            })
            .collect()
    });
    drop(part);
    for made in made {
        let Done { fates, forgotten } = made?;
        done.fates.extend(fates);
        done.forgotten.extend(forgotten);
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
            plans.push((stages, config.of_outputs()));
        }
    }
    plans
}

/// Stages and settings that ask for what both ask for, and no more; nothing where there are none.
fn in_common(
    stages: &StageSelection,
    config: &Config,
    other_stages: &StageSelection,
    other: &Config,
) -> Option<(StageSelection, Config)> {
    let (mut one, mut two) = (config.clone(), other.of_outputs());
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

/// Makes again what sources have lost.
struct Again<'a> {
    environment: &'a Environment<'a>,
    /// What the commands of the workspace ask for now.
    plans: &'a [(StageSelection, Config)],
    records: &'a [StageRecord],
    store: ClipStore,
}

impl Again<'_> {
    fn complete(
        &self,
        config: &Config,
        stages: &StageSelection,
        source: &Source,
        only: Option<&BTreeSet<String>>,
    ) -> Result<Fate, PipelineError> {
        let Environment { workspace, cancel, .. } = self.environment;
        // Limits, and what becomes of a damaged source, are settings as well.
        let reader = &with_config(self.environment, config).reader()?;
        let context = PassContext { config, workspace, reader, store: &self.store, cancel };
        complete_outputs(&context, stages, source, only)
    }

    /// All of a source whose record is lost: what was made for commands of before is not known.
    fn make_all(&self, source: &Source) -> Result<Done, PipelineError> {
        let id = source.content_id;
        let mut done = Done::default();
        for (stages, config) in self.plans {
            // Of a source that no such command brought to an end, nothing is lost.
            let asked = self.records.iter().any(|record| {
                record.stages().iter().all(|stage| stages.has(stage)) && record.completed(&id)
            });
            if asked {
                let fate = self.complete(config, stages, source, None)?;
                done.fates.entry(id).or_default().push(fate);
            }
        }
        Ok(done)
    }

    /// These outputs of a source, under the settings of now or else under those that they were made
    /// with, in as few passes as it takes. What no known settings give is taken out of the record: it
    /// is owed again when a command asks for it.
    fn make(&self, source: &Source, outputs: &BTreeSet<String>) -> Result<Done, PipelineError> {
        let id = source.content_id;
        let mut done = Done::default();
        let path = self.environment.workspace.unit(&id);
        let UnitState::Whole(unit) = Unit::load(&path, &id)? else { return Ok(done) };
        let mut configs: Vec<Config> =
            self.plans.iter().map(|(_, config)| config.clone()).collect();
        let before = unit.passes.iter().rev().filter_map(|pass| pass.settings.as_deref());
        configs.extend(before.filter_map(|text| serde_json::from_str::<Config>(text).ok()));
        // What stands of a damaged source was made where its whole windows may be used, and only there
        // can be made again.
        let uses = |config: &Config| config.reading.partial == PartialPolicy::Use;
        if is_damaged(&unit) && configs.iter().any(uses) {
            configs.retain(uses);
        }
        let all = StageSelection::of(&Stage::ALL);
        let mut left = outputs.clone();
        while !left.is_empty() {
            let mut best: Option<(&Config, BTreeSet<String>)> = None;
            for config in &configs {
                let names = wanted(config, &all, &id)?.into_iter().map(|wanted| wanted.name);
                let names: BTreeSet<String> = names.filter(|name| left.contains(name)).collect();
                if names.len() > best.as_ref().map_or(0, |(_, best)| best.len()) {
                    best = Some((config, names));
                }
            }
            let Some((config, names)) = best else { break };
            let fate = self.complete(config, &all, source, Some(&names))?;
            let failed = matches!(fate.result, Ending::Failed(_));
            done.fates.entry(id).or_default().push(fate);
            if failed {
                return Ok(done);
            }
            left.retain(|name| !names.contains(name));
        }
        if left.is_empty() {
            return Ok(done);
        }
        // The passes have written it anew.
        let UnitState::Whole(mut unit) = Unit::load(&path, &id)? else { return Ok(done) };
        for name in left {
            if let Some(output) = unit.outputs.remove(&name) {
                done.forgotten.extend(output.file());
            }
        }
        unit.save(&path)?;
        Ok(done)
    }
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
