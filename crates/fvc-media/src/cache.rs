//! [`MediaCache`]: what is known of each content id, remembered between runs.
//!
//! One SQLite file in WAL mode, shared by any number of threads and processes of one machine (WAL
//! needs shared memory, so the file belongs on a local disk and not on a network share). Every
//! entry is one statement, so one transaction: a process that is killed loses at most the entry
//! that it was writing. `synchronous = NORMAL`: a power cut may lose the last entries, never the
//! ones before them and never the file; a lost entry costs one look at its video.
//!
//! Each entry carries a hash over its key and its content, checked when it is read.

mod columns;
mod error;

use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rusqlite::{Connection, ErrorCode, OptionalExtension, TransactionBehavior, params};
use serde::{Deserialize, Serialize};

pub use error::CacheError;

use crate::{
    ContentId, DecodeVerdict, Facts, FileKey, FrameIndex, Limits, Reason, ResolvedSampling,
};

/// Version of the tables. A cache of an older version is emptied and filled again (it is only a
/// cache); one of a newer version is refused.
const VERSION: i64 = 2;

/// SQLite's application id of our files: "fvcm".
const APPLICATION: i64 = 0x6676_636d;

/// Bytes of a SQLite database's header.
const SQLITE_HEADER_BYTES: u64 = 100;

/// How long to wait for another process that is writing.
const PATIENCE: Duration = Duration::from_secs(30);

/// Bytes of the hash over an entry.
const CHECK_BYTES: usize = 16;

const SCHEMA: &str = "
    CREATE TABLE identity (
        path BLOB PRIMARY KEY, bytes INTEGER NOT NULL, modified INTEGER NOT NULL,
        inode INTEGER NOT NULL, content_id BLOB NOT NULL, checked BLOB NOT NULL
    ) WITHOUT ROWID;
    CREATE INDEX identity_content ON identity (content_id);
    CREATE TABLE record (
        content_id BLOB PRIMARY KEY, rank INTEGER NOT NULL, facts TEXT NOT NULL,
        frames BLOB NOT NULL, verdict TEXT, checked BLOB NOT NULL
    );
    CREATE TABLE failure (
        content_id BLOB NOT NULL, circumstances BLOB NOT NULL, failure TEXT NOT NULL,
        checked BLOB NOT NULL, PRIMARY KEY (content_id, circumstances)
    ) WITHOUT ROWID;
    CREATE TABLE sampling (
        content_id BLOB NOT NULL, policy TEXT NOT NULL, windows BLOB NOT NULL,
        checked BLOB NOT NULL, PRIMARY KEY (content_id, policy)
    );";

const TABLES: [&str; 4] = ["identity", "record", "failure", "sampling"];

/// Path and hash of an entry of `identity`.
type StaleIdentity = (Vec<u8>, Vec<u8>);

/// Table, content id and hash of a damaged entry.
type DamagedRow = (&'static str, Vec<u8>, Vec<u8>);

/// What is known of a source's bytes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MediaRecord {
    /// The facts.
    pub facts: Facts,
    /// The frame index.
    pub index: FrameIndex,
    /// What a decode said, once there was one.
    pub verdict: Option<DecodeVerdict>,
}

/// At which look a source failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailedDuring {
    /// At the look at container and packets.
    Probe,
    /// When its frames were decoded.
    Decode,
}

/// A failure that is remembered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CachedFailure {
    /// The code; one for which [`Reason::is_about_the_bytes`] holds.
    pub reason: Reason,
    /// What a good source has.
    pub expected: String,
    /// What this one has.
    pub found: String,
    /// At which look it failed.
    pub during: FailedDuring,
}

/// How much a cache holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct CacheStats {
    /// Version of the tables.
    pub version: i64,
    /// Paths whose content id is known.
    pub identities: u64,
    /// Content ids whose facts and frame index are known.
    pub records: u64,
    /// Of these, how many were decoded whole.
    pub decoded: u64,
    /// Failures that are remembered.
    pub failures: u64,
    /// Sampling positions, one for each content id and policy.
    pub samplings: u64,
    /// Bytes on disk, write-ahead log included.
    pub bytes: u64,
}

