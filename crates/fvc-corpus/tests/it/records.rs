//! Records that must not lie: the ledger of sealed openings, and manifests whose counts add up.

use std::collections::{BTreeMap, BTreeSet};
use std::thread;

use fvc_corpus::{CorpusError, Ledger, Manifest};

/// Openings count from 1 for each split, over all runs; none is lost when two programs write at
/// once, and a record is on disk before its receipt is handed out.
#[test]
fn every_opening_is_counted_once_whoever_records_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.sqlite");
    let runs: Vec<_> = (0..4)
        .map(|run| {
            let path = path.clone();
            thread::spawn(move || {
                let ledger = Ledger::open(&path).unwrap();
                let record = |_| {
                    let opening =
                        ledger.record_opening("split a", &format!("run {run}"), "test").unwrap();
                    assert_eq!(opening.split_hash(), "split a");
                    // Another connection sees it at once.
                    let told = Ledger::open(&path).unwrap().openings("split a").unwrap();
                    assert!(told >= opening.number());
                    opening.number()
                };
                (0..5).map(record).collect::<Vec<u64>>()
            })
        })
        .collect();
    let numbers: BTreeSet<u64> = runs.into_iter().flat_map(|run| run.join().unwrap()).collect();
    assert_eq!(numbers, (1..=20).collect());

    let ledger = Ledger::open(&path).unwrap();
    assert_eq!(ledger.openings("split a").unwrap(), 20);
    assert_eq!(ledger.openings("split b").unwrap(), 0);
    assert_eq!(ledger.record_opening("split b", "run", "test").unwrap().number(), 1);
    assert_eq!(ledger.openings("split a").unwrap(), 20);
}

/// Not even by hand, without first taking the triggers away.
#[test]
fn a_recorded_opening_cannot_be_changed_or_removed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.sqlite");
    let ledger = Ledger::open(&path).unwrap();
    ledger.record_opening("split", "run", "test").unwrap();
    let by_hand = rusqlite::Connection::open(&path).unwrap();
    for statement in [
        "DELETE FROM opening",
        "UPDATE opening SET split_hash = 'other'",
        "UPDATE opening SET purpose = 'nothing'",
        "INSERT INTO opening (number, split_hash, run, purpose) VALUES (1, 'split', 'run', '')",
    ] {
        assert!(by_hand.execute(statement, []).is_err(), "{statement}");
    }
    assert_eq!(ledger.openings("split").unwrap(), 1);

    let other = folder.path().join("other.sqlite");
    std::fs::write(&other, "this is no database, whatever its name says").unwrap();
    match Ledger::open(&other) {
        Err(error @ CorpusError::Ledger { .. }) => {
            assert!(error.to_string().contains(&other.display().to_string()), "{error}");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_manifest_is_written_only_if_every_input_ended_somewhere() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("manifest.json");
    let mut manifest = Manifest::begin("index", "hash");
    manifest.inputs(4);
    manifest.completed();
    manifest.failed("unreadable");
    manifest.failed("unreadable");
    match manifest.save(&path) {
        Err(CorpusError::Counts { command, inputs, completed, failed }) => {
            assert_eq!((command.as_str(), inputs, completed, failed), ("index", 4, 1, 2));
        }
        other => panic!("{other:?}"),
    }
    assert!(!path.exists());
    manifest.failed("no video");
    manifest.save(&path).unwrap();
    let read: Manifest = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    assert_eq!(read, manifest);
    let failures = BTreeMap::from([("no video".to_owned(), 1), ("unreadable".to_owned(), 2)]);
    assert_eq!((read.completed_count(), read.failures()), (1, &failures));
    // One more than there were is as wrong as one less.
    manifest.completed();
    assert!(manifest.finish().is_err());
}
