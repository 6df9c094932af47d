//! [`train`]: stage 5, from feature tables to models, metrics and a run folder.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use fvc_corpus::{
    Admission, Examples, Failure, FailureTable, FeatureMatrix, GroupTable, Index, Label, Ledger,
    Manifest, RunFolder, Split, SplitConfig, read_split_table, write_predictions,
};
use fvc_features::{FORENSIC, Family, NATIVE, SCALED};
use fvc_learn::{
    ClipDetector, ClipEstimator, ColumnRoles, CrossValidation, Detector, LearnError, ModelBody,
    ModelKind, Parameters, SealedEvaluation, Selection, TrainEvent, cross_validate,
    cross_validate_clips, each_clip_fit, evaluate_sealed, evaluate_sealed_clips, fit_final,
    fit_final_clips,
};
use fvc_media::ContentId;
use fvc_nn::SavedNetwork;
use serde::{Deserialize, Serialize};

use crate::facts_columns::{container_columns, duration_columns, facts_columns, size_columns};
use crate::feature_tables::{
    FORENSIC_PREFIX, FeatureTable, NATIVE_PREFIX, Recipe, SCALED_PREFIX, check_table, read_table,
};
use crate::gathering::IndexRecord;
use crate::grouping::{Grouping, group_sources, read_grouped_index};
use crate::lock::Lock;
use crate::merge::stage_names;
use crate::network_training::{NetworkTraining, settings_of};
use crate::plan::StageSelection;
use crate::progress::Part;
use crate::stage_record::StageRecord;
use crate::stages::Environment;
use crate::{Config, PipelineError, Workspace};

/// What stage 5 is told beside the configuration.
#[derive(Clone, Debug, Default)]
pub struct TrainOptions {
    /// Plan a new split although this workspace has one for these settings: for a corpus that has
    /// grown. What was sealed before may be learnt from afterwards, and the run says so.
    pub replan_split: bool,
}

/// One model of a run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TrainedModel {
    /// The model's name.
    pub model: ModelKind,
    /// Outer-fold evaluation.
    pub cross_validation: CrossValidation,
    /// The model file, from the run folder.
    pub file: String,
}

/// What stage 5 made.
#[derive(Clone, Debug, Serialize)]
pub struct TrainOutcome {
    /// The run folder.
    pub run: PathBuf,
    /// Every model in the order asked for.
    pub models: Vec<TrainedModel>,
    /// The chosen one: the lowest log loss over outer folds.
    pub chosen: ModelKind,
    /// The chosen model's file.
    pub chosen_file: PathBuf,
    /// The sealed test, when there is one.
    pub sealed: Option<SealedResult>,
    /// Hash of the split.
    pub split_hash: String,
    /// Sources on the training side and sealed, real first.
    pub sources: SourceCounts,
    /// Things that a reader of the numbers must know.
    pub notes: Vec<String>,
    /// Sources of the index that took no part, and why.
    pub failures: Vec<Failure>,
}

/// What is known of a run before anything is fitted.
struct Told {
    sources: SourceCounts,
    notes: Vec<String>,
    failures: Vec<Failure>,
    roles: ColumnRoles,
}

/// How many sources stand where.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct SourceCounts {
    /// In folds: real, fake.
    pub folds: [usize; 2],
    /// Sealed: real, fake.
    pub sealed: [usize; 2],
    /// With features, but unknown to the split.
    pub outside: usize,
    /// Groups in folds.
    pub fold_groups: usize,
    /// Sealed groups.
    pub sealed_groups: usize,
}

/// What the sealed test said of the chosen model.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SealedResult {
    /// Which opening of this split it was, over all runs of the workspace.
    pub opening: u64,
    /// The scores.
    pub evaluation: SealedEvaluation,
}

/// The tables whose features the configured models see. The stages that a model's name may say are
/// the prefixes of the tables' columns.
fn needed(config: &Config) -> Result<Vec<FeatureTable>, LearnError> {
    let mut kinds = Vec::new();
    for &kind in config.train.models.iter().filter(|kind| !kind.is_network()) {
        kinds.extend(kind.members(&config.train.settings(kind).parameters)?);
    }
    let sees = |prefix: &str| {
        kinds.iter().any(|kind| kind.stages().is_empty() || kind.stages().contains(&prefix))
    };
    let tables = [
        (NATIVE_PREFIX, FeatureTable::Native),
        (FORENSIC_PREFIX, FeatureTable::Forensic),
        (SCALED_PREFIX, FeatureTable::Scaled),
    ];
    Ok(tables.into_iter().filter(|(prefix, _)| sees(prefix)).map(|(_, table)| table).collect())
}

