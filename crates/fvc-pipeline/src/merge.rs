//! [`merge`]: the shares of several processes or workspaces become one whole.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use fvc_corpus::{DecodeCounts, Failure, Index, LabelPolicy, Ledger, Manifest, Source};
use fvc_media::MediaCache;
use rayon::iter::{IntoParallelRefIterator, ParallelIterator};

use crate::gathering::{Gathering, IndexRecord, build};
use crate::indexing::{IndexOutcome, write_index};
use crate::join_units::{Joining, UnitsJoined};
use crate::lock::Lock;
use crate::pass::acceptable;
use crate::plan::{StageSelection, owed, wanted};
use crate::progress::Part;
use crate::stage_record::{Basis, Ending, Fate, StageRecord};
use crate::stages::{Environment, StagesOutcome, conclude};
use crate::workspace::list_shards;
use crate::{Config, Output, PipelineError, Shard, UnitState, Workspace};

/// What was joined.
#[derive(Clone, Debug, Default)]
pub struct MergeOutcome {
    /// The index, where shares of one were joined.
    pub index: Option<IndexOutcome>,
    /// Each command of stages 1 to 4 of which shares were joined.
    pub stages: Vec<(String, StagesOutcome)>,
    /// Sources of which other workspaces had something that this one had not.
    pub units: u64,
    /// Files that were copied for them.
    pub files: u64,
    /// Entries of media caches that were taken over.
    pub cached: u64,
    /// Openings of sealed tests that were taken over.
    pub openings: u64,
}

/// A record and where it stands.
struct Piece<T> {
    folder: PathBuf,
    record: T,
}

/// Joins what shares made: those of one workspace (`from` is empty), or those of other workspaces
/// into this one, with all that they hold of their sources. The result is what one run over
/// everything would have made. Nothing is written before it is clear that the shares make a whole.
///
/// It waits for commands that are at work on any of the workspaces. What each was told is in its
/// records: of `environment`, the configuration is not used.
///
/// # Errors
/// A share is missing, shares are of different numbers, inputs or settings, two workspaces say
/// different things of one source, something is damaged, a workspace cannot be written, or the user
/// asked to stop.
pub fn merge(
    environment: &Environment<'_>,
    from: &[PathBuf],
) -> Result<MergeOutcome, PipelineError> {
    let into = environment.workspace;
    let others: Vec<Workspace> =
        from.iter().map(|root| Workspace::open(root)).collect::<Result<_, _>>()?;
    let _locks = lock_all(environment, into, &others)?;
    let all: Vec<&Workspace> = std::iter::once(into).chain(&others).collect();
    let shared = others.is_empty();

    // All that can be refused is refused before anything is written.
    let gatherings = whole_gatherings(&all, shared)?;
    let commands = commands(&all, shared, gatherings.as_deref())?;
    if gatherings.is_none() && commands.is_empty() {
        return Err(PipelineError::Shards {
            path: into.root().join("stages"),
            expected: "records of shares".to_owned(),
            found: "none".to_owned(),
            instead: "run commands with --shard I/N first, or name workspaces to join".to_owned(),
        });
    }
    for other in &others {
        if other.media_cache().exists() {
            drop(MediaCache::open(&other.media_cache())?);
        }
        if other.ledger().exists() {
            drop(Ledger::open(&other.ledger())?);
        }
    }
    let built = gatherings.as_deref().map(build).transpose()?;
    let joining = Joining::plan(environment, &others)?;
    let index = match &built {
        Some(built) => built.index.clone(),
        None => Index::load(&into.index())?,
    };
    let mut fates = Vec::with_capacity(commands.len());
    for command in &commands {
        fates.push(fates_of(environment, &joining, &index, command)?);
    }

    let mut outcome = MergeOutcome::default();
    let write_index = |outcome: &mut MergeOutcome| -> Result<(), PipelineError> {
        if let (Some(built), Some(gatherings)) = (&built, gatherings)
            && let Some(config) = gatherings.first().map(|first| first.config.clone())
        {
            let environment = with_config(environment, &config);
            let manifest = Manifest::begin("index", &config.hash()?);
            let index = write_index(&environment, manifest, gatherings, built)?;
            index.usable()?;
            outcome.index = Some(index);
        }
        Ok(())
    };
    if index.sources().is_empty() {
        // Only why nothing could be used is left behind, as by `fvc index`.
        write_index(&mut outcome)?;
        return Ok(outcome);
    }
    let cache = MediaCache::open(&into.media_cache())?;
    for other in &others {
        environment.stop_if_cancelled()?;
        if other.media_cache().exists() {
            outcome.cached += cache.absorb(&other.media_cache())?;
        }
        if other.ledger().exists() {
            let own = Ledger::open(&into.ledger())?;
            outcome.openings += own.absorb(&Ledger::open(&other.ledger())?)?;
        }
    }
    let UnitsJoined { units, files } = joining.carry_out(environment)?;
    (outcome.units, outcome.files) = (units, files);
    write_index(&mut outcome)?;
    for (command, fates) in commands.into_iter().zip(fates) {
        outcome.stages.push(conclude_command(environment, &index, command, fates)?);
    }
    if let Some(counts) = &mut outcome.index {
        // The commands have compared what came from several workspaces.
        counts.count(into, &index)?;
    }
    Ok(outcome)
}

