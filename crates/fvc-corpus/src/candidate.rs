//! [`gather`]: folders and tables to candidates with a path, a label and what else is said of them.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, RecordBatchReader};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type, SchemaRef};
use arrow::error::ArrowError;
use arrow::ipc::reader::FileReader;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde::{Deserialize, Serialize};

use crate::contained::contained;
use crate::failure::columns_found;
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
/// Columns whose values name groups. Every one that is there ties, each in a name space of its own.
const GROUPS: [&str; 6] = ["group", "group_id", "dup_group", "cascade_id", "source_id", "origin"];
const MANIPULATIONS: [&str; 4] = ["manipulation", "method", "attack", "forgery"];

/// A file that may become a source.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Candidate {
    /// Where it is, from the root.
    pub path: PathBuf,
    /// What it is said to be.
    pub label: Label,
    /// The groups that are declared for it as `column=value`, over all group columns of all rows
    /// that name it.
    pub groups: Vec<String>,
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
    /// Names of groups that were declared together, for each path that any table names: also for
    /// files that are missing, or that turn out not to decode.
    pub ties: Vec<Vec<String>>,
    /// Files of other kinds beside the videos, which are not inputs.
    pub ignored: u64,
}

/// Reads folders (`real/…`, `fake/…`, at any depth; the nearest folder whose name is a label
/// counts) and tables (`.csv`, `.parquet`, `.arrow`; a name without extension takes whichever is
/// there, in the order arrow, parquet, csv).
///
/// Folders named by a label's number (`0`, `1`, `true`, `false`, `0.0`, `1.0`) are labels only
/// directly below an input folder that is no label itself: deeper down they number clips.
///
/// In tables, relative paths are looked for beside the table, then in the working folder; the
/// columns have their usual names in any case. Each of the columns `group`, `group_id`, `dup_group`,
/// `cascade_id`, `source_id` and `origin` that is there ties the rows that agree in it, whatever
/// the other columns say, and a missing value ties nothing. Rows that cannot be used still tie
/// what they say of a path to the other rows of that path. The first of the columns for paths, and
/// for labels, in the order of their documentation counts; a row of which another label column says
/// otherwise is a label conflict.
///
/// # Errors
/// An input is neither, or a table cannot be read or lacks the columns path and label.
pub fn gather(inputs: &[PathBuf]) -> Result<Gathered, CorpusError> {
    let mut gathered = Gathered::default();
    let mut tables = TableState::default();
    for input in inputs {
        if input.is_dir() {
            Walk { visited: HashSet::new(), above: Vec::new() }.folder(
                input,
                None,
                &mut gathered,
            )?;
        } else {
            read_table(&find_table(input)?, &mut gathered, &mut tables)?;
        }
    }
    for candidate in &mut gathered.candidates {
        if let Some(declared) = tables.declared.get(&candidate.path) {
            candidate.groups = declared.iter().cloned().collect();
        }
    }
    gathered.ties = tables
        .declared
        .values()
        .filter(|names| names.len() > 1)
        .map(|names| names.iter().cloned().collect())
        .collect();
    gathered.ties.sort_unstable();
    gathered.finish();
    Ok(gathered)
}

impl Gathered {
    /// Makes every path whole and a text, and counts the inputs.
    pub(crate) fn finish(&mut self) {
        // An index is used from other folders than the one it was made in.
        let paths = self.candidates.iter_mut().map(|candidate| &mut candidate.path);
        for path in paths.chain(self.failures.iter_mut().map(|failure| &mut failure.path)) {
            // A row without a path has none to make whole.
            if let Ok(whole) = std::path::absolute(&*path) {
                *path = whole;
            }
        }
        refuse_names_that_are_no_text(self);
        self.inputs = (self.candidates.len() + self.failures.len()) as u64;
    }
}

/// Tables and records are text: a file whose name is none costs a row, and not the command.
fn refuse_names_that_are_no_text(gathered: &mut Gathered) {
    let (text, other) = std::mem::take(&mut gathered.candidates)
        .into_iter()
        .partition(|candidate: &Candidate| candidate.path.to_str().is_some());
    gathered.candidates = text;
    let other: Vec<Candidate> = other;
    gathered.failures.extend(other.into_iter().map(|candidate| {
        let expected = "a name in UTF-8".to_owned();
        failure(candidate.path, "name_not_utf8", expected, "other bytes".to_owned())
    }));
    for failure in &mut gathered.failures {
        if failure.path.to_str().is_none() {
            failure.path = PathBuf::from(failure.path.to_string_lossy().into_owned());
        }
    }
}