/// Which columns of the joined `tables` are what.
fn roles(config: &Config, tables: &[FeatureTable]) -> ColumnRoles {
    let mut model = Vec::new();
    for &table in tables {
        let (set, prefix) = match table {
            FeatureTable::Native => (&NATIVE, NATIVE_PREFIX),
            FeatureTable::Forensic => (&FORENSIC, FORENSIC_PREFIX),
            FeatureTable::Scaled => (&SCALED, SCALED_PREFIX),
            FeatureTable::Facts => continue,
        };
        for column in set.columns(prefix) {
            let family = set.family_of_column(prefix, &column);
            let names_the_uploader = matches!(family, Some(Family::Container | Family::Scale));
            if config.train.allow_container_features || !names_the_uploader {
                model.push(column);
            }
        }
    }
    ColumnRoles {
        model,
        container: container_columns(),
        duration: duration_columns(),
        size: size_columns(),
    }
}

/// Joins stage tables, each with its name, on (content id, variant); a row of one that another lacks
/// is an error.
fn join_tables(
    tables: Vec<(&str, FeatureMatrix)>,
    facts: FeatureMatrix,
    variants: u32,
) -> Result<FeatureMatrix, PipelineError> {
    let index = |matrix: FeatureMatrix| -> BTreeMap<(ContentId, u32), Vec<f64>> {
        matrix.rows.into_iter().map(|row| ((row.content_id, row.variant), row.values)).collect()
    };
    let lacking = |table: &str, id: &ContentId, variant: u32| PipelineError::NotReady {
        missing: format!("Table {table} has no row for source {id}, variant {variant}"),
        instead: "run `fvc run --stages 1-4` with the same settings first".to_owned(),
    };
    let mut columns = Vec::new();
    let mut joined: BTreeMap<(ContentId, u32), Vec<f64>> = BTreeMap::new();
    let mut first: Option<&str> = None;
    for (name, table) in tables {
        columns.extend(table.columns.iter().cloned());
        let mut rows = index(table);
        let Some(first) = first else {
            (first, joined) = (Some(name), rows);
            continue;
        };
        for ((content_id, variant), values) in &mut joined {
            let own = rows
                .remove(&(*content_id, *variant))
                .ok_or_else(|| lacking(name, content_id, *variant))?;
            values.extend(own);
        }
        if let Some(((content_id, variant), _)) = rows.into_iter().next() {
            return Err(lacking(first, &content_id, variant));
        }
    }
    columns.extend(facts.columns.iter().cloned());
    let facts = index(facts);
    if first.is_none() {
        // Networks look at clips: what there is to learn from is every source with its variants.
        for (content_id, _) in facts.keys() {
            joined.extend((0..=variants).map(|variant| ((*content_id, variant), Vec::new())));
        }
    }
    let mut rows = Vec::with_capacity(joined.len());
    for ((content_id, variant), mut values) in joined {
        // Facts are of the source: every variant stands for the file that it came from.
        let own = facts.get(&(content_id, 0)).ok_or_else(|| lacking("facts", &content_id, 0))?;
        values.extend_from_slice(own);
        rows.push(fvc_corpus::FeatureRow { content_id, variant, values });
    }
    Ok(FeatureMatrix { columns, rows })
}

/// Checks all of stage 5 that can be known before features are: parameters fixed by hand, whether the
/// features that the models see are there or made by the stages in `coming`, the official split, and
/// whether the groups of the index can be dealt to as many folds.
///
/// # Errors
/// What [`train`] would refuse for these reasons.
pub fn check_training(
    environment: &Environment<'_>,
    options: &TrainOptions,
    coming: &StageSelection,
) -> Result<(), PipelineError> {
    let Environment { config, workspace, .. } = environment;
    let wrong =
        |error: LearnError| PipelineError::Config { path: None, problem: error.to_string() };
    for &kind in &config.train.models {
        if kind.is_network() {
            let (settings, _) = settings_of(config, kind)?;
            if let Some(path) = &settings.weights {
                fvc_nn::check_weights(path, &settings.network).map_err(|error| {
                    PipelineError::Config { path: None, problem: format!("{kind}: {error}") }
                })?;
            }
            continue;
        }
        let settings = config.train.settings(kind);
        kind.estimator(&settings.parameters, settings.seed).map_err(wrong)?;
    }
    let _lock = Lock::shared(&workspace.index_lock(), &environment.cancel)?;
    // With the ties by content that are known by now; the stages to come may find more.
    let index = read_grouped_index(workspace)?;
    for table in needed(config).map_err(wrong)?.into_iter().chain([FeatureTable::Facts]) {
        if !coming.has(table.stage()) {
            check_table(environment, table)?;
        }
    }
    let plans = SplitPlans::of(environment)?;
    match &config.split.file {
        // What there is is taken as it is.
        _ if plans.count() > 0 && !options.replan_split => drop(plans.newest()?),
        Some(file) => try_split_file(environment, &index, file)?,
        None => drop(Split::plan(index.groups(), &index.labels(), &config.split.planning())?),
    }
    Ok(())
}