/// The same with another configuration.
pub(crate) fn with_config<'a>(
    environment: &Environment<'a>,
    config: &'a Config,
) -> Environment<'a> {
    Environment { config, cancel: environment.cancel.clone(), ..*environment }
}

/// Waits until nobody works on any of them, in one order for all who would wait.
fn lock_all(
    environment: &Environment<'_>,
    into: &Workspace,
    others: &[Workspace],
) -> Result<Vec<Lock>, PipelineError> {
    let mut places = BTreeMap::new();
    for workspace in std::iter::once(into).chain(others) {
        let root = workspace.root();
        let place = std::fs::canonicalize(root)
            .map_err(|source| PipelineError::Io { path: root.to_owned(), source })?;
        if let Some(first) = places.insert(place, workspace) {
            return Err(PipelineError::Config {
                path: None,
                problem: format!(
                    "merge: expected every workspace once, found {} and {}",
                    first.root().display(),
                    root.display()
                ),
            });
        }
    }
    let locks = places.values();
    locks.map(|workspace| Lock::of_index_in(environment, workspace)).collect()
}

/// Whether shares with these numbers make a whole; `told` is what the missing ones are made with.
fn check_whole(folder: &Path, shards: &BTreeSet<Shard>, told: &str) -> Result<(), PipelineError> {
    let Some(first) = shards.first() else { return Ok(()) };
    let names = |shards: &mut dyn Iterator<Item = Shard>| {
        let names: Vec<String> = shards.map(|shard| shard.to_string()).collect();
        let rest = names.len().saturating_sub(8);
        let more = if rest > 0 { format!(" and {rest} more") } else { String::new() };
        format!("{}{more}", names[..names.len() - rest].join(", "))
    };
    let wrong = |expected: String, found: String, instead: String| {
        Err(PipelineError::Shards { path: folder.to_owned(), expected, found, instead })
    };
    if let Some(other) = shards.iter().find(|shard| shard.count() != first.count()) {
        return wrong(
            "shards of one number".to_owned(),
            format!("shards {}", names(&mut shards.iter().copied())),
            {
                let stage = folder.parent().unwrap_or(folder).display();
                let (one, two) = (first.count(), other.count());
                format!("remove {stage}/shard-*-of-{one} or {stage}/shard-*-of-{two}")
            },
        );
    }
    let mut missing = first.all().filter(|shard| !shards.contains(shard)).peekable();
    if missing.peek().is_some() {
        return wrong(
            format!("all of shards 1/{0} to {0}/{0}", first.count()),
            format!("no shard {}", names(&mut missing)),
            format!(
                "run `fvc {told} --shard I/{}` for each with the same inputs first",
                first.count()
            ),
        );
    }
    Ok(())
}

