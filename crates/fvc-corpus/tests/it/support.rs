//! Files and tables that the tests share.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::ipc::writer::FileWriter;
use fvc_corpus::{Failure, Gathered, Index};
use fvc_media::ContentId;
use parquet::arrow::ArrowWriter;

/// Writes files whose contents are their own names.
pub(crate) fn tree(folder: &Path, files: &[&str]) {
    for file in files {
        let path = folder.join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, file).unwrap();
    }
}

/// What `fvc index` does with candidates, without looking for a video in them.
pub(crate) fn indexed(gathered: Gathered) -> (Index, Vec<Failure>) {
    let identified = gathered
        .candidates
        .into_iter()
        .map(|candidate| {
            let bytes = fs::read(&candidate.path).unwrap();
            (candidate, ContentId::of_bytes(&bytes), bytes.len() as u64)
        })
        .collect();
    Index::build(identified, &gathered.ties)
}

/// The files of every group of an index that has more than one, by file name and in order.
pub(crate) fn ties(index: &Index) -> Vec<Vec<String>> {
    let mut groups = std::collections::BTreeMap::<_, Vec<String>>::new();
    for source in index.sources() {
        let name = source.path.file_name().unwrap().to_string_lossy().into_owned();
        groups.entry(source.group.clone()).or_default().push(name);
    }
    let mut ties: Vec<Vec<String>> = groups.into_values().filter(|names| names.len() > 1).collect();
    for names in &mut ties {
        names.sort();
    }
    ties.sort();
    ties
}

fn batch(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    RecordBatch::try_from_iter_with_nullable(
        columns.into_iter().map(|(name, column)| (name, column, true)),
    )
    .unwrap()
}

/// Writes the columns as `<stem>.arrow` and `<stem>.parquet` and gives back both paths.
pub(crate) fn binary_tables(stem: &Path, columns: &[(&str, ArrayRef)]) -> [PathBuf; 2] {
    let columns: Vec<_> =
        columns.iter().map(|(name, column)| (*name, Arc::clone(column))).collect();
    let batch = batch(columns);
    let arrow = stem.with_extension("arrow");
    let mut writer = FileWriter::try_new(File::create(&arrow).unwrap(), &batch.schema()).unwrap();
    writer.write(&batch).unwrap();
    writer.finish().unwrap();
    let parquet = stem.with_extension("parquet");
    let mut writer =
        ArrowWriter::try_new(File::create(&parquet).unwrap(), batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    [arrow, parquet]
}
