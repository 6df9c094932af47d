//! The ledger: openings are counted over processes, and nothing can be taken back.

use std::path::Path;
use std::process::Command;
use std::sync::Barrier;

use fvc_corpus::{CorpusError, GroupEvidence, GroupTable, Label, Ledger, Split, SplitConfig};
use fvc_media::ContentId;
use rusqlite::Connection;

/// A split of sources that are named by their numbers, half of which are sealed.
fn split_of(sources: std::ops::Range<u32>, seed: u64) -> Split {
    let evidence: Vec<GroupEvidence> = sources
        .clone()
        .map(|number| GroupEvidence {
            content_id: ContentId::of_bytes(&number.to_le_bytes()),
            declared: Vec::new(),
        })
        .collect();
    let label = |number: u32| if number.is_multiple_of(2) { Label::Real } else { Label::Fake };
    let labels =
        sources.map(|number| (ContentId::of_bytes(&number.to_le_bytes()), label(number))).collect();
    let config = SplitConfig { folds: 2, test_fraction: 0.5, seed };
    Split::plan(&GroupTable::build(&evidence), &labels, &config).unwrap()
}

/// Two splits that share no source.
fn a() -> Split {
    split_of(0..20, 1)
}

fn b() -> Split {
    split_of(100..120, 1)
}

/// A corpus that has grown, or another seed, makes another split; what was looked at before is sealed
/// in it again for the most part, and its scores are no more untouched than they were.
#[test]
fn openings_of_other_splits_that_seal_the_same_sources_count() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(&folder.path().join("ledger.sqlite")).unwrap();
    let (first, grown) = (split_of(0..20, 1), split_of(0..24, 2));
    assert!(first.sealed().iter().any(|source| grown.sealed().contains(source)));
    assert_ne!(first.hash(), grown.hash());
    assert_eq!(ledger.record_opening(&first, "run", "train").unwrap().number(), 1);
    assert_eq!(ledger.record_opening(&first, "run", "train").unwrap().number(), 2);
    assert_eq!(ledger.record_opening(&grown, "run", "train").unwrap().number(), 3);
    assert_eq!(ledger.record_opening(&b(), "run", "train").unwrap().number(), 1);
    for split in [&first, &grown] {
        assert_eq!(ledger.openings(split.hash()).unwrap(), 3);
    }
}

#[test]
fn openings_are_numbered_for_each_split_and_outlive_the_program() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.sqlite");
    let ledger = Ledger::open(&path).unwrap();
    assert_eq!(ledger.openings(a().hash()).unwrap(), 0);
    for number in 1..=3 {
        let opening = ledger.record_opening(&a(), "run", "train").unwrap();
        assert_eq!((opening.split_hash(), opening.number()), (a().hash(), number));
    }
    assert_eq!(ledger.record_opening(&b(), "run", "train").unwrap().number(), 1);
    drop(ledger);
    let ledger = Ledger::open(&path).unwrap();
    assert_eq!(
        (ledger.openings(a().hash()).unwrap(), ledger.openings(b().hash()).unwrap()),
        (3, 1)
    );
    assert_eq!(ledger.record_opening(&a(), "run", "train").unwrap().number(), 4);
}

/// `REPLACE` deletes the row that it conflicts with, and fires triggers of DELETE only under
/// `recursive_triggers`: with it an opening could be written over.
#[test]
fn no_statement_changes_or_removes_a_row() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.sqlite");
    let ledger = Ledger::open(&path).unwrap();
    for run in ["first", "second"] {
        ledger.record_opening(&a(), run, "train").unwrap();
    }
    let raw = Connection::open(&path).unwrap();
    let rows = || -> Vec<(i64, i64, String, String)> {
        raw.prepare("SELECT rowid, number, split_hash, run FROM opening ORDER BY rowid")
            .unwrap()
            .query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))
            .unwrap()
            .collect::<Result<_, _>>()
            .unwrap()
    };
    let before = rows();
    assert_eq!(before.len(), 2);
    let split = a();
    let hash = split.hash();
    let columns = "(number, split_hash, run, purpose)";
    for recursive in ["OFF", "ON"] {
        raw.execute_batch(&format!("PRAGMA recursive_triggers = {recursive}")).unwrap();
        for statement in [
            "UPDATE opening SET run = 'x'".to_owned(),
            "UPDATE OR REPLACE opening SET number = 1 WHERE number = 2".to_owned(),
            "DELETE FROM opening".to_owned(),
            "DELETE FROM sealed_source".to_owned(),
            "UPDATE sealed_source SET split_hash = 'x'".to_owned(),
            "DELETE FROM opening WHERE number = 2".to_owned(),
            format!("INSERT OR REPLACE INTO opening {columns} VALUES (2, '{hash}', 'x', 'x')"),
            format!("REPLACE INTO opening {columns} VALUES (1, '{hash}', 'x', 'x')"),
            // Over the row id the key of the row that goes is another one.
            "REPLACE INTO opening (rowid, number, split_hash, run, purpose) \
             VALUES (1, 9, 'b', 'x', 'x')"
                .to_owned(),
            format!(
                "INSERT INTO opening {columns} VALUES (1, '{hash}', 'x', 'x') \
                 ON CONFLICT DO UPDATE SET run = 'x'"
            ),
        ] {
            let error = raw.execute(&statement, []).unwrap_err();
            assert!(error.to_string().contains("append-only"), "{statement}: {error}");
            assert_eq!(rows(), before, "{statement}");
        }
    }
    assert_eq!(ledger.record_opening(&a(), "third", "train").unwrap().number(), 3);
}