/// Tries an official split on the sources that may come to be usable: those that did not fail when they
/// were last worked on. Of these each must have its part, as it must when it has features.
fn try_split_file(
    environment: &Environment<'_>,
    index: &Index,
    file: &Path,
) -> Result<(), PipelineError> {
    let failed = failed_sources(environment.workspace)?;
    let rows = index.groups().iter().filter(|(content_id, _)| !failed.contains(content_id));
    let rows = rows.map(|(content_id, group)| (*content_id, group.clone())).collect();
    let planning = environment.config.split.planning();
    import_split(&GroupTable::from_rows(rows), index, &planning, file).1.map(drop)
}

/// Sources that failed under a command when it last worked on them.
fn failed_sources(workspace: &Workspace) -> Result<BTreeSet<ContentId>, PipelineError> {
    let mut failed = BTreeSet::new();
    for name in stage_names(workspace)? {
        // A record that is damaged tells of no failure; the stages to come write it anew.
        let Ok(Some(record)) = StageRecord::load(&workspace.stage(&name)) else { continue };
        failed.extend(record.failures().into_iter().filter_map(|failure| failure.content_id));
    }
    Ok(failed)
}

/// Takes over an official split for the sources of `groups`, with what its table and the index do not
/// have in common, whether or not it can be taken over.
fn import_split(
    groups: &GroupTable,
    index: &Index,
    planning: &SplitConfig,
    file: &Path,
) -> (Vec<String>, Result<Split, PipelineError>) {
    let table = match read_split_table(file, index) {
        Ok(table) => table,
        Err(error) => return (Vec::new(), Err(error.into())),
    };
    let differences = table.notes();
    let assignment = table
        .assignment
        .into_iter()
        .filter(|(content_id, _)| groups.group(content_id).is_some())
        .collect();
    let split = Split::import(groups, &index.labels(), &assignment, planning, file);
    (differences, split.map_err(PipelineError::from))
}

/// Fits, calibrates and evaluates every model that the configuration names, over outer folds of
/// groups; then opens the sealed test once, for the chosen one.
///
/// # Errors
/// The tables are not there or were made with other settings, the split is refused, a fit fails,
/// the workspace cannot be written, or the user asked to stop. A run that fails leaves a
/// `failure.json` in its folder.
pub fn train(
    environment: &Environment<'_>,
    options: &TrainOptions,
) -> Result<TrainOutcome, PipelineError> {
    let Environment { config, workspace, .. } = environment;
    let _lock = Lock::shared(&workspace.index_lock(), &environment.cancel)?;
    let ready = make_ready(environment, options)?;
    let Ready { needed, grouping, labels, usable, mut notes, split, admission, examples } = ready;
    let index = &grouping.index;
    let sources = count_sources(&split, &examples, &labels, &admission, &usable);
    notes.extend(newcomer_notes(&admission, &usable));
    if !split.has_sealed() {
        notes.push("no sealed test: test fraction 0, grouped cross-validation only".to_owned());
    }

    let record = RunRecord {
        program: concat!("fvc ", env!("CARGO_PKG_VERSION")).to_owned(),
        config: (*config).clone(),
        recipe: Recipe::of(config),
        index_hash: index.hash().to_owned(),
        split_hash: split.hash().to_owned(),
        sources,
        machine: Machine::here(),
    };
    let folder = RunFolder::create(
        &workspace.runs(),
        &experiment(config),
        &config.hash()?,
        "run.json",
        &json(&record)?,
    )?;
    let failures = take_stock(environment, &folder, index, &usable, &admission)?;
    let told = Told { sources, notes, failures, roles: roles(config, &needed) };
    match fit_all(environment, &folder, &split, &examples, told, &record) {
        Ok(outcome) => Ok(outcome),
        Err(error) => {
            // The run's own failure is what the user must see, also when it cannot be recorded.
            if let Err(second) = folder.fail(&json(&FailedRun { error: error.to_string() })?) {
                environment.progress.note(&format!("failure.json could not be written: {second}"));
            }
            Err(error)
        }
    }
}

