//! The feature tables: what the units hold, as one table a stage, with a note of the settings that it
//! depends on.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;

use fvc_augment::Draw;
use fvc_clips::SizeSpec;
use fvc_corpus::{
    FeatureMatrix, FeatureRow, Source, feature_matrix_bytes, read_feature_matrix, write_atomically,
};
use fvc_features::{FORENSIC, FeatureSet, NATIVE, SCALED};
use fvc_media::{ContentId, Facts};
use serde::{Deserialize, Serialize};

use crate::facts_columns::{facts_columns, facts_values};
use crate::lock::Lock;
use crate::plan::{Stage, StageSelection, Task, draws, feature_name};
use crate::stages::Environment;
use crate::unit::Flaw;
use crate::{Config, Output, PipelineError, Unit, UnitState, Workspace};

/// The prefix of stage 2 columns.
pub const NATIVE_PREFIX: &str = "stage2";
/// The prefix of the columns of forensic features, which stage 2 measures too.
pub const FORENSIC_PREFIX: &str = "forensic";
/// The prefix of stage 4 columns.
pub const SCALED_PREFIX: &str = "stage4";

/// Everything that the numbers of a model's input depend on. It stands in every model file; inputs
/// made another way are refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// The sampling, by [`fvc_media::Sampling::policy`].
    pub sampling: fvc_media::Sampling,
    /// Version of the native feature set.
    pub native_version: u32,
    /// Version of the forensic feature set; 0 in models from before there was one.
    #[serde(default)]
    pub forensic_version: u32,
    /// Version of the scaled feature set.
    pub scaled_version: u32,
    /// Name and version of the scaler, by [`fvc_clips::RegisteredScaler::tag`].
    pub scaler: String,
    /// The named size of the scaled pictures. Bars around them are never measured, so that whether
    /// there were any changes nothing.
    pub size: SizeSpec,
}

impl Recipe {
    /// The recipe of a configuration under this version of the program.
    pub fn of(config: &Config) -> Self {
        Self {
            sampling: config.sampling.clone(),
            native_version: NATIVE.version,
            forensic_version: FORENSIC.version,
            scaled_version: SCALED.version,
            scaler: config.scale.scaler.tag(),
            size: config.scale.measured_size(),
        }
    }
}

/// One of the tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum FeatureTable {
    /// Stage 2.
    Native,
    /// Stage 2, over all frames of a clip.
    Forensic,
    /// Stage 4.
    Scaled,
    /// Facts of the files, for the shortcut baselines.
    Facts,
}

impl FeatureTable {
    /// All of them.
    pub(crate) const ALL: [Self; 4] = [Self::Native, Self::Forensic, Self::Scaled, Self::Facts];

    /// Its file, without an extension.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Native => "stage2",
            Self::Forensic => "forensic",
            Self::Scaled => "stage4",
            Self::Facts => "facts",
        }
    }

    /// The stage that makes it.
    pub(crate) const fn stage(self) -> Stage {
        match self {
            Self::Native | Self::Forensic | Self::Facts => Stage::Features,
            Self::Scaled => Stage::ScaledFeatures,
        }
    }

    /// Every setting that its numbers depend on, and no other: a table of stage 2 is as good for one
    /// size of scaled frames as for another.
    fn basis(self, config: &Config) -> Result<Basis, PipelineError> {
        let recipe = Recipe::of(config);
        let mut basis = Basis::new();
        let mut depend = |name: &str, value: serde_json::Value| {
            basis.insert(name.to_owned(), value);
        };
        if self == Self::Facts {
            return Ok(basis);
        }
        depend("sampling", recipe.sampling.policy().into());
        depend("variants", config.augment.variants.into());
        if config.augment.variants > 0 {
            let kinds = serde_json::to_value(&config.augment.kinds)
                .map_err(|error| PipelineError::Internal { what: error.to_string() })?;
            depend("kinds", kinds);
        }
        match self {
            Self::Native => depend("native features version", recipe.native_version.into()),
            Self::Forensic => depend("forensic features version", recipe.forensic_version.into()),
            Self::Scaled => {
                depend("scaled features version", recipe.scaled_version.into());
                depend("scaler", recipe.scaler.into());
                depend("size", recipe.size.to_string().into());
            }
            Self::Facts => {}
        }
        Ok(basis)
    }
}

/// Settings by name.
type Basis = BTreeMap<String, serde_json::Value>;

/// What a table on disk says of itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct TableNote {
    /// What the table was made with.
    basis: Basis,
    /// BLAKE3 of the table's bytes.
    hash: String,
    rows: usize,
}