/// The media cache. `Send + Sync`; threads of one process take turns, processes too.
///
/// # Examples
/// ```
/// use fvc_media::{ContentId, FileKey, MediaCache};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let folder = tempfile::tempdir()?;
/// let video = folder.path().join("clip.mp4");
/// std::fs::write(&video, b"bytes")?;
/// let cache = MediaCache::open(&folder.path().join("media.sqlite"))?;
/// let key = FileKey::of(&video)?;
/// assert_eq!(cache.identity(&key)?, None);
/// cache.put_identity(&key, &ContentId::of_file(&video)?)?;
/// assert_eq!(cache.identity(&key)?, Some(ContentId::of_bytes(b"bytes")));
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct MediaCache {
    path: PathBuf,
    connection: Mutex<Connection>,
    /// Part of the key of every failure: another FFmpeg may read what this one cannot.
    decoder: String,
}

impl MediaCache {
    /// Opens the cache at `path`, which is made (with its folders) when there is none.
    ///
    /// # Errors
    /// The file cannot be made or opened, is not a media cache, is damaged, or was written by a
    /// newer version.
    pub fn open(path: &Path) -> Result<Self, CacheError> {
        let io = |source| CacheError::Io { path: path.to_owned(), source };
        let path = std::path::absolute(path).map_err(io)?;
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(io)?;
        }
        // SQLite takes a file shorter than its header for an empty database; a cache that was cut
        // off there is damaged, and an empty file is one that was never written.
        match fs::metadata(&path) {
            Ok(found) if (1..SQLITE_HEADER_BYTES).contains(&found.len()) => {
                let found = format!("a file of {} bytes", found.len());
                return Err(CacheError::Damaged { path, found });
            }
            _ => {}
        }
        let connection =
            Connection::open(&path).map_err(|source| trouble(&path, "opening it", source))?;
        let cache = Self {
            decoder: format!(
                "avformat {} avcodec {}",
                ffmpeg_next::format::version(),
                ffmpeg_next::codec::version()
            ),
            path,
            connection: Mutex::new(connection),
        };
        cache.prepare()?;
        Ok(cache)
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The content id of the file with this key, if it was seen before.
    ///
    /// # Errors
    /// The cache cannot be read, or the entry is damaged.
    pub fn identity(&self, key: &FileKey) -> Result<Option<ContentId>, CacheError> {
        let row: Option<(Vec<u8>, Vec<u8>)> = self
            .lock()
            .prepare_cached(
                "SELECT content_id, checked FROM identity
                 WHERE path = ?1 AND bytes = ?2 AND modified = ?3 AND inode = ?4",
            )
            .and_then(|mut statement| {
                statement
                    .query_row(
                        params![
                            path_bytes(key),
                            key.bytes().cast_signed(),
                            key.modified(),
                            key.inode().cast_signed()
                        ],
                        |row| Ok((row.get(0)?, row.get(1)?)),
                    )
                    .optional()
            })
            .map_err(|source| self.trouble("reading an identity", source))?;
        let Some((id, checked)) = row else { return Ok(None) };
        self.identity_of(key, &id, &checked).map(Some)
    }

    /// Remembers the content id of the file with this key; what was known of its path before is
    /// forgotten.
    ///
    /// # Errors
    /// The cache cannot be written.
    pub fn put_identity(&self, key: &FileKey, id: &ContentId) -> Result<(), CacheError> {
        self.execute(
            "writing an identity",
            "INSERT INTO identity VALUES (?1, ?2, ?3, ?4, ?5, ?6)
             ON CONFLICT (path) DO UPDATE SET bytes = excluded.bytes,
             modified = excluded.modified, inode = excluded.inode,
             content_id = excluded.content_id, checked = excluded.checked",
            params![
                path_bytes(key),
                key.bytes().cast_signed(),
                key.modified(),
                key.inode().cast_signed(),
                id.as_bytes(),
                check_identity(key, id.as_bytes()),
            ],
        )
    }

    /// What is known of this content id.
    ///
    /// # Errors
    /// The cache cannot be read, or the entry is damaged.
    pub fn record(&self, id: &ContentId) -> Result<Option<MediaRecord>, CacheError> {
        let row = self
            .lock()
            .prepare_cached(
                "SELECT rank, facts, frames, verdict, checked FROM record WHERE content_id = ?1",
            )
            .and_then(|mut statement| {
                statement
                    .query_row(params![id.as_bytes()], |row| {
                        Ok(RecordRow {
                            rank: row.get(0)?,
                            facts: row.get(1)?,
                            frames: row.get(2)?,
                            verdict: row.get(3)?,
                            checked: row.get(4)?,
                        })
                    })
                    .optional()
            })
            .map_err(|source| self.trouble("reading a record", source))?;
        let Some(row) = row else { return Ok(None) };
        self.record_of(id, &row).map(Some)
    }