/// All that is known before anything is fitted.
struct Ready {
    needed: Vec<FeatureTable>,
    grouping: Grouping,
    labels: BTreeMap<ContentId, Label>,
    usable: BTreeSet<ContentId>,
    notes: Vec<String>,
    split: Split,
    admission: Admission,
    examples: Examples,
}

fn make_ready(
    environment: &Environment<'_>,
    options: &TrainOptions,
) -> Result<Ready, PipelineError> {
    let Environment { config, .. } = environment;
    // Tables first: whoever is in them must be among the fingerprints that are compared then.
    let needed = needed(config)?;
    let mut tables = Vec::with_capacity(needed.len());
    for &table in &needed {
        tables.push((table.name(), read_table(environment, table)?));
    }
    let matrix = join_tables(
        tables,
        read_table(environment, FeatureTable::Facts)?,
        config.augment.variants,
    )?;
    let grouping = group_sources(environment)?;
    let index = &grouping.index;
    let labels = index.labels();
    // A source that was taken out of the index since has no label any more and is not learnt from.
    let known: BTreeSet<ContentId> = labels.keys().copied().collect();
    let rows = matrix.rows.into_iter().filter(|row| known.contains(&row.content_id)).collect();
    let matrix = FeatureMatrix { columns: matrix.columns, rows };
    let usable: BTreeSet<ContentId> = matrix.rows.iter().map(|row| row.content_id).collect();
    refuse_unknown_copies(&grouping, &usable)?;
    let mut notes = grouping.notes();
    let split = the_split(environment, options, &usable, index, &labels, &mut notes)
        .inspect_err(|_| tell(environment, &grouping))?;
    let declared = declared_ties(environment)?;
    let admission = split
        .admit(index, &grouping.near_duplicates, &declared)
        .inspect_err(|_| tell(environment, &grouping))?;
    // Who came too late is on neither side: only members of the split are joined with a group.
    let rows =
        matrix.rows.into_iter().filter(|row| split.part(&row.content_id).is_some()).collect();
    let matrix = FeatureMatrix { columns: matrix.columns, rows };
    let examples = Examples::join(matrix, &labels, &admission.groups)?;
    Ok(Ready { needed, grouping, labels, usable, notes, split, admission, examples })
}

/// The trainings of a run's networks, for another machine.
#[derive(Clone, Debug, Serialize)]
pub struct ExportedJobs {
    /// The folder that holds all that they need.
    pub folder: PathBuf,
    /// The folders of the trainings in `trainings/`, which have a place of that name in the workspace's
    /// `networks/` once they are done.
    pub trainings: Vec<String>,
    /// Things that a reader of the numbers must know.
    pub notes: Vec<String>,
}

/// Writes every training of the networks that the configuration names into a folder with clips and weights,
/// for `fvc-trainer`; nothing is trained. Trainings that come back are taken over by [`train`] under the same
/// settings.
///
/// # Errors
/// No network is named, or as [`train`] before it fits anything.
pub fn export_jobs(
    environment: &Environment<'_>,
    options: &TrainOptions,
    folder: &Path,
) -> Result<ExportedJobs, PipelineError> {
    let Environment { config, workspace, .. } = environment;
    let networks: Vec<ModelKind> =
        config.train.models.iter().copied().filter(|kind| kind.is_network()).collect();
    if networks.is_empty() {
        return Err(PipelineError::Config {
            path: None,
            problem: "--export-jobs: expected a network among --model-types, found none".to_owned(),
        });
    }
    std::fs::create_dir_all(folder).map_err(|error| PipelineError::Config {
        path: None,
        problem: format!(
            "--export-jobs: expected a folder that can be made and written to, found {}: {error}",
            folder.display()
        ),
    })?;
    let _lock = Lock::shared(&workspace.index_lock(), &environment.cancel)?;
    let Ready { split, examples, mut notes, .. } = make_ready(environment, options)?;
    let mut trainings = Vec::new();
    for kind in networks {
        let settings = config.train.settings(kind);
        let mut sources = examples.content_ids().into_iter();
        let training = NetworkTraining::new(environment, kind, "exported", &mut sources)?;
        each_clip_fit(&examples, &split, &settings, &mut |fit, held_out, place| {
            trainings.push(training.export(fit, held_out, place, folder)?);
            Ok(())
        })?;
        notes.extend(training.take_notes());
    }
    Ok(ExportedJobs { folder: folder.to_owned(), trainings, notes })
}