/// Whether there is something at an input that [`gather`] can read: a folder, or a table.
///
/// # Errors
/// There is neither.
pub fn check_input(input: &Path) -> Result<(), CorpusError> {
    if !input.is_dir() {
        find_table(input)?;
    }
    Ok(())
}

/// What is known of the folders below one input.
struct Walk {
    /// Folders that were read, and the label they were read under: a folder that is reached under
    /// two labels is read twice, so that its files end as label conflicts.
    visited: HashSet<(PathBuf, Option<Label>)>,
    /// The folders from the input down to the one that is read now.
    above: Vec<PathBuf>,
}

impl Walk {
    fn folder(
        &mut self,
        folder: &Path,
        label: Option<Label>,
        gathered: &mut Gathered,
    ) -> Result<(), CorpusError> {
        let io = |source| CorpusError::Io { path: folder.to_owned(), source };
        let name = folder.file_name().map(|name| name.to_string_lossy().into_owned());
        let name = name.as_deref().unwrap_or_default();
        let own = Label::from_word(name)
            .or_else(|| {
                (self.above.len() == 1 && label.is_none()).then(|| Label::from_number(name))?
            })
            .or(label);
        let place = fs::canonicalize(folder).map_err(io)?;
        // A link that leads back up says nothing new of what is there.
        if self.above.contains(&place) || !self.visited.insert((place.clone(), own)) {
            return Ok(());
        }
        let mut entries = Vec::new();
        for entry in fs::read_dir(folder).map_err(io)? {
            let entry = entry.map_err(io)?;
            if entry.file_name().to_string_lossy().starts_with('.') {
                gathered.ignored += 1;
            } else {
                entries.push(entry.path());
            }
        }
        entries.sort();
        self.above.push(place);
        for path in entries {
            if path.is_dir() {
                // One closed folder costs one row, and what stands beside it goes on.
                if let Err(error) = self.folder(&path, own, gathered) {
                    let expected = "a folder that can be read".to_owned();
                    gathered.failures.push(failure(
                        path,
                        "unreadable",
                        expected,
                        error.to_string(),
                    ));
                }
            } else {
                file(path, own, gathered);
            }
        }
        self.above.pop();
        Ok(())
    }
}

/// Whether a file of this name stands beside videos and is none: a text, a table, a picture.
pub fn is_sidecar(path: &Path) -> bool {
    let extension =
        path.extension().map(|extension| extension.to_string_lossy().to_ascii_lowercase());
    extension.as_deref().is_some_and(|extension| SIDECARS.contains(&extension))
}