    /// Remembers what is known of this content id, unless more is known already: a record with
    /// verdict ok or partial (the whole file was decoded) is replaced only by another such one,
    /// and one with verdict sampled never by one without a verdict.
    ///
    /// # Errors
    /// The cache cannot be written.
    pub fn put_record(&self, id: &ContentId, record: &MediaRecord) -> Result<(), CacheError> {
        let verdict = record.verdict.as_ref().map(|verdict| self.json(verdict)).transpose()?;
        let row = RecordRow {
            rank: rank(record.verdict.as_ref()),
            facts: self.json(&record.facts)?,
            frames: columns::write_index(&record.index),
            verdict,
            checked: Vec::new(),
        };
        self.execute(
            "writing a record",
            "INSERT INTO record VALUES (?1, ?2, ?3, ?4, ?5, ?6)
             ON CONFLICT (content_id) DO UPDATE SET rank = excluded.rank, facts = excluded.facts,
             frames = excluded.frames, verdict = excluded.verdict, checked = excluded.checked
             WHERE excluded.rank >= record.rank",
            params![id.as_bytes(), row.rank, row.facts, row.frames, row.verdict, row.check(id)],
        )
    }

    /// The failure of this content id under these limits, if there was one: one that the bytes
    /// alone decide, or one that happened under exactly these limits.
    ///
    /// # Errors
    /// The cache cannot be read, or the entry is damaged.
    pub fn failure(
        &self,
        id: &ContentId,
        limits: &Limits,
    ) -> Result<Option<CachedFailure>, CacheError> {
        let always = self.circumstances(None)?;
        let limited = self.circumstances(Some(limits))?;
        let rows: Vec<(Vec<u8>, String, Vec<u8>)> = self
            .lock()
            .prepare_cached(
                "SELECT circumstances, failure, checked FROM failure
                 WHERE content_id = ?1 AND circumstances IN (?2, ?3)",
            )
            .and_then(|mut statement| {
                statement
                    .query_map(params![id.as_bytes(), always, limited], |row| {
                        Ok((row.get(0)?, row.get(1)?, row.get(2)?))
                    })?
                    .collect()
            })
            .map_err(|source| self.trouble("reading a failure", source))?;
        let mut failures = Vec::with_capacity(2);
        for (circumstances, failure, checked) in rows {
            failures.push(self.failure_of(id, &circumstances, &failure, &checked)?);
        }
        // Who cannot be probed cannot be decoded: that failure says more.
        failures.sort_by_key(|failure| failure.during == FailedDuring::Decode);
        Ok(failures.into_iter().next())
    }

    /// Remembers a failure: together with the limits when they had a part in it (a limit, a
    /// crash, memory, time), else for good. Both only for this version of FFmpeg.
    ///
    /// # Errors
    /// The cache cannot be written, or the reason is not about the bytes.
    pub fn put_failure(
        &self,
        id: &ContentId,
        limits: &Limits,
        failure: &CachedFailure,
    ) -> Result<(), CacheError> {
        if !failure.reason.is_about_the_bytes() {
            return Err(CacheError::NotRememberable { reason: failure.reason.code() });
        }
        let limits = depends_on_limits(failure.reason).then_some(limits);
        let circumstances = self.circumstances(limits)?;
        let text = self.json(failure)?;
        let checked = check(&[b"failure", id.as_bytes(), &circumstances, text.as_bytes()]);
        self.execute(
            "writing a failure",
            "INSERT OR REPLACE INTO failure VALUES (?1, ?2, ?3, ?4)",
            params![id.as_bytes(), circumstances, text, checked],
        )
    }

    /// The frames that the sampling with this policy means in this content id.
    ///
    /// # Errors
    /// The cache cannot be read, or the entry is damaged.
    pub fn sampling(
        &self,
        id: &ContentId,
        policy: &str,
    ) -> Result<Option<ResolvedSampling>, CacheError> {
        let row: Option<(Vec<u8>, Vec<u8>)> = self
            .lock()
            .prepare_cached(
                "SELECT windows, checked FROM sampling WHERE content_id = ?1 AND policy = ?2",
            )
            .and_then(|mut statement| {
                statement
                    .query_row(params![id.as_bytes(), policy], |row| Ok((row.get(0)?, row.get(1)?)))
                    .optional()
            })
            .map_err(|source| self.trouble("reading a sampling", source))?;
        let Some((windows, checked)) = row else { return Ok(None) };
        self.sampling_of(id, policy, &windows, &checked).map(Some)
    }

