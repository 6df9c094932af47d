//! Feature matrices and the index, on disk and back.

use std::fs;
use std::path::Path;

use arrow::array::{ArrayRef, Float64Array, StringArray, UInt32Array};
use fvc_corpus::{
    CorpusError, FeatureMatrix, FeatureRow, Index, gather, read_feature_matrix,
    write_feature_matrix,
};
use fvc_media::ContentId;
use proptest::prelude::*;
use std::sync::Arc;

use crate::support::{binary_tables, indexed, tree};

fn id(number: u32) -> ContentId {
    ContentId::of_bytes(&number.to_le_bytes())
}

fn matrix(rows: u32, columns: usize) -> FeatureMatrix {
    FeatureMatrix {
        columns: (0..columns).map(|at| format!("f{at}")).collect(),
        rows: (0..rows)
            .map(|number| FeatureRow {
                content_id: id(number / 3),
                variant: number % 3,
                values: (0..columns).map(|at| f64::from(number) + at as f64 / 7.0).collect(),
            })
            .collect(),
    }
}

fn same(left: &FeatureMatrix, right: &FeatureMatrix) -> bool {
    left.columns == right.columns
        && left.rows.len() == right.rows.len()
        && left.rows.iter().zip(&right.rows).all(|(left, right)| {
            (left.content_id, left.variant) == (right.content_id, right.variant)
                && left.values.iter().zip(&right.values).all(|(left, right)| {
                    left.to_bits() == right.to_bits() || (left.is_nan() && right.is_nan())
                })
        })
}

fn sorted(mut matrix: FeatureMatrix) -> FeatureMatrix {
    matrix.rows.sort_by_key(|row| (row.content_id, row.variant));
    matrix
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// Every double comes back bit for bit, missing values as missing, rows in their order; and
    /// the file does not tell in which order they came.
    #[test]
    fn features_come_back_bit_for_bit(
        values in prop::collection::vec(prop::collection::vec(any::<f64>(), 3), 0..30),
        missing in any::<u32>(),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let rows: Vec<_> = (0_u32..)
            .zip(values)
            .map(|(number, mut values)| {
                if missing >> number & 1 == 1 {
                    values[1] = f64::NAN;
                }
                FeatureRow { content_id: id(number), variant: number % 2, values }
            })
            .collect();
        let columns = ["x", "y,\"z\"", "ü"].map(str::to_owned).to_vec();
        let matrix = FeatureMatrix { columns, rows };
        let path = folder.path().join("features.parquet");
        write_feature_matrix(&path, &matrix).unwrap();
        let expected = sorted(matrix.clone());
        prop_assert!(same(&read_feature_matrix(&path).unwrap(), &expected));
        let bytes = fs::read(&path).unwrap();
        let mut turned = matrix;
        turned.rows.reverse();
        write_feature_matrix(&path, &turned).unwrap();
        prop_assert_eq!(fs::read(&path).unwrap(), bytes);
    }
}

/// A table without rows came back without columns.
#[test]
fn a_matrix_without_rows_keeps_its_columns() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("features.parquet");
    for matrix in [matrix(0, 4), matrix(5, 0), matrix(0, 0)] {
        write_feature_matrix(&path, &matrix).unwrap();
        assert_eq!(read_feature_matrix(&path).unwrap(), sorted(matrix));
    }
}

/// A short row was filled with missing values, a long one cut.
#[test]
fn a_row_of_another_length_is_not_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("features.parquet");
    for length in [0, 2, 4] {
        let mut matrix = matrix(6, 3);
        matrix.rows[4].values.resize(length, 1.0);
        let error = write_feature_matrix(&path, &matrix).unwrap_err();
        assert!(error.to_string().contains("expected 3 values a row"), "{error}");
        assert!(!path.exists());
    }
}

fn refused(path: &Path) {
    let error = read_feature_matrix(path).unwrap_err();
    let name = path.file_name().unwrap().to_str().unwrap();
    assert!(matches!(error, CorpusError::Table { .. }), "{error}");
    assert!(error.to_string().contains(name), "{error}");
}

#[test]
fn other_tables_are_no_feature_tables() {
    let folder = tempfile::tempdir().unwrap();
    let ids = |ids: Vec<Option<String>>| -> ArrayRef { Arc::new(StringArray::from(ids)) };
    let good = || ids(vec![Some(id(1).to_hex()), Some(id(2).to_hex())]);
    let variants = || -> ArrayRef { Arc::new(UInt32Array::from(vec![0, 1])) };
    let numbers = || -> ArrayRef { Arc::new(Float64Array::from(vec![0.5, 1.5])) };
    let tables: [(&str, Vec<(&str, ArrayRef)>); 8] = [
        ("no_id", vec![("path", good()), ("variant", variants()), ("x", numbers())]),
        ("id_alone", vec![("content_id", good())]),
        ("order", vec![("variant", variants()), ("content_id", good())]),
        ("id_type", vec![("content_id", numbers()), ("variant", variants())]),
        ("variant_type", vec![("content_id", good()), ("variant", numbers())]),
        ("feature_type", vec![("content_id", good()), ("variant", variants()), ("x", variants())]),
        ("no_hash", vec![("content_id", ids(vec![Some("x".into()); 2])), ("variant", variants())]),
        // A missing variant was read as the original.
        (
            "null_variant",
            vec![
                ("content_id", good()),
                ("variant", Arc::new(UInt32Array::from(vec![Some(0), None]))),
                ("x", numbers()),
            ],
        ),
    ];
    for (stem, columns) in tables {
        let [_, parquet] = binary_tables(&folder.path().join(stem), &columns);
        refused(&parquet);
    }
    let [_, parquet] = binary_tables(
        &folder.path().join("good"),
        &[("content_id", good()), ("variant", variants()), ("x", numbers())],
    );
    assert_eq!(read_feature_matrix(&parquet).unwrap().rows.len(), 2);
    assert!(matches!(
        read_feature_matrix(&folder.path().join("nowhere.parquet")),
        Err(CorpusError::Io { .. })
    ));
}

