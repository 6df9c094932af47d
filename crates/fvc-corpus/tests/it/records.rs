//! The records of a command: manifest, failure table, run folder.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Barrier;

use fvc_corpus::{CorpusError, DecodeCounts, Failure, FailureTable, Manifest, RunFolder};
use fvc_media::ContentId;

/// The files and folders of a folder, hidden ones too, in order.
fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

#[test]
fn a_manifest_that_does_not_add_up_is_never_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("manifest.json");
    let mut manifest = Manifest::begin("index", "c0ffee");
    manifest.finish().unwrap();
    manifest.inputs(4);
    for _ in 0..2 {
        manifest.completed();
    }
    manifest.failed("empty");
    // One input is lost.
    let error = manifest.save(&path).unwrap_err();
    assert!(
        matches!(error, CorpusError::Counts { inputs: 4, completed: 2, failed: 1, .. }),
        "{error}"
    );
    assert!(names(folder.path()).is_empty());
    manifest.failed("empty");
    manifest.decodes(DecodeCounts {
        sources: 3,
        own: 1,
        probes: 0,
        reasons: BTreeMap::from([("first pass".to_owned(), 3)]),
    });
    manifest.save(&path).unwrap();
    let written: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    for (key, expected) in [
        ("command", serde_json::json!("index")),
        ("config_hash", serde_json::json!("c0ffee")),
        ("inputs", serde_json::json!(4)),
        ("completed", serde_json::json!(2)),
        ("failed", serde_json::json!({"empty": 2})),
    ] {
        assert_eq!(written[key], expected, "{key}");
    }
    let read: Manifest = serde_json::from_value(written).unwrap();
    assert_eq!(read, manifest);
    assert_eq!(read.failures()["empty"] + read.completed_count(), 4);
    let reasons = BTreeMap::from([("first pass".to_owned(), 3)]);
    assert_eq!(*read.decode_counts(), DecodeCounts { sources: 3, own: 1, probes: 0, reasons });
    // One too many, and what was written stays.
    let before = fs::read(&path).unwrap();
    manifest.completed();
    assert!(matches!(manifest.save(&path), Err(CorpusError::Counts { .. })));
    assert_eq!(fs::read(&path).unwrap(), before);
    assert_eq!(names(folder.path()), ["manifest.json"]);
}

fn failures() -> Vec<Failure> {
    let failure = |path: &str, content_id, found: &str| Failure {
        path: PathBuf::from(path),
        content_id,
        stage: "index".to_owned(),
        reason: "empty".to_owned(),
        expected: "a, \"b\"; c".to_owned(),
        found: found.to_owned(),
    };
    vec![
        failure("plain.mp4", None, ""),
        failure("comma, \"quote\".mp4", Some(ContentId::of_bytes(b"x")), "two\nlines\r\nthree"),
        failure("ü/視頻.mp4", None, " spaces "),
        failure("=cmd|'/c calc'!A1.mp4", None, "\u{feff}"),
    ]
}

#[test]
fn failures_come_back_as_they_were_written() {
    let folder = tempfile::tempdir().unwrap();
    for rows in [failures(), Vec::new()] {
        let table = FailureTable::from(rows.clone());
        table.save(folder.path()).unwrap();
        assert_eq!(FailureTable::load(folder.path()).unwrap().rows(), rows);
        assert_eq!(names(folder.path()), ["failures.csv"]);
    }
    let head = fs::read_to_string(folder.path().join("failures.csv")).unwrap();
    assert_eq!(head, "path,content_id,stage,reason,expected,found\n");
}

