//! Groups as tables declare them.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, Float32Array, Float64Array, Int64Array, StringArray};
use fvc_corpus::gather;

use crate::support::{binary_tables, indexed, ties, tree};

const CLIPS: [&str; 8] = ["a.mp4", "b.mp4", "c.mp4", "d.mp4", "e.mp4", "f.mp4", "g.mp4", "h.mp4"];

/// The ties that tables declare, by file name.
fn ties_of(folder: &Path, tables: &[&str]) -> Vec<Vec<String>> {
    let inputs: Vec<_> = tables.iter().map(|table| folder.join(table)).collect();
    ties(&indexed(gather(&inputs).unwrap()).0)
}

fn ties_of_csv(csv: &str) -> Vec<Vec<String>> {
    let folder = tempfile::tempdir().unwrap();
    tree(folder.path(), &CLIPS);
    fs::write(folder.path().join("table.csv"), csv).unwrap();
    ties_of(folder.path(), &["table.csv"])
}

/// Of several group columns only the first in a fixed order was read: with `group` for the
/// cascade and `source_id` for the clip that a fake was cut from, twins from one clip stood on both
/// sides of the split.
#[test]
fn every_group_column_ties() {
    let ties = ties_of_csv(
        "path,label,source_id,Group,cascade_id\n\
         a.mp4,real,s1,g1,\n\
         b.mp4,fake,s1,g2,\n\
         c.mp4,fake,s2,g2,\n\
         d.mp4,real,s3,,c1\n\
         e.mp4,fake,s4,g9,c1\n\
         f.mp4,real,s5,g5,c5\n",
    );
    assert_eq!(ties, [vec!["a.mp4", "b.mp4", "c.mp4"], vec!["d.mp4", "e.mp4"]]);
}

/// The same text in two columns is two groups: cascade 1 has nothing to do with source 1.
#[test]
fn each_column_is_a_name_space() {
    let ties = ties_of_csv(
        "path,label,group,group_id,dup_group,cascade_id,source_id,origin\n\
         a.mp4,real,1,,,,,\n\
         b.mp4,real,,1,,,,\n\
         c.mp4,real,,,1,,,\n\
         d.mp4,real,,,,1,,\n\
         e.mp4,real,,,,,1,\n\
         f.mp4,real,,,,,,1\n",
    );
    assert!(ties.is_empty(), "{ties:?}");
    // A second row in each column: every one of them is read.
    for column in ["group", "group_id", "dup_group", "cascade_id", "source_id", "origin"] {
        let ties = ties_of_csv(&format!("path,label,{column}\na.mp4,real,1\nb.mp4,fake,1\n"));
        assert_eq!(ties, [["a.mp4", "b.mp4"]], "{column}");
    }
}

/// In the earlier system all rows without a group were one group.
#[test]
fn a_missing_group_ties_nothing() {
    let ties = ties_of_csv(
        "path,label,group\na.mp4,real,\nb.mp4,real,\nc.mp4,real,NaN\nd.mp4,real,nan\n\
         e.mp4,real,None\nf.mp4,real,null\ng.mp4,real,N/A\nh.mp4,real,N/A\n",
    );
    assert!(ties.is_empty(), "{ties:?}");
}

/// A column of integers that lacks one value comes out of pandas as floats: `17.0` in one table and
/// `17` in another were two groups.
#[test]
fn whole_numbers_are_one_group_however_they_are_written() {
    let ties = ties_of_csv(
        "path,label,group\na.mp4,real,17\nb.mp4,fake,17.0\nc.mp4,fake, 17.00 \nd.mp4,fake,17.5\n\
         e.mp4,real,-3.0\nf.mp4,fake,-3\ng.mp4,real,10000000000000000\nh.mp4,fake,1e+16\n",
    );
    assert_eq!(
        ties,
        [vec!["a.mp4", "b.mp4", "c.mp4"], vec!["e.mp4", "f.mp4"], vec!["g.mp4", "h.mp4"]]
    );
    // These are texts, not numbers: hexadecimal names, versions, names with leading zeros.
    let ties = ties_of_csv(
        "path,label,group\na.mp4,real,12e4\nb.mp4,fake,120000\nc.mp4,real,0e1\nd.mp4,fake,00e2\n\
         e.mp4,real,017\nf.mp4,fake,17\ng.mp4,real,1.0.0\nh.mp4,fake,1.0\n",
    );
    assert!(ties.is_empty(), "{ties:?}");
    let ties = ties_of_csv("path,label,group\na.mp4,real,-0.0\nb.mp4,fake,0\nc.mp4,real,1e+999\n");
    assert_eq!(ties, [["a.mp4", "b.mp4"]]);
}