/// Every cut is refused. A byte that is changed inside the numbers cannot be known (units, which
/// the tables are made from, have a hash); anywhere else it is an error, and it never panics.
#[test]
fn a_cut_or_changed_feature_table_is_an_error_and_never_a_panic() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("features.parquet");
    write_feature_matrix(&path, &matrix(9, 2)).unwrap();
    let whole = fs::read(&path).unwrap();
    for cut in (0..whole.len()).step_by(7).chain([whole.len() - 1]) {
        fs::write(&path, &whole[..cut]).unwrap();
        refused(&path);
    }
    let mut errors = 0;
    for at in (0..whole.len()).step_by(4) {
        let mut bytes = whole.clone();
        bytes[at] ^= 0xff;
        fs::write(&path, &bytes).unwrap();
        errors += u32::from(read_feature_matrix(&path).is_err());
    }
    assert!(errors > 100, "{errors} of {}", whole.len());
}

fn corpus(folder: &Path) -> Index {
    tree(folder, &["a.mp4", "b.mp4", "ü, \"c\".mp4"]);
    fs::write(
        folder.join("table.csv"),
        "path,label,group,platform,subset,method,generator\n\
         a.mp4,real,g1,YouTube,train,,\nb.mp4,fake,g1,,,splice,\"G, 2\"\n\
         \"ü, \"\"c\"\".mp4\",fake,,,,,\n",
    )
    .unwrap();
    indexed(gather(&[folder.join("table.csv")]).unwrap()).0
}

#[test]
fn an_index_comes_back_as_it_was_saved() {
    let folder = tempfile::tempdir().unwrap();
    let index = corpus(folder.path());
    assert_eq!(index.sources().len(), 3);
    let saved = folder.path().join("index");
    index.save(&saved).unwrap();
    let read = Index::load(&saved).unwrap();
    assert_eq!(read, index);
    assert_eq!(read.hash(), index.hash());
    assert_eq!(read.groups().hash(), index.groups().hash());
    let b = index.sources().iter().find(|source| source.path.ends_with("b.mp4")).unwrap();
    assert_eq!(read.source(&b.content_id), Some(b));
    assert_eq!(b.manipulation.as_deref(), Some("splice"));
    assert_eq!(b.generator.as_deref(), Some("G, 2"));
    // The table for people has every source too.
    let mut table = csv::Reader::from_path(saved.join("sources.csv")).unwrap();
    let paths: Vec<String> =
        table.records().map(|row| row.unwrap().get(1).unwrap().to_owned()).collect();
    let expected: Vec<String> =
        index.sources().iter().map(|source| source.path.display().to_string()).collect();
    assert_eq!(paths, expected);
    // Saved again it is the same, byte for byte.
    let bytes = fs::read(saved.join("sources.json")).unwrap();
    read.save(&saved).unwrap();
    assert_eq!(fs::read(saved.join("sources.json")).unwrap(), bytes);
}

/// The hash covered what groups and fits depend on; another size, platform or generator passed.
#[test]
fn an_index_that_was_changed_is_an_error_that_names_it() {
    let folder = tempfile::tempdir().unwrap();
    let index = corpus(folder.path());
    let path = folder.path().join("sources.json");
    let refused = |why: &str| {
        let error = Index::load(folder.path()).unwrap_err();
        assert!(matches!(error, CorpusError::Table { .. }), "{why}: {error}");
        assert!(error.to_string().contains("sources.json"), "{why}: {error}");
        error.to_string()
    };
    assert!(refused("none").contains("fvc index"));
    index.save(folder.path()).unwrap();
    let whole = fs::read(&path).unwrap();
    for at in (0..whole.len()).step_by(4) {
        let mut bytes = whole.clone();
        bytes[at] = if bytes[at] == b'1' { b'2' } else { b'1' };
        fs::write(&path, &bytes).unwrap();
        // The name of a field that says nothing may go; what is said may not.
        match Index::load(folder.path()) {
            Ok(read) => assert_eq!(read, index, "byte {at}"),
            Err(_) => drop(refused(&format!("byte {at}"))),
        }
    }
    for cut in (0..whole.len()).step_by(5) {
        fs::write(&path, &whole[..cut]).unwrap();
        refused(&format!("cut at {cut}"));
    }
    let text = String::from_utf8(whole).unwrap();
    // An index of the version before, which has other fields, says what to do.
    let older = text.replacen("\"version\":2", "\"version\":1", 1);
    let older = older.replacen("contents_hash", "unknown", 1);
    fs::write(&path, older).unwrap();
    assert!(refused("older").contains("run `fvc index` again"));
    fs::write(&path, b"\xff\xfe").unwrap();
    refused("no text");
}