/// What two configurations do not have in common, as far as it changes what stages 1 to 4 make.
fn difference(one: &Config, other: &Config) -> Option<String> {
    let flat = |config: &Config| {
        let mut keys = BTreeMap::new();
        let value = serde_json::to_value(config.of_outputs()).unwrap_or_default();
        flatten(String::new(), &value, &mut keys);
        keys
    };
    let (one, other) = (flat(one), flat(other));
    let names: BTreeSet<&String> = one.keys().chain(other.keys()).collect();
    let text = |value: Option<&String>| value.map_or("none", String::as_str).to_owned();
    names
        .into_iter()
        .find(|name| one.get(*name) != other.get(*name))
        .map(|name| format!("{name} {} and {}", text(one.get(name)), text(other.get(name))))
}

fn flatten(name: String, value: &serde_json::Value, into: &mut BTreeMap<String, String>) {
    match value {
        serde_json::Value::Object(fields) => {
            for (key, value) in fields {
                let dot = if name.is_empty() { "" } else { "." };
                flatten(format!("{name}{dot}{key}"), value, into);
            }
        }
        value => {
            into.insert(name, value.to_string());
        }
    }
}

/// Refuses pieces that were made with different settings.
fn check_settings<T>(
    pieces: &[&Piece<T>],
    of: impl Fn(&T) -> (&Config, Shard),
) -> Result<(), PipelineError> {
    let Some(first) = pieces.first() else { return Ok(()) };
    let (config, shard) = of(&first.record);
    for piece in &pieces[1..] {
        let (other, its) = of(&piece.record);
        if let Some(found) = difference(config, other) {
            return Err(PipelineError::Shards {
                path: piece.folder.clone(),
                expected: format!("the settings of shard {shard} in {}", first.folder.display()),
                found: format!("others in shard {its}: {found}"),
                instead: "run it again with the same settings".to_owned(),
            });
        }
    }
    Ok(())
}

