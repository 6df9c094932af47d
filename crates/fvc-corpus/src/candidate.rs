//! [`gather`]: folders and tables to candidates with a path, a label and what else is said of them.

use std::collections::{BTreeSet, HashSet};
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use arrow::ipc::reader::FileReader;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use crate::{CorpusError, Failure, Label};

/// The most rows that one table may have.
const MAX_ROWS: usize = 5_000_000;

/// Files that stand beside videos and are none.
const SIDECARS: [&str; 16] = [
    "csv", "tsv", "parquet", "arrow", "json", "jsonl", "txt", "md", "xml", "html", "pdf", "jpg",
    "jpeg", "png", "srt", "zip",
];

const PATHS: [&str; 6] = ["path", "video_path", "file", "filename", "filepath", "video"];
const LABELS: [&str; 5] = ["label", "class", "is_fake", "target", "truth_label"];
const GROUPS: [&str; 6] = ["group", "group_id", "dup_group", "cascade_id", "source_id", "origin"];
const MANIPULATIONS: [&str; 4] = ["manipulation", "method", "attack", "forgery"];

/// A file that may become a source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Where it is.
    pub path: PathBuf,
    /// What it is said to be.
    pub label: Label,
    /// The group that is declared for it.
    pub group: Option<String>,
    /// The platform it was taken from.
    pub platform: Option<String>,
    /// The part of its corpus.
    pub subset: Option<String>,
    /// How it was manipulated.
    pub manipulation: Option<String>,
    /// What generated it.
    pub generator: Option<String>,
    /// Where this was read: `folder`, or the table and its row.
    pub origin: String,
}

/// What inputs hold: every one of `inputs` is a candidate or a failure.
#[derive(Clone, Debug, Default)]
pub struct Gathered {
    /// Files with a label.
    pub candidates: Vec<Candidate>,
    /// Files and rows that cannot be used.
    pub failures: Vec<Failure>,
    /// Files and rows in all.
    pub inputs: u64,
    /// Files of other kinds beside the videos, which are not inputs.
    pub ignored: u64,
}

/// Reads folders (`real/…`, `fake/…`, at any depth; the nearest folder whose name is a label
/// counts) and tables (`.csv`, `.parquet`, `.arrow`; a name without extension takes whichever is
/// there, in the order arrow, parquet, csv).
///
/// In tables, relative paths are looked for beside the table, then in the working folder; the
/// columns have their usual names in any case.
///
/// # Errors
/// An input is neither, or a table cannot be read or lacks the columns path and label.
pub fn gather(inputs: &[PathBuf]) -> Result<Gathered, CorpusError> {
    let mut gathered = Gathered::default();
    let mut seen = HashSet::new();
    for input in inputs {
        if input.is_dir() {
            let mut visited = BTreeSet::new();
            walk(input, None, &mut visited, &mut gathered)?;
        } else {
            read_table(&find_table(input)?, &mut gathered, &mut seen)?;
        }
    }
    gathered.inputs = (gathered.candidates.len() + gathered.failures.len()) as u64;
    Ok(gathered)
}

fn walk(
    folder: &Path,
    label: Option<Label>,
    visited: &mut BTreeSet<PathBuf>,
    gathered: &mut Gathered,
) -> Result<(), CorpusError> {
    let io = |source| CorpusError::Io { path: folder.to_owned(), source };
    // A link that leads back up is walked once.
    if !visited.insert(fs::canonicalize(folder).map_err(io)?) {
        return Ok(());
    }
    let own =
        folder.file_name().and_then(|name| name.to_string_lossy().parse::<Label>().ok()).or(label);
    let mut entries = Vec::new();
    for entry in fs::read_dir(folder).map_err(io)? {
        let entry = entry.map_err(io)?;
        if !entry.file_name().to_string_lossy().starts_with('.') {
            entries.push(entry.path());
        }
    }
    entries.sort();
    for path in entries {
        if path.is_dir() {
            walk(&path, own, visited, gathered)?;
            continue;
        }
        let extension =
            path.extension().map(|extension| extension.to_string_lossy().to_ascii_lowercase());
        if extension.as_deref().is_some_and(|extension| SIDECARS.contains(&extension)) {
            gathered.ignored += 1;
            continue;
        }
        match own {
            Some(label) => gathered.candidates.push(Candidate {
                path,
                label,
                group: None,
                platform: None,
                subset: None,
                manipulation: None,
                generator: None,
                origin: "folder".to_owned(),
            }),
            None => gathered.failures.push(failure(
                path,
                "no_label",
                "a folder above it named real or fake".to_owned(),
                "none".to_owned(),
            )),
        }
    }
    Ok(())
}