#[test]
fn whole_numbers_of_float_columns_are_the_integers_of_other_tables() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    tree(folder, &CLIPS);
    let labels = |count| -> ArrayRef { Arc::new(StringArray::from(vec!["real"; count])) };
    let paths = |names: &[&str]| -> ArrayRef { Arc::new(StringArray::from(names.to_vec())) };
    fs::write(
        folder.join("texts.csv"),
        "path,label,group\na.mp4,real,17\nb.mp4,real,10000000000000000\nc.mp4,real,2.5\n",
    )
    .unwrap();
    let columns: [(&str, ArrayRef); 2] = [
        (
            "doubles",
            Arc::new(Float64Array::from(vec![Some(17.0), Some(1e16), Some(f64::NAN), None])),
        ),
        ("singles", Arc::new(Float32Array::from(vec![Some(17.0), Some(2.5), None, None]))),
    ];
    for (stem, column) in columns {
        let table = [
            ("path", paths(&["d.mp4", "e.mp4", "f.mp4", "g.mp4"])),
            ("label", labels(4)),
            ("group", column),
        ];
        for written in binary_tables(&folder.join(stem), &table) {
            let written = written.file_name().unwrap().to_str().unwrap();
            let expected = match stem {
                "doubles" => [["a.mp4", "d.mp4"], ["b.mp4", "e.mp4"]],
                _ => [["a.mp4", "d.mp4"], ["c.mp4", "e.mp4"]],
            };
            assert_eq!(ties_of(folder, &["texts.csv", written]), expected, "{written}");
        }
    }
    let table = [
        ("path", paths(&["d.mp4", "e.mp4"])),
        ("label", labels(2)),
        ("group", Arc::new(Int64Array::from(vec![17, 10_000_000_000_000_000])) as ArrayRef),
    ];
    for written in binary_tables(&folder.join("integers"), &table) {
        let written = written.file_name().unwrap().to_str().unwrap();
        let expected = [["a.mp4", "d.mp4"], ["b.mp4", "e.mp4"]];
        assert_eq!(ties_of(folder, &["texts.csv", written]), expected, "{written}");
    }
}

/// The second row of a path was dropped with all that it said: a clip that a table lists once for
/// each cascade it stands in tied the first of them only.
#[test]
fn a_duplicated_row_still_ties() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    tree(folder, &CLIPS);
    fs::write(
        folder.join("one.csv"),
        "path,label,cascade_id\na.mp4,real,c1\nb.mp4,fake,c1\na.mp4,real,c2\nc.mp4,fake,c2\n\
         d.mp4,real,c3\n",
    )
    .unwrap();
    fs::write(folder.join("two.csv"), "path,label,cascade_id\na.mp4,real,c3\na.mp4,real,c1\n")
        .unwrap();
    let gathered = gather(&[folder.join("one.csv"), folder.join("two.csv")]).unwrap();
    // What they say was taken, and they are no inputs that failed; the last says nothing new.
    let reasons: Vec<_> = gathered.failures.iter().map(|row| row.reason.as_str()).collect();
    assert_eq!(reasons, ["duplicate_row"]);
    assert!(gathered.failures[0].found.ends_with("two.csv row 3"), "{:?}", gathered.failures[0]);
    assert_eq!(gathered.inputs, 5);
    let (index, _) = indexed(gathered);
    assert_eq!(ties(&index), [["a.mp4", "b.mp4", "c.mp4", "d.mp4"]]);
    let a = index.sources().iter().find(|source| source.path.ends_with("a.mp4")).unwrap();
    assert_eq!(a.declared_groups, ["cascade_id=c1", "cascade_id=c2", "cascade_id=c3"]);
}

/// So does a row of the same path that has no label of ours.
#[test]
fn a_row_that_is_refused_still_ties_its_path() {
    let ties = ties_of_csv(
        "path,label,group\na.mp4,parody,g1\nb.mp4,fake,g1\na.mp4,real,g2\nc.mp4,fake,g2\n",
    );
    assert_eq!(ties, [["a.mp4", "b.mp4", "c.mp4"]]);
}

/// The same bytes under two labels are no source, and are still what two groups have in common.
#[test]
fn bytes_with_two_labels_still_tie() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    tree(folder, &CLIPS);
    fs::copy(folder.join("a.mp4"), folder.join("copy.mp4")).unwrap();
    fs::write(
        folder.join("table.csv"),
        "path,label,group\na.mp4,real,g1\ncopy.mp4,fake,g2\nb.mp4,real,g1\nc.mp4,fake,g2\n",
    )
    .unwrap();
    let (index, failures) = indexed(gather(&[folder.join("table.csv")]).unwrap());
    assert_eq!(ties(&index), [["b.mp4", "c.mp4"]]);
    assert_eq!(index.sources().len(), 2);
    assert!(failures.iter().all(|row| row.reason == "label_conflict"), "{failures:?}");
    assert_eq!(failures.len(), 2);
}

/// A file that is gone still says that its cascade and its group of copies are one. Their members once
/// came to stand on both sides of a split.
#[test]
fn a_missing_file_still_ties_what_it_was_tied_to() {
    let folder = tempfile::tempdir().unwrap();
    tree(folder.path(), &["a.mp4", "b.mp4", "c.mp4"]);
    let table = folder.path().join("table.csv");
    std::fs::write(
        &table,
        "path,label,dup_group,cascade_id\na.mp4,real,5,\nb.mp4,fake,,12\nc.mp4,fake,,13\n\
         gone.mp4,fake,5,12\n",
    )
    .unwrap();
    let gathered = gather(&[table]).unwrap();
    assert_eq!(gathered.failures.len(), 1);
    let (index, _) = indexed(gathered);
    assert_eq!(ties(&index), [["a.mp4", "b.mp4"]]);
    assert_eq!(index.groups().group_count(), 2);
}