/// Any table was read as failures, with empty cells for what it lacked.
#[test]
fn what_is_no_failure_table_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("failures.csv");
    assert!(FailureTable::load(folder.path()).is_err());
    for text in [
        "",
        "path,label\na.mp4,real\n",
        "content_id,path,stage,reason,expected,found\n,a,index,empty,x,y\n",
        "path,content_id,stage,reason,expected,found\na.mp4,no hash,index,empty,x,y\n",
        "path,content_id,stage,reason,expected,found\na.mp4,,index,empty\n",
        "path,content_id,stage,reason,expected,found\na.mp4,,index,empty,x,y,z\n",
    ] {
        fs::write(&path, text).unwrap();
        let error = FailureTable::load(folder.path()).unwrap_err();
        assert!(matches!(error, CorpusError::Table { .. }), "{text}: {error}");
        assert!(error.to_string().contains("failures.csv"), "{error}");
    }
    fs::write(&path, b"path,content_id,stage,reason,expected,found\n\xff,,index,empty,x,y\n")
        .unwrap();
    assert!(matches!(FailureTable::load(folder.path()), Err(CorpusError::Table { .. })));
}

/// Two threads that began a run of one configuration in one second reached for one name, and the
/// second of them failed on the folder of the first.
#[test]
fn runs_have_names_of_their_own_and_none_is_half_written() {
    let folder = tempfile::tempdir().unwrap();
    let barrier = Barrier::new(8);
    let paths: Vec<PathBuf> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|thread| {
                let barrier = &barrier;
                let runs = folder.path();
                scope.spawn(move || {
                    barrier.wait();
                    (0..5)
                        .map(|number| {
                            let first = format!("{thread} {number}");
                            let run = RunFolder::create(
                                runs,
                                "default",
                                "c0ffee",
                                "run.json",
                                first.as_bytes(),
                            )
                            .unwrap();
                            assert_eq!(
                                fs::read_to_string(run.path().join("run.json")).unwrap(),
                                first
                            );
                            run.path().to_owned()
                        })
                        .collect::<Vec<_>>()
                })
            })
            .collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(paths.iter().collect::<BTreeSet<_>>().len(), 40);
    let mut expected: Vec<String> =
        paths.iter().map(|path| path.file_name().unwrap().to_string_lossy().into_owned()).collect();
    expected.sort();
    // Nothing else is there: no leftover of a folder that was begun.
    assert_eq!(names(&folder.path().join("default")), expected);
    for name in &expected {
        // run_20261125T084512Z_0123abcd
        let (time, hash) = name.strip_prefix("run_").unwrap().split_once('_').unwrap();
        assert!(time.len() == 16 && time.starts_with("20") && time.ends_with('Z'), "{name}");
        assert_eq!(&time[8..9], "T");
        assert!(hash.len() == 8 && hash.bytes().all(|byte| byte.is_ascii_hexdigit()), "{name}");
    }
}

#[test]
fn a_run_that_cannot_have_its_first_record_does_not_appear() {
    let folder = tempfile::tempdir().unwrap();
    let name = "x".repeat(300);
    let error = RunFolder::create(folder.path(), "default", "c0ffee", &name, b"x").unwrap_err();
    assert!(matches!(error, CorpusError::Io { .. }), "{error}");
    assert!(names(&folder.path().join("default")).is_empty());
    // A file stands where the folder of runs should be.
    fs::write(folder.path().join("file"), b"x").unwrap();
    let runs = folder.path().join("file");
    let error = RunFolder::create(&runs, "default", "c0ffee", "run.json", b"x").unwrap_err();
    assert!(error.to_string().contains("file"), "{error}");
}

#[test]
fn records_of_a_run_are_written_whole() {
    let folder = tempfile::tempdir().unwrap();
    let run = RunFolder::create(folder.path(), "default", "c0ffee", "run.json", b"1").unwrap();
    run.write("result.json", b"2").unwrap();
    run.write("result.json", b"22").unwrap();
    run.fail(b"3").unwrap();
    assert_eq!(names(run.path()), ["failure.json", "result.json", "run.json"]);
    assert_eq!(fs::read(run.path().join("result.json")).unwrap(), b"22");
    assert_eq!(fs::read(run.path().join("failure.json")).unwrap(), b"3");
}