/// One file of a folder that stands under `label`.
fn file(path: PathBuf, label: Option<Label>, gathered: &mut Gathered) {
    if is_sidecar(&path) {
        gathered.ignored += 1;
        return;
    }
    match label {
        Some(label) => gathered.candidates.push(Candidate {
            path,
            label,
            groups: Vec::new(),
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

pub(crate) fn failure(path: PathBuf, reason: &str, expected: String, found: String) -> Failure {
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
pub(crate) struct Texts {
    pub(crate) heads: Vec<String>,
    pub(crate) rows: Vec<Vec<Option<String>>>,
}

/// Reads a `.csv`, `.parquet` or `.arrow` table as texts.
fn read_texts(path: &Path) -> Result<Texts, CorpusError> {
    contained(path, || read_table_texts(path))
}

fn read_table_texts(path: &Path) -> Result<Texts, CorpusError> {
    let wrong = |found: String| CorpusError::Table {
        path: path.to_owned(),
        expected: "a table as .csv, .parquet or .arrow".to_owned(),
        found,
    };
    let open =
        || File::open(path).map_err(|source| CorpusError::Io { path: path.to_owned(), source });
    let extension =
        path.extension().map(|extension| extension.to_string_lossy().to_ascii_lowercase());
    let (schema, batches): (SchemaRef, Batches) = match extension.as_deref() {
        Some("parquet") => {
            let reader = ParquetRecordBatchReaderBuilder::try_new(open()?)
                .and_then(ParquetRecordBatchReaderBuilder::build)
                .map_err(|error| wrong(error.to_string()))?;
            (reader.schema(), Box::new(reader))
        }
        Some("arrow") => {
            let reader =
                FileReader::try_new(open()?, None).map_err(|error| wrong(error.to_string()))?;
            (reader.schema(), Box::new(reader))
        }
        Some("csv") => return read_csv(path),
        _ => return Err(wrong("another extension".to_owned())),
    };
    let heads = schema.fields().iter().map(|field| field.name().to_ascii_lowercase()).collect();
    let mut rows = Vec::new();
    for batch in batches {
        let batch = batch.map_err(|error| wrong(error.to_string()))?;
        if rows.len() + batch.num_rows() > MAX_ROWS {
            return Err(wrong(format!("more than {MAX_ROWS} rows")));
        }
        let mut columns: Vec<_> =
            batch.columns().iter().map(|column| texts_of(column).map(Vec::into_iter)).collect();
        for _ in 0..batch.num_rows() {
            rows.push(columns.iter_mut().map(|column| column.as_mut()?.next()?).collect());
        }
    }
    Ok(Texts { heads, rows })
}

type Batches = Box<dyn Iterator<Item = Result<RecordBatch, ArrowError>>>;

/// A column as texts; nothing where it is of lists or the like, which is none of ours.
///
/// Whole numbers of a float column are written without a fraction: a column of integers that lacks
/// a value somewhere comes out of pandas as floats.
fn texts_of(column: &ArrayRef) -> Option<Vec<Option<String>>> {
    let kind = match column.data_type() {
        DataType::Dictionary(_, values) => values.as_ref(),
        kind => kind,
    };
    if kind.is_floating() {
        let column = cast(column, &DataType::Float64).ok()?;
        let numbers = column.as_primitive_opt::<Float64Type>()?;
        return Some(numbers.iter().map(|number| number.map(text_of_float)).collect());
    }
    let column = cast(column, &DataType::Utf8).ok()?;
    Some(column.as_string_opt::<i32>()?.iter().map(|text| text.map(str::to_owned)).collect())
}

/// Without a fraction or an exponent where there need be none, and without a negative zero.
fn text_of_float(number: f64) -> String {
    (number + 0.0).to_string()
}

/// Whether there is something at a path. What is there and cannot be read (a link to itself, a folder
/// that is closed to us) is a failure of its own, and not a missing file.
fn is_there(path: &Path) -> bool {
    match fs::symlink_metadata(path) {
        Ok(_) => true,
        Err(error) => !matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory),
    }
}

/// The name of a group in its column's name space.
pub(crate) fn group_name(column: &str, value: &str) -> String {
    format!("{column}={}", whole_number(value).unwrap_or_else(|| value.to_owned()))
}

/// `17` for `17.0` or `1.7e+01`, as pandas writes integers that went through a float column.
/// Nothing for what may be a text of another kind, such as the hexadecimal `12e4`.
fn whole_number(text: &str) -> Option<String> {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let (mantissa, exponent) =
        text.split_once("e+").map_or((text, None), |(front, back)| (front, Some(back)));
    let (whole, fraction) =
        mantissa.split_once('.').map_or((mantissa, None), |(front, back)| (front, Some(back)));
    let is_float = exponent.is_some() || fraction.is_some();
    let is_number = digits(whole.strip_prefix('-').unwrap_or(whole))
        && fraction.is_none_or(digits)
        && exponent.is_none_or(digits);
    let number: f64 = (is_float && is_number).then(|| text.parse().ok())??;
    (number.fract() == 0.0).then(|| text_of_float(number))
}

pub(crate) fn read_csv(path: &Path) -> Result<Texts, CorpusError> {
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
        .map(|head| head.trim().to_ascii_lowercase())
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
pub(crate) fn said(cell: Option<&String>) -> Option<String> {
    let text = cell?.trim();
    let nothing =
        matches!(text.to_ascii_lowercase().as_str(), "" | "nan" | "null" | "none" | "na" | "n/a");
    (!nothing).then(|| text.to_owned())
}

/// What the tables have said so far.
#[derive(Default)]
struct TableState {
    /// Rows that became candidates.
    seen: HashSet<(PathBuf, Label)>,
    /// The groups that any row declares for a path, whatever became of the row.
    declared: HashMap<PathBuf, BTreeSet<String>>,
}

fn read_table(
    table: &Path,
    gathered: &mut Gathered,
    state: &mut TableState,
) -> Result<(), CorpusError> {
    let texts = read_texts(table)?;
    let find = |names: &[&str]| {
        names.iter().find_map(|name| texts.heads.iter().position(|head| head == name))
    };
    let need = |names: &[&str]| {
        find(names).ok_or_else(|| CorpusError::Table {
            path: table.to_owned(),
            expected: format!("a column named {}", names.join(" or ")),
            found: columns_found(&texts.heads),
        })
    };
    let (path_at, label_at) = (need(&PATHS)?, need(&LABELS)?);
    // Columns that may say the same of a row once more; where they say otherwise, neither counts.
    let other_labels: Vec<(usize, &String)> = texts
        .heads
        .iter()
        .enumerate()
        .filter(|&(at, head)| at != label_at && LABELS.contains(&head.as_str()))
        .collect();
    let optional =
        [find(&["platform"]), find(&["subset"]), find(&MANIPULATIONS), find(&["generator"])];
    let groups: Vec<(usize, &String)> = texts
        .heads
        .iter()
        .enumerate()
        .filter(|(_, head)| GROUPS.contains(&head.as_str()))
        .collect();
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
        let path = if is_there(&beside) || !is_there(Path::new(&written)) {
            beside
        } else {
            PathBuf::from(&written)
        };
        let declared: Vec<String> = groups
            .iter()
            .filter_map(|&(at, column)| Some(group_name(column, &cell(Some(at))?)))
            .collect();
        let mut adds = false;
        if !declared.is_empty() {
            let known = state.declared.entry(path.clone()).or_default();
            adds = declared.iter().any(|name| !known.contains(name));
            known.extend(declared);
        }
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
        let contradiction = other_labels.iter().find_map(|&(at, head)| {
            let said = cell(Some(at))?.parse::<Label>().ok()?;
            (said != label).then(|| format!("{label}, and {said} in column {head}"))
        });
        if let Some(found) = contradiction {
            let expected = format!("one label in {origin}");
            gathered.failures.push(failure(path, "label_conflict", expected, found));
            continue;
        }
        if !is_there(&path) {
            let expected = format!("the file that {origin} names");
            gathered.failures.push(failure(path, "missing", expected, "nothing there".into()));
            continue;
        }
        if !state.seen.insert((path.clone(), label)) {
            // A further row of a file that says of one more group that it is of it is no input that
            // failed: what it says was taken.
            if adds {
                continue;
            }
            let expected = "each file once".to_owned();
            gathered.failures.push(failure(path, "duplicate_row", expected, origin));
            continue;
        }
        let [platform, subset, manipulation, generator] = optional.map(cell);
        gathered.candidates.push(Candidate {
            path,
            label,
            groups: Vec::new(),
            platform,
            subset,
            manipulation,
            generator,
            origin,
        });
    }
    Ok(())
}

/// A row of an official split: its path or content id, and its part; or the row's number where it
/// lacks one of them.
pub(crate) type SplitRow = Result<(String, String), usize>;

/// A table of an official split.
pub(crate) fn read_split_rows(path: &Path) -> Result<Vec<SplitRow>, CorpusError> {
    let texts = read_texts(path)?;
    let find = |names: &[&str]| {
        names.iter().find_map(|name| texts.heads.iter().position(|head| head == name)).ok_or_else(
            || CorpusError::Table {
                path: path.to_owned(),
                expected: format!("a column named {}", names.join(" or ")),
                found: columns_found(&texts.heads),
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
        .enumerate()
        .map(|(number, row)| {
            let cell = |at: usize| said(row.get(at).and_then(Option::as_ref));
            // The head is line 1.
            cell(who).zip(cell(part)).ok_or(number + 2)
        })
        .collect())
}