/// Writes the tables of the selected stages from the units of `sources`.
pub(crate) fn write_feature_tables(
    environment: &Environment<'_>,
    stages: &StageSelection,
    sources: &[&Source],
) -> Result<(), PipelineError> {
    let tables = feature_tables(environment, stages, sources)?;
    // Table and note are two files: no other process writes or reads between them.
    let _lock = Lock::exclusive(&environment.workspace.tables_lock(), &environment.cancel)?;
    for (table, matrix) in tables {
        for (path, bytes) in table_files(environment, table, &matrix)? {
            write_atomically(&path, &bytes)
                .map_err(|source| PipelineError::Io { path: path.clone(), source })?;
        }
    }
    Ok(())
}

/// The tables of the selected stages, from the units of `sources`.
pub(crate) fn feature_tables(
    environment: &Environment<'_>,
    stages: &StageSelection,
    sources: &[&Source],
) -> Result<Vec<(FeatureTable, FeatureMatrix)>, PipelineError> {
    let native = stages.has(Stage::Features);
    let scaled = stages.has(Stage::ScaledFeatures);
    if !native && !scaled {
        return Ok(Vec::new());
    }
    let mut stage2 = FeatureMatrix { columns: NATIVE.columns(NATIVE_PREFIX), rows: Vec::new() };
    let mut forensic =
        FeatureMatrix { columns: FORENSIC.columns(FORENSIC_PREFIX), rows: Vec::new() };
    let mut stage4 = FeatureMatrix { columns: SCALED.columns(SCALED_PREFIX), rows: Vec::new() };
    let mut facts = FeatureMatrix { columns: facts_columns(), rows: Vec::new() };
    for source in sources {
        let unit = whole_unit(environment, &source.content_id)?;
        let own_draws = draws(environment.config, &source.content_id)?;
        for draw in std::iter::once(None).chain(own_draws.iter().map(Some)) {
            if native {
                for (task, set, matrix) in [
                    (Task::Native, &NATIVE, &mut stage2),
                    (Task::Forensic, &FORENSIC, &mut forensic),
                ] {
                    matrix.rows.push(feature_row(environment.config, &unit, task, draw, set)?);
                }
            }
            if scaled {
                let task = Task::Scaled(environment.config.scale.measured_size());
                stage4.rows.push(feature_row(environment.config, &unit, task, draw, &SCALED)?);
            }
        }
        facts.rows.push(FeatureRow {
            content_id: source.content_id,
            variant: 0,
            values: facts_values(&unit.facts),
        });
    }
    let mut tables = Vec::new();
    if native {
        tables.push((FeatureTable::Native, stage2));
        tables.push((FeatureTable::Forensic, forensic));
    }
    if scaled {
        tables.push((FeatureTable::Scaled, stage4));
    }
    tables.push((FeatureTable::Facts, facts));
    Ok(tables)
}

fn whole_unit(
    environment: &Environment<'_>,
    content_id: &ContentId,
) -> Result<Unit, PipelineError> {
    let path = environment.workspace.unit(content_id);
    match Unit::load(&path, content_id)? {
        UnitState::Whole(unit) => Ok(*unit),
        UnitState::None => Err(PipelineError::Corrupt {
            path,
            expected: "the record that was just written".to_owned(),
            found: "none".to_owned(),
        }),
        UnitState::Damaged(found) => Err(PipelineError::Corrupt {
            path,
            expected: "a whole record (`fvc verify --repair` makes it again)".to_owned(),
            found,
        }),
    }
}

fn feature_row(
    config: &Config,
    unit: &Unit,
    task: Task,
    draw: Option<&Draw>,
    set: &FeatureSet,
) -> Result<FeatureRow, PipelineError> {
    let name = feature_name(config, task, draw)?;
    let width = set.columns("").len();
    match unit.outputs.get(&name) {
        Some(Output::Features(values)) if values.len() == width => Ok(FeatureRow {
            content_id: unit.content_id,
            variant: draw.map_or(0, |draw| draw.variant),
            values: values.iter().map(|value| value.unwrap_or(f64::NAN)).collect(),
        }),
        _ => Err(PipelineError::Internal {
            what: format!("source {} has no output {name} of {width} values", unit.content_id),
        }),
    }
}

/// A table and its note, as they stand on disk.
pub(crate) fn table_files(
    environment: &Environment<'_>,
    table: FeatureTable,
    matrix: &FeatureMatrix,
) -> Result<[(PathBuf, Vec<u8>); 2], PipelineError> {
    let name = table.name();
    let folder = environment.workspace.features();
    let path = folder.join(format!("{name}.parquet"));
    let bytes = feature_matrix_bytes(&path, matrix)?;
    let note = TableNote {
        basis: table.basis(environment.config)?,
        hash: ContentId::of_bytes(&bytes).to_hex(),
        rows: matrix.rows.len(),
    };
    let note = serde_json::to_vec_pretty(&note)
        .map_err(|error| PipelineError::Internal { what: error.to_string() })?;
    Ok([(path, bytes), (folder.join(format!("{name}.json")), note)])
}

