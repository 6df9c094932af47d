//! Tables of candidates: CSV, Parquet and Arrow as people have them.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, DictionaryArray, Float64Array, Int64Array, LargeStringArray, NullArray,
    StringArray,
};
use arrow::datatypes::Int32Type;
use fvc_corpus::{Candidate, CorpusError, Gathered, Label, gather};
use proptest::prelude::*;

use crate::support::{binary_tables, indexed, tree};

fn gather_csv(folder: &Path, csv: &[u8]) -> Result<Gathered, CorpusError> {
    let path = folder.join("table.csv");
    fs::write(&path, csv).unwrap();
    gather(&[path])
}

/// Candidates as name and label.
fn labels(gathered: &Gathered) -> Vec<(String, Label)> {
    gathered
        .candidates
        .iter()
        .map(|row| (row.path.file_name().unwrap().to_string_lossy().into_owned(), row.label))
        .collect()
}

fn reasons(gathered: &Gathered) -> Vec<&str> {
    gathered.failures.iter().map(|row| row.reason.as_str()).collect()
}

fn expected(pairs: &[(&str, Label)]) -> Vec<(String, Label)> {
    pairs.iter().map(|(name, label)| ((*name).to_owned(), *label)).collect()
}

#[test]
fn a_table_says_all_there_is_of_a_candidate() {
    let folder = tempfile::tempdir().unwrap();
    tree(folder.path(), &["a.mp4", "b.mp4"]);
    let csv = "Generator,METHOD,subset,Platform,group_id,Class,Video_Path,unknown column\n\
               G,splice,train,YouTube,7,Manipulated,a.mp4,x\n,,,,,0,b.mp4,\n";
    let gathered = gather_csv(folder.path(), csv.as_bytes()).unwrap();
    let table = folder.path().join("table.csv");
    let text = |text: &str| Some(text.to_owned());
    let whole = Candidate {
        path: folder.path().join("a.mp4"),
        label: Label::Fake,
        groups: vec!["group_id=7".to_owned()],
        platform: text("YouTube"),
        subset: text("train"),
        manipulation: text("splice"),
        generator: text("G"),
        origin: format!("{} row 2", table.display()),
    };
    let bare = Candidate {
        path: folder.path().join("b.mp4"),
        label: Label::Real,
        groups: Vec::new(),
        platform: None,
        subset: None,
        manipulation: None,
        generator: None,
        origin: format!("{} row 3", table.display()),
    };
    assert_eq!(gathered.candidates, [whole, bare]);
    assert!(gathered.failures.is_empty());
}

#[test]
fn csv_as_other_programs_write_it_is_read() {
    let folder = tempfile::tempdir().unwrap();
    tree(folder.path(), &["a.mp4", "b, \"2\".mp4", "ü.mp4"]);
    let both = expected(&[("a.mp4", Label::Real), ("b, \"2\".mp4", Label::Fake)]);
    for (name, csv) in [
        ("plain", "path,label\na.mp4,real\n\"b, \"\"2\"\".mp4\",fake\n"),
        ("byte order mark", "\u{feff}path,label\na.mp4,real\n\"b, \"\"2\"\".mp4\",fake\n"),
        (
            "mark and quotes",
            "\u{feff}\"path\",\"label\"\n\"a.mp4\",\"real\"\n\"b, \"\"2\"\".mp4\",\"fake\"\n",
        ),
        ("carriage returns", "path,label\r\na.mp4,real\r\n\"b, \"\"2\"\".mp4\",fake\r\n"),
        ("no last newline", "path,label\na.mp4,real\n\"b, \"\"2\"\".mp4\",fake"),
        ("blank lines", "path,label\n\na.mp4,real\n\n\"b, \"\"2\"\".mp4\",fake\n\n"),
        ("spaces", " path , LABEL \n a.mp4 , real \n\"b, \"\"2\"\".mp4\", fake \n"),
        (
            "newlines in fields",
            "note,path,label\n\"two\nlines\",a.mp4,real\n\"a\r\n\r\nb\",\"b, \"\"2\"\".mp4\",fake\n",
        ),
        ("more columns than ours", "path,label,,\na.mp4,real,1,\n\"b, \"\"2\"\".mp4\",fake,,2\n"),
        // The first of several names of one thing counts.
        ("two paths", "file,path,label\nx,a.mp4,real\ny,\"b, \"\"2\"\".mp4\",fake\n"),
    ] {
        let gathered = gather_csv(folder.path(), csv.as_bytes()).unwrap();
        assert_eq!(labels(&gathered), both, "{name}");
        assert_eq!((gathered.inputs, gathered.failures.len()), (2, 0), "{name}");
    }
    let gathered = gather_csv(folder.path(), "path,label\nü.mp4,1.0\n".as_bytes()).unwrap();
    assert_eq!(labels(&gathered), expected(&[("ü.mp4", Label::Fake)]));
    // A head alone is a table without rows.
    let gathered = gather_csv(folder.path(), b"path,label\n").unwrap();
    assert_eq!(gathered.inputs, 0);
}