/// Writes the run's manifest and failure table: every source of the index takes part in the run, or
/// does not and stands there with the reason.
fn take_stock(
    environment: &Environment<'_>,
    folder: &RunFolder,
    index: &Index,
    with_features: &BTreeSet<ContentId>,
    admission: &Admission,
) -> Result<Vec<Failure>, PipelineError> {
    let mut manifest = Manifest::begin("train", &environment.config.hash()?);
    let failed = failed_sources(environment.workspace)?;
    let mut failures = Vec::new();
    for source in index.sources() {
        let (reason, expected, found) = if !with_features.contains(&source.content_id) {
            let decoded = environment.workspace.unit(&source.content_id).exists();
            let found = if failed.contains(&source.content_id) {
                "none (see the stages' failures)"
            } else if decoded {
                "none of these settings yet: run `fvc run --stages 1-4`"
            } else {
                "not decoded yet: run `fvc run --stages 1-4`"
            };
            ("no_features", "a row in the feature tables", found.to_owned())
        } else if let Some(newcomer) = admission.newcomers.get(&source.content_id) {
            (newcomer.reason(), "a part in the split", newcomer.found())
        } else {
            manifest.completed();
            continue;
        };
        manifest.failed(reason);
        failures.push(Failure {
            path: source.path.clone(),
            content_id: Some(source.content_id),
            stage: "train".to_owned(),
            reason: reason.to_owned(),
            expected: expected.to_owned(),
            found,
        });
    }
    manifest.inputs(index.sources().len() as u64);
    FailureTable::from(failures.clone()).save(folder.path())?;
    manifest.save(&folder.path().join("manifest.json"))?;
    Ok(failures)
}

/// Shows what is known of groups beside an error that they lead to: the run that would note it does not
/// come about.
fn tell(environment: &Environment<'_>, grouping: &Grouping) {
    for note in grouping.notes() {
        environment.progress.note(&note);
    }
}

/// Groups that rows declared to be one, also rows that are no sources.
fn declared_ties(environment: &Environment<'_>) -> Result<Vec<Vec<String>>, PipelineError> {
    let record = IndexRecord::of_index(environment.workspace)?;
    let gatherings = record.map_or_else(Vec::new, |record| record.gatherings);
    Ok(gatherings.into_iter().flat_map(|gathering| gathering.ties).collect())
}

/// Sources whose fingerprint is not there may be copies of others without anybody knowing.
fn refuse_unknown_copies(
    grouping: &Grouping,
    usable: &BTreeSet<ContentId>,
) -> Result<(), PipelineError> {
    let unknown = usable.difference(&grouping.fingerprinted).count();
    if unknown == 0 {
        return Ok(());
    }
    Err(PipelineError::NotReady {
        missing: format!(
            "{unknown} of {} sources have no whole fingerprint, so that their copies are not known",
            usable.len()
        ),
        instead:
            "run `fvc run --stages 1-4` with the same settings first: it decodes them once more"
                .to_owned(),
    })
}

/// What became of sources that came after the split.
fn newcomer_notes(admission: &Admission, usable: &BTreeSet<ContentId>) -> Vec<String> {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for (_, newcomer) in admission.newcomers.iter().filter(|(id, _)| usable.contains(id)) {
        *counts.entry(newcomer.reason()).or_insert(0) += 1;
    }
    if counts.is_empty() {
        return Vec::new();
    }
    let total: usize = counts.values().sum();
    let words: Vec<String> = counts
        .iter()
        .map(|(reason, count)| {
            let what = match *reason {
                "bridges_split" => "tie two parts of it to one another",
                "joined_by_bridge" => "show what only those that tie two parts show",
                "matches_training" => "show what is learnt from",
                "matches_sealed" => "show what is sealed",
                _ => "are of new origins",
            };
            format!("{count} {what}")
        })
        .collect();
    vec![format!(
        "{total} sources came after the split was made and are on neither side ({}); --replan-split \
         makes a new one",
        words.join(", ")
    )]
}

#[derive(Serialize)]
struct FailedRun {
    error: String,
}

/// The first record of a run: what is needed to repeat it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RunRecord {
    /// Program and version.
    pub program: String,
    /// The whole configuration.
    pub config: Config,
    /// What the input numbers depend on.
    pub recipe: Recipe,
    /// Hash of the index.
    pub index_hash: String,
    /// Hash of the split.
    pub split_hash: String,
    /// How many sources stand where.
    pub sources: SourceCounts,
    /// Where it ran.
    pub machine: Machine,
}

