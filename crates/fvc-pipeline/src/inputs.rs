//! [`gather_files`]: files and folders as they were given, to files in a fixed order.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use fvc_corpus::{Failure, is_sidecar};
use fvc_media::Reason;

/// What inputs hold: each file once is an input, each failure too.
#[derive(Debug, Default)]
pub(crate) struct Inputs {
    /// Everything below the folders that may be a video, and the files that were named.
    pub(crate) files: Vec<PathBuf>,
    /// Folders that cannot be read, and names that are no text.
    pub(crate) failures: Vec<Failure>,
    /// Hidden files below folders, and such as stand beside videos (texts, tables, pictures).
    pub(crate) ignored: u64,
}

impl Inputs {
    /// How many inputs there are.
    pub(crate) fn len(&self) -> u64 {
        (self.files.len() + self.failures.len()) as u64
    }
}

/// Everything that `inputs` name, by name. Links to folders are followed, each folder once; what is
/// no regular file is left in, so that whoever reads it says what it is.
pub(crate) fn gather_files(inputs: &[PathBuf], stage: &str) -> Inputs {
    let mut gathered = Inputs::default();
    let mut walk = Walk { visited: BTreeSet::new(), stage };
    for input in inputs {
        if input.is_dir() {
            walk.folder(input, &mut gathered);
        } else {
            walk.file(input.clone(), &mut gathered);
        }
    }
    gathered
}

struct Walk<'a> {
    visited: BTreeSet<PathBuf>,
    stage: &'a str,
}

impl Walk<'_> {
    fn folder(&mut self, folder: &Path, gathered: &mut Inputs) {
        let listed = fs::canonicalize(folder).and_then(|place| {
            if !self.visited.insert(place) {
                return Ok(Vec::new());
            }
            fs::read_dir(folder)?.map(|entry| entry.map(|entry| entry.path())).collect()
        });
        let mut paths = match listed {
            Ok(paths) => paths,
            Err(error) => {
                let reason = Reason::Unreadable.code();
                let found = error.to_string();
                gathered.failures.push(self.row(
                    folder,
                    reason,
                    "a folder that can be read",
                    found,
                ));
                return;
            }
        };
        paths.sort();
        for path in paths {
            let hidden =
                path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
            if hidden || (!path.is_dir() && is_sidecar(&path)) {
                gathered.ignored += 1;
            } else if path.is_dir() {
                self.folder(&path, gathered);
            } else {
                self.file(path, gathered);
            }
        }
    }

    fn file(&mut self, path: PathBuf, gathered: &mut Inputs) {
        if path.to_str().is_none() {
            let other = "other bytes".to_owned();
            gathered.failures.push(self.row(&path, "name_not_utf8", "a name in UTF-8", other));
            return;
        }
        gathered.files.push(path);
    }

    fn row(&self, path: &Path, reason: &str, expected: &str, found: String) -> Failure {
        Failure {
            path: PathBuf::from(path.to_string_lossy().into_owned()),
            content_id: None,
            stage: self.stage.to_owned(),
            reason: reason.to_owned(),
            expected: expected.to_owned(),
            found,
        }
    }
}
