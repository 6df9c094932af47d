//! [`Ledger`]: every opening of a sealed test, over all runs of a workspace.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rusqlite::{Connection, ErrorCode, TransactionBehavior, params};

use crate::{CorpusError, SealedOpening, Split};

/// How long another program's write is waited for.
const PATIENCE: Duration = Duration::from_secs(30);

/// `REPLACE` deletes what it conflicts with, by key or by row id, without the triggers of DELETE:
/// an insert over either is refused before it.
const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS opening (
        number INTEGER NOT NULL, split_hash TEXT NOT NULL, run TEXT NOT NULL,
        purpose TEXT NOT NULL, at TEXT NOT NULL DEFAULT (datetime('now')),
        PRIMARY KEY (split_hash, number));
    CREATE TRIGGER IF NOT EXISTS opening_no_replace BEFORE INSERT ON opening
        WHEN EXISTS (SELECT 1 FROM opening
            WHERE (split_hash = NEW.split_hash AND number = NEW.number) OR rowid = NEW.rowid)
        BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
    CREATE TRIGGER IF NOT EXISTS opening_no_update BEFORE UPDATE ON opening
        BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
    CREATE TRIGGER IF NOT EXISTS opening_no_delete BEFORE DELETE ON opening
        BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
    CREATE TABLE IF NOT EXISTS sealed_source (
        split_hash TEXT NOT NULL, content_id TEXT NOT NULL, PRIMARY KEY (split_hash, content_id))
        WITHOUT ROWID;
    CREATE INDEX IF NOT EXISTS sealed_source_by_content ON sealed_source (content_id);
    CREATE TRIGGER IF NOT EXISTS sealed_source_no_update BEFORE UPDATE ON sealed_source
        BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
    CREATE TRIGGER IF NOT EXISTS sealed_source_no_delete BEFORE DELETE ON sealed_source
        BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;";

/// The append-only record of sealed openings: SQLite, with triggers that refuse to change, remove
/// or replace a row.
#[derive(Debug)]
pub struct Ledger {
    path: PathBuf,
    connection: Connection,
}