/// A ledger of the version before has its triggers completed when it is opened.
#[test]
fn an_older_ledger_is_guarded_from_its_next_opening_on() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.sqlite");
    Ledger::open(&path).unwrap().record_opening(&a(), "first", "train").unwrap();
    let raw = Connection::open(&path).unwrap();
    raw.execute_batch("DROP TRIGGER opening_no_replace").unwrap();
    let replace = format!(
        "REPLACE INTO opening (number, split_hash, run, purpose) VALUES (1, '{}', 'x', 'x')",
        a().hash()
    );
    raw.execute(&replace, []).unwrap();
    assert_eq!(Ledger::open(&path).unwrap().openings(a().hash()).unwrap(), 1);
    raw.execute(&replace, []).unwrap_err();
}

#[test]
fn a_ledger_that_is_being_made_is_waited_for() {
    for held in ["BEGIN IMMEDIATE", "BEGIN EXCLUSIVE", "BEGIN; SELECT * FROM other"] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ledger.sqlite");
        let raw = Connection::open(&path).unwrap();
        raw.execute_batch("CREATE TABLE other (x)").unwrap();
        raw.execute_batch(held).unwrap();
        std::thread::scope(|scope| {
            let opening =
                scope.spawn(|| Ledger::open(&path).map(|ledger| ledger.openings(a().hash())));
            std::thread::sleep(std::time::Duration::from_millis(150));
            raw.execute_batch("COMMIT").unwrap();
            assert_eq!(opening.join().unwrap().unwrap().unwrap(), 0, "{held}");
        });
    }
}

/// Connections that came first to a new ledger at the same time had `database is locked` for an
/// answer, and a run of hours ended there: SQLite waits for writers, but not to change the journal.
#[test]
fn connections_of_one_process_lose_no_opening() {
    let folder = tempfile::tempdir().unwrap();
    for round in 0..8 {
        let path = folder.path().join(format!("{round}.sqlite"));
        let barrier = Barrier::new(4);
        let mut numbers: Vec<u64> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4)
                .map(|_| {
                    scope.spawn(|| {
                        barrier.wait();
                        let ledger = Ledger::open(&path).unwrap();
                        [(); 3]
                            .map(|()| ledger.record_opening(&a(), "run", "train").unwrap().number())
                    })
                })
                .collect();
            threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
        });
        numbers.sort_unstable();
        assert_eq!(numbers, (1..=12).collect::<Vec<_>>());
        assert_eq!(Ledger::open(&path).unwrap().openings(a().hash()).unwrap(), 12);
    }
}

#[test]
#[ignore = "a part of the test below, which starts it"]
fn child_that_opens() {
    let path = std::env::var_os("FVC_TEST_LEDGER").unwrap();
    let ledger = Ledger::open(Path::new(&path)).unwrap();
    for _ in 0..10 {
        ledger.record_opening(&a(), "run", "train").unwrap();
    }
}

#[test]
fn processes_lose_no_opening() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.sqlite");
    let children: Vec<_> = (0..3)
        .map(|_| {
            Command::new(std::env::current_exe().unwrap())
                .args(["--exact", "ledger::child_that_opens", "--ignored"])
                .env("FVC_TEST_LEDGER", &path)
                .stdout(std::process::Stdio::null())
                .spawn()
                .unwrap()
        })
        .collect();
    for mut child in children {
        assert!(child.wait().unwrap().success());
    }
    let ledger = Ledger::open(&path).unwrap();
    assert_eq!(ledger.openings(a().hash()).unwrap(), 30);
    assert_eq!(ledger.record_opening(&a(), "run", "train").unwrap().number(), 31);
}

#[test]
fn a_file_that_is_no_ledger_is_an_error_that_names_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.sqlite");
    std::fs::write(&path, "no database, but long enough to look like one\n".repeat(100)).unwrap();
    let error = Ledger::open(&path).unwrap_err();
    assert!(matches!(error, CorpusError::Ledger { .. }));
    assert!(error.to_string().contains("ledger.sqlite"), "{error}");
    assert!(Ledger::open(&folder.path().join("no/such/folder/ledger.sqlite")).is_err());
}