/// The tables that some stages write.
pub(crate) fn tables_of(stages: &StageSelection) -> Vec<FeatureTable> {
    let all = FeatureTable::ALL;
    let any = stages.has(Stage::Features) || stages.has(Stage::ScaledFeatures);
    all.into_iter()
        .filter(|table| any && (*table == FeatureTable::Facts || stages.has(table.stage())))
        .collect()
}

/// What is wrong with a table by what its note says of it, without the units that it is made from.
pub(crate) fn check_note(
    workspace: &Workspace,
    table: FeatureTable,
) -> Result<Option<(PathBuf, Flaw)>, PipelineError> {
    let folder = workspace.features();
    let (path, note) = (
        folder.join(format!("{}.parquet", table.name())),
        folder.join(format!("{}.json", table.name())),
    );
    for path in [&path, &note] {
        match fs::metadata(path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Ok(Some((path.clone(), Flaw::Missing)));
            }
            Err(source) => return Err(PipelineError::Io { path: path.clone(), source }),
            Ok(found) if found.len() == 0 => return Ok(Some((path.clone(), Flaw::Empty))),
            Ok(_) => {}
        }
    }
    let bytes =
        fs::read(&note).map_err(|source| PipelineError::Io { path: note.clone(), source })?;
    let said: TableNote = match serde_json::from_slice(&bytes) {
        Ok(said) => said,
        Err(error) => return Ok(Some((note, Flaw::Damaged(error.to_string())))),
    };
    let found = ContentId::of_file(&path)
        .map_err(|source| PipelineError::Io { path: path.clone(), source })?
        .to_hex();
    if found == said.hash {
        return Ok(None);
    }
    Ok(Some((path, Flaw::Damaged(format!("expected hash {}, found {found}", said.hash)))))
}

/// Checks that a table is there and was made with the settings of the configuration, as far as its
/// numbers depend on them, and gives the hash that its note says.
///
/// # Errors
/// It is not, or its note cannot be read.
pub(crate) fn check_table(
    environment: &Environment<'_>,
    table: FeatureTable,
) -> Result<String, PipelineError> {
    let (name, stage) = (table.name(), table.stage());
    let folder = environment.workspace.features();
    let note_path = folder.join(format!("{name}.json"));
    let path = folder.join(format!("{name}.parquet"));
    let instead = format!("run `fvc {stage}` or `fvc run` with the same settings first");
    let bytes = match fs::read(&note_path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(PipelineError::NotReady {
                missing: format!("No feature table {}", path.display()),
                instead,
            });
        }
        Err(source) => return Err(PipelineError::Io { path: note_path, source }),
    };
    let note: TableNote =
        serde_json::from_slice(&bytes).map_err(|error| PipelineError::Corrupt {
            path: note_path.clone(),
            expected: "the note beside a feature table".to_owned(),
            found: error.to_string(),
        })?;
    let wanted = table.basis(environment.config)?;
    let shown = |basis: &Basis, name: &str| {
        basis.get(name).map_or_else(|| "none".to_owned(), ToString::to_string)
    };
    let names: BTreeSet<&String> = wanted.keys().chain(note.basis.keys()).collect();
    let other: Vec<String> = names
        .into_iter()
        .filter(|name| wanted.get(*name) != note.basis.get(*name))
        .map(|name| format!("{name} {}, not {}", shown(&note.basis, name), shown(&wanted, name)))
        .collect();
    if !other.is_empty() {
        return Err(PipelineError::NotReady {
            missing: format!("{} was made with {}", path.display(), other.join("; ")),
            instead,
        });
    }
    Ok(note.hash)
}

/// Reads a table and checks that it is what [`check_table`] wants, to the bit.
pub(crate) fn read_table(
    environment: &Environment<'_>,
    table: FeatureTable,
) -> Result<FeatureMatrix, PipelineError> {
    let _lock = Lock::shared(&environment.workspace.tables_lock(), &environment.cancel)?;
    let wanted = check_table(environment, table)?;
    let path = environment.workspace.features().join(format!("{}.parquet", table.name()));
    let hash = ContentId::of_file(&path)
        .map_err(|source| PipelineError::Io { path: path.clone(), source })?
        .to_hex();
    if hash != wanted {
        return Err(PipelineError::Corrupt {
            path,
            expected: format!("the bytes with hash {wanted}"),
            found: format!("hash {hash}"),
        });
    }
    Ok(read_feature_matrix(&path)?)
}

/// Facts of a source as the shortcut baselines see them.
pub(crate) fn facts_of(facts: &Facts) -> Vec<f64> {
    facts_values(facts)
}
