//! Official splits, as tables, onto an index.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{ArrayRef, StringArray};
use fvc_corpus::{
    CorpusError, Index, Part, Split, SplitConfig, SplitError, SplitTable, gather, read_split_table,
};

use crate::support::{binary_tables, indexed, tree};

/// Eight sources in groups of two, `real/0.mp4` … and `fake/0.mp4` ….
fn corpus(folder: &Path) -> Index {
    let mut table = String::from("path,label,group\n");
    for number in 0..4 {
        for label in ["real", "fake"] {
            let file = format!("{label}/{number}.mp4");
            tree(folder, &[&file]);
            writeln!(table, "{file},{label},g{number}").unwrap();
        }
    }
    fs::write(folder.join("corpus.csv"), table).unwrap();
    indexed(gather(&[folder.join("corpus.csv")]).unwrap()).0
}

fn read(folder: &Path, index: &Index, csv: &str) -> Result<SplitTable, CorpusError> {
    let path = folder.join("split.csv");
    fs::write(&path, csv).unwrap();
    read_split_table(&path, index)
}

fn import(index: &Index, table: &SplitTable, folds: u32) -> Result<Split, fvc_corpus::SplitError> {
    let config = SplitConfig { folds, test_fraction: 0.0, seed: 1 };
    Split::import(index.groups(), &index.labels(), &table.assignment, &config, Path::new("s.csv"))
}

fn part(index: &Index, split: &Split, file: &str) -> Option<Part> {
    let source = index.sources().iter().find(|source| source.path.ends_with(file)).unwrap();
    split.part(&source.content_id)
}

const WHOLE: &str = "path,part\nreal/0.mp4,test\nfake/0.mp4,Sealed\nreal/1.mp4,fold_0\n\
                     fake/1.mp4,fold_0\nreal/2.mp4,fold_1\nfake/2.mp4,fold_1\nreal/3.mp4,fold_1\n\
                     fake/3.mp4,fold_1\n";

#[test]
fn a_split_by_path_is_taken_over_as_it_stands() {
    let folder = tempfile::tempdir().unwrap();
    let index = corpus(folder.path());
    let table = read(folder.path(), &index, WHOLE).unwrap();
    assert!(table.unknown.is_empty() && table.unmentioned.is_empty(), "{table:?}");
    assert!(table.notes().is_empty());
    let split = import(&index, &table, 2).unwrap();
    assert_eq!(split.folds(), 2);
    for (file, expected) in [
        ("real/0.mp4", Part::Sealed),
        ("fake/0.mp4", Part::Sealed),
        ("real/1.mp4", Part::Fold(0)),
        ("fake/3.mp4", Part::Fold(1)),
    ] {
        assert_eq!(part(&index, &split, file), Some(expected), "{file}");
    }
}

/// Split files of published corpora name files from the corpus's own folder. An ending that two
/// sources share names neither.
#[test]
fn a_split_kept_elsewhere_names_sources_by_the_end_of_their_paths() {
    let folder = tempfile::tempdir().unwrap();
    let index = corpus(&folder.path().join("corpus"));
    let table = read(folder.path(), &index, WHOLE).unwrap();
    assert!(table.unknown.is_empty() && table.unmentioned.is_empty(), "{table:?}");
    let csv = "path,part\nreal/0.mp4,test\n1.mp4,test\neal/2.mp4,test\n";
    let table = read(folder.path(), &index, csv).unwrap();
    assert_eq!(table.unknown, ["1.mp4", "eal/2.mp4"]);
    assert_eq!((table.assignment.len(), table.unmentioned.len()), (1, 7));
}