#[test]
fn csv_that_is_no_table_of_ours_is_an_error_that_names_it() {
    let folder = tempfile::tempdir().unwrap();
    tree(folder.path(), &["a.mp4"]);
    for (csv, found) in [
        (&b""[..], "path or video_path"),
        (b"\n\n", "path or video_path"),
        (b"name,label\na.mp4,real\n", "found columns name, label"),
        (b"path,verdict\na.mp4,real\n", "label or class"),
        // Semicolons are not read, and the head that was found says so.
        (b"path;label\na.mp4;real\n", "found columns path;label"),
        (b"path,label\na.mp4,real\na.mp4\n", "found CSV error"),
        (b"path,label\na.mp4,real,x\n", "found CSV error"),
        (b"path,label\n\xff\xfe.mp4,real\n", "invalid utf-8"),
        (b"path,label\n\"a.mp4,real\n", "found CSV error"),
    ] {
        let error = gather_csv(folder.path(), csv).unwrap_err();
        assert!(matches!(error, CorpusError::Table { .. }), "{error}");
        let text = error.to_string();
        assert!(text.contains("table.csv") && text.contains(found), "{csv:?}: {text}");
    }
    for name in ["none.csv", "none", "none.parquet", "table.xlsx"] {
        let path = folder.path().join(name);
        if name == "table.xlsx" {
            fs::write(&path, b"PK").unwrap();
        }
        let error = gather(&[path]).unwrap_err();
        assert!(error.to_string().contains(name), "{error}");
    }
}

#[test]
fn every_row_that_cannot_be_used_has_its_reason() {
    let folder = tempfile::tempdir().unwrap();
    tree(folder.path(), &["a.mp4", "b.mp4", "c.mp4", "d.mp4"]);
    let csv = "path,label\na.mp4,real\n,fake\nb.mp4,parody\nc.mp4,\nc.mp4,nan\nnone.mp4,real\n\
               a.mp4,real\nd.mp4,fake\n";
    let gathered = gather_csv(folder.path(), csv.as_bytes()).unwrap();
    assert_eq!(labels(&gathered), expected(&[("a.mp4", Label::Real), ("d.mp4", Label::Fake)]));
    let rows: Vec<_> = gathered
        .failures
        .iter()
        .map(|row| (row.path.file_name().unwrap().to_str().unwrap(), row.reason.as_str()))
        .collect();
    assert_eq!(
        rows,
        [
            ("table.csv row 3", "missing_path"),
            ("b.mp4", "unknown_label"),
            ("c.mp4", "missing_label"),
            ("c.mp4", "missing_label"),
            ("none.mp4", "missing"),
            ("a.mp4", "duplicate_row"),
        ]
    );
    assert_eq!(gathered.failures[1].found, "parody");
    assert!(gathered.failures[4].expected.ends_with("row 7 names"), "{:?}", gathered.failures[4]);
    assert_eq!(gathered.inputs, 8);
}

