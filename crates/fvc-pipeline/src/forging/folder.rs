//! [`Folder`]: the output folder, which holds what each finished clip, and each finished window of
//! the others, gave from the moment on that it is finished.

use std::fmt::Write as _;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use fvc_corpus::write_atomically;
use fvc_media::ContentId;
use serde::{Deserialize, Serialize};

use super::{ForgedFile, RefusedKind};
use crate::PipelineError;
use crate::lock::Lock;

/// Under which settings the folder was begun; the first file in it.
const SETTINGS: &str = "settings.json";

/// Where the records of finished clips are.
const RECORDS: &str = "records";

/// Of what there is a record.
#[derive(Clone, Copy)]
pub(super) enum Part {
    Clip,
    /// A window of a clip that is not finished, by its number.
    Window(u64),
}

/// What a finished clip, or window of one, gave.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Record {
    pub(super) group: ContentId,
    /// The clip that its donors are from, in pairs.
    pub(super) partner: Option<ContentId>,
    pub(super) files: Vec<ForgedFile>,
    pub(super) refused: Vec<RefusedKind>,
    /// Decodes of the partner.
    pub(super) donor_decodes: u64,
}

#[derive(Serialize, Deserialize)]
struct Settings {
    hash: String,
}

/// The output folder of one command at a time.
pub(super) struct Folder {
    root: PathBuf,
    /// Held as long as this.
    _lock: Lock,
}

impl Folder {
    /// Takes a folder that is empty, not there yet, or was begun under the same settings.
    pub(super) fn open(
        root: &Path,
        hash: &str,
        cancel: &AtomicBool,
    ) -> Result<Self, PipelineError> {
        let path = root.join(SETTINGS);
        let occupied = match std::fs::read_dir(root) {
            Ok(mut entries) => {
                entries.any(|entry| entry.is_ok_and(|entry| entry.file_name() != "lock"))
            }
            Err(error) if error.kind() == ErrorKind::NotFound => false,
            Err(source) => return Err(PipelineError::Io { path: root.to_owned(), source }),
        };
        let refuse = |found: &str| PipelineError::Corrupt {
            path: root.to_owned(),
            expected: "an empty output folder, none yet, or one that the same command began"
                .to_owned(),
            found: format!("{found} (remove them, or name another --out)"),
        };
        // What another command left there would be counted to this one's corpus.
        if occupied && !path.exists() {
            return Err(refuse("one with files in it"));
        }
        let lock = Lock::exclusive(&root.join("lock"), cancel)?;
        match std::fs::read(&path) {
            Ok(bytes) => {
                let settings: Option<Settings> = serde_json::from_slice(&bytes).ok();
                if settings.is_none_or(|settings| settings.hash != hash) {
                    return Err(refuse("one with files made under other settings"));
                }
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {
                write(&path, &Settings { hash: hash.to_owned() })?;
            }
            Err(source) => return Err(PipelineError::Io { path, source }),
        }
        Ok(Self { root: root.to_owned(), _lock: lock })
    }

    fn record(&self, clip: ContentId, part: Part) -> PathBuf {
        let name = match part {
            Part::Clip => format!("{clip}.json"),
            Part::Window(number) => format!("{clip}_w{number}.json"),
        };
        self.root.join(RECORDS).join(name)
    }

    /// What a clip or a window of it gave, if it was finished with these groups and all of its files
    /// are there. What is left of one that has to be made again is removed.
    pub(super) fn recall(
        &self,
        clip: ContentId,
        part: Part,
        group: ContentId,
        partner: Option<ContentId>,
    ) -> Result<Option<Record>, PipelineError> {
        let path = self.record(clip, part);
        let bytes = match std::fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(PipelineError::Io { path, source }),
        };
        let record: Record =
            serde_json::from_slice(&bytes).map_err(|error| PipelineError::Corrupt {
                path: path.clone(),
                expected: "the record of a forged clip".to_owned(),
                found: error.to_string(),
            })?;
        let whole = |file: &ForgedFile| {
            let found = std::fs::metadata(self.root.join(&file.path));
            found.is_ok_and(|found| found.len() == file.bytes)
        };
        if record.group == group && record.partner == partner && record.files.iter().all(whole) {
            return Ok(Some(record));
        }
        removed(&path)?;
        for file in &record.files {
            removed(&self.root.join(&file.path))?;
        }
        Ok(None)
    }

    /// Writes down what a clip or a window of it gave: from now on that is done.
    pub(super) fn keep(
        &self,
        clip: ContentId,
        part: Part,
        record: &Record,
    ) -> Result<(), PipelineError> {
        let path = self.record(clip, part);
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)
                .map_err(|source| PipelineError::Io { path: folder.to_owned(), source })?;
        }
        write(&path, record)
    }

    /// Forgets the windows of a clip: it has a record of its own now, or it gave nothing.
    pub(super) fn forget_windows(
        &self,
        clip: ContentId,
        windows: u64,
    ) -> Result<(), PipelineError> {
        (0..windows).try_for_each(|number| removed(&self.record(clip, Part::Window(number))))
    }

    /// `forgeries.json` with everything, `refused.csv` with the kinds that were not possible, and
    /// `corpus.csv` as `fvc index` reads it; that last, since a folder with it counts as made.
    pub(super) fn write_tables(
        &self,
        files: &[ForgedFile],
        refused: &[RefusedKind],
    ) -> Result<(), PipelineError> {
        write(&self.root.join("forgeries.json"), &files)?;
        let mut table = String::from("path,kind,reason,times,expected,found\n");
        for row in refused {
            let RefusedKind { source, kind, reason, times, expected, found } = row;
            let [source, expected, found] = [source, expected, found].map(|text| quoted(text));
            let _ = writeln!(table, "{source},{kind},{reason},{times},{expected},{found}");
        }
        self.write_text("refused.csv", &table)?;
        let mut table = String::from("path,label,group,manipulation,subset,platform,crf,motion\n");
        for file in files {
            let kind =
                file.forgery.as_ref().map_or_else(String::new, |forgery| forgery.kind.to_string());
            let subset = if file.still { "still" } else { "moving" };
            let platform = file.platform.as_deref().unwrap_or_default();
            let ForgedFile { path, label, group, crf, motion, .. } = file;
            // Names hold letters, digits and _ only: nothing to quote.
            let _ = writeln!(
                table,
                "{path},{label},{group},{kind},{subset},{platform},{crf},{motion:.3}"
            );
        }
        self.write_text("corpus.csv", &table)
    }

    fn write_text(&self, name: &str, text: &str) -> Result<(), PipelineError> {
        let path = self.root.join(name);
        write_atomically(&path, text.as_bytes())
            .map_err(|source| PipelineError::Io { path, source })
    }
}

/// Removes a file, if it is there.
fn removed(path: &Path) -> Result<(), PipelineError> {
    match std::fs::remove_file(path) {
        Err(source) if source.kind() != ErrorKind::NotFound => {
            Err(PipelineError::Io { path: path.to_owned(), source })
        }
        _ => Ok(()),
    }
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('"', "\"\""))
}

fn write(path: &Path, value: &impl Serialize) -> Result<(), PipelineError> {
    let bytes = serde_json::to_vec_pretty(value)
        .map_err(|error| PipelineError::Internal { what: error.to_string() })?;
    write_atomically(path, &bytes)
        .map_err(|source| PipelineError::Io { path: path.to_owned(), source })
}
