//! Feature matrices and predictions on disk.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Float64Array, RecordBatch, RecordBatchReader, StringArray,
    UInt32Array,
};
use arrow::datatypes::{DataType, Field, Float64Type, Schema, UInt32Type};
use fvc_media::ContentId;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use crate::contained::contained;
use crate::{CorpusError, FeatureMatrix, FeatureRow, GroupId, Label, write_atomically};

fn table_error(path: &Path, expected: &str, found: &dyn std::fmt::Display) -> CorpusError {
    CorpusError::Table {
        path: path.to_owned(),
        expected: expected.to_owned(),
        found: found.to_string(),
    }
}

/// Writes features as Parquet, whole or not at all: `content_id`, `variant`, then one nullable
/// column of doubles a feature. Rows are in the order (content id, variant); equal contents give
/// equal bytes.
///
/// # Errors
/// The file cannot be written, or a row has another number of values than there are columns.
pub fn write_feature_matrix(path: &Path, matrix: &FeatureMatrix) -> Result<(), CorpusError> {
    let bytes = feature_matrix_bytes(path, matrix)?;
    write_atomically(path, &bytes)
        .map_err(|source| CorpusError::Io { path: path.to_owned(), source })
}

/// The bytes that [`write_feature_matrix`] writes to `path`.
///
/// # Errors
/// A row has another number of values than there are columns.
pub fn feature_matrix_bytes(path: &Path, matrix: &FeatureMatrix) -> Result<Vec<u8>, CorpusError> {
    if let Some(row) = matrix.rows.iter().find(|row| row.values.len() != matrix.columns.len()) {
        return Err(table_error(
            path,
            &format!("{} values a row", matrix.columns.len()),
            &format!("{} of source {}", row.values.len(), row.content_id),
        ));
    }
    let mut rows: Vec<&FeatureRow> = matrix.rows.iter().collect();
    rows.sort_by_key(|row| (row.content_id, row.variant));
    let mut fields = vec![
        Field::new("content_id", DataType::Utf8, false),
        Field::new("variant", DataType::UInt32, false),
    ];
    let mut columns: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from_iter_values(rows.iter().map(|row| row.content_id.to_hex()))),
        Arc::new(UInt32Array::from_iter_values(rows.iter().map(|row| row.variant))),
    ];
    for (at, name) in matrix.columns.iter().enumerate() {
        fields.push(Field::new(name, DataType::Float64, true));
        let values: Float64Array = rows
            .iter()
            .map(|row| row.values.get(at).copied().filter(|value| !value.is_nan()))
            .collect();
        columns.push(Arc::new(values));
    }
    column_bytes(path, fields, columns)
}

fn column_bytes(
    path: &Path,
    fields: Vec<Field>,
    columns: Vec<ArrayRef>,
) -> Result<Vec<u8>, CorpusError> {
    let wrong = |found: String| table_error(path, "a table that can be written", &found);
    let schema = Arc::new(Schema::new(fields));
    let batch = RecordBatch::try_new(Arc::clone(&schema), columns)
        .map_err(|error| wrong(error.to_string()))?;
    let mut bytes = Vec::new();
    let mut writer =
        ArrowWriter::try_new(&mut bytes, schema, None).map_err(|error| wrong(error.to_string()))?;
    writer.write(&batch).map_err(|error| wrong(error.to_string()))?;
    writer.close().map_err(|error| wrong(error.to_string()))?;
    Ok(bytes)
}

/// Reads what [`write_feature_matrix`] wrote.
///
/// # Errors
/// The file cannot be read or is no feature table.
pub fn read_feature_matrix(path: &Path) -> Result<FeatureMatrix, CorpusError> {
    contained(path, || read_matrix(path))
}