    /// Remembers the frames that a sampling means in this content id.
    ///
    /// # Errors
    /// The cache cannot be written.
    pub fn put_sampling(
        &self,
        id: &ContentId,
        sampling: &ResolvedSampling,
    ) -> Result<(), CacheError> {
        let windows = columns::write_windows(&sampling.windows);
        let checked = check(&[b"sampling", id.as_bytes(), sampling.policy.as_bytes(), &windows]);
        self.execute(
            "writing a sampling",
            "INSERT OR REPLACE INTO sampling VALUES (?1, ?2, ?3, ?4)",
            params![id.as_bytes(), sampling.policy, windows, checked],
        )
    }

    /// How much the cache holds.
    ///
    /// # Errors
    /// The cache cannot be read.
    pub fn stats(&self) -> Result<CacheStats, CacheError> {
        let mut stats = self
            .lock()
            .query_row(
                "SELECT (SELECT count(*) FROM identity), (SELECT count(*) FROM record),
                 (SELECT count(*) FROM record WHERE rank = ?1), (SELECT count(*) FROM failure),
                 (SELECT count(*) FROM sampling)",
                params![DECODED_RANK],
                |row| {
                    let count = |at: usize| row.get(at).map(i64::cast_unsigned);
                    Ok(CacheStats {
                        version: VERSION,
                        identities: count(0)?,
                        records: count(1)?,
                        decoded: count(2)?,
                        failures: count(3)?,
                        samplings: count(4)?,
                        bytes: 0,
                    })
                },
            )
            .map_err(|source| self.trouble("counting", source))?;
        for ending in ["", "-wal", "-shm"] {
            let mut name = self.path.clone().into_os_string();
            name.push(ending);
            match fs::metadata(&name) {
                Ok(metadata) => stats.bytes += metadata.len(),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(source) => return Err(CacheError::Io { path: name.into(), source }),
            }
        }
        Ok(stats)
    }

    /// Drops damaged entries, identities whose file is gone or has changed, and then everything
    /// about content ids that no identity points to; gives the space back. Returns how many
    /// entries were dropped.
    ///
    /// # Errors
    /// The cache cannot be read or written.
    pub fn prune(&self) -> Result<u64, CacheError> {
        // Those whose file is no longer as it was.
        let stale = self.identities(|key| FileKey::of(key.path()).is_ok_and(|now| now == *key))?;
        let damaged = self.damaged_entries()?;
        let mut connection = self.lock();
        let dropped = (|| -> rusqlite::Result<u64> {
            let transaction =
                connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let mut dropped = drop_entries(&transaction, &stale, &damaged)?;
            for table in &TABLES[1..] {
                dropped += transaction.execute(
                    &format!(
                        "DELETE FROM {table} WHERE content_id NOT IN
                         (SELECT content_id FROM identity)"
                    ),
                    [],
                )?;
            }
            transaction.commit()?;
            Ok(dropped as u64)
        })()
        .map_err(|source| self.trouble("pruning", source))?;
        self.shrink(&connection)?;
        Ok(dropped)
    }

    /// Takes over what the cache at `other` knows and this one does not; of records, also those that
    /// know more. Entries are taken as they stand: each carries its hash, and is checked when it is
    /// read. Returns how many were taken over.
    ///
    /// # Errors
    /// Either cannot be read, is not a media cache of this version, or this one cannot be written.
    pub fn absorb(&self, other: &Path) -> Result<u64, CacheError> {
        let io = |source| CacheError::Io { path: other.to_owned(), source };
        // Checks what the file is, brings it to this version, and takes in its write-ahead log.
        let name = Self::open(other)?.path;
        let name = name.to_str().ok_or_else(|| io(std::io::ErrorKind::InvalidFilename.into()))?;
        let mut connection = self.lock();
        connection
            .execute("ATTACH DATABASE ?1 AS other", params![name])
            .map_err(|source| self.trouble("joining another cache", source))?;
        let taken = (|| -> rusqlite::Result<u64> {
            let transaction =
                connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let mut taken = 0;
            for table in ["identity", "failure", "sampling"] {
                taken += transaction.execute(
                    &format!("INSERT OR IGNORE INTO main.{table} SELECT * FROM other.{table}"),
                    [],
                )?;
            }
            taken += transaction.execute(
                "INSERT INTO main.record SELECT * FROM other.record WHERE true
                 ON CONFLICT (content_id) DO UPDATE SET rank = excluded.rank,
                 facts = excluded.facts, frames = excluded.frames, verdict = excluded.verdict,
                 checked = excluded.checked WHERE excluded.rank > record.rank",
                [],
            )?;
            transaction.commit()?;
            Ok(taken as u64)
        })();
        let detached = connection.execute("DETACH DATABASE other", []);
        let taken = taken.map_err(|source| self.trouble("joining another cache", source))?;
        detached.map_err(|source| self.trouble("joining another cache", source))?;
        Ok(taken)
    }