fn failure(path: PathBuf, reason: &str, expected: String, found: String) -> Failure {
    Failure {
        path,
        content_id: None,
        stage: "index".to_owned(),
        reason: reason.to_owned(),
        expected,
        found,
    }
}

fn find_table(input: &Path) -> Result<PathBuf, CorpusError> {
    if input.is_file() {
        return Ok(input.to_owned());
    }
    for extension in ["arrow", "parquet", "csv"] {
        let path = input.with_extension(extension);
        if input.extension().is_none() && path.is_file() {
            return Ok(path);
        }
    }
    Err(CorpusError::Table {
        path: input.to_owned(),
        expected: "a folder, or a .csv, .parquet or .arrow table".to_owned(),
        found: "nothing at this path".to_owned(),
    })
}

/// A table as texts: its heads in lower case, its rows, missing cells as nothing.
struct Texts {
    heads: Vec<String>,
    rows: Vec<Vec<Option<String>>>,
}

/// Reads a `.csv`, `.parquet` or `.arrow` table as texts.
fn read_texts(path: &Path) -> Result<Texts, CorpusError> {
    let wrong = |found: String| CorpusError::Table {
        path: path.to_owned(),
        expected: "a table as .csv, .parquet or .arrow".to_owned(),
        found,
    };
    let open =
        || File::open(path).map_err(|source| CorpusError::Io { path: path.to_owned(), source });
    let extension =
        path.extension().map(|extension| extension.to_string_lossy().to_ascii_lowercase());
    let batches: Vec<RecordBatch> = match extension.as_deref() {
        Some("parquet") => ParquetRecordBatchReaderBuilder::try_new(open()?)
            .and_then(ParquetRecordBatchReaderBuilder::build)
            .map_err(|error| wrong(error.to_string()))?
            .collect::<Result<_, _>>()
            .map_err(|error| wrong(error.to_string()))?,
        Some("arrow") => FileReader::try_new(open()?, None)
            .map_err(|error| wrong(error.to_string()))?
            .collect::<Result<_, _>>()
            .map_err(|error| wrong(error.to_string()))?,
        Some("csv") => return read_csv(path),
        _ => return Err(wrong("another extension".to_owned())),
    };
    let heads = batches.first().map_or_else(Vec::new, |batch| {
        batch.schema().fields().iter().map(|field| field.name().to_ascii_lowercase()).collect()
    });
    let mut rows = Vec::new();
    for batch in &batches {
        if rows.len() + batch.num_rows() > MAX_ROWS {
            return Err(wrong(format!("more than {MAX_ROWS} rows")));
        }
        let columns = batch
            .columns()
            .iter()
            .map(|column| cast(column, &DataType::Utf8))
            .collect::<Result<Vec<_>, _>>();
        // A column of lists or the like is not one of ours: it reads as missing.
        let columns: Vec<_> = match columns {
            Ok(columns) => columns.into_iter().map(Some).collect(),
            Err(_) => {
                batch.columns().iter().map(|column| cast(column, &DataType::Utf8).ok()).collect()
            }
        };
        for row in 0..batch.num_rows() {
            rows.push(
                columns
                    .iter()
                    .map(|column| {
                        let texts = column.as_ref()?.as_string_opt::<i32>()?;
                        (!texts.is_null(row)).then(|| texts.value(row).to_owned())
                    })
                    .collect(),
            );
        }
    }
    Ok(Texts { heads, rows })
}

fn read_csv(path: &Path) -> Result<Texts, CorpusError> {
    let wrong = |error: csv::Error| CorpusError::Table {
        path: path.to_owned(),
        expected: "a table with a head and rows of the same length".to_owned(),
        found: error.to_string(),
    };
    let mut reader = csv::Reader::from_path(path).map_err(wrong)?;
    let heads = reader
        .headers()
        .map_err(wrong)?
        .iter()
        .map(|head| head.trim_start_matches('\u{feff}').trim().to_ascii_lowercase())
        .collect();
    let mut rows = Vec::new();
    for record in reader.records() {
        if rows.len() >= MAX_ROWS {
            return Err(CorpusError::Table {
                path: path.to_owned(),
                expected: format!("at most {MAX_ROWS} rows"),
                found: "more".to_owned(),
            });
        }
        rows.push(record.map_err(wrong)?.iter().map(|cell| Some(cell.to_owned())).collect());
    }
    Ok(Texts { heads, rows })
}

