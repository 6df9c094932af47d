//! [`train`]: stage 5, from feature tables to models, metrics and a run folder.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use fvc_corpus::{
    Examples, Failure, FailureTable, FeatureMatrix, GroupTable, Index, Label, Ledger, Manifest,
    RunFolder, Split, read_split_table, write_predictions,
};
use fvc_features::{Family, NATIVE, SCALED};
use fvc_learn::{
    ColumnRoles, CrossValidation, ModelKind, SealedEvaluation, TrainEvent, cross_validate,
    evaluate_sealed, fit_final,
};
use fvc_media::ContentId;
use serde::{Deserialize, Serialize};

use crate::facts_columns::{container_columns, duration_columns, facts_columns, size_columns};
use crate::feature_tables::{FeatureTable, NATIVE_PREFIX, Recipe, SCALED_PREFIX, read_table};
use crate::lock::Lock;
use crate::stages::Environment;
use crate::{Config, PipelineError};

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

/// Which columns of the joined table are what.
pub(crate) fn roles(config: &Config) -> ColumnRoles {
    let mut model = Vec::new();
    for (set, prefix) in [(&NATIVE, NATIVE_PREFIX), (&SCALED, SCALED_PREFIX)] {
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

/// Joins the stage tables on (content id, variant); a row of one that the other lacks is an error.
fn join_tables(
    stage2: FeatureMatrix,
    stage4: FeatureMatrix,
    facts: FeatureMatrix,
) -> Result<FeatureMatrix, PipelineError> {
    let index = |matrix: FeatureMatrix| -> BTreeMap<(ContentId, u32), Vec<f64>> {
        matrix.rows.into_iter().map(|row| ((row.content_id, row.variant), row.values)).collect()
    };
    let columns = [stage2.columns.clone(), stage4.columns.clone(), facts.columns.clone()].concat();
    let (first, mut second, facts) = (index(stage2), index(stage4), index(facts));
    let lacking = |table: &str, id: &ContentId, variant: u32| PipelineError::NotReady {
        missing: format!("Table {table} has no row for source {id}, variant {variant}"),
        instead: "run `fvc run --stages 1-4` with the same settings first".to_owned(),
    };
    let mut rows = Vec::with_capacity(first.len());
    for ((content_id, variant), mut values) in first {
        let scaled = second
            .remove(&(content_id, variant))
            .ok_or_else(|| lacking("stage4", &content_id, variant))?;
        // Facts are of the source: every variant stands for the file that it came from.
        let own = facts.get(&(content_id, 0)).ok_or_else(|| lacking("facts", &content_id, 0))?;
        values.extend(scaled);
        values.extend_from_slice(own);
        rows.push(fvc_corpus::FeatureRow { content_id, variant, values });
    }
    if let Some(((content_id, variant), _)) = second.into_iter().next() {
        return Err(lacking("stage2", &content_id, variant));
    }
    Ok(FeatureMatrix { columns, rows })
}

/// Checks all of stage 5 that can be known before features are: parameters fixed by hand, the official
/// split, and whether the groups of the index can be dealt to as many folds.
///
/// # Errors
/// What [`train`] would refuse for these reasons.
pub fn check_training(environment: &Environment<'_>) -> Result<(), PipelineError> {
    let Environment { config, workspace, .. } = environment;
    for &kind in &config.train.models {
        let settings = config.train.settings(kind);
        kind.estimator(&settings.parameters, settings.seed)
            .map_err(|error| PipelineError::Config { path: None, problem: error.to_string() })?;
    }
    let _lock = Lock::shared(&workspace.index_lock(), &environment.cancel)?;
    let index = Index::load(&workspace.index())?;
    match &config.split.file {
        Some(file) => drop(read_split_table(file, &index)?),
        None => drop(Split::plan(index.groups(), &index.labels(), &config.split.planning())?),
    }
    Ok(())
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
    let index = Index::load(&workspace.index())?;
    let matrix = join_tables(
        read_table(environment, FeatureTable::Native)?,
        read_table(environment, FeatureTable::Scaled)?,
        read_table(environment, FeatureTable::Facts)?,
    )?;
    let labels = index.labels();
    // A source that was taken out of the index since has no label any more and is not learnt from.
    let known: std::collections::BTreeSet<ContentId> = labels.keys().copied().collect();
    let rows = matrix.rows.into_iter().filter(|row| known.contains(&row.content_id)).collect();
    let matrix = FeatureMatrix { columns: matrix.columns, rows };
    let examples = Examples::join(matrix, &labels, index.groups())?;
    let mut notes = Vec::new();
    let split = the_split(environment, options, &examples, &index, &labels, &mut notes)?;
    let sources = count_sources(&split, &examples, &labels);
    if sources.outside > 0 {
        notes.push(format!(
            "{} sources came after the split was made and are on neither side; --replan-split \
             makes a new one",
            sources.outside
        ));
    }
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
        &config.train.experiment,
        &config.hash()?,
        "run.json",
        &json(&record)?,
    )?;
    let failures = take_stock(&folder, config, &index, &split, &examples)?;
    let told = Told { sources, notes, failures };
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

/// Writes the run's manifest and failure table: every source of the index takes part in the run, or
/// does not and stands there with the reason.
fn take_stock(
    folder: &RunFolder,
    config: &Config,
    index: &Index,
    split: &Split,
    examples: &Examples,
) -> Result<Vec<Failure>, PipelineError> {
    let mut manifest = Manifest::begin("train", &config.hash()?);
    let with_features = examples.content_ids();
    let mut failures = Vec::new();
    for source in index.sources() {
        let (reason, expected, found) = if !with_features.contains(&source.content_id) {
            ("no_features", "a row in the feature tables", "none (see the stages' failures)")
        } else if split.part(&source.content_id).is_none() {
            ("outside_split", "a part in the split", "none: it came after the split was made")
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
            found: found.to_owned(),
        });
    }
    manifest.inputs(index.sources().len() as u64);
    FailureTable::from(failures.clone()).save(folder.path())?;
    manifest.save(&folder.path().join("manifest.json"))?;
    Ok(failures)
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
}

impl Machine {
    fn here() -> Self {
        Self {
            target: format!("{}-{}", std::env::consts::ARCH, std::env::consts::OS),
            processors: std::thread::available_parallelism().map_or(1, usize::from),
        }
    }
}

fn json<T: Serialize>(value: &T) -> Result<Vec<u8>, PipelineError> {
    serde_json::to_vec_pretty(value)
        .map_err(|error| PipelineError::Internal { what: format!("JSON: {error}") })
}

fn fit_all(
    environment: &Environment<'_>,
    folder: &RunFolder,
    split: &Split,
    examples: &Examples,
    told: Told,
    record: &RunRecord,
) -> Result<TrainOutcome, PipelineError> {
    let Told { sources, mut notes, failures } = told;
    let config = environment.config;
    let roles = roles(config);
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
    let mut models = Vec::new();
    let mut detectors = Vec::new();
    for &kind in &config.train.models {
        let settings = config.train.settings(kind);
        environment.progress.begin(kind.name(), u64::from(split.folds()) + 1);
        let mut watch = |event: TrainEvent| {
            if matches!(event, TrainEvent::FoldFinished { .. }) {
                environment.progress.advance(1);
            }
        };
        let validated = cross_validate(
            kind,
            examples,
            &roles,
            split,
            &settings,
            &environment.cancel,
            &mut watch,
        )?;
        let detector =
            fit_final(kind, examples, &roles, split, &settings, &validated, &environment.cancel)?;
        let short = detector.selection().shortfall(&settings);
        notes.extend(short.map(|found| format!("final fit of {}: {found}", kind.name())));
        environment.progress.advance(1);
        environment.progress.end();
        let file = format!("{}.model.json", kind.name());
        detector.save(&folder.path().join(&file), &recipe)?;
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
        let opening = ledger.record_opening(split.hash(), &run, "train")?;
        let evaluation = evaluate_sealed(
            &detectors[at],
            examples,
            &roles,
            split,
            &opening,
            &config.train.settings(chosen),
        )?;
        if opening.number() > 1 {
            notes.push(format!(
                "the sealed test of this split has now been opened {} times: its scores are no \
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
    Ok(outcome)
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

/// The split of this workspace for the settings: the one on disk, an imported one, or a new one.
fn the_split(
    environment: &Environment<'_>,
    options: &TrainOptions,
    examples: &Examples,
    index: &Index,
    labels: &BTreeMap<ContentId, Label>,
    notes: &mut Vec<String>,
) -> Result<Split, PipelineError> {
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
    let path = environment.workspace.splits().join(format!(
        "folds{}-test{}-seed{}{imported}.json",
        planning.folds, planning.test_fraction, planning.seed,
    ));
    if path.exists() && !options.replan_split {
        return Ok(Split::load(&path)?);
    }
    if path.exists() {
        notes.push(
            "the split was planned anew: sources that were sealed before may now be learnt from"
                .to_owned(),
        );
    }
    // Only sources with features take part: a fold made of broken files would be empty.
    let usable = examples.content_ids();
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
            let table = read_split_table(file, index)?;
            let differences = table.notes();
            let assignment = table
                .assignment
                .into_iter()
                .filter(|(content_id, _)| usable.contains(content_id))
                .collect();
            let split = Split::import(&groups, labels, &assignment, &planning, file);
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
) -> SourceCounts {
    let mut counts = SourceCounts { outside: split.outside(examples).len(), ..Default::default() };
    let usable = examples.content_ids();
    let mut groups = [std::collections::BTreeSet::new(), std::collections::BTreeSet::new()];
    for (content_id, group, part) in split.iter() {
        let Some(label) = labels.get(content_id).filter(|_| usable.contains(content_id)) else {
            continue;
        };
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
    [NATIVE.columns(NATIVE_PREFIX), SCALED.columns(SCALED_PREFIX), facts_columns()].concat()
}