/// The whole gatherings that the workspaces hold together; nothing where no share of an index is to
/// be joined.
fn whole_gatherings(
    all: &[&Workspace],
    shared: bool,
) -> Result<Option<Vec<Gathering>>, PipelineError> {
    let mut pieces: Vec<Piece<Gathering>> = Vec::new();
    for workspace in all {
        let mut add = |folder: PathBuf, record: IndexRecord| {
            let new = record.gatherings.into_iter();
            pieces.extend(new.map(|record| Piece { folder: folder.clone(), record }));
        };
        if !shared {
            let folder = workspace.index();
            match IndexRecord::load(&folder)? {
                Some(record) => add(folder, record),
                None if folder.join("sources.json").exists() => {
                    return Err(PipelineError::NotReady {
                        missing: format!(
                            "{} does not say what it was made from",
                            folder.join("sources.json").display()
                        ),
                        instead: "run `fvc index` there again".to_owned(),
                    });
                }
                None => {}
            }
        }
        for shard in list_shards(&workspace.stage("index"))? {
            let folder = workspace.shard("index", shard);
            // A folder without a record is of a share that did not end.
            if let Some(record) = IndexRecord::load(&folder)? {
                add(folder, record);
            }
        }
    }
    if pieces.is_empty() {
        return Ok(None);
    }
    let mut order: Vec<String> = Vec::new();
    for piece in &pieces {
        if !order.contains(&piece.record.hash) {
            order.push(piece.record.hash.clone());
        }
    }
    if shared && let [_, other, ..] = order.as_slice() {
        let (first, second) = (&pieces[0], pieces.iter().find(|piece| piece.record.hash == *other));
        return Err(PipelineError::Shards {
            path: second.unwrap_or(first).folder.clone(),
            expected: format!("the inputs of shard {}", first.record.shard),
            found: format!("other inputs in shard {}", second.unwrap_or(first).record.shard),
            instead: format!(
                "index all shards with the same inputs, or remove those of other inputs, such as {}",
                second.unwrap_or(first).folder.display()
            ),
        });
    }
    for piece in &pieces[1..] {
        let shown = |policy: Option<LabelPolicy>| {
            policy.map_or_else(|| "none".to_owned(), |policy| policy.to_string())
        };
        let first = &pieces[0];
        if piece.record.policy != first.record.policy {
            return Err(PipelineError::Conflict {
                what: "the label policy of what is to be one index".to_owned(),
                expected: format!(
                    "{}, as in {}",
                    shown(first.record.policy),
                    first.folder.display()
                ),
                found: format!(
                    "{} in {}; index one of the two again under the policy of the other (--fvc-labels, \
                     or section [fvc]), or merge them apart",
                    shown(piece.record.policy),
                    piece.folder.display()
                ),
            });
        }
    }
    let mut wholes = Vec::new();
    for hash in order {
        let own: Vec<&Piece<Gathering>> =
            pieces.iter().filter(|piece| piece.record.hash == hash).collect();
        check_settings(&own, |gathering| (&gathering.config, gathering.shard))?;
        let mut by_shard: BTreeMap<Shard, &Piece<Gathering>> = BTreeMap::new();
        for piece in own {
            if let Some(first) = by_shard.get(&piece.record.shard) {
                if first.record.rows != piece.record.rows {
                    return Err(PipelineError::Conflict {
                        what: format!("the same inputs, shard {}", piece.record.shard),
                        expected: format!("what {} says", first.folder.display()),
                        found: format!("other rows in {}", piece.folder.display()),
                    });
                }
            } else {
                by_shard.insert(piece.record.shard, piece);
            }
        }
        if let Some(whole) = by_shard.get(&Shard::WHOLE) {
            wholes.push(whole.record.clone());
            continue;
        }
        let shards = by_shard.keys().copied().collect();
        let folder = by_shard.values().next().map(|piece| piece.folder.clone());
        check_whole(&folder.unwrap_or_default(), &shards, "index").map_err(|error| {
            // Often the missing share is there, and was made of something else.
            let other = pieces.iter().find(|piece| {
                let its = &piece.record;
                let beside = |shard: &Shard| shard.count() == its.shard.count();
                its.hash != hash && !shards.contains(&its.shard) && shards.iter().any(beside)
            });
            match (error, other) {
                (PipelineError::Shards { path, expected, found, instead }, Some(other)) => {
                    let its = other.record.shard;
                    let folder = other.folder.display();
                    let found =
                        format!("{found} of these inputs, and shard {its} of others in {folder}");
                    PipelineError::Shards { path, expected, found, instead }
                }
                (error, _) => error,
            }
        })?;
        wholes.push(Gathering::whole(
            by_shard.into_values().map(|piece| piece.record.clone()).collect(),
        )?);
    }
    Ok(Some(wholes))
}

/// One command of stages 1 to 4: its records, none of which is part of another.
struct Command {
    stages: StageSelection,
    config: Config,
    records: Vec<StageRecord>,
    joined: BTreeSet<String>,
}