#[test]
fn paths_are_looked_for_beside_the_table() {
    let folder = tempfile::tempdir().unwrap();
    tree(folder.path(), &["tables/clips/a.mp4", "clips/a.mp4", "elsewhere/b.mp4"]);
    let absolute = folder.path().join("elsewhere/b.mp4");
    let csv =
        format!("path,label\nclips/a.mp4,real\n../clips/a.mp4,fake\n{},fake\n", absolute.display());
    let gathered = gather_csv(&folder.path().join("tables"), csv.as_bytes()).unwrap();
    let paths: Vec<&PathBuf> = gathered.candidates.iter().map(|row| &row.path).collect();
    assert_eq!(
        paths,
        [
            &folder.path().join("tables/clips/a.mp4"),
            &folder.path().join("tables/../clips/a.mp4"),
            &absolute
        ]
    );
    // What is not beside it is looked for in the working folder, which of tests is the crate's.
    let gathered =
        gather_csv(folder.path(), b"path,label\nsrc/lib.rs,real\nnone.mp4,real\n").unwrap();
    assert_eq!(gathered.candidates[0].path, std::path::absolute("src/lib.rs").unwrap());
    assert_eq!(gathered.failures[0].path, folder.path().join("none.mp4"));
    // What is in both is that beside the table.
    tree(folder.path(), &["src/lib.rs"]);
    let gathered = gather_csv(folder.path(), b"path,label\nsrc/lib.rs,real\n").unwrap();
    assert_eq!(gathered.candidates[0].path, folder.path().join("src/lib.rs"));
}

#[test]
fn a_name_without_extension_takes_arrow_then_parquet_then_csv() {
    let folder = tempfile::tempdir().unwrap();
    let stem = folder.path().join("table");
    tree(folder.path(), &["csv.mp4", "binary.mp4"]);
    fs::write(stem.with_extension("csv"), "path,label\ncsv.mp4,real\n").unwrap();
    let columns: [(&str, ArrayRef); 2] = [
        ("path", Arc::new(StringArray::from(vec!["binary.mp4"]))),
        ("label", Arc::new(StringArray::from(vec!["fake"]))),
    ];
    let tables = binary_tables(&stem, &columns);
    let origin = || gather(std::slice::from_ref(&stem)).unwrap().candidates[0].origin.clone();
    for table in &tables {
        assert_eq!(origin(), format!("{} row 2", table.display()));
        fs::remove_file(table).unwrap();
    }
    assert_eq!(origin(), format!("{} row 2", stem.with_extension("csv").display()));
    // Named whole, that very table is read; a folder of the name goes before all.
    fs::create_dir_all(stem.join("real")).unwrap();
    assert_eq!(gather(&[stem]).unwrap().inputs, 0);
}