impl Ledger {
    /// Opens the ledger, or makes it.
    ///
    /// # Errors
    /// The file cannot be made or is no ledger.
    pub fn open(path: &Path) -> Result<Self, CorpusError> {
        let wrong = |source| CorpusError::Ledger { path: path.to_owned(), source };
        let connection = Connection::open(path).map_err(wrong)?;
        connection.busy_timeout(PATIENCE).map_err(wrong)?;
        // SQLite does not wait for its turn to change the journal's mode.
        let since = Instant::now();
        while let Err(error) = connection.execute_batch("PRAGMA journal_mode = WAL") {
            if error.sqlite_error_code() != Some(ErrorCode::DatabaseBusy)
                || since.elapsed() > PATIENCE
            {
                return Err(wrong(error));
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        connection.execute_batch("PRAGMA synchronous = FULL").map_err(wrong)?;
        let transaction =
            rusqlite::Transaction::new_unchecked(&connection, TransactionBehavior::Immediate)
                .map_err(wrong)?;
        transaction.execute_batch(SCHEMA).map_err(wrong)?;
        transaction.commit().map_err(wrong)?;
        Ok(Self { path: path.to_owned(), connection })
    }

    /// Records an opening of a split and of what it seals, and only then hands out the receipt that
    /// opens the sealed part. The receipt's number counts the openings of every split that seals one
    /// of the same sources: a new split of the same corpus does not begin at one.
    ///
    /// # Errors
    /// The record cannot be written.
    pub fn record_opening(
        &self,
        split: &Split,
        run: &str,
        purpose: &str,
    ) -> Result<SealedOpening, CorpusError> {
        let split_hash = split.hash();
        let wrong = |source| CorpusError::Ledger { path: self.path.clone(), source };
        let transaction =
            rusqlite::Transaction::new_unchecked(&self.connection, TransactionBehavior::Immediate)
                .map_err(wrong)?;
        let number: i64 = transaction
            .query_row(
                "SELECT coalesce(max(number), 0) + 1 FROM opening WHERE split_hash = ?1",
                params![split_hash],
                |row| row.get(0),
            )
            .map_err(wrong)?;
        transaction
            .execute(
                "INSERT INTO opening (number, split_hash, run, purpose) VALUES (?1, ?2, ?3, ?4)",
                params![number, split_hash, run, purpose],
            )
            .map_err(wrong)?;
        {
            let mut insert = transaction
                .prepare(
                    "INSERT INTO sealed_source (split_hash, content_id) VALUES (?1, ?2) \
                     ON CONFLICT DO NOTHING",
                )
                .map_err(wrong)?;
            for content_id in split.sealed() {
                insert.execute(params![split_hash, content_id.to_hex()]).map_err(wrong)?;
            }
        }
        let overlapping = count_overlapping(&transaction, split_hash).map_err(wrong)?;
        transaction.commit().map_err(wrong)?;
        Ok(SealedOpening::new(split_hash.to_owned(), overlapping))
    }

    /// Takes over every opening that `other` has and this one has not, in the order of their times,
    /// with the next free numbers. One and the same opening is known by its split, run, purpose and
    /// time, so that none is lost and none is there twice; what their splits seal comes with them.
    /// Returns how many were new.
    ///
    /// # Errors
    /// A ledger cannot be read, or this one not be written.
    pub fn absorb(&self, other: &Self) -> Result<u64, CorpusError> {
        let wrong = |source| CorpusError::Ledger { path: self.path.clone(), source };
        let of_other = |source| CorpusError::Ledger { path: other.path.clone(), source };
        let others = other.distinct().map_err(of_other)?;
        let sealed = other.sealed_sources().map_err(of_other)?;
        let transaction =
            rusqlite::Transaction::new_unchecked(&self.connection, TransactionBehavior::Immediate)
                .map_err(wrong)?;
        let mut new = 0;
        for ([split_hash, run, purpose, at], count) in others {
            let known: i64 = transaction
                .query_row(
                    "SELECT count(*) FROM opening
                     WHERE split_hash = ?1 AND run = ?2 AND purpose = ?3 AND at = ?4",
                    params![split_hash, run, purpose, at],
                    |row| row.get(0),
                )
                .map_err(wrong)?;
            for _ in known..count {
                transaction
                    .execute(
                        "INSERT INTO opening (number, split_hash, run, purpose, at)
                         SELECT coalesce(max(number), 0) + 1, ?1, ?2, ?3, ?4
                         FROM opening WHERE split_hash = ?1",
                        params![split_hash, run, purpose, at],
                    )
                    .map_err(wrong)?;
                new += 1;
            }
        }
        for [split_hash, content_id] in sealed {
            transaction
                .execute(
                    "INSERT INTO sealed_source (split_hash, content_id) VALUES (?1, ?2) \
                     ON CONFLICT DO NOTHING",
                    params![split_hash, content_id],
                )
                .map_err(wrong)?;
        }
        transaction.commit().map_err(wrong)?;
        Ok(new)
    }

    /// Which sources each opened split seals.
    fn sealed_sources(&self) -> rusqlite::Result<Vec<[String; 2]>> {
        self.connection
            .prepare("SELECT split_hash, content_id FROM sealed_source")?
            .query_map([], |row| Ok([row.get(0)?, row.get(1)?]))?
            .collect()
    }

    /// Split, run, purpose and time of every opening, and how often just that stands there.
    fn distinct(&self) -> rusqlite::Result<Vec<([String; 4], i64)>> {
        self.connection
            .prepare(
                "SELECT split_hash, run, purpose, at, count(*) FROM opening
                 GROUP BY split_hash, run, purpose, at ORDER BY at, min(number)",
            )?
            .query_map([], |row| {
                Ok(([row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?], row.get(4)?))
            })?
            .collect()
    }

    /// Checks that the database is whole, that nothing in it can be changed, and that the openings
    /// of every split are numbered from 1.
    ///
    /// # Errors
    /// It cannot be read, or is not so.
    pub fn check(&self) -> Result<(), CorpusError> {
        let wrong = |source| CorpusError::Ledger { path: self.path.clone(), source };
        let differs = |expected: &str, found: String| CorpusError::Table {
            path: self.path.clone(),
            expected: expected.to_owned(),
            found,
        };
        let said: String = self
            .connection
            .query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))
            .map_err(wrong)?;
        if said != "ok" {
            return Err(differs("a whole database", said));
        }
        let gaps: i64 = self
            .connection
            .query_row(
                "SELECT count(*) FROM (SELECT split_hash FROM opening GROUP BY split_hash
                 HAVING min(number) <> 1 OR max(number) <> count(*))",
                [],
                |row| row.get(0),
            )
            .map_err(wrong)?;
        if gaps > 0 {
            return Err(differs("openings numbered from 1", format!("{gaps} splits with gaps")));
        }
        Ok(())
    }

    /// How often the sealed part of a split was opened, or that of another split which seals one of
    /// the same sources. Zero for a split whose own sealed part was never opened.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub fn openings(&self, split_hash: &str) -> Result<u64, CorpusError> {
        count_overlapping(&self.connection, split_hash)
            .map_err(|source| CorpusError::Ledger { path: self.path.clone(), source })
    }
}

/// Openings of the split and of all that share a sealed source with it. What a ledger from before
/// sealed sources were recorded holds is counted for its own split.
fn count_overlapping(connection: &Connection, split_hash: &str) -> rusqlite::Result<u64> {
    connection
        .query_row(
            "SELECT count(*) FROM opening WHERE split_hash = ?1 OR split_hash IN (
                SELECT other.split_hash FROM sealed_source AS own
                JOIN sealed_source AS other ON other.content_id = own.content_id
                WHERE own.split_hash = ?1)",
            params![split_hash],
            |row| row.get::<_, i64>(0),
        )
        .map(|count| u64::try_from(count).unwrap_or(0))
}