/// Where a run ran.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Machine {
    /// Operating system and architecture.
    pub target: String,
    /// Processors that the process may use.
    pub processors: usize,
    /// Processes that trained networks together.
    #[serde(default = "one_process")]
    pub processes: usize,
}

/// Of runs that were recorded before there could be several.
fn one_process() -> usize {
    1
}

impl Machine {
    fn here() -> Self {
        Self {
            target: format!("{}-{}", std::env::consts::ARCH, std::env::consts::OS),
            processors: std::thread::available_parallelism().map_or(1, usize::from),
            processes: crate::ranks::count(),
        }
    }
}

fn json<T: Serialize>(value: &T) -> Result<Vec<u8>, PipelineError> {
    serde_json::to_vec_pretty(value)
        .map_err(|error| PipelineError::Internal { what: format!("JSON: {error}") })
}

/// A detector of either kind, with what it needs to be asked.
enum FittedDetector<'a> {
    Rows(Box<Detector>),
    Clips(Box<(ClipDetector<SavedNetwork>, NetworkTraining<'a>)>),
}

impl FittedDetector<'_> {
    fn selection(&self) -> &Selection {
        match self {
            Self::Rows(detector) => detector.selection(),
            Self::Clips(own) => own.0.selection(),
        }
    }
}

/// The folder of a run's experiment: what began at random in place of pretrained says so in its name.
fn experiment(config: &Config) -> String {
    let random = config.train.models.iter().any(|&kind| {
        kind.is_network()
            && settings_of(config, kind).is_ok_and(|(settings, _)| settings.random_backbone)
    });
    let suffix = if random { "-random-backbone" } else { "" };
    format!("{}{suffix}", config.train.experiment)
}