/// The commands whose shares make wholes, in the order in which they were last begun: of tables that
/// several write, the last ones stay.
fn commands(
    all: &[&Workspace],
    shared: bool,
    gatherings: Option<&[Gathering]>,
) -> Result<Vec<Command>, PipelineError> {
    let mut by_name: BTreeMap<String, Vec<Piece<StageRecord>>> = BTreeMap::new();
    for workspace in all {
        let valid = bases(workspace, gatherings.filter(|_| shared))?;
        for name in stage_names(workspace)? {
            let stage = workspace.stage(&name);
            let whole = if shared { None } else { StageRecord::load(&stage)? };
            let joined = whole.as_ref().map(|whole| whole.joined.clone()).unwrap_or_default();
            let pieces = by_name.entry(name).or_default();
            let mut add = |folder: PathBuf, record: StageRecord| -> Result<(), PipelineError> {
                if !valid.contains(&record.basis) {
                    return Err(PipelineError::Shards {
                        path: folder,
                        expected: "records over the index of this workspace".to_owned(),
                        found: "records over another".to_owned(),
                        instead: "run the command again".to_owned(),
                    });
                }
                pieces.push(Piece { folder, record });
                Ok(())
            };
            if let Some(whole) = whole {
                add(stage.clone(), whole)?;
            }
            for shard in list_shards(&stage)? {
                let folder = stage.join(shard.folder());
                // A folder without a record is of a share that did not end.
                let Some(record) = StageRecord::load(&folder)? else { continue };
                if !joined.contains(&record.hash()?) {
                    add(folder, record)?;
                }
            }
        }
    }
    let mut commands = Vec::new();
    for pieces in by_name.into_values() {
        commands.extend(command_of(pieces)?);
    }
    commands.sort_by_key(|command: &Command| {
        let last = command.records.iter().map(|record| record.manifest.started()).max();
        (last, command.stages.command())
    });
    Ok(commands)
}

/// Where records of a workspace may have their sources from.
fn bases(
    workspace: &Workspace,
    joined: Option<&[Gathering]>,
) -> Result<BTreeSet<Basis>, PipelineError> {
    let mut bases = BTreeSet::new();
    match joined {
        Some(gatherings) => {
            let index = build(gatherings)?.index;
            bases.insert(Basis::Index(index.hash().to_owned()));
        }
        None if workspace.index().join("sources.json").exists() => {
            bases.insert(Basis::Index(Index::load(&workspace.index())?.hash().to_owned()));
        }
        None => {}
    }
    let mut records: Vec<IndexRecord> = IndexRecord::of_index(workspace)?.into_iter().collect();
    for shard in list_shards(&workspace.stage("index"))? {
        records.extend(IndexRecord::load(&workspace.shard("index", shard))?);
    }
    let gathered = records.into_iter().flat_map(|record| record.gatherings);
    bases.extend(gathered.map(|gathering| Basis::Gathered(gathering.hash)));
    Ok(bases)
}