/// A cell that says something: empty and the usual words for nothing are missing.
fn said(cell: Option<&String>) -> Option<String> {
    let text = cell?.trim();
    let nothing =
        matches!(text.to_ascii_lowercase().as_str(), "" | "nan" | "null" | "none" | "na" | "n/a");
    (!nothing).then(|| text.to_owned())
}

fn read_table(
    table: &Path,
    gathered: &mut Gathered,
    seen: &mut HashSet<(PathBuf, Label)>,
) -> Result<(), CorpusError> {
    let texts = read_texts(table)?;
    let find = |names: &[&str]| {
        names.iter().find_map(|name| texts.heads.iter().position(|head| head == name))
    };
    let need = |names: &[&str]| {
        find(names).ok_or_else(|| CorpusError::Table {
            path: table.to_owned(),
            expected: format!("a column named {}", names.join(" or ")),
            found: format!("columns {}", texts.heads.join(", ")),
        })
    };
    let (path_at, label_at) = (need(&PATHS)?, need(&LABELS)?);
    let optional = [
        find(&GROUPS),
        find(&["platform"]),
        find(&["subset"]),
        find(&MANIPULATIONS),
        find(&["generator"]),
    ];
    let folder = table.parent().unwrap_or_else(|| Path::new("."));
    for (number, row) in texts.rows.iter().enumerate() {
        // The head is line 1.
        let origin = format!("{} row {}", table.display(), number + 2);
        let cell = |at: Option<usize>| said(at.and_then(|at| row.get(at)).and_then(Option::as_ref));
        let here = || PathBuf::from(origin.clone());
        let Some(written) = cell(Some(path_at)) else {
            gathered.failures.push(failure(here(), "missing_path", "a path".into(), "none".into()));
            continue;
        };
        let beside = folder.join(&written);
        let path = if beside.exists() || !Path::new(&written).exists() {
            beside
        } else {
            PathBuf::from(&written)
        };
        let label = match cell(Some(label_at)).map(|text| text.parse::<Label>()) {
            Some(Ok(label)) => label,
            Some(Err(error)) => {
                let expected = format!("real or fake in {origin}");
                gathered.failures.push(failure(path, "unknown_label", expected, error.found));
                continue;
            }
            None => {
                let expected = format!("a label in {origin}");
                gathered.failures.push(failure(path, "missing_label", expected, "none".into()));
                continue;
            }
        };
        if !path.exists() {
            let expected = format!("the file that {origin} names");
            gathered.failures.push(failure(path, "missing", expected, "nothing there".into()));
            continue;
        }
        if !seen.insert((path.clone(), label)) {
            let expected = "each file once".to_owned();
            gathered.failures.push(failure(path, "duplicate_row", expected, origin));
            continue;
        }
        let [group, platform, subset, manipulation, generator] = optional.map(cell);
        gathered.candidates.push(Candidate {
            path,
            label,
            group,
            platform,
            subset,
            manipulation,
            generator,
            origin,
        });
    }
    Ok(())
}

/// A table of an official split: for each row its path, or its content id, and its part.
pub(crate) fn read_split_rows(path: &Path) -> Result<Vec<(String, String)>, CorpusError> {
    let texts = read_texts(path)?;
    let find = |names: &[&str]| {
        names.iter().find_map(|name| texts.heads.iter().position(|head| head == name)).ok_or_else(
            || CorpusError::Table {
                path: path.to_owned(),
                expected: format!("a column named {}", names.join(" or ")),
                found: format!("columns {}", texts.heads.join(", ")),
            },
        )
    };
    let (who, part) = (
        find(&["content_id", "path", "video_path", "file", "filename"])?,
        find(&["part", "split", "subset", "fold"])?,
    );
    Ok(texts
        .rows
        .iter()
        .filter_map(|row| Some((said(row.get(who)?.as_ref())?, said(row.get(part)?.as_ref())?)))
        .collect())
}
