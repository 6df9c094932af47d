//! [`ClipSource`]: where the frames of clips come from while a network learns. Nothing is decoded.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use fvc_clips::ClipReader;
use fvc_media::{ContentId, Frame};
use serde::{Deserialize, Serialize};

use crate::NetworkError;

/// One clip that a network may be shown.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ClipKey {
    /// The source.
    pub content_id: ContentId,
    /// 0 for the original, 1.. for its variants, each drawn once a clip.
    pub variant: u32,
}

/// Where the frames of clips come from.
pub trait ClipSource: Send + Sync {
    /// How many frames each window of a clip holds.
    ///
    /// # Errors
    /// The clip cannot be read.
    fn windows(&self, key: &ClipKey) -> Result<Vec<usize>, NetworkError>;

    /// Width and height of a clip's frames.
    ///
    /// # Errors
    /// The clip cannot be read.
    fn size(&self, key: &ClipKey) -> Result<(usize, usize), NetworkError>;

    /// The frames of one window, all of one size, as RGB.
    ///
    /// # Errors
    /// The clip cannot be read, or there is no such window.
    fn window(&self, key: &ClipKey, window: usize) -> Result<Vec<Frame>, NetworkError>;
}

/// Clips as files of a clip store. Indexes are read once and kept; frames are read by position each time,
/// checked against their hashes.
#[derive(Debug)]
pub struct StoredClips {
    root: PathBuf,
    files: BTreeMap<ClipKey, PathBuf>,
    known: Mutex<HashMap<ClipKey, Known>>,
}

#[derive(Clone, Debug)]
struct Known {
    windows: Vec<usize>,
    size: (usize, usize),
}

/// The file of one clip.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClipFile {
    /// The clip.
    pub key: ClipKey,
    /// Its file, from the store's root.
    pub path: PathBuf,
}

impl StoredClips {
    /// These files below `root`.
    ///
    /// # Errors
    /// There is no such folder.
    pub fn open(root: &Path, files: &[ClipFile]) -> Result<Self, NetworkError> {
        if !root.is_dir() {
            return Err(NetworkError::File {
                path: PathBuf::from(root),
                expected: "the folder of a clip store".to_owned(),
                found: "none".to_owned(),
            });
        }
        let files = files.iter().map(|file| (file.key.clone(), file.path.clone())).collect();
        Ok(Self { root: root.to_owned(), files, known: Mutex::new(HashMap::new()) })
    }

    /// Whether there is a file for this clip.
    pub fn has(&self, key: &ClipKey) -> bool {
        self.files.contains_key(key)
    }

    fn reader(&self, key: &ClipKey) -> Result<ClipReader, NetworkError> {
        let file = self.files.get(key).ok_or_else(|| NetworkError::Internal {
            what: format!("no file of variant {} of source {}", key.variant, key.content_id),
        })?;
        Ok(ClipReader::open(&self.root.join(file))?)
    }

    fn known(&self, key: &ClipKey) -> Result<Known, NetworkError> {
        // A thread that died while it held the lock has left whole entries only.
        let lock = || self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = lock().get(key) {
            return Ok(known.clone());
        }
        let reader = self.reader(key)?;
        let header = reader.header();
        let known = Known {
            windows: header.windows.iter().map(Vec::len).collect(),
            size: (header.width as usize, header.height as usize),
        };
        lock().insert(key.clone(), known.clone());
        Ok(known)
    }
}

impl ClipSource for StoredClips {
    fn windows(&self, key: &ClipKey) -> Result<Vec<usize>, NetworkError> {
        Ok(self.known(key)?.windows)
    }

    fn size(&self, key: &ClipKey) -> Result<(usize, usize), NetworkError> {
        Ok(self.known(key)?.size)
    }

    fn window(&self, key: &ClipKey, window: usize) -> Result<Vec<Frame>, NetworkError> {
        self.reader(key)?.window(window)?.ok_or_else(|| NetworkError::Internal {
            what: format!("clip {} has no window {window}", key.content_id),
        })
    }
}