#[test]
fn training_and_validation_are_dealt_to_folds_and_test_is_sealed() {
    let folder = tempfile::tempdir().unwrap();
    let index = corpus(folder.path());
    let csv = "file,Split\nreal/0.mp4,TEST\nfake/0.mp4,testing\nreal/1.mp4,train\n\
               fake/1.mp4,Training\nreal/2.mp4,val\nfake/2.mp4,valid\nreal/3.mp4,validation\n\
               fake/3.mp4,dev\n";
    let split = import(&index, &read(folder.path(), &index, csv).unwrap(), 3).unwrap();
    assert_eq!(part(&index, &split, "real/0.mp4"), Some(Part::Sealed));
    let folds: std::collections::BTreeSet<_> = (1..4)
        .map(|number| {
            let fold = part(&index, &split, &format!("real/{number}.mp4"));
            assert_eq!(fold, part(&index, &split, &format!("fake/{number}.mp4")));
            assert!(matches!(fold, Some(Part::Fold(_))));
            fold
        })
        .collect();
    assert_eq!(folds.len(), 3);
}

#[test]
fn content_ids_and_binary_tables_say_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let index = corpus(folder.path());
    let expected = read(folder.path(), &index, WHOLE).unwrap();
    let (ids, parts): (Vec<_>, Vec<_>) = index
        .sources()
        .iter()
        .map(|source| {
            let part = expected.assignment[&source.content_id].unwrap();
            (source.content_id.to_hex(), part.to_string())
        })
        .unzip();
    let columns: [(&str, ArrayRef); 2] = [
        ("content_id", Arc::new(StringArray::from(ids))),
        ("part", Arc::new(StringArray::from(parts))),
    ];
    // Elsewhere: content ids need no paths.
    let elsewhere = tempfile::tempdir().unwrap();
    for path in binary_tables(&elsewhere.path().join("split"), &columns) {
        assert_eq!(read_split_table(&path, &index).unwrap(), expected, "{}", path.display());
    }
}

/// One row of a video that is no longer to be had refused the whole official split; those of real
/// data sets all have some.
#[test]
fn rows_that_name_nothing_are_reported_and_pass() {
    let folder = tempfile::tempdir().unwrap();
    let index = corpus(folder.path());
    let foreign = "ab".repeat(32);
    let csv = format!(
        "{WHOLE}gone/1.mp4,train\n{foreign},test\ngone/2.mp4,fold_0\nreal/2.mp4,\n,test\n\
         real/2.mp4,fold_1\n"
    );
    let table = read(folder.path(), &index, &csv).unwrap();
    let lacks = |row: u32| format!("row {row}, which lacks its name or part");
    assert_eq!(
        table.unknown,
        ["gone/1.mp4".to_owned(), foreign.clone(), "gone/2.mp4".to_owned(), lacks(13), lacks(14)]
    );
    assert_eq!(
        table.notes(),
        [format!(
            "rows of the split file that name nothing in the index: 5 (gone/1.mp4, {foreign}, \
             gone/2.mp4, …)"
        )]
    );
    let whole = read(folder.path(), &index, WHOLE).unwrap();
    assert_eq!(import(&index, &table, 2).unwrap(), import(&index, &whole, 2).unwrap());
}

#[test]
fn a_split_of_another_corpus_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let index = corpus(folder.path());
    for (csv, found) in [
        ("path,part\nx/1.mp4,train\nx/2.mp4,test\n", "only 2 (x/1.mp4, x/2.mp4)"),
        ("path,part\n", "no rows"),
    ] {
        let error = read(folder.path(), &index, csv).unwrap_err().to_string();
        assert!(error.contains("split.csv") && error.contains(found), "{error}");
    }
}

