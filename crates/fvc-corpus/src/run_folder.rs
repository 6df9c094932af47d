//! [`RunFolder`]: where one run keeps what it makes.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::{CorpusError, write_atomically};

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