/// The commands of which a workspace has records.
pub(crate) fn stage_names(workspace: &Workspace) -> Result<Vec<String>, PipelineError> {
    let folder = workspace.root().join("stages");
    let io = |source| PipelineError::Io { path: folder.clone(), source };
    let entries = match std::fs::read_dir(&folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(io(error)),
    };
    let mut names = Vec::new();
    for entry in entries {
        let name = entry.map_err(io)?.file_name().to_string_lossy().into_owned();
        if name != "index" && name != "verify" && !name.starts_with('.') {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

/// The pieces of one command, each once; nothing where there is none.
fn command_of(pieces: Vec<Piece<StageRecord>>) -> Result<Option<Command>, PipelineError> {
    let every: Vec<&Piece<StageRecord>> = pieces.iter().collect();
    check_settings(&every, |record| (&record.config, record.shard))?;
    let mut joined = BTreeSet::new();
    for piece in &pieces {
        joined.extend(piece.record.joined.iter().cloned());
    }
    let mut by_basis: BTreeMap<Basis, (PathBuf, BTreeSet<Shard>)> = BTreeMap::new();
    let mut records: BTreeMap<String, StageRecord> = BTreeMap::new();
    for Piece { folder, record } in pieces {
        let hash = record.hash()?;
        if joined.contains(&hash) {
            continue;
        }
        let (_, shards) = by_basis
            .entry(record.basis.clone())
            .or_insert_with(|| (folder.clone(), BTreeSet::new()));
        shards.insert(record.shard);
        records.insert(hash, record);
    }
    let Some(first) = records.values().next() else { return Ok(None) };
    let (stages, config) = (first.stages(), first.config.clone());
    let mut told = stages.command();
    if told == "run" || told.contains('+') {
        told = format!("run --stages {stages}");
    }
    for (folder, shards) in by_basis.values() {
        if !shards.contains(&Shard::WHOLE) {
            check_whole(folder, shards, &told)?;
        }
    }
    let mut whole = joined;
    whole.extend(records.keys().cloned());
    Ok(Some(Command { stages, config, records: records.into_values().collect(), joined: whole }))
}

/// How every source of the index will stand under a command, once all is joined.
fn fates_of(
    environment: &Environment<'_>,
    joining: &Joining<'_>,
    index: &Index,
    command: &Command,
) -> Result<Vec<Fate>, PipelineError> {
    let known = StageRecord::join(&command.records);
    let part = Part::begin(environment.progress, "sources", index.sources().len() as u64);
    let fates: Vec<Result<Fate, PipelineError>> = environment.threads()?.install(|| {
        let sources = index.sources().par_iter();
        sources
            .map(|source| {
                environment.stop_if_cancelled()?;
                let told = known.get(&source.content_id);
                let fate = standing(environment, joining, command, source, told);
                part.advance(1);
                fate
            })
            .collect()
    });
    drop(part);
    fates.into_iter().collect()
}

/// Writes what a whole run of a command would have left.
fn conclude_command(
    environment: &Environment<'_>,
    index: &Index,
    command: Command,
    fates: Vec<Fate>,
) -> Result<(String, StagesOutcome), PipelineError> {
    let Command { stages, config, joined, .. } = command;
    let name = stages.command();
    let environment = &with_config(environment, &config);
    let manifest = Manifest::begin(&name, &config.hash()?);
    let basis = Basis::Index(index.hash().to_owned());
    let inputs = index.sources().len() as u64;
    let mut record =
        StageRecord::new(stages, Shard::WHOLE, &config, basis, inputs, fates, manifest)?;
    record.joined = joined;
    Ok((name, conclude(environment, &record, index.sources())?))
}

/// How a source will stand under a command: as the records say, checked against what will be there.
fn standing(
    environment: &Environment<'_>,
    joining: &Joining<'_>,
    command: &Command,
    source: &Source,
    told: Option<&Fate>,
) -> Result<Fate, PipelineError> {
    let Command { stages, config, .. } = command;
    let content_id = source.content_id;
    if let Some(Fate { result: Ending::Failed(failure), decodes, .. }) = told {
        // The same bytes may have another path in the whole.
        let failure = Failure { path: source.path.clone(), ..(**failure).clone() };
        let result = Ending::Failed(Box::new(failure));
        return Ok(Fate { content_id, result, decodes: decodes.clone() });
    }
    let state = joining.state(&content_id)?;
    let is_there = |made: &Output| joining.has(&content_id, made);
    let left = owed(wanted(config, stages, &content_id)?, &state, is_there);
    if !left.outputs.is_empty() {
        let (expected, instead) = if told.is_some() {
            ("what a shard made of it", "run that shard again")
        } else {
            ("a shard that worked on it", "run the command over all of the index")
        };
        return Err(PipelineError::Shards {
            path: environment.workspace.unit(&content_id),
            expected: format!("{expected} ({})", source.path.display()),
            found: format!("{} outputs to make: {}", left.outputs.len(), left.reason),
            instead: instead.to_owned(),
        });
    }
    let decodes = told.map_or_else(DecodeCounts::default, |fate| fate.decodes.clone());
    let result = match (told, &state) {
        (Some(fate), _) => fate.result.clone(),
        (None, UnitState::Whole(unit)) => match acceptable(config, source, &unit.verdict) {
            Ok(()) => Ending::Complete { damaged: crate::stages::is_damaged(unit) },
            Err(failure) => Ending::Failed(failure),
        },
        (None, _) => Ending::Complete { damaged: false },
    };
    Ok(Fate { content_id, result, decodes })
}