/// A source that the official split says nothing of is on no side of it: it is named, and the split
/// refused, for whoever dealt it to a side would make another split than the official one.
#[test]
fn sources_that_the_split_does_not_name_are_reported_and_refused() {
    let folder = tempfile::tempdir().unwrap();
    let index = corpus(folder.path());
    let csv = WHOLE.replace("real/3.mp4,fold_1\n", "").replace("fake/0.mp4,Sealed\n", "");
    let table = read(folder.path(), &index, &csv).unwrap();
    let mut unmentioned: Vec<PathBuf> = table.unmentioned.clone();
    unmentioned.sort();
    assert_eq!(unmentioned, [folder.path().join("fake/0.mp4"), folder.path().join("real/3.mp4")]);
    let notes = table.notes();
    assert_eq!(notes.len(), 1);
    let expected = "sources of the index that the split file does not name: 2 (";
    assert!(notes[0].starts_with(expected) && notes[0].contains("real/3.mp4"), "{notes:?}");
    let error = import(&index, &table, 2).unwrap_err().to_string();
    assert!(error.contains("no row for 2 (") && error.contains("of 8 sources"), "{error}");
}

#[test]
fn contradictions_and_unknown_parts_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let index = corpus(folder.path());
    for (rows, found) in [
        ("real/1.mp4,fold_1\n", "two for "),
        ("real/1.mp4,train\n", "two for "),
        ("real/9.mp4,holdout\n", "holdout"),
        ("real/9.mp4,fold_x\n", "fold_x"),
    ] {
        let error = read(folder.path(), &index, &format!("{WHOLE}{rows}")).unwrap_err().to_string();
        assert!(error.contains("split.csv") && error.contains(found), "{rows}: {error}");
    }
    // The same row twice is no contradiction.
    read(folder.path(), &index, &format!("{WHOLE}real/1.mp4,fold_0\n")).unwrap();
    for csv in ["path,side\na,train\n", "name,part\na,train\n", ""] {
        assert!(
            matches!(read(folder.path(), &index, csv), Err(CorpusError::Table { .. })),
            "{csv}"
        );
    }
    // Twins on two sides.
    let csv = WHOLE.replace("fake/0.mp4,Sealed", "fake/0.mp4,fold_0");
    let table = read(folder.path(), &index, &csv).unwrap();
    let error = import(&index, &table, 2).unwrap_err().to_string();
    assert!(error.contains("share an origin"), "{error}");
}

/// The number of folds was the largest number of a fold plus one, of whatever a table said:
/// `fold_4294967295` ended in a panic, `fold_0` alone in one fold with nothing to learn from.
#[test]
fn a_split_of_one_fold_or_of_too_many_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let index = corpus(folder.path());
    for last in ["1000", "4294967295", "4294967296", "99999999999999999999", "-1", ""] {
        let csv = WHOLE.replace("fold_1", &format!("fold_{last}"));
        let refused = read(folder.path(), &index, &csv).unwrap_err().to_string();
        assert!(refused.contains("fold_N, N from 0 to 999, found fold_"), "{refused}");
    }
    let table = read(folder.path(), &index, &WHOLE.replace("fold_1", "fold_0")).unwrap();
    match import(&index, &table, 2) {
        Err(SplitError::Import { problem, .. }) => {
            assert!(problem.contains("expected 2 to 1000 folds"), "{problem}");
        }
        other => panic!("{other:?}"),
    }
    let table = read(folder.path(), &index, &WHOLE.replace("fold_1", "fold_999")).unwrap();
    let gap = import(&index, &table, 2).unwrap_err().to_string();
    assert!(gap.contains("fold_1 has no real source"), "{gap}");
    // The same from a caller that has no table.
    for last in [1000, u32::MAX] {
        let mut table = read(folder.path(), &index, WHOLE).unwrap();
        for part in table.assignment.values_mut().filter(|part| **part == Some(Part::Fold(1))) {
            *part = Some(Part::Fold(last));
        }
        let refused = import(&index, &table, 2).unwrap_err();
        assert!(matches!(refused, SplitError::Import { .. }), "{refused}");
        let config = SplitConfig { folds: last.max(1001), test_fraction: 0.0, seed: 1 };
        let planned = Split::plan(index.groups(), &index.labels(), &config);
        assert!(matches!(planned, Err(SplitError::Setting { .. })), "{planned:?}");
    }
}