    /// How many entries do not hold what was written, after the database itself was checked.
    ///
    /// # Errors
    /// The cache cannot be read, or the database is damaged.
    pub fn check(&self) -> Result<u64, CacheError> {
        let said: String = self
            .lock()
            .query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))
            .map_err(|source| self.trouble("checking it", source))?;
        if said != "ok" {
            return Err(CacheError::Damaged { path: self.path.clone(), found: said });
        }
        let identities = self.identities(|_| true)?;
        Ok((identities.len() + self.damaged_entries()?.len()) as u64)
    }

    /// Drops the entries that do not hold what was written, and nothing else. Returns how many.
    ///
    /// # Errors
    /// The cache cannot be read or written.
    pub fn drop_damaged(&self) -> Result<u64, CacheError> {
        let identities = self.identities(|_| true)?;
        let damaged = self.damaged_entries()?;
        let mut connection = self.lock();
        (|| -> rusqlite::Result<u64> {
            let transaction =
                connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let dropped = drop_entries(&transaction, &identities, &damaged)?;
            transaction.commit()?;
            Ok(dropped as u64)
        })()
        .map_err(|source| self.trouble("dropping damaged entries", source))
    }

    /// Forgets everything.
    ///
    /// # Errors
    /// The cache cannot be written.
    pub fn clear(&self) -> Result<(), CacheError> {
        let connection = self.lock();
        let statements = TABLES.map(|table| format!("DELETE FROM {table};")).concat();
        connection
            .execute_batch(&format!("BEGIN IMMEDIATE; {statements} COMMIT;"))
            .map_err(|source| self.trouble("clearing", source))?;
        self.shrink(&connection)
    }

    // A panic of another thread in the middle of a statement leaves the connection usable: what
    // was not committed is rolled back.
    fn lock(&self) -> MutexGuard<'_, Connection> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn trouble(&self, doing: &'static str, source: rusqlite::Error) -> CacheError {
        trouble(&self.path, doing, source)
    }

    fn execute(
        &self,
        doing: &'static str,
        statement: &str,
        parameters: impl rusqlite::Params,
    ) -> Result<(), CacheError> {
        self.lock()
            .prepare_cached(statement)
            .and_then(|mut statement| statement.execute(parameters))
            .map(|_rows| ())
            .map_err(|source| self.trouble(doing, source))
    }

    /// Sets the connection up, and the tables where there are none or older ones.
    fn prepare(&self) -> Result<(), CacheError> {
        let mut connection = self.lock();
        connection
            .busy_timeout(PATIENCE)
            .map_err(|source| self.trouble("setting the busy timeout", source))?;
        // Looked at before anything is written: a file that is not ours stays as it is.
        let found = self.format_of(&connection)?;
        if let Format::Newer(found) = found {
            return Err(CacheError::Newer { path: self.path.clone(), expected: VERSION, found });
        }
        if matches!(found, Format::New) {
            // Only possible before the first table is made.
            connection
                .pragma_update(None, "auto_vacuum", "INCREMENTAL")
                .map_err(|source| self.trouble("preparing it", source))?;
        }
        self.switch_to_wal(&connection)?;
        connection
            .pragma_update(None, "synchronous", "NORMAL")
            .map_err(|source| self.trouble("preparing it", source))?;
        if matches!(found, Format::Current) {
            return Ok(());
        }
        let transaction = connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(|source| self.trouble("making the tables", source))?;
        // Another process may have made them since.
        match self.format_of(&transaction)? {
            Format::Current => return Ok(()),
            Format::Newer(found) => {
                return Err(CacheError::Newer {
                    path: self.path.clone(),
                    expected: VERSION,
                    found,
                });
            }
            Format::New | Format::Older => {}
        }
        self.make_tables(&transaction)
            .and_then(|()| transaction.commit())
            .map_err(|source| self.trouble("making the tables", source))
    }

    #[allow(clippy::unused_self)] // belongs beside `prepare`
    fn make_tables(&self, connection: &Connection) -> rusqlite::Result<()> {
        let old: Vec<String> = connection
            .prepare(
                "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'",
            )?
            .query_map([], |row| row.get(0))?
            .collect::<rusqlite::Result<_>>()?;
        for table in old {
            connection.execute(&format!("DROP TABLE \"{}\"", table.replace('"', "\"\"")), [])?;
        }
        connection.execute_batch(SCHEMA)?;
        connection.pragma_update(None, "application_id", APPLICATION)?;
        connection.pragma_update(None, "user_version", VERSION)
    }

    fn format_of(&self, connection: &Connection) -> Result<Format, CacheError> {
        let (application, version, objects): (i64, i64, i64) = connection
            .query_row(
                "SELECT (SELECT application_id FROM pragma_application_id),
                 (SELECT user_version FROM pragma_user_version),
                 (SELECT count(*) FROM sqlite_schema)",
                [],
                |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
            )
            .map_err(|source| self.trouble("reading its version", source))?;
        match (application, version) {
            (0, 0) if objects == 0 => Ok(Format::New),
            (APPLICATION, version) if version > VERSION => Ok(Format::Newer(version)),
            (APPLICATION, version) if version < VERSION => Ok(Format::Older),
            (APPLICATION, _) => Ok(Format::Current),
            _ => Err(CacheError::NotACache {
                path: self.path.clone(),
                found: format!("another program's SQLite database of {objects} tables and indices"),
            }),
        }
    }

    /// The switch needs the file for itself for a moment, and SQLite does not wait for that.
    fn switch_to_wal(&self, connection: &Connection) -> Result<(), CacheError> {
        let start = Instant::now();
        loop {
            let switched = connection.pragma_update_and_check(None, "journal_mode", "WAL", |row| {
                row.get::<_, String>(0)
            });
            match switched {
                Ok(mode) if mode.eq_ignore_ascii_case("wal") => return Ok(()),
                Ok(mode) => {
                    return Err(CacheError::NotACache {
                        path: self.path.clone(),
                        found: format!("a place where SQLite cannot use WAL (journal mode {mode})"),
                    });
                }
                Err(error)
                    if matches!(
                        error.sqlite_error_code(),
                        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked)
                    ) && start.elapsed() < PATIENCE =>
                {
                    std::thread::sleep(Duration::from_millis(10));
                }
                Err(error) => return Err(self.trouble("switching to WAL", error)),
            }
        }
    }

    fn shrink(&self, connection: &Connection) -> Result<(), CacheError> {
        connection
            .execute_batch("PRAGMA incremental_vacuum; PRAGMA wal_checkpoint(TRUNCATE);")
            .map_err(|source| self.trouble("giving space back", source))
    }

    fn json<T: Serialize>(&self, value: &T) -> Result<String, CacheError> {
        serde_json::to_string(value).map_err(|error| {
            self.trouble(
                "writing an entry",
                rusqlite::Error::ToSqlConversionFailure(Box::new(error)),
            )
        })
    }

    /// The decoder, and the limits where they matter.
    fn circumstances(&self, limits: Option<&Limits>) -> Result<Vec<u8>, CacheError> {
        let limits = limits.map(|limits| self.json(limits)).transpose()?;
        let limits = limits.as_deref().unwrap_or("any limits");
        Ok(check(&[b"circumstances", self.decoder.as_bytes(), limits.as_bytes()]))
    }

    fn damaged(
        &self,
        table: &'static str,
        key: &dyn std::fmt::Display,
        expected: &str,
        found: &dyn std::fmt::Display,
    ) -> CacheError {
        CacheError::DamagedEntry {
            path: self.path.clone(),
            table,
            key: key.to_string(),
            expected: expected.to_owned(),
            found: found.to_string(),
        }
    }

    fn identity_of(
        &self,
        key: &FileKey,
        id: &[u8],
        checked: &[u8],
    ) -> Result<ContentId, CacheError> {
        let damaged = |found| {
            self.damaged(
                "identity",
                &key.path().display(),
                "the content id that was written",
                &found,
            )
        };
        let id: [u8; 32] = id.try_into().map_err(|_| damaged(format!("{} bytes", id.len())))?;
        if check_identity(key, &id) != checked {
            return Err(damaged("another hash".to_owned()));
        }
        Ok(ContentId::from_bytes(id))
    }

    fn record_of(&self, id: &ContentId, row: &RecordRow) -> Result<MediaRecord, CacheError> {
        let damaged =
            |found: String| self.damaged("record", &id, "the record that was written", &found);
        if row.check(id) != row.checked {
            return Err(damaged("another hash".to_owned()));
        }
        Ok(MediaRecord {
            facts: serde_json::from_str(&row.facts).map_err(|error| damaged(error.to_string()))?,
            index: columns::read_index(&row.frames).map_err(damaged)?,
            verdict: row
                .verdict
                .as_deref()
                .map(serde_json::from_str)
                .transpose()
                .map_err(|error| damaged(error.to_string()))?,
        })
    }

    fn failure_of(
        &self,
        id: &ContentId,
        circumstances: &[u8],
        failure: &str,
        checked: &[u8],
    ) -> Result<CachedFailure, CacheError> {
        let damaged =
            |found: String| self.damaged("failure", &id, "the failure that was written", &found);
        if check(&[b"failure", id.as_bytes(), circumstances, failure.as_bytes()]) != checked {
            return Err(damaged("another hash".to_owned()));
        }
        serde_json::from_str(failure).map_err(|error| damaged(error.to_string()))
    }

    fn sampling_of(
        &self,
        id: &ContentId,
        policy: &str,
        windows: &[u8],
        checked: &[u8],
    ) -> Result<ResolvedSampling, CacheError> {
        let damaged = |found: String| {
            self.damaged("sampling", &id, "the positions that were written", &found)
        };
        if check(&[b"sampling", id.as_bytes(), policy.as_bytes(), windows]) != checked {
            return Err(damaged("another hash".to_owned()));
        }
        let windows = columns::read_windows(windows).map_err(damaged)?;
        Ok(ResolvedSampling { policy: policy.to_owned(), windows })
    }

    /// The identities that are damaged, or that are not to be kept.
    fn identities(
        &self,
        keep: impl Fn(&FileKey) -> bool,
    ) -> Result<Vec<StaleIdentity>, CacheError> {
        let connection = self.lock();
        let mut stale = Vec::new();
        (|| -> rusqlite::Result<()> {
            let mut statement = connection.prepare(
                "SELECT path, bytes, modified, inode, content_id, checked FROM identity",
            )?;
            let mut rows = statement.query([])?;
            while let Some(row) = rows.next()? {
                let path: Vec<u8> = row.get(0)?;
                let bytes: i64 = row.get(1)?;
                let inode: i64 = row.get(3)?;
                let id: Vec<u8> = row.get(4)?;
                let checked: Vec<u8> = row.get(5)?;
                let key = FileKey::from_parts(
                    PathBuf::from(OsString::from_vec(path.clone())),
                    bytes.cast_unsigned(),
                    row.get(2)?,
                    inode.cast_unsigned(),
                );
                if !keep(&key) || self.identity_of(&key, &id, &checked).is_err() {
                    stale.push((path, checked));
                }
            }
            Ok(())
        })()
        .map_err(|source| self.trouble("reading the identities", source))?;
        Ok(stale)
    }

    /// Table, content id and hash of the entries that do not hold what was written.
    fn damaged_entries(&self) -> Result<Vec<DamagedRow>, CacheError> {
        let connection = self.lock();
        let mut damaged = Vec::new();
        (|| -> rusqlite::Result<()> {
            let mut note =
                |table, id: Vec<u8>, checked: Vec<u8>, sound: &dyn Fn(&ContentId) -> bool| {
                    let known = <[u8; 32]>::try_from(id.as_slice()).map(ContentId::from_bytes);
                    if !known.is_ok_and(|id| sound(&id)) {
                        damaged.push((table, id, checked));
                    }
                };
            let mut statement = connection
                .prepare("SELECT content_id, checked, rank, facts, frames, verdict FROM record")?;
            let mut rows = statement.query([])?;
            while let Some(row) = rows.next()? {
                let checked: Vec<u8> = row.get(1)?;
                let entry = RecordRow {
                    rank: row.get(2)?,
                    facts: row.get(3)?,
                    frames: row.get(4)?,
                    verdict: row.get(5)?,
                    checked: checked.clone(),
                };
                note("record", row.get(0)?, checked, &|id| self.record_of(id, &entry).is_ok());
            }
            let mut statement = connection
                .prepare("SELECT content_id, checked, circumstances, failure FROM failure")?;
            let mut rows = statement.query([])?;
            while let Some(row) = rows.next()? {
                let (checked, circumstances): (Vec<u8>, Vec<u8>) = (row.get(1)?, row.get(2)?);
                let failure: String = row.get(3)?;
                note("failure", row.get(0)?, checked.clone(), &|id| {
                    self.failure_of(id, &circumstances, &failure, &checked).is_ok()
                });
            }
            let mut statement =
                connection.prepare("SELECT content_id, checked, policy, windows FROM sampling")?;
            let mut rows = statement.query([])?;
            while let Some(row) = rows.next()? {
                let checked: Vec<u8> = row.get(1)?;
                let policy: String = row.get(2)?;
                let windows: Vec<u8> = row.get(3)?;
                note("sampling", row.get(0)?, checked.clone(), &|id| {
                    self.sampling_of(id, &policy, &windows, &checked).is_ok()
                });
            }
            Ok(())
        })()
        .map_err(|source| self.trouble("checking the entries", source))?;
        Ok(damaged)
    }
}