fn read_matrix(path: &Path) -> Result<FeatureMatrix, CorpusError> {
    let wrong = |found: String| table_error(path, "a feature table", &found);
    let file =
        File::open(path).map_err(|source| CorpusError::Io { path: path.to_owned(), source })?;
    let reader = ParquetRecordBatchReaderBuilder::try_new(file)
        .and_then(ParquetRecordBatchReaderBuilder::build)
        .map_err(|error| wrong(error.to_string()))?;
    let schema = reader.schema();
    let names: Vec<&String> = schema.fields().iter().map(|field| field.name()).collect();
    if names.len() < 2 || names[0] != "content_id" || names[1] != "variant" {
        return Err(wrong("other first columns than content_id and variant".to_owned()));
    }
    let columns = names[2..].iter().map(|name| (*name).clone()).collect();
    let mut matrix = FeatureMatrix { columns, rows: Vec::new() };
    for batch in reader {
        let batch = batch.map_err(|error| wrong(error.to_string()))?;
        if batch.columns()[..2].iter().any(|column| column.null_count() > 0) {
            return Err(wrong("a row without content id or variant".to_owned()));
        }
        let ids = batch
            .column(0)
            .as_string_opt::<i32>()
            .ok_or_else(|| wrong("a content_id column of another type".to_owned()))?;
        let variants = batch
            .column(1)
            .as_primitive_opt::<UInt32Type>()
            .ok_or_else(|| wrong("a variant column of another type".to_owned()))?;
        let features = (2..names.len())
            .map(|at| {
                batch
                    .column(at)
                    .as_primitive_opt::<Float64Type>()
                    .ok_or_else(|| wrong(format!("column {} of another type", names[at])))
            })
            .collect::<Result<Vec<_>, _>>()?;
        for row in 0..batch.num_rows() {
            let content_id: ContentId = ids
                .value(row)
                .parse()
                .map_err(|error: fvc_media::ContentIdError| wrong(error.found))?;
            matrix.rows.push(FeatureRow {
                content_id,
                variant: variants.value(row),
                values: features
                    .iter()
                    .map(|column| if column.is_null(row) { f64::NAN } else { column.value(row) })
                    .collect(),
            });
        }
    }
    Ok(matrix)
}

/// One prediction on disk.
#[derive(Clone, Debug, PartialEq)]
pub struct PredictionRow {
    /// The outer fold, or -1 for the sealed test.
    pub fold: i64,
    /// The source.
    pub content_id: ContentId,
    /// Its group.
    pub group: GroupId,
    /// What it is said to be.
    pub label: Label,
    /// The raw score in log odds.
    pub margin: f64,
    /// The calibrated probability that it is fake.
    pub probability: f64,
}

/// Writes predictions as `<stem>.csv` and `<stem>.parquet`, every row kept, by content id.
///
/// # Errors
/// A file cannot be written.
pub fn write_predictions(stem: &Path, mut rows: Vec<PredictionRow>) -> Result<(), CorpusError> {
    rows.sort_by_key(|row| (row.content_id, row.fold));
    let path = stem.with_extension("predictions.parquet");
    let texts = |of: &dyn Fn(&PredictionRow) -> String| -> ArrayRef {
        Arc::new(StringArray::from_iter_values(rows.iter().map(of)))
    };
    let numbers = |of: &dyn Fn(&PredictionRow) -> f64| -> ArrayRef {
        Arc::new(Float64Array::from_iter_values(rows.iter().map(of)))
    };
    let columns: BTreeMap<usize, (&str, DataType, ArrayRef)> = BTreeMap::from([
        (0, ("content_id", DataType::Utf8, texts(&|row| row.content_id.to_hex()))),
        (1, ("group", DataType::Utf8, texts(&|row| row.group.to_string()))),
        (2, ("label", DataType::Utf8, texts(&|row| row.label.to_string()))),
        (3, ("fold", DataType::Float64, numbers(&|row| row.fold as f64))),
        (4, ("margin", DataType::Float64, numbers(&|row| row.margin))),
        (5, ("probability", DataType::Float64, numbers(&|row| row.probability))),
    ]);
    let fields =
        columns.values().map(|(name, kind, _)| Field::new(*name, kind.clone(), false)).collect();
    let columns = columns.into_values().map(|(_, _, column)| column).collect();
    write_atomically(&path, &column_bytes(&path, fields, columns)?)
        .map_err(|source| CorpusError::Io { path: path.clone(), source })?;
    let path = stem.with_extension("predictions.csv");
    let io = |source| CorpusError::Io { path: path.clone(), source };
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer
        .write_record(["content_id", "group", "label", "fold", "margin", "probability"])
        .map_err(|error| io(error.into()))?;
    for row in &rows {
        writer
            .write_record([
                row.content_id.to_hex(),
                row.group.to_string(),
                row.label.to_string(),
                row.fold.to_string(),
                row.margin.to_string(),
                row.probability.to_string(),
            ])
            .map_err(|error| io(error.into()))?;
    }
    let bytes =
        writer.into_inner().map_err(|error| io(std::io::Error::other(error.to_string())))?;
    write_atomically(&path, &bytes).map_err(io)
}