fn fit_all(
    environment: &Environment<'_>,
    folder: &RunFolder,
    split: &Split,
    examples: &Examples,
    told: Told,
    record: &RunRecord,
) -> Result<TrainOutcome, PipelineError> {
    let Told { sources, mut notes, failures, roles } = told;
    let config = environment.config;
    let recipe = serde_json::to_value(ModelRecipe {
        recipe: record.recipe.clone(),
        split_hash: split.hash().to_owned(),
        index_hash: record.index_hash.clone(),
        program: record.program.clone(),
        run: folder
            .path()
            .file_name()
            .map_or_else(String::new, |name| name.to_string_lossy().into_owned()),
    })
    .map_err(|error| PipelineError::Internal { what: error.to_string() })?;
    let run_name = folder
        .path()
        .file_name()
        .map_or_else(String::new, |name| name.to_string_lossy().into_owned());
    let mut models = Vec::new();
    let mut detectors = Vec::new();
    for &kind in &config.train.models {
        let settings = config.train.settings(kind);
        let part = Part::begin(environment.progress, kind.name(), u64::from(split.folds()) + 1);
        let mut watch = |event: TrainEvent| {
            if matches!(event, TrainEvent::FoldFinished { .. }) {
                part.advance(1);
            }
        };
        let (validated, detector) = if kind.is_network() {
            let mut sources = examples.content_ids().into_iter();
            let training = NetworkTraining::new(environment, kind, &run_name, &mut sources)?;
            let validated = cross_validate_clips(
                &training,
                examples,
                &roles,
                split,
                &settings,
                &environment.cancel,
                &mut watch,
            )?;
            let detector = fit_final_clips(&training, examples, split, &settings, &validated)?;
            notes.extend(training.take_notes());
            (validated, FittedDetector::Clips(Box::new((detector, training))))
        } else {
            let validated = cross_validate(
                kind,
                examples,
                &roles,
                split,
                &settings,
                &environment.cancel,
                &mut watch,
            )?;
            let detector = fit_final(
                kind,
                examples,
                &roles,
                split,
                &settings,
                &validated,
                &environment.cancel,
            )?;
            if let ModelBody::Ensemble(model) = detector.body() {
                let weights: Vec<String> =
                    model.weights().map(|(base, weight)| format!("{base} {weight:.3}")).collect();
                notes.push(about_ensemble(config, &detector.selection().chosen));
                notes.push(format!("weights of the {}: {}", kind.name(), weights.join(", ")));
            }
            (validated, FittedDetector::Rows(Box::new(detector)))
        };
        let short = detector.selection().shortfall(&settings);
        notes.extend(short.map(|found| format!("final fit of {}: {found}", kind.name())));
        part.advance(1);
        drop(part);
        let file = format!("{}.model.json", kind.name());
        match &detector {
            FittedDetector::Rows(detector) => {
                detector.save(&folder.path().join(&file), &recipe)?;
            }
            FittedDetector::Clips(own) => {
                let (detector, training) = &**own;
                // Weights first: a model file names what is there.
                training.keep(detector.model(), folder.path())?;
                detector.save(&folder.path().join(&file), &recipe)?;
            }
        }
        write_predictions(&folder.path().join(kind.name()), validated.prediction_rows())?;
        folder.write(&format!("{}.metrics.json", kind.name()), &json(&validated)?)?;
        models.push(TrainedModel { model: kind, cross_validation: validated, file });
        detectors.push(detector);
    }
    let (at, best) = models
        .iter()
        .enumerate()
        .min_by(|(_, left), (_, right)| {
            left.cross_validation.log_loss().total_cmp(&right.cross_validation.log_loss())
        })
        .ok_or_else(|| PipelineError::Internal { what: "no model was named".to_owned() })?;
    let chosen = best.model;
    let chosen_file = folder.path().join(&best.file);
    let sealed = if split.has_sealed() {
        let ledger = Ledger::open(&environment.workspace.ledger())?;
        let run = folder.path().display().to_string();
        let opening = ledger.record_opening(split, &run, "train")?;
        let settings = config.train.settings(chosen);
        let evaluation = match &detectors[at] {
            FittedDetector::Rows(detector) => {
                evaluate_sealed(detector, examples, &roles, split, &opening, &settings)?
            }
            FittedDetector::Clips(own) => {
                let (detector, training) = &**own;
                evaluate_sealed_clips(
                    detector,
                    training.reading(),
                    examples,
                    &roles,
                    split,
                    &opening,
                    &settings,
                )?
            }
        };
        if opening.number() > 1 {
            notes.push(format!(
                "sealed sources of this split have now been opened {} times: their scores are no \
                 longer untouched",
                opening.number()
            ));
        }
        Some(SealedResult { opening: opening.number(), evaluation })
    } else {
        None
    };
    let outcome = TrainOutcome {
        run: folder.path().to_owned(),
        chosen,
        chosen_file,
        sealed,
        split_hash: split.hash().to_owned(),
        sources,
        notes,
        failures,
        models,
    };
    folder.write("result.json", &json(&outcome)?)?;
    folder.seal()?;
    for detector in &detectors {
        if let FittedDetector::Clips(own) = detector {
            own.1.forget();
        }
    }
    Ok(outcome)
}

/// What an ensemble is over and how, and why it is over models that nobody named.
fn about_ensemble(config: &Config, chosen: &Parameters) -> String {
    let text = |name: &str| chosen.get(name).map_or_else(String::new, ToString::to_string);
    let bases = text("bases").replace(',', ", ");
    let given = config.train.parameters.get(&ModelKind::Ensemble);
    let is_default = given.is_none_or(|given| !given.contains_key("bases"))
        && config.train.named_bases().is_none();
    let why = if is_default {
        ", the default: fewer than two other models are named, and no --ensemble-bases"
    } else {
        ""
    };
    format!("the ensemble is a {} over {bases}{why}", text("method"))
}

/// What stands in a model file beside the model.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ModelRecipe {
    /// What its inputs depend on.
    pub recipe: Recipe,
    /// The split that it was fitted under.
    pub split_hash: String,
    /// The index that it was fitted on.
    pub index_hash: String,
    /// Program and version.
    pub program: String,
    /// The run's name.
    pub run: String,
}

/// The splits of a workspace for the settings. A plan is never overwritten: the next one stands beside
/// it, under the next number.
struct SplitPlans {
    folder: PathBuf,
    name: String,
}

impl SplitPlans {
    fn of(environment: &Environment<'_>) -> Result<Self, PipelineError> {
        let section = &environment.config.split;
        let planning = section.planning();
        // An imported split is known by the bytes of its table: another table is another split.
        let imported = match &section.file {
            None => String::new(),
            Some(file) => {
                let hash = ContentId::of_file(file)
                    .map_err(|source| PipelineError::Io { path: file.clone(), source })?;
                format!("-imported-{}", &hash.to_hex()[..16])
            }
        };
        let name = format!(
            "folds{}-test{}-seed{}{imported}",
            planning.folds, planning.test_fraction, planning.seed,
        );
        Ok(Self { folder: environment.workspace.splits(), name })
    }