/// Deletes these entries, by their hashes too: another process may have written others by now.
fn drop_entries(
    connection: &Connection,
    identities: &[StaleIdentity],
    entries: &[DamagedRow],
) -> rusqlite::Result<usize> {
    let mut dropped = 0;
    for (path, checked) in identities {
        dropped += connection.execute(
            "DELETE FROM identity WHERE path = ?1 AND checked = ?2",
            params![path, checked],
        )?;
    }
    for (table, id, checked) in entries {
        dropped += connection.execute(
            &format!("DELETE FROM {table} WHERE content_id = ?1 AND checked = ?2"),
            params![id, checked],
        )?;
    }
    Ok(dropped)
}

/// What a file is, by its application id and version.
enum Format {
    New,
    Older,
    Current,
    Newer(i64),
}

struct RecordRow {
    rank: i64,
    facts: String,
    frames: Vec<u8>,
    verdict: Option<String>,
    checked: Vec<u8>,
}

impl RecordRow {
    fn check(&self, id: &ContentId) -> Vec<u8> {
        check(&[
            b"record",
            id.as_bytes(),
            &self.rank.to_le_bytes(),
            self.facts.as_bytes(),
            &self.frames,
            self.verdict.as_deref().unwrap_or("").as_bytes(),
        ])
    }
}

