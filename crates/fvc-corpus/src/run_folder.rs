//! [`RunFolder`]: where one run keeps what it makes.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use fvc_media::ContentId;
use serde::{Deserialize, Serialize};

use crate::{CorpusError, write_atomically};

/// The record of a finished run's files.
const SEAL: &str = "files.json";

/// A file of a finished run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunFile {
    /// Its name in the run's folder.
    pub name: String,
    /// Size in bytes.
    pub bytes: u64,
    /// BLAKE3 of its bytes.
    pub hash: ContentId,
}

#[derive(Serialize, Deserialize)]
struct RunFiles {
    hash: ContentId,
    files: Vec<RunFile>,
}

/// A folder `runs/<experiment>/run_<UTC time>_<hash>/`. It appears by rename together with its first
/// record, so there is never one without.
#[derive(Clone, Debug)]
pub struct RunFolder {
    path: PathBuf,
}

impl RunFolder {
    /// Makes a new run folder that holds `first` under the name `first_name`.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub fn create(
        runs: &Path,
        experiment: &str,
        config_hash: &str,
        first_name: &str,
        first: &[u8],
    ) -> Result<Self, CorpusError> {
        let parent = runs.join(experiment);
        let io = |path: &Path| {
            let path = path.to_owned();
            move |source| CorpusError::Io { path, source }
        };
        fs::create_dir_all(&parent).map_err(io(&parent))?;
        let since = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        for attempt in 0..1000_u32 {
            // Two runs of one configuration in one second differ by the attempt.
            let text = format!("{config_hash} {since} {} {attempt}", std::process::id());
            let hash = blake3::hash(text.as_bytes()).to_hex();
            let name = format!("run_{}_{}", utc(since), &hash[..8]);
            let temporary = parent.join(format!(".{name}.{}.tmp", std::process::id()));
            let path = parent.join(&name);
            if path.exists() {
                continue;
            }
            match fs::create_dir(&temporary) {
                // Another thread is making a run of the same configuration.
                Err(error) if error.kind() == ErrorKind::AlreadyExists => continue,
                made => made.map_err(io(&temporary))?,
            }
            let record = temporary.join(first_name);
            let written = write_atomically(&record, first)
                .map_err(io(&record))
                .and_then(|()| fs::rename(&temporary, &path).map_err(io(&path)));
            if let Err(error) = written {
                // The error that is returned is the one that matters.
                drop(fs::remove_dir_all(&temporary));
                if path.exists() {
                    continue;
                }
                return Err(error);
            }
            return Ok(Self { path });
        }
        Err(CorpusError::Table {
            path: parent,
            expected: "a free name for a run".to_owned(),
            found: "a thousand runs of this second".to_owned(),
        })
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes one record, whole or not at all.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write(&self, name: &str, bytes: &[u8]) -> Result<(), CorpusError> {
        let path = self.path.join(name);
        write_atomically(&path, bytes)
            .map_err(|source| CorpusError::Io { path: path.clone(), source })
    }

    /// Records every file of the finished run with its size and hash, as `files.json`.
    ///
    /// # Errors
    /// A file cannot be read, or the record not be written.
    pub fn seal(&self) -> Result<(), CorpusError> {
        let io = |path: &Path| {
            let path = path.to_owned();
            move |source| CorpusError::Io { path, source }
        };
        let mut files = Vec::new();
        for entry in fs::read_dir(&self.path).map_err(io(&self.path))? {
            let path = entry.map_err(io(&self.path))?.path();
            let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
            if let Some(name) = name
                && path.is_file()
                && name != SEAL
                && !name.starts_with('.')
            {
                let bytes = fs::metadata(&path).map_err(io(&path))?.len();
                let hash = ContentId::of_file(&path).map_err(io(&path))?;
                files.push(RunFile { name, bytes, hash });
            }
        }
        files.sort_by(|left, right| left.name.cmp(&right.name));
        let path = self.path.join(SEAL);
        let json = |error: serde_json::Error| io(&path)(error.into());
        let hash = ContentId::of_bytes(&serde_json::to_vec(&files).map_err(json)?);
        let bytes = serde_json::to_vec_pretty(&RunFiles { hash, files }).map_err(json)?;
        self.write(SEAL, &bytes)
    }

    /// The files of the run folder at `path` as they were when it was finished; nothing where it was
    /// not, or was by a version that kept no such record.
    ///
    /// # Errors
    /// The record cannot be read, or is not as it was written.
    pub fn sealed_files(path: &Path) -> Result<Option<Vec<RunFile>>, CorpusError> {
        let path = path.join(SEAL);
        let wrong = |expected: &str, found: String| CorpusError::Table {
            path: path.clone(),
            expected: expected.to_owned(),
            found,
        };
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(CorpusError::Io { path, source }),
        };
        let RunFiles { hash, files } = serde_json::from_slice(&bytes)
            .map_err(|error| wrong("the files of a run", error.to_string()))?;
        let found = serde_json::to_vec(&files)
            .map(|bytes| ContentId::of_bytes(&bytes))
            .map_err(|error| wrong("the files of a run", error.to_string()))?;
        if found != hash {
            return Err(wrong(&format!("a list with hash {hash}"), format!("hash {found}")));
        }
        Ok(Some(files))
    }

    /// Records that the run failed, as `failure.json`.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn fail(&self, record: &[u8]) -> Result<(), CorpusError> {
        self.write("failure.json", record)
    }
}

/// `20261125T084512Z` from seconds since 1970 (the civil-from-days algorithm of Howard Hinnant).
fn utc(seconds: u64) -> String {
    let (days, rest) = ((seconds / 86_400) as i64, seconds % 86_400);
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_shifted + 2) / 5 + 1;
    let month = if month_shifted < 10 { month_shifted + 3 } else { month_shifted - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    format!(
        "{year:04}{month:02}{day:02}T{:02}{:02}{:02}Z",
        rest / 3600,
        rest % 3600 / 60,
        rest % 60
    )
}