/// The columns that pandas and arrow write, all saying the same.
#[test]
fn binary_tables_of_any_column_type_say_what_the_csv_says() {
    let folder = tempfile::tempdir().unwrap();
    tree(folder.path(), &["0", "1", "2"]);
    let texts = |texts: [Option<&'static str>; 3]| texts.to_vec();
    let paths: Vec<(&str, ArrayRef)> = vec![
        ("string", Arc::new(StringArray::from(vec!["0", "1", "2"]))),
        ("large string", Arc::new(LargeStringArray::from(vec!["0", "1", "2"]))),
        (
            "dictionary",
            Arc::new(["0", "1", "2"].into_iter().collect::<DictionaryArray<Int32Type>>()),
        ),
        ("integer", Arc::new(Int64Array::from(vec![0, 1, 2]))),
        ("float", Arc::new(Float64Array::from(vec![0.0, 1.0, 2.0]))),
    ];
    let marks: Vec<(&str, ArrayRef)> = vec![
        ("string", Arc::new(StringArray::from(texts([Some("REAL"), Some("fake"), None])))),
        ("large string", Arc::new(LargeStringArray::from(texts([Some("0"), Some("1"), None])))),
        (
            "dictionary",
            Arc::new(
                [Some("real"), Some("fake"), None]
                    .into_iter()
                    .collect::<DictionaryArray<Int32Type>>(),
            ),
        ),
        ("integer", Arc::new(Int64Array::from(vec![Some(0), Some(1), None]))),
        ("float", Arc::new(Float64Array::from(vec![Some(0.0), Some(1.0), None]))),
        ("not a number", Arc::new(Float64Array::from(vec![0.0, 1.0, f64::NAN]))),
        ("boolean", Arc::new(BooleanArray::from(vec![Some(false), Some(true), None]))),
    ];
    for (path_type, path) in &paths {
        for (label_type, label) in &marks {
            let columns = [
                ("path", Arc::clone(path)),
                ("label", Arc::clone(label)),
                ("group", Arc::new(NullArray::new(3)) as ArrayRef),
            ];
            for table in binary_tables(&folder.path().join("table"), &columns) {
                let gathered = gather(std::slice::from_ref(&table)).unwrap();
                let both = expected(&[("0", Label::Real), ("1", Label::Fake)]);
                let what = format!("{path_type} and {label_type} in {}", table.display());
                assert_eq!(labels(&gathered), both, "{what}");
                assert_eq!(reasons(&gathered), ["missing_label"], "{what}");
                assert!(gathered.candidates.iter().all(|row| row.groups.is_empty()), "{what}");
            }
        }
    }
}

/// A table of no rows was said to have no columns.
#[test]
fn a_binary_table_without_rows_has_its_columns() {
    let folder = tempfile::tempdir().unwrap();
    let nothing = || -> ArrayRef { Arc::new(StringArray::from(Vec::<&str>::new())) };
    let good = [("Path", nothing()), ("Label", nothing())];
    for table in binary_tables(&folder.path().join("good"), &good) {
        assert_eq!(gather(&[table]).unwrap().inputs, 0);
    }
    for table in binary_tables(&folder.path().join("bad"), &[("name", nothing())]) {
        let error = gather(std::slice::from_ref(&table)).unwrap_err().to_string();
        assert!(error.contains("found columns name"), "{error}");
        assert!(error.contains(table.to_str().unwrap()), "{error}");
    }
}

/// The Parquet and Arrow readers panic on some of what is corrupt.
#[test]
fn a_cut_or_changed_binary_table_is_an_error_and_never_a_panic() {
    let folder = tempfile::tempdir().unwrap();
    tree(folder.path(), &["a.mp4", "b.mp4"]);
    let columns: [(&str, ArrayRef); 3] = [
        ("path", Arc::new(StringArray::from(vec!["a.mp4", "b.mp4"]))),
        ("label", Arc::new(["real", "fake"].into_iter().collect::<DictionaryArray<Int32Type>>())),
        ("group", Arc::new(Float64Array::from(vec![Some(1.0), None]))),
    ];
    for table in binary_tables(&folder.path().join("table"), &columns) {
        let whole = fs::read(&table).unwrap();
        assert_eq!(gather(std::slice::from_ref(&table)).unwrap().candidates.len(), 2);
        let name = table.file_name().unwrap().to_str().unwrap();
        let check = |what: String| match gather(std::slice::from_ref(&table)) {
            Ok(gathered) => {
                assert_eq!(
                    gathered.inputs as usize,
                    gathered.candidates.len() + gathered.failures.len()
                );
                false
            }
            Err(error) => {
                assert!(matches!(error, CorpusError::Table { .. }), "{what}: {error}");
                assert!(error.to_string().contains(name), "{what}: {error}");
                true
            }
        };
        for cut in (0..whole.len()).step_by(31).chain([whole.len() - 1]) {
            fs::write(&table, &whole[..cut]).unwrap();
            assert!(check(format!("cut at {cut}")), "{name} cut at {cut} passed");
        }
        let mut errors = 0;
        for at in (0..whole.len()).step_by(11) {
            let mut bytes = whole.clone();
            bytes[at] ^= 0xff;
            fs::write(&table, &bytes).unwrap();
            errors += usize::from(check(format!("byte {at}")));
        }
        assert!(errors > whole.len() / 60, "{name}: {errors} of {}", whole.len());
        fs::write(&table, b"PAR1 or ARROW1, neither of which it is").unwrap();
        assert!(check("text".to_owned()));
    }
}

/// One input of the property below: what a row or a file is.
#[derive(Clone, Copy, Debug)]
enum Input {
    File { name: u8, content: u8, fake: bool },
    NoLabel(u8),
    UnknownLabel(u8),
    Nowhere(u8),
    NoPath,
}

fn inputs() -> impl Strategy<Value = Vec<Input>> {
    let name = 0_u8..12;
    prop::collection::vec(
        prop_oneof![
            6 => (name.clone(), 0_u8..8, any::<bool>())
                .prop_map(|(name, content, fake)| Input::File { name, content, fake }),
            1 => name.clone().prop_map(Input::NoLabel),
            1 => name.clone().prop_map(Input::UnknownLabel),
            1 => name.prop_map(Input::Nowhere),
            1 => Just(Input::NoPath),
        ],
        0..25,
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    /// Every row of tables and every file of folders is a source or a failure with a reason, once.
    #[test]
    fn counts_add_up(rows in inputs(), files in prop::collection::btree_map(0_u8..30, 0_u8..8, 0..8)) {
        let folder = tempfile::tempdir().unwrap();
        let mut csv = String::from("path,label\n");
        for row in &rows {
            let line = match *row {
                Input::File { name, content, fake } => {
                    // The first row of a name decides what is in the file.
                    let path = folder.path().join(format!("{name}.mp4"));
                    if !path.exists() {
                        fs::write(&path, [content]).unwrap();
                    }
                    format!("{name}.mp4,{}\n", if fake { "fake" } else { "real" })
                }
                Input::NoLabel(name) => format!("{name}.mp4,\n"),
                Input::UnknownLabel(name) => format!("{name}.mp4,satire\n"),
                Input::Nowhere(name) => format!("nowhere{name}.mp4,real\n"),
                Input::NoPath => ",real\n".to_owned(),
            };
            csv.push_str(&line);
        }
        fs::write(folder.path().join("table.csv"), csv).unwrap();
        for (name, content) in &files {
            let label = ["real", "fake", "none"][usize::from(name % 3)];
            let path = folder.path().join(format!("files/{label}/{name}"));
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, [*content]).unwrap();
        }
        fs::create_dir_all(folder.path().join("files")).unwrap();
        let gathered =
            gather(&[folder.path().join("table.csv"), folder.path().join("files")]).unwrap();
        let all = rows.len() + files.len();
        prop_assert_eq!(gathered.inputs as usize, all);
        let refused = gathered.failures.len();
        let (index, failures) = indexed(gathered);
        prop_assert_eq!(index.sources().len() + refused + failures.len(), all);
        // Sources differ in their bytes, and no bytes are both.
        let ids: std::collections::BTreeSet<_> =
            index.sources().iter().map(|source| source.content_id).collect();
        prop_assert_eq!(ids.len(), index.sources().len());
        for failure in &failures {
            let id = failure.content_id.unwrap();
            prop_assert_eq!(failure.reason == "duplicate_content", ids.contains(&id));
        }
    }
}

/// "found columns " stood at the end of what was said of a table without any.
#[test]
fn a_table_without_columns_is_said_to_have_none() {
    let folder = tempfile::tempdir().unwrap();
    for csv in ["", "\n\n"] {
        let refused = gather_csv(folder.path(), csv.as_bytes()).unwrap_err().to_string();
        assert!(refused.ends_with("found no columns"), "{csv:?}: {refused}");
    }
}