/// Rank of a record of a source that was decoded whole.
const DECODED_RANK: i64 = 2;

/// How much a record knows; one that knows less never replaces one that knows more.
fn rank(verdict: Option<&DecodeVerdict>) -> i64 {
    match verdict {
        None => 0,
        Some(DecodeVerdict::Sampled) => 1,
        Some(DecodeVerdict::Ok | DecodeVerdict::Partial { .. }) => DECODED_RANK,
    }
}

/// Whether other limits may end otherwise.
fn depends_on_limits(reason: Reason) -> bool {
    matches!(
        reason,
        Reason::LimitExceeded | Reason::Crashed | Reason::OutOfMemory | Reason::TimedOut
    )
}

fn path_bytes(key: &FileKey) -> &[u8] {
    key.path().as_os_str().as_bytes()
}

fn check_identity(key: &FileKey, id: &[u8]) -> Vec<u8> {
    check(&[
        b"identity",
        path_bytes(key),
        &key.bytes().to_le_bytes(),
        &key.modified().to_le_bytes(),
        &key.inode().to_le_bytes(),
        id,
    ])
}

/// A hash over parts, each with its length so that no two lists of parts look alike.
fn check(parts: &[&[u8]]) -> Vec<u8> {
    let mut hasher = blake3::Hasher::new();
    for part in parts {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
    hasher.finalize().as_bytes()[..CHECK_BYTES].to_vec()
}

/// An error of SQLite in our terms.
fn trouble(path: &Path, doing: &'static str, source: rusqlite::Error) -> CacheError {
    match source.sqlite_error_code() {
        Some(ErrorCode::NotADatabase) => CacheError::NotACache {
            path: path.to_owned(),
            found: "a file that is not a SQLite database".to_owned(),
        },
        Some(ErrorCode::DatabaseCorrupt) => {
            CacheError::Damaged { path: path.to_owned(), found: source.to_string() }
        }
        _ => match source {
            // A column of another type than the one that is written there.
            rusqlite::Error::InvalidColumnType(..)
            | rusqlite::Error::FromSqlConversionFailure(..)
            | rusqlite::Error::IntegralValueOutOfRange(..) => {
                CacheError::Damaged { path: path.to_owned(), found: source.to_string() }
            }
            source => CacheError::Database { path: path.to_owned(), doing, source },
        },
    }
}