    /// The file of a plan, from 1.
    fn path(&self, plan: u32) -> PathBuf {
        let suffix = if plan == 1 { String::new() } else { format!("-plan{plan}") };
        self.folder.join(format!("{}{suffix}.json", self.name))
    }

    fn count(&self) -> u32 {
        (1..u32::MAX).take_while(|&plan| self.path(plan).exists()).count() as u32
    }

    fn newest(&self) -> Result<Split, PipelineError> {
        Ok(Split::load(&self.path(self.count()))?)
    }
}

/// The split of this workspace for the settings: the one on disk, an imported one, or a new one.
fn the_split(
    environment: &Environment<'_>,
    options: &TrainOptions,
    usable: &BTreeSet<ContentId>,
    index: &Index,
    labels: &BTreeMap<ContentId, Label>,
    notes: &mut Vec<String>,
) -> Result<Split, PipelineError> {
    let section = &environment.config.split;
    let planning = section.planning();
    // One plans, the others take what was planned.
    let _lock = Lock::exclusive(&environment.workspace.splits_lock(), &environment.cancel)?;
    let known = SplitPlans::of(environment)?;
    let plans = known.count();
    if plans > 0 && !options.replan_split {
        return known.newest();
    }
    let path = known.path(plans + 1);
    if plans > 0 {
        notes.push(format!(
            "the split was planned anew ({}): sources that were sealed before may now be learnt from",
            path.display()
        ));
    }
    // Only sources with features take part: a fold made of broken files would be empty.
    let rows = index
        .groups()
        .iter()
        .filter(|(content_id, _)| usable.contains(content_id))
        .map(|(content_id, group)| (*content_id, group.clone()))
        .collect();
    let groups = GroupTable::from_rows(rows);
    let split = match &section.file {
        None => Split::plan(&groups, labels, &planning)?,
        Some(file) => {
            let (differences, split) = import_split(&groups, index, &planning, file);
            if split.is_ok() {
                notes.extend(differences);
            } else {
                // A run that ends here has no notes: they are shown beside the error.
                for note in &differences {
                    environment.progress.note(note);
                }
            }
            split?
        }
    };
    split.save(&path)?;
    Ok(split)
}

fn count_sources(
    split: &Split,
    examples: &Examples,
    labels: &BTreeMap<ContentId, Label>,
    admission: &Admission,
    usable: &BTreeSet<ContentId>,
) -> SourceCounts {
    let outside = admission.newcomers.keys().filter(|id| usable.contains(id)).count();
    let mut counts = SourceCounts { outside, ..Default::default() };
    let usable = examples.content_ids();
    let mut groups = [std::collections::BTreeSet::new(), std::collections::BTreeSet::new()];
    for (content_id, _, part) in split.iter() {
        let Some(label) = labels.get(content_id).filter(|_| usable.contains(content_id)) else {
            continue;
        };
        let Some(group) = admission.groups.group(content_id) else { continue };
        let sealed = part == fvc_corpus::Part::Sealed;
        let side = if sealed { &mut counts.sealed } else { &mut counts.folds };
        side[label.index()] += 1;
        groups[usize::from(sealed)].insert(group);
    }
    counts.fold_groups = groups[0].len();
    counts.sealed_groups = groups[1].len();
    counts
}

/// The chosen model's file of the newest finished run of the workspace.
///
/// # Errors
/// There is no finished run, or its result cannot be read.
pub fn newest_model(runs: &Path) -> Result<PathBuf, PipelineError> {
    let mut newest: Option<(String, PathBuf)> = None;
    for run in crate::runs::list(runs)? {
        let name = run.name.clone();
        if let Some(file) = run.chosen_file
            && newest.as_ref().is_none_or(|(known, _)| *known < name)
        {
            newest = Some((name, file));
        }
    }
    newest.map(|(_, file)| file).ok_or_else(|| PipelineError::NotReady {
        missing: format!("No finished run in {}", runs.display()),
        instead: "run `fvc train` or `fvc run` first, or name a model with --model".to_owned(),
    })
}

/// Columns in the order in which a detector built by this version may ask for them, from the
/// values of one clip.
pub(crate) fn all_columns() -> Vec<String> {
    [
        NATIVE.columns(NATIVE_PREFIX),
        FORENSIC.columns(FORENSIC_PREFIX),
        SCALED.columns(SCALED_PREFIX),
        facts_columns(),
    ]
    .concat()
}
